//! The JSON request on standard input.

use std::io::Read;

use capsule_spec::{ErrorCode, Failure, TaskSpec, nearest};

/// A request longer than this is a mistake or an attack: the kernel takes 2 MiB
/// of arguments and variables at most.
const MAX_BYTES: u64 = 4 << 20;

/// Reads and parses the request.
pub(super) fn read() -> Result<TaskSpec, Failure> {
    let mut text = Vec::new();
    std::io::stdin().take(MAX_BYTES + 1).read_to_end(&mut text).map_err(|_| {
        Failure::new(ErrorCode::InvalidRequest, "the request could not be read from standard input")
    })?;
    parse(&text)
}

fn parse(text: &[u8]) -> Result<TaskSpec, Failure> {
    if text.len() as u64 > MAX_BYTES {
        return Err(Failure::new(ErrorCode::InvalidRequest, "the request is longer than 4 MiB"));
    }
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Failure::new(ErrorCode::InvalidRequest, "the request is empty")
            .hint("pipe a JSON object in: echo '{\"command\":[\"true\"]}' | capsule-run --json"));
    }
    let spec = serde_json::from_slice(text).map_err(|error| failure(&error))?;
    // serde takes a list for an object, field by field. `[["true"]]` is no request.
    let value: serde_json::Value = serde_json::from_slice(text).map_err(|error| failure(&error))?;
    demand_objects(&value)?;
    Ok(spec)
}

fn demand_objects(request: &serde_json::Value) -> Result<(), Failure> {
    let isolation = request.get("isolation");
    let binds = isolation.and_then(|isolation| isolation.get("bind_mounts")?.as_array());
    let binds = binds.into_iter().flatten().map(|bind| ("bind_mounts", Some(bind)));
    let parts = [
        ("the request", Some(request)),
        ("resources", request.get("resources")),
        ("isolation", isolation),
    ];
    for (name, part) in parts.into_iter().chain(binds) {
        if part.is_some_and(|part| !part.is_object()) {
            let message = format!("{name} must be a JSON object, not a list");
            return Err(Failure::new(ErrorCode::InvalidValue, message).detail("field", name));
        }
    }
    Ok(())
}

fn failure(error: &serde_json::Error) -> Failure {
    let (line, column) = (error.line(), error.column());
    let message = error.to_string();
    let place = format!(" at line {line} column {column}");
    let message = message.strip_suffix(&place).unwrap_or(&message);
    if let Some(failure) = unknown_field(message) {
        return failure.detail("line", line).detail("column", column);
    }
    let code = match error.classify() {
        serde_json::error::Category::Data => ErrorCode::InvalidValue,
        _ => ErrorCode::InvalidRequest,
    };
    Failure::new(code, format!("the request is not valid: {message}{place}"))
        .detail("line", line)
        .detail("column", column)
}

/// serde names the unknown field and then the known ones, each in backticks.
pub(super) fn unknown_field(message: &str) -> Option<Failure> {
    let (_, rest) = message.split_once("unknown field `")?;
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next()?;
    let known: Vec<&str> = names.collect();
    let failure = Failure::new(ErrorCode::UnknownOption, format!("there is no field {unknown:?}"))
        .detail("field", unknown);
    Some(match nearest(unknown, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure.hint(format!("known here: {}", known.join(", "))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_codes_and_places() {
        for (text, code, hint) in [
            (
                "",
                "E1001",
                Some("pipe a JSON object in: echo '{\"command\":[\"true\"]}' | capsule-run --json"),
            ),
            ("{", "E1001", None),
            ("[1]", "E1003", None),
            ("[[\"true\"]]", "E1003", None),
            ("{\"isolation\":[true]}", "E1003", None),
            ("{\"isolation\":{\"bind_mounts\":[[\"/a\",\"/b\",false]]}}", "E1003", None),
            ("{\"comand\":[]}", "E1002", Some("did you mean \"command\"?")),
            (
                "{\"resources\":{\"memroy_bytes\":1}}",
                "E1002",
                Some("did you mean \"memory_bytes\"?"),
            ),
            ("{\"command\":\"ls\"}", "E1003", None),
            ("{\"timeout_ms\":-1}", "E1003", None),
            ("{\"timeout_ms\":1e99}", "E1003", None),
            ("{\"command\":[],\"command\":[]}", "E1003", None),
            ("{} {}", "E1001", None),
        ] {
            let failure = parse(text.as_bytes()).unwrap_err();
            assert_eq!(failure.code.code(), code, "{text}: {failure}");
            assert_eq!(failure.hint.as_deref(), hint, "{text}");
        }
        assert!(parse(&[0xff, 0xfe]).is_err());
        let deep = "[".repeat(100_000);
        assert!(parse(deep.as_bytes()).is_err());
    }
}
