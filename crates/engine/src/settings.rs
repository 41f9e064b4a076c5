//! `capsule.toml`: what a project is, and what its tasks are unless they say otherwise.

use std::collections::BTreeMap;

use capsule_spec::{ErrorCode, Failure, nearest};
use serde_json::Value;

/// A project's settings.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// The workflow's name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The file that `capsule run` without a file runs.
    pub entrypoint: Option<String>,
    /// Task options for tasks that do not set them, by the option's name.
    pub defaults: BTreeMap<String, Value>,
    /// Python packages, as pip names them.
    pub python: Vec<String>,
    /// Programs whose tasks others of the project may call: files, by their names.
    pub programs: BTreeMap<String, String>,
}

/// More programs than any project has; each is loaded before a run begins.
const MOST_PROGRAMS: usize = 16;
/// No program has a longer name.
pub(crate) const LONGEST_NAME: usize = 64;

/// The file's name.
pub(crate) const FILE: &str = "capsule.toml";

/// What a task may set, and with `default_` before it the file.
pub(crate) const OPTIONS: [&str; 8] = [
    "compute",
    "ram",
    "timeout",
    "max_retries",
    "allowed_files",
    "allowed_hosts",
    "env_variables",
    "isolation",
];

impl Settings {
    /// Reads the text of the file.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidConfig`] for anything that would be ignored.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
            invalid(format!("capsule.toml is not TOML: {}", error.message()))
        })?;
        let mut settings = Self::default();
        for (section, value) in table {
            let keys = value.as_table().cloned();
            match (section.as_str(), keys) {
                ("workflow", Some(keys)) => settings.workflow(keys)?,
                ("tasks", Some(keys)) => settings.tasks(keys)?,
                ("dependencies", Some(keys)) => settings.dependencies(keys)?,
                ("programs", Some(keys)) => settings.programs(keys)?,
                // For `capsule-run --config`, which reads the same file.
                ("profile", _) => {}
                _ => {
                    return Err(unknown(
                        &section,
                        &["workflow", "tasks", "dependencies", "programs"],
                        "capsule.toml",
                    ));
                }
            }
        }
        Ok(settings)
    }

    fn workflow(&mut self, keys: toml::Table) -> Result<(), Failure> {
        for (key, value) in keys {
            let text = value.as_str().map(str::to_owned);
            let text = text.ok_or_else(|| invalid(format!("workflow.{key} must be text")));
            match key.as_str() {
                "name" => self.name = Some(text?),
                "version" => self.version = Some(text?),
                "entrypoint" => self.entrypoint = Some(text?),
                _ => return Err(unknown(&key, &["name", "version", "entrypoint"], "[workflow]")),
            }
        }
        Ok(())
    }

    fn tasks(&mut self, keys: toml::Table) -> Result<(), Failure> {
        let known: Vec<String> = OPTIONS.iter().map(|name| format!("default_{name}")).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        for (key, value) in keys {
            let option = key.strip_prefix("default_").filter(|name| OPTIONS.contains(name));
            let Some(option) = option else { return Err(unknown(&key, &known, "[tasks]")) };
            let value = serde_json::to_value(&value).map_err(|error| invalid(error.to_string()))?;
            self.defaults.insert(option.to_owned(), value);
        }
        Ok(())
    }

    fn dependencies(&mut self, keys: toml::Table) -> Result<(), Failure> {
        for (key, value) in keys {
            let list = value
                .as_array()
                .map(|list| list.iter().map(|item| item.as_str().map(str::to_owned)));
            let list: Option<Vec<String>> = list.and_then(Iterator::collect);
            match (key.as_str(), list) {
                ("python", Some(list)) => self.python = list,
                ("python", None) => {
                    return Err(invalid(
                        "dependencies.python must be a list of requirements".to_owned(),
                    ));
                }
                _ => return Err(unknown(&key, &["python"], "[dependencies]")),
            }
        }
        Ok(())
    }

    fn programs(&mut self, keys: toml::Table) -> Result<(), Failure> {
        if keys.len() > MOST_PROGRAMS {
            return Err(invalid(format!("[programs] has more than {MOST_PROGRAMS} programs")));
        }
        for (name, file) in keys {
            if !is_name(&name) {
                let message = format!("programs.{name:?} is no name of a program");
                return Err(invalid(message).hint(format!(
                    "at most {LONGEST_NAME} letters, digits, \"-\" and \"_\"; the first is a letter"
                )));
            }
            let file = file.as_str().map(str::to_owned);
            let file = file.ok_or_else(|| {
                invalid(format!("programs.{name} must be text: the file of the program"))
            })?;
            self.programs.insert(name, file);
        }
        Ok(())
    }
}

/// Whether a program may be called so. No such name has a colon in it: what stands before
/// the first colon of `PROGRAM:TASK` is the program.
pub(crate) fn is_name(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.len() <= LONGEST_NAME
        && name.bytes().all(is_plain)
}

fn invalid(message: String) -> Failure {
    Failure::new(ErrorCode::InvalidConfig, message)
}

fn unknown(key: &str, known: &[&str], place: &str) -> Failure {
    let failure = invalid(format!("{place} has no {key:?}"));
    match nearest(key, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure.hint(format!("it may hold {}", known.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_is_read() {
        let settings = Settings::parse(
            "[workflow]\nname = \"w\"\nversion = \"1.0.0\"\nentrypoint = \"src/main.py\"\n\
             [tasks]\ndefault_compute = \"LOW\"\ndefault_max_retries = 2\ndefault_allowed_files = [\"./data\"]\n\
             [dependencies]\npython = [\"attrs==25.3.0\"]\n[programs]\nrender = \"src/render.ts\"\n",
        )
        .unwrap();
        assert_eq!(settings.entrypoint.as_deref(), Some("src/main.py"));
        assert_eq!(settings.defaults["max_retries"], 2);
        assert_eq!(settings.defaults["allowed_files"], serde_json::json!(["./data"]));
        assert_eq!(settings.python, ["attrs==25.3.0"]);
        assert_eq!(settings.programs["render"], "src/render.ts");
    }

    #[test]
    fn names_of_programs_are_plain() {
        for name in ["a", "analyse", "Render-2", "a_b"] {
            let text = format!("[programs]\n{name} = \"a.py\"\n");
            assert_eq!(Settings::parse(&text).unwrap().programs[name], "a.py");
        }
        let long = "a".repeat(LONGEST_NAME + 1);
        for name in ["", "a:b", "..", "/etc", "1a", "-a", "a.b", "a b", "\u{e4}", "a\u{0}b", &long]
        {
            let text = format!("[programs]\n{} = \"a.py\"\n", serde_json::json!(name));
            let failure = Settings::parse(&text).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidConfig);
            assert!(failure.message.ends_with("is no name of a program"), "{failure}");
        }
        let many: String = (0..=MOST_PROGRAMS).map(|n| format!("p{n} = \"a.py\"\n")).collect();
        assert!(Settings::parse(&format!("[programs]\n{many}")).is_err());
    }

    #[test]
    fn nothing_is_ignored() {
        for (text, message) in [
            ("[task]\n", "capsule.toml has no \"task\""),
            ("[tasks]\ndefault_rams = \"1\"\n", "[tasks] has no \"default_rams\""),
            ("[tasks]\nram = \"1\"\n", "[tasks] has no \"ram\""),
            ("[workflow]\nname = 1\n", "workflow.name must be text"),
            (
                "[programs]\nrender = { file = \"x\" }\n",
                "programs.render must be text: the file of the program",
            ),
            (
                "[dependencies]\npython = \"x\"\n",
                "dependencies.python must be a list of requirements",
            ),
        ] {
            assert_eq!(Settings::parse(text).unwrap_err().message, message);
        }
    }
}
