//! From what a program declares to [`Function`]s.
//!
//! The declarations come from a guest, so they are hostile; and from a person, so
//! every refusal names the file, the line and the option. Nothing falls back to a
//! default because it could not be read.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use capsule_spec::{
    Access, AllowedFile, ErrorCode, Failure, Fuel, Function, HostRule, Isolation, nearest,
    parse_duration, parse_size,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::script::Place;
use crate::settings::OPTIONS;

#[derive(Deserialize)]
struct Declaration {
    name: String,
    options: Map<String, Value>,
    file: String,
    line: u64,
    /// Where a line is not enough to find it.
    #[serde(default)]
    column: u64,
}

/// More tasks than any program has.
const MOST: usize = 10_000;
/// Longer than the declarations of any program; a value in memory is many times its text.
const MOST_TEXT: usize = 8 << 20;

/// Reads what a program declared; `defaults` stand for options that it does not set, and
/// `place` knows what the user wrote of file, line and column.
pub(crate) fn functions(
    json: &str,
    defaults: &BTreeMap<String, Value>,
    place: impl Fn(&str, u32, u32) -> Option<Place>,
) -> Result<BTreeMap<String, Function>, Failure> {
    if json.len() > MOST_TEXT {
        let message = format!("the program's declarations take more than {MOST_TEXT} bytes");
        return Err(Failure::new(ErrorCode::InvalidDeclaration, message));
    }
    let declarations: Vec<Declaration> = serde_json::from_str(json).map_err(|_| {
        Failure::new(ErrorCode::InvalidDeclaration, "the program's declarations cannot be read")
    })?;
    if declarations.len() > MOST {
        let message = format!("the program declares more than {MOST} tasks");
        return Err(Failure::new(ErrorCode::InvalidDeclaration, message));
    }
    let mut functions = BTreeMap::new();
    for mut declaration in declarations {
        let known = |number| u32::try_from(number).unwrap_or_default();
        let Declaration { file, line, column, .. } = &declaration;
        if let Some(place) = place(file, known(*line), known(*column)) {
            declaration.file = place.file;
            declaration.line = place.line.into();
        }
        let function = function(&declaration, defaults)?;
        let Declaration { name, file, line, .. } = declaration;
        if functions.insert(name.clone(), function).is_some() {
            // The guest refuses that, too; but it is the guest's own memory that it looks at.
            let message = format!("{file}:{line}: two tasks are named {name:?}");
            return Err(Failure::new(ErrorCode::InvalidDeclaration, message));
        }
    }
    Ok(functions)
}

fn function(
    declaration: &Declaration,
    defaults: &BTreeMap<String, Value>,
) -> Result<Function, Failure> {
    let Declaration { name, options, file, line, .. } = declaration;
    let refuse = |problem: Problem| {
        let message = format!("{file}:{line}: task {name:?}: {}", problem.message);
        let failure = Failure::new(ErrorCode::InvalidDeclaration, message)
            .detail("file", file)
            .detail("line", line)
            .detail("task", name);
        match problem.hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    };
    if name.is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err(refuse(Problem::new("its name must be 1 to 200 printable characters")));
    }
    if let Some(key) = options.keys().find(|key| *key != "name" && !OPTIONS.contains(&key.as_str()))
    {
        let problem = Problem::new(format!("there is no option {key:?}"));
        return Err(refuse(
            problem.hint(nearest(key, OPTIONS).map(|near| format!("did you mean {near:?}?"))),
        ));
    }
    let option =
        |key: &str| options.get(key).or_else(|| defaults.get(key)).filter(|value| !value.is_null());
    let read = || -> Result<Function, Problem> {
        Ok(Function {
            name: name.clone(),
            compute: option("compute").map_or(Ok(Fuel::MEDIUM), compute)?,
            ram: option("ram").map_or(Ok(Function::RAM), ram)?,
            timeout: option("timeout").map_or(Ok(Function::TIMEOUT), timeout)?,
            max_retries: option("max_retries").map_or(Ok(0), retries)?,
            files: option("allowed_files").map_or(Ok(Vec::new()), files)?,
            hosts: option("allowed_hosts").map_or(Ok(Vec::new()), hosts)?,
            environment: option("env_variables").map_or(Ok(Vec::new()), variables)?,
            isolation: option("isolation").map_or(Ok(Isolation::Wasm), isolation)?,
        })
    };
    read().map_err(refuse)
}

struct Problem {
    message: String,
    hint: Option<String>,
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }

    fn hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint;
        self
    }
}

fn compute(value: &Value) -> Result<Fuel, Problem> {
    let wrong = || {
        Problem::new(format!(
            "compute={value} is not LOW, MEDIUM, HIGH or a number of at least {}",
            Fuel::LEAST
        ))
    };
    let units = match value {
        Value::String(text) => match text.to_ascii_uppercase().as_str() {
            "LOW" => return Ok(Fuel::LOW),
            "MEDIUM" => return Ok(Fuel::MEDIUM),
            "HIGH" => return Ok(Fuel::HIGH),
            _ => text.replace('_', "").parse().map_err(|_| wrong())?,
        },
        Value::Number(number) => number.as_u64().ok_or_else(wrong)?,
        _ => return Err(wrong()),
    };
    Fuel::exactly(units).ok_or_else(wrong)
}

fn ram(value: &Value) -> Result<capsule_spec::ByteSize, Problem> {
    let size = match value {
        Value::String(text) => parse_size(text),
        Value::Number(number) if number.is_u64() => parse_size(&number.to_string()),
        _ => return Err(Problem::new(format!("ram={value} is not a size such as \"64MB\""))),
    };
    let size = size.map_err(|error| Problem::new(format!("ram={value}: {error}")))?;
    if size < Function::LEAST_RAM {
        return Err(Problem::new(format!("ram={value} is less than an interpreter needs"))
            .hint(Some(format!("at least {}", Function::LEAST_RAM))));
    }
    Ok(size)
}

fn timeout(value: &Value) -> Result<std::time::Duration, Problem> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.is_u64() => format!("{number}ms"),
        _ => return Err(Problem::new(format!("timeout={value} is not a time such as \"30s\""))),
    };
    // A bare number would be read as milliseconds by some and as seconds by others.
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Problem::new(format!("timeout={value} has no unit")).hint(Some(format!(
            "\"{text}s\" or \"{text}ms\"; a number (not text) is milliseconds"
        ))));
    }
    parse_duration(&text).map_err(|error| Problem::new(format!("timeout={value}: {error}")))
}

fn retries(value: &Value) -> Result<u32, Problem> {
    let count = value.as_u64().and_then(|count| u32::try_from(count).ok());
    count.filter(|count| *count <= Function::MOST_RETRIES).ok_or_else(|| {
        Problem::new(format!(
            "max_retries={value} is not a number from 0 to {}",
            Function::MOST_RETRIES
        ))
    })
}

fn isolation(value: &Value) -> Result<Isolation, Problem> {
    match value.as_str() {
        Some("wasm") => Ok(Isolation::Wasm),
        Some("jail") => Ok(Isolation::Jail),
        _ => Err(Problem::new(format!("isolation={value} is not \"wasm\" or \"jail\""))),
    }
}

fn list<'a>(name: &str, value: &'a Value) -> Result<&'a [Value], Problem> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| {
        Problem::new(format!("{name}={value} is not a list"))
            .hint(value.as_str().map(|text| format!("write {name}=[{text:?}]")))
    })
}

fn text<'a>(name: &str, value: &'a Value) -> Result<&'a str, Problem> {
    value.as_str().ok_or_else(|| Problem::new(format!("{name} holds {value}, which is not text")))
}

/// One entry for each path; one that is named twice has the wider access.
fn files(value: &Value) -> Result<Vec<AllowedFile>, Problem> {
    let mut files: Vec<AllowedFile> = Vec::new();
    for value in list("allowed_files", value)? {
        let file = file(value)?;
        match files.iter_mut().find(|known| known.path == file.path) {
            Some(known) if file.access == Access::ReadWrite => known.access = Access::ReadWrite,
            Some(_) => {}
            None => files.push(file),
        }
    }
    Ok(files)
}

fn file(value: &Value) -> Result<AllowedFile, Problem> {
    let (path, access) = match value {
        Value::String(path) => match (path.strip_suffix(":ro"), path.strip_suffix(":rw")) {
            (Some(path), _) => (path, Access::ReadOnly),
            (_, Some(path)) => (path, Access::ReadWrite),
            _ => (path.as_str(), Access::ReadWrite),
        },
        Value::Object(entry) => {
            if let Some(key) = entry.keys().find(|key| *key != "path" && *key != "mode") {
                return Err(Problem::new(format!(
                    "allowed_files: there is no {key:?}; path and mode are known"
                )));
            }
            let path = entry
                .get("path")
                .ok_or_else(|| Problem::new("allowed_files: an entry has no path"))?;
            let access = match entry.get("mode").map(Value::as_str) {
                None | Some(Some("rw" | "read-write")) => Access::ReadWrite,
                Some(Some("ro" | "read-only")) => Access::ReadOnly,
                Some(_) => {
                    return Err(Problem::new(format!(
                        "allowed_files: mode={} is not known",
                        entry["mode"]
                    ))
                    .hint(Some("\"ro\", \"read-only\", \"rw\" or \"read-write\"".to_owned())));
                }
            };
            (text("allowed_files", path)?, access)
        }
        _ => return Err(Problem::new(format!("allowed_files holds {value}, which is no path"))),
    };
    Ok(AllowedFile { path: inside(path)?, access })
}

/// A path below the project, in normal form.
fn inside(path: &str) -> Result<String, Problem> {
    let outside = || {
        Problem::new(format!("allowed_files: {path:?} is outside the project's folder"))
            .hint(Some("a program cannot grant itself files of others; you can: capsule run --mount HOST::GUEST:ro".to_owned()))
    };
    if path.contains('\0') || path.is_empty() {
        return Err(Problem::new(format!("allowed_files: {path:?} is not a path")));
    }
    let mut parts: Vec<&str> = Vec::new();
    for component in Path::new(path).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => parts.push(name.to_str().ok_or_else(outside)?),
            Component::ParentDir => {
                parts.pop().ok_or_else(outside)?;
            }
            Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(parts.join("/"))
}

fn hosts(value: &Value) -> Result<Vec<HostRule>, Problem> {
    let rule = |value| {
        let written = text("allowed_hosts", value)?;
        from_url(written).parse().map_err(|error: capsule_spec::HostRuleError| {
            Problem::new(format!("allowed_hosts: {error}"))
        })
    };
    list("allowed_hosts", value)?.iter().map(rule).collect()
}

/// `https://api.example.com` is what many write: the host, on the scheme's port.
fn from_url(text: &str) -> String {
    let (rest, port) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
        (Some(rest), _) => (rest, 443),
        (_, Some(rest)) => (rest, 80),
        _ => return text.to_owned(),
    };
    let host = rest.strip_suffix('/').unwrap_or(rest);
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    if has_port { host.to_owned() } else { format!("{host}:{port}") }
}

fn variables(value: &Value) -> Result<Vec<String>, Problem> {
    let name = |value| {
        let name = text("env_variables", value)?;
        let is_name = !name.is_empty() && !name.contains(['=', '\0']);
        is_name
            .then(|| name.to_owned())
            .ok_or_else(|| Problem::new(format!("env_variables: {name:?} is not a name")))
    };
    list("env_variables", value)?.iter().map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn declared(options: Value) -> Result<Function, String> {
        let json =
            json!([{"name": "t", "options": options, "file": "main.py", "line": 3}]).to_string();
        let functions = functions(&json, &BTreeMap::new(), |_, _, _| None);
        functions
            .map(|mut functions| functions.remove("t").unwrap())
            .map_err(|failure| failure.message)
    }

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let function = declared(json!({})).unwrap();
        assert_eq!(function.compute, Fuel::MEDIUM);
        assert_eq!(function.ram, Function::RAM);
        assert_eq!((function.max_retries, function.timeout), (0, Function::TIMEOUT));
        assert!(
            function.files.is_empty()
                && function.hosts.is_empty()
                && function.environment.is_empty()
        );
    }

    #[test]
    fn options_are_read() {
        let function = declared(json!({
            "compute": "low", "ram": "64MiB", "timeout": "1h", "max_retries": 3,
            "allowed_files": ["./data", "a/../b.txt:ro", {"path": "x", "mode": "read-only"}],
            "allowed_hosts": ["https://api.example.com", "*.example.org:8443", "*"],
            "env_variables": ["KEY"], "isolation": "jail",
        }))
        .unwrap();
        assert_eq!(function.compute, Fuel::LOW);
        assert_eq!(function.ram.bytes(), 64 << 20);
        assert_eq!(function.timeout.as_secs(), 3600);
        let files: Vec<_> =
            function.files.iter().map(|file| (file.path.as_str(), file.access)).collect();
        assert_eq!(
            files,
            [("data", Access::ReadWrite), ("b.txt", Access::ReadOnly), ("x", Access::ReadOnly)]
        );
        assert!(function.hosts[0].matches_name("api.example.com", 443));
        assert!(!function.hosts[0].matches_name("api.example.com", 80));
        assert_eq!(function.isolation, Isolation::Jail);
        assert_eq!(declared(json!({"compute": "1_000_000"})).unwrap().compute.units(), 1_000_000);
        assert_eq!(declared(json!({"timeout": 250})).unwrap().timeout.as_millis(), 250);
    }

    #[test]
    fn declarations_are_bounded_and_each_name_stands_once() {
        let one = json!({"name": "t", "options": {}, "file": "main.py", "line": 3});
        let told = functions(&json!([one, one]).to_string(), &BTreeMap::new(), |_, _, _| None)
            .unwrap_err();
        assert_eq!(told.message, "main.py:3: two tasks are named \"t\"");
        let long = format!("[{}]", "0,".repeat(MOST_TEXT / 2));
        let told = functions(&long, &BTreeMap::new(), |_, _, _| None).unwrap_err();
        assert!(told.message.contains("take more than"), "{}", told.message);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_place() {
        for (options, message) in [
            (json!({"ram": "64 monkeys"}), "ram=\"64 monkeys\""),
            (json!({"ram": "1MB"}), "ram=\"1MB\" is less"),
            (json!({"ram": -1}), "ram=-1 is not a size"),
            (json!({"timeout": "1"}), "timeout=\"1\" has no unit"),
            (json!({"timeout": "-1s"}), "timeout=\"-1s\""),
            (json!({"timeout": 1.5}), "timeout=1.5"),
            (json!({"compute": "HUGE"}), "compute=\"HUGE\" is not"),
            (json!({"compute": 0}), "compute=0 is not"),
            (json!({"max_retries": -1}), "max_retries=-1 is not"),
            (json!({"allowed_files": "./data"}), "allowed_files=\"./data\" is not a list"),
            (json!({"allowed_files": ["/etc"]}), "allowed_files: \"/etc\" is outside"),
            (json!({"allowed_files": ["../x"]}), "allowed_files: \"../x\" is outside"),
            (json!({"allowed_files": ["a/../../x"]}), "allowed_files: \"a/../../x\" is outside"),
            (json!({"allowed_files": [{"path": "a", "mode": "x"}]}), "allowed_files: mode=\"x\""),
            (json!({"allowed_hosts": ["http://a.b/c"]}), "allowed_hosts: "),
            (json!({"env_variables": ["A=B"]}), "env_variables: \"A=B\" is not a name"),
            (json!({"isolation": "none"}), "isolation=\"none\" is not"),
            (json!({"rams": 1}), "there is no option \"rams\""),
        ] {
            let told = declared(options).unwrap_err();
            let expected = format!("main.py:3: task \"t\": {message}");
            assert!(told.starts_with(&expected), "{told}");
        }
    }
}
