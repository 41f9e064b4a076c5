//! The OpenRPC document, made from the types. Any method can answer with any of the errors,
//! so they are listed once.

use serde_json::{Value, json};

use super::Kind;
use crate::request::{Answers, Request};

/// The OpenRPC document of this interface.
pub fn document() -> Value {
    let settings = schemars::generate::SchemaSettings::draft07()
        .with(|settings| settings.definitions_path = "/components/schemas".into());
    let mut generator = settings.into_generator();
    let methods: Vec<Value> = Request::METHODS
        .iter()
        .map(|method| {
            let parameters = (method.parameters)(&mut generator).to_value();
            let answer = (method.answer)(&mut generator).to_value();
            let mut described = json!({
                "name": method.name,
                "summary": method.summary,
                "paramStructure": "by-name",
                "params": parameters_of(&parameters, generator.definitions()),
                "result": { "name": "result", "schema": answer },
            });
            if !method.aliases.is_empty() {
                described["x-aliases"] = json!(method.aliases);
            }
            if method.answers == Answers::Stream {
                described["x-stream"] = json!("text/event-stream");
            }
            described
        })
        .collect();
    let errors: serde_json::Map<String, Value> = Kind::ALL
        .iter()
        .map(|kind| {
            let error = json!({ "code": kind.code(), "message": kind.summary() });
            (kind.name().to_owned(), error)
        })
        .collect();
    json!({
        "openrpc": "1.3.2",
        "info": {
            "title": "Capsule sandboxes",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0" },
        },
        "methods": methods,
        "components": { "schemas": used(&methods, generator.take_definitions(true)), "errors": errors },
    })
}

/// The definitions that are referred to: those of parameters are not, once each parameter is
/// told by itself.
fn used(
    methods: &[Value],
    mut definitions: serde_json::Map<String, Value>,
) -> serde_json::Map<String, Value> {
    let text = |value: &Value| value.to_string();
    let mut all: String = methods.iter().map(text).collect();
    all.extend(definitions.values().map(text));
    definitions.retain(|name, _| all.contains(&format!("#/components/schemas/{name}\"")));
    definitions
}

/// One content descriptor for each field of the object that the parameters are.
fn parameters_of(reference: &Value, definitions: &serde_json::Map<String, Value>) -> Vec<Value> {
    let schema = reference["$ref"]
        .as_str()
        .and_then(|path| definitions.get(path.rsplit('/').next()?))
        .unwrap_or(reference);
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let fields = schema["properties"].as_object().into_iter().flatten();
    let mut described: Vec<Value> = fields
        .map(|(name, schema)| {
            let is_required = required.contains(&name.as_str());
            json!({ "name": name, "required": is_required, "schema": schema })
        })
        .collect();
    // OpenRPC wants what is required first.
    described.sort_by_key(|parameter| parameter["required"] != true);
    described
}
