//! What a server says went wrong, as a failure of ours.

use capsule_spec::{ErrorCode, Failure};
use serde_json::Value;

/// How much of a server's words is shown.
const SHOWN: usize = 2_000;

/// An error object: `{code, message, data: {type, retryable, details}}`.
pub(crate) fn remote(error: &Value) -> Failure {
    let text = |value: &Value| value.as_str().map(|text| text.chars().take(SHOWN).collect());
    let details = &error["data"]["details"];
    let kind = error["data"]["type"].as_str().unwrap_or_default();
    let known = serde_json::from_value::<ErrorCode>(details["error_code"].clone()).ok();
    // A later server may have codes that this client does not know.
    let code = known.unwrap_or(ErrorCode::SystemFailure);
    let message = text(&error["message"]).unwrap_or_else(|| "the server failed".to_owned());
    let mut failure = Failure::new(code, message);
    failure.hint = text(&details["hint"]);
    for (name, value) in details.as_object().into_iter().flatten().take(64) {
        if name != "hint" && name != "error_code" {
            failure = failure.detail(name, value.as_str().unwrap_or_default());
        }
    }
    if let (None, Some(unknown)) = (known, details["error_code"].as_str()) {
        failure = failure.detail("error_code", unknown);
    }
    match kind {
        "METHOD_NOT_FOUND" => {
            failure.hint =
                Some("the server is older than this command, or not started for it".into());
        }
        "NOT_AUTHORIZED" if failure.hint.is_none() => {
            failure.hint = Some("put a key into CAPSULE_API_KEY or a file for --key-file".into());
        }
        _ => {}
    }
    if !kind.is_empty() {
        failure = failure.detail("type", kind);
    }
    failure
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_object_keeps_its_code_and_hint() {
        let details = json!({ "error_code": "E1015", "hint": "look", "field": "id" });
        let error = json!({ "code": -32002, "message": "no such sandbox",
            "data": { "type": "NOT_FOUND", "retryable": false, "details": details } });
        let failure = remote(&error);
        assert_eq!(failure.code, ErrorCode::SandboxNotFound);
        assert_eq!(failure.hint.as_deref(), Some("look"));
        assert_eq!(failure.details["field"], "id");
    }

    #[test]
    fn whatever_comes_becomes_a_failure() {
        for odd in [json!(null), json!("x"), json!({ "message": 3, "data": [] }), json!([])] {
            assert_eq!(remote(&odd).code, ErrorCode::SystemFailure, "{odd}");
        }
        let later = json!({ "message": "m", "data": { "details": { "error_code": "E9999" } } });
        assert_eq!(remote(&later).details["error_code"], "E9999");
    }
}
