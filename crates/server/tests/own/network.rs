//! Network policies: what is remembered of them, and what the operator has to allow.

use std::sync::Arc;

use capsule_spec::Network;
use serde_json::{Value, json};

use super::Own;
use crate::support::Folders;

fn told(own: &Own, id: &str) -> Value {
    own.site.call("sandbox.v1.get", json!({ "id": id })).unwrap()["network"].take()
}

fn set(own: &Own, id: &str, network: &Value) -> Result<Value, String> {
    let params = json!({ "id": id, "network": network });
    let answer = own.site.call("sandbox.v1.setNetwork", params);
    answer.map(|mut it| it["network"].take()).map_err(|refused| refused.error_code)
}

fn hosts(rules: &[&str]) -> Network {
    Network::Hosts(rules.iter().map(|rule| rule.parse().unwrap()).collect())
}

#[test]
fn a_policy_holds_for_the_next_server_too() {
    let data = tempfile::tempdir().unwrap();
    let backend: Arc<Folders> = Arc::default();
    let own = Own::start(data.path(), &backend, |_| {});
    let plain = own.site.create();
    let listed = json!({ "allow": ["a.example:443"] });
    let made = own.site.create_with(json!({ "template": "shell", "network": listed }));
    let changed = own.site.create();
    assert_eq!((told(&own, &plain), told(&own, &made)), (json!("denied"), listed.clone()));
    assert_eq!(backend.network(&made), hosts(&["a.example:443"]));
    let wider = json!({ "allow": ["a.example:443", "*.b.example"] });
    assert_eq!(set(&own, &changed, &wider), Ok(wider.clone()));
    assert_eq!(set(&own, &made, &json!("denied")), Ok(json!("denied")));
    own.kill();
    // What the backend was told just before the server died is not what counts.
    let own = Own::start(data.path(), &backend, |_| {});
    assert_eq!(told(&own, &changed), wider);
    assert_eq!(backend.network(&changed), hosts(&["a.example:443", "*.b.example"]));
    assert_eq!((told(&own, &made), backend.network(&made)), (json!("denied"), Network::Denied));
    assert_eq!(told(&own, &plain), json!("denied"));
    own.stop();
}

#[test]
fn the_open_network_is_the_operators() {
    let data = tempfile::tempdir().unwrap();
    let backend: Arc<Folders> = Arc::default();
    let own = Own::start(data.path(), &backend, |_| {});
    let open = json!({ "template": "shell", "network": "open" });
    let refused = own.site.call("sandbox.v1.create", open.clone()).unwrap_err();
    assert_eq!((refused.code, refused.error_code.as_str()), (-32001, "E5006"));
    assert_eq!(backend.names().len(), 0);
    let denied = own.site.create();
    assert_eq!(set(&own, &denied, &json!("open")), Err("E1006".to_owned()));
    assert_eq!(backend.network(&denied), Network::Denied);
    own.kill();
    let own = Own::start(data.path(), &backend, |settings| settings.open_network = true);
    let id = own.site.create_with(open);
    assert_eq!((told(&own, &id), backend.network(&id)), (json!("open"), Network::Open));
    assert_eq!(set(&own, &id, &json!("denied")), Err("E1006".to_owned()));
    assert_eq!(set(&own, &denied, &json!("open")), Err("E1006".to_owned()));
    own.stop();
}

/// A door that cannot be opened leaves the old policy, and never a wider one.
#[test]
fn a_policy_that_fails_is_not_told_as_if_it_held() {
    let data = tempfile::tempdir().unwrap();
    let backend: Arc<Folders> = Arc::default();
    let own = Own::start(data.path(), &backend, |_| {});
    let id = own.site.create();
    let old = json!({ "allow": ["a.example"] });
    set(&own, &id, &old).unwrap();
    let failing = json!({ "allow": ["*", "fails.example"] });
    assert_eq!(set(&own, &id, &failing), Err("E2006".to_owned()));
    assert_eq!((told(&own, &id), backend.network(&id)), (old, hosts(&["a.example"])));
    for wrong in [
        json!({ "allow": ["http://a.example"] }),
        json!({ "allow": "a.example" }),
        json!({ "deny": [] }),
        json!({ "allow": vec!["a.example"; 257] }),
        json!("closed"),
        json!(null),
    ] {
        assert_eq!(set(&own, &id, &wrong), Err("E1003".to_owned()), "{wrong}");
    }
    let many = json!({ "template": "shell", "network": { "allow": ["a..b"] } });
    assert_eq!(own.site.call("sandbox.v1.create", many).unwrap_err().error_code, "E1003");
    own.stop();
}
