//! From JSON to a typed request, with errors that say which field and what was meant.

use capsule_spec::{ErrorCode, Failure, nearest};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Parses parameters given by name or, in the order of the documentation, by position.
pub(crate) fn parse_strictly<'a, T: Deserialize<'a>>(
    params: Option<&'a RawValue>,
) -> Result<T, Failure> {
    let text = params.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(|error| failure(&error))
}

fn failure(error: &serde_json::Error) -> Failure {
    let message = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = message.strip_suffix(&place).unwrap_or(&message);
    if let Some(failure) = unknown_field(message) {
        return failure;
    }
    let failure = Failure::new(ErrorCode::InvalidValue, format!("params: {message}"));
    match message.split_once("missing field `").and_then(|(_, rest)| rest.split_once('`')) {
        Some((field, _)) => failure.detail("field", field),
        None => failure,
    }
}

/// serde names the unknown field and then the known ones, each in backticks.
fn unknown_field(message: &str) -> Option<Failure> {
    let (_, rest) = message.split_once("unknown field `")?;
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next()?;
    let known: Vec<&str> = names.collect();
    let shown: String = unknown.chars().take(100).collect();
    let failure = Failure::new(ErrorCode::UnknownOption, format!("there is no field {shown:?}"))
        .detail("field", &shown);
    Some(match nearest(unknown, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure.hint(format!("known here: {}", known.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use super::super::{Exec, Request, RequestError};
    use serde_json::value::RawValue;

    fn parsed(method: &str, params: &str) -> Result<Request, (String, String, Option<String>)> {
        let params = RawValue::from_string(params.to_owned()).unwrap();
        Request::parse(method, Some(&params)).map_err(|error| match error {
            RequestError::UnknownMethod(failure) | RequestError::Parameters(failure) => {
                (failure.code.to_string(), failure.message, failure.hint)
            }
        })
    }

    #[test]
    fn defaults_are_those_of_the_wire() {
        let request = parsed("sandbox.v1.exec", r#"{"id":"a","cmd":["true"]}"#).unwrap();
        let Request::Exec(exec) = request else { panic!("another request") };
        let expected = Exec {
            id: "a".into(),
            cmd: vec!["true".into()],
            cwd: None,
            env: std::collections::BTreeMap::new(),
            timeout_ms: 5_000,
            max_stdout_bytes: 1 << 20,
            max_stderr_bytes: 1 << 20,
            stdin: None,
            stdin_base64: None,
            base64: false,
            context: None,
        };
        assert_eq!(exec, expected);
        let Ok(Request::Create(create)) = parsed("sandbox.create", r#"{"template":"python"}"#)
        else {
            panic!("another request");
        };
        assert_eq!(create.ttl_ms, 600_000);
    }

    #[test]
    fn parameters_can_be_given_by_position() {
        let by_position = parsed("sandbox.v1.exec", r#"["a",["true"]]"#).unwrap();
        assert_eq!(by_position, parsed("sandbox.v1.exec", r#"{"id":"a","cmd":["true"]}"#).unwrap());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let exec = |rest: &str| parsed("sandbox.v1.exec", &format!(r#"{{"id":"a"{rest}}}"#));
        for (rest, code, message, hint) in [
            ("", "E1003", "params: missing field `cmd`", None),
            (r#","cmd":[]"#, "E1004", "cmd is empty", None),
            (r#","cmd":[""]"#, "E1004", "cmd is empty", None),
            (r#","cmd":["a\u0000b"]"#, "E1003", "cmd holds a NUL character", None),
            (
                r#","cmd":["a"],"timeout":1"#,
                "E1002",
                "there is no field \"timeout\"",
                Some("did you mean \"timeout_ms\"?"),
            ),
            (
                r#","cmd":["a"],"timeout_ms":0"#,
                "E1003",
                "timeout_ms is 0; it can be 1 to 120000",
                None,
            ),
            (
                r#","cmd":["a"],"timeout_ms":120001"#,
                "E1003",
                "timeout_ms is 120001; it can be 1 to 120000",
                None,
            ),
            (
                r#","cmd":["a"],"max_stdout_bytes":10485761"#,
                "E1003",
                "max_stdout_bytes is 10485761; it can be 0 to 10485760",
                None,
            ),
            (r#","cmd":["a"],"cwd":"""#, "E1005", "cwd is empty", None),
            (
                r#","cmd":["a"],"env":{"A=B":"c"}"#,
                "E1003",
                "env has the name \"A=B\", which no variable can have",
                None,
            ),
            (
                r#","cmd":["a"],"stdin":"a","stdin_base64":"YQ==""#,
                "E1006",
                "stdin and stdin_base64 are both given",
                None,
            ),
        ] {
            let (found_code, found_message, found_hint) = exec(rest).unwrap_err();
            assert_eq!((found_code.as_str(), found_message.as_str()), (code, message), "{rest}");
            assert_eq!(found_hint.as_deref(), hint, "{rest}");
        }
        let twice = parsed("sandbox.v1.get", r#"{"id":"a","id":"b"}"#).unwrap_err();
        assert_eq!(twice.1, "params: duplicate field `id`");
        assert_eq!(parsed("sandbox.v1.get", r#"{"id":"../a"}"#).unwrap_err().0, "E1015");
        assert_eq!(parsed("sandbox.v1.get", r#"["a","b"]"#).unwrap_err().0, "E1003");
    }
}
