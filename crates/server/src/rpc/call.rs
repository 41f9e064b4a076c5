//! From bytes to calls, and from outcomes to answers.

use std::collections::BTreeMap;
use std::fmt;

use capsule_spec::{ErrorCode, Failure};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::{Kind, Refusal};

/// Most calls of one batch.
pub const MOST_CALLS: usize = 100;
/// Longest id that is echoed.
const LONGEST_ID: usize = 1_024;

/// What a body holds.
#[derive(Debug)]
pub enum Message {
    /// One call.
    One(Result<Call, Rejected>),
    /// Several, to be answered together.
    Batch(Vec<Result<Call, Rejected>>),
}

/// A call that is well formed; whether there is such a method is another question.
#[derive(Debug)]
pub struct Call {
    /// As it came, to be echoed; none for a notification.
    pub id: Option<Box<RawValue>>,
    /// The method.
    pub method: String,
    /// An object or an array.
    pub params: Option<Box<RawValue>>,
}

/// Something that is no call.
#[derive(Debug)]
pub struct Rejected {
    /// Its id, if it has one that can be echoed.
    pub id: Option<Box<RawValue>>,
    /// What is wrong with it.
    pub refusal: Refusal,
}

/// Reads a body.
pub fn read(body: &[u8]) -> Message {
    // One call may have megabytes, which are looked at once. What is wrong with it is found out
    // after.
    if let Ok(members) = serde_json::from_slice(body) {
        return Message::One(call_of(members));
    }
    // The whole is looked at before a part is used: a body that breaks off is no batch.
    let whole: &RawValue = match serde_json::from_slice(body) {
        Ok(whole) => whole,
        Err(error) => {
            let message = format!("the body is not JSON: {error}");
            let refusal = Refusal::new(Kind::Parse, ErrorCode::InvalidRequest, message);
            return Message::One(Err(Rejected { id: None, refusal }));
        }
    };
    if !whole.get().starts_with('[') {
        return Message::One(read_call(whole));
    }
    let calls: Vec<&RawValue> = match serde_json::from_str(whole.get()) {
        Ok(calls) => calls,
        Err(_) => return Message::One(Err(invalid("the batch cannot be read"))),
    };
    if calls.is_empty() {
        return Message::One(Err(invalid("the batch is empty")));
    }
    if calls.len() > MOST_CALLS {
        let message = format!("the batch has {} calls; it can have {MOST_CALLS}", calls.len());
        return Message::One(Err(invalid(&message)));
    }
    Message::Batch(calls.into_iter().map(read_call).collect())
}

fn invalid(message: &str) -> Rejected {
    let failure = Failure::new(ErrorCode::InvalidRequest, message);
    Rejected { id: None, refusal: Refusal { kind: Kind::InvalidRequest, failure } }
}

fn read_call(text: &RawValue) -> Result<Call, Rejected> {
    let members = serde_json::from_str(text.get()).map_err(|_| {
        invalid("a request is a JSON object with jsonrpc, method, params and id, each once")
    })?;
    call_of(members)
}

fn call_of(Members(members): Members<'_>) -> Result<Call, Rejected> {
    let id = members.get("id").copied();
    if let Some(id) = id
        && !is_id(id)
    {
        return Err(invalid("id is neither a string, nor a number, nor null"));
    }
    let id = id.map(RawValue::to_owned);
    let reject = |message: &str| Err(Rejected { id: id.clone(), ..invalid(message) });
    if members.get("jsonrpc").is_none_or(|version| version.get() != "\"2.0\"") {
        return reject("jsonrpc is not \"2.0\"");
    }
    let method = members.get("method").map(|method| serde_json::from_str(method.get()));
    let Some(Ok(method)) = method else {
        return reject("method is not a string");
    };
    let params = members.get("params").copied();
    if params.is_some_and(|params| !params.get().starts_with(['{', '['])) {
        return reject("params is neither an object nor an array");
    }
    Ok(Call { id, method, params: params.map(RawValue::to_owned) })
}

/// The members of an object, none of them twice: whoever looked at a request before it came
/// here may have believed the other one.
struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;

        impl<'de> Visitor<'de> for Once {
            type Value = Members<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((name, value)) = map.next_entry()? {
                    if members.insert(name, value).is_some() {
                        return Err(A::Error::custom("a member is there twice"));
                    }
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Once)
    }
}

fn is_id(id: &RawValue) -> bool {
    let text = id.get();
    let starts = text.starts_with(|c: char| c == '"' || c == '-' || c.is_ascii_digit());
    (starts || text == "null") && text.len() <= LONGEST_ID
}

/// An answer with a result, which is JSON already.
pub(crate) fn answer(id: &RawValue, result: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"result\":{result}}}", id.get())
}

/// An answer with an error. Without an id, it could not be told.
pub(crate) fn error(id: Option<&RawValue>, refusal: &Refusal) -> String {
    #[derive(Serialize)]
    struct Answer<'a> {
        jsonrpc: &'static str,
        id: Option<&'a RawValue>,
        error: &'a Refusal,
    }
    serde_json::to_string(&Answer { jsonrpc: "2.0", id, error: refusal })
        .expect("strings and numbers have a JSON form")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers as a server would whose only method is `echo`.
    fn served(body: &str) -> Vec<String> {
        let one = |call: Result<Call, Rejected>| match call {
            Ok(Call { id: None, .. }) => None,
            Ok(Call { id: Some(id), method, params }) if method == "echo" => {
                Some(answer(&id, params.as_deref().map_or("null", RawValue::get)))
            }
            Ok(Call { id, method, .. }) => {
                let refusal = Refusal::from(
                    crate::request::Request::parse(&method, None).expect_err("not a method"),
                );
                Some(error(id.as_deref(), &refusal))
            }
            Err(rejected) => Some(error(rejected.id.as_deref(), &rejected.refusal)),
        };
        match read(body.as_bytes()) {
            Message::One(call) => one(call).into_iter().collect(),
            Message::Batch(calls) => calls.into_iter().filter_map(one).collect(),
        }
    }

    fn codes(body: &str) -> Vec<(serde_json::Value, i64)> {
        let parse = |text: &String| {
            let value: serde_json::Value = serde_json::from_str(text).unwrap();
            (value["id"].clone(), value["error"]["code"].as_i64().unwrap_or_default())
        };
        served(body).iter().map(parse).collect()
    }

    #[test]
    fn ids_are_echoed_as_they_came() {
        for id in
            ["1", "-7", "1.50", "1e3", "\"a\\u0041\"", "\"\"", "null", "12345678901234567890123"]
        {
            let body = format!(r#"{{"jsonrpc":"2.0","method":"echo","params":[1],"id":{id}}}"#);
            let expected = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":[1]}}"#);
            assert_eq!(served(&body), [expected]);
        }
    }

    /// Section 7 of the specification, as far as it does not depend on its methods.
    #[test]
    fn the_examples_of_the_specification_hold() {
        use serde_json::json;
        let null = || serde_json::Value::Null;
        // A notification has no answer, known or not.
        assert_eq!(served(r#"{"jsonrpc": "2.0", "method": "echo", "params": [1,2]}"#), [""; 0]);
        assert_eq!(served(r#"{"jsonrpc": "2.0", "method": "foobar"}"#), [""; 0]);
        let unknown = r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#;
        assert_eq!(codes(unknown), [(json!("1"), -32601)]);
        let broken = r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#;
        assert_eq!(codes(broken), [(null(), -32700)]);
        let invalid = r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#;
        assert_eq!(codes(invalid), [(null(), -32600)]);
        let broken = r#"[{"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},
                         {"jsonrpc": "2.0", "method""#;
        assert_eq!(codes(broken), [(null(), -32700)]);
        assert_eq!(codes("[]"), [(null(), -32600)]);
        assert_eq!(codes("[1]"), [(null(), -32600)]);
        assert_eq!(codes("[1,2,3]"), [(null(), -32600), (null(), -32600), (null(), -32600)]);
        let mixed = r#"[{"jsonrpc":"2.0","method":"echo","params":[1,2,4],"id":"1"},
            {"jsonrpc":"2.0","method":"echo","params":[7]},
            {"jsonrpc":"2.0","method":"echo","params":[42,23],"id":"2"},
            {"foo":"boo"},
            {"jsonrpc":"2.0","method":"foo.get","params":{"name":"myself"},"id":"5"},
            {"jsonrpc":"2.0","method":"echo","id":"9"}]"#;
        let expected = [
            (json!("1"), 0),
            (json!("2"), 0),
            (null(), -32600),
            (json!("5"), -32601),
            (json!("9"), 0),
        ];
        assert_eq!(codes(mixed), expected);
        let notifications = r#"[{"jsonrpc":"2.0","method":"echo","params":[1,2,4]},
            {"jsonrpc":"2.0","method":"echo","params":[7]}]"#;
        assert_eq!(codes(notifications), []);
    }

    #[test]
    fn what_is_no_call_is_told_apart() {
        use serde_json::json;
        for (body, id, code) in [
            ("", json!(null), -32700),
            ("\u{feff}{}", json!(null), -32700),
            ("{}", json!(null), -32600),
            ("null", json!(null), -32600),
            (r#"{"jsonrpc":"1.0","method":"echo","id":1}"#, json!(1), -32600),
            (r#"{"jsonrpc":2.0,"method":"echo","id":1}"#, json!(1), -32600),
            (r#"{"jsonrpc":"2.0","id":1}"#, json!(1), -32600),
            (r#"{"jsonrpc":"2.0","method":"echo","params":7,"id":1}"#, json!(1), -32600),
            (r#"{"jsonrpc":"2.0","method":"echo","params":null,"id":1}"#, json!(1), -32600),
            (r#"{"jsonrpc":"2.0","method":"echo","id":[1]}"#, json!(null), -32600),
            (r#"{"jsonrpc":"2.0","method":"echo","id":true}"#, json!(null), -32600),
            (r#"{"jsonrpc":"2.0","method":"echo","id":1,"method":"echo"}"#, json!(null), -32600),
            (r#"{"jsonrpc":"2.0","method":"echo","id":1,"id":2}"#, json!(null), -32600),
        ] {
            assert_eq!(codes(body), [(id, code)], "{body}");
        }
        assert_eq!(codes(std::str::from_utf8(b"{\"a\":1}").unwrap())[0].1, -32600);
        assert!(matches!(read(b"{\"a\":\"\xff\"}"), Message::One(Err(_))));
        let many = format!("[{}1]", "1,".repeat(MOST_CALLS));
        assert_eq!(codes(&many), [(json!(null), -32600)]);
        let deep = "[".repeat(100_000);
        assert_eq!(codes(&deep), [(json!(null), -32700)]);
        let long = format!(r#"{{"jsonrpc":"2.0","method":"echo","id":"{}"}}"#, "a".repeat(2_000));
        assert_eq!(codes(&long), [(json!(null), -32600)]);
    }
}
