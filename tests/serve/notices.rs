//! Changes of files, over the wire.

use serde_json::json;

use crate::server::Serve;

#[test]
fn changes_of_files_are_a_stream() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    let mut events = serve.events("sandbox.v1.watchDir", json!({ "id": id, "recursive": true }));
    assert_eq!(events.next().unwrap(), ("started".to_owned(), json!({})));
    serve.shell(&id, "mkdir d; echo >d/f; mv d/f d/g; rm -r d; echo >end");
    let mut seen = Vec::new();
    while !seen
        .iter()
        .any(|(_, data): &(String, serde_json::Value)| data["path"] == "/workspace/end")
    {
        seen.push(events.next().unwrap());
    }
    for wanted in [
        json!({ "kind": "created", "path": "/workspace/d", "is_dir": true }),
        json!({ "kind": "removed", "path": "/workspace/d", "is_dir": true }),
    ] {
        assert!(seen.contains(&("file".to_owned(), wanted.clone())), "{wanted} in {seen:?}");
    }
    let missing = json!({ "id": id, "path": "nowhere" });
    assert_eq!(serve.call("sandbox.v1.watchDir", missing).unwrap_err().error_code, "E3010");
    // It ends with the sandbox.
    serve.delete(&id);
    while events.next().is_some() {}
}
