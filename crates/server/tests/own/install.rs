//! Packages: what is run, and that the way out is open no longer than that. The managers
//! themselves are in the tests of the binary.

use std::sync::Arc;

use capsule_spec::Network;
use serde_json::json;

use super::Own;
use crate::suite::exec::until;
use crate::support::Folders;

/// A `python3` that says what it was asked for, and waits for a file.
const MANAGER: &str = "mkdir -p bin; printf '%s\\n' '#!/bin/sh' 'echo \"$CAPSULE_TEST_INDEX $PIP_USER $@\"' \
    ': >began; while [ ! -e end ]; do sleep 0.02; done' >bin/python3; chmod 755 bin/python3; pwd";

fn begin(own: &Own, network: serde_json::Value) -> String {
    let id = own.site.create_with(json!({ "template": "shell", "network": network }));
    let folder = own.site.shell(&id, MANAGER);
    let env = json!({ "PATH": format!("{}/bin:/usr/bin:/bin", folder.trim()) });
    own.site.call("sandbox.v1.setEnv", json!({ "id": id, "env": env })).unwrap();
    id
}

fn hosts(rules: &[&str]) -> Network {
    Network::Hosts(rules.iter().map(|rule| rule.parse().unwrap()).collect())
}

#[test]
fn the_way_out_is_open_only_meanwhile() {
    let data = tempfile::tempdir().unwrap();
    let backend: Arc<Folders> = Arc::default();
    let own = Own::start(data.path(), &backend, |_| {});
    let id = begin(&own, json!({ "allow": ["own.example"] }));
    let (site, sandbox) = (own.site.clone(), id.clone());
    let install = json!({ "id": id, "manager": "pip", "packages": ["six", "x==1"] });
    let installing = {
        let install = install.clone();
        std::thread::spawn(move || site.call("sandbox.v1.install", install).unwrap())
    };
    until(|| backend.network(&sandbox) == hosts(&["own.example", "index.example:443"]));
    // It is told, and remembered, as what it is.
    let told = own.site.call("sandbox.v1.get", json!({ "id": id })).unwrap()["network"].take();
    assert_eq!(told, json!({ "allow": ["own.example"] }));
    until(|| own.site.exec(&id, &["ls"])["stdout"].as_str().unwrap().contains("began"));
    own.site.shell(&id, ": >end");
    let done = installing.join().unwrap();
    assert_eq!(
        (&done["exit_code"], &done["stdout"]),
        (&json!(0), &json!("here 1 -m pip install -- six x==1\n")),
        "{done}"
    );
    assert_eq!(backend.network(&id), hosts(&["own.example"]));
    // A caller that goes, and a command that takes too long.
    own.site.shell(&id, "rm end");
    let mut short = install.clone();
    short["timeout_ms"] = json!(300);
    assert_eq!(own.site.call("sandbox.v1.install", short).unwrap()["timed_out"], json!(true));
    assert_eq!(backend.network(&id), hosts(&["own.example"]));
    let events = own.site.events("sandbox.v1.install", install.clone());
    until(|| backend.network(&id) != hosts(&["own.example"]));
    drop(events);
    until(|| backend.network(&id) == hosts(&["own.example"]));
    // A server that is killed on the way.
    let events = own.site.events("sandbox.v1.install", install);
    until(|| backend.network(&id) != hosts(&["own.example"]));
    own.kill();
    drop(events);
    assert_ne!(backend.network(&id), hosts(&["own.example"]));
    let own = Own::start(data.path(), &backend, |_| {});
    assert_eq!(backend.network(&id), hosts(&["own.example"]));
    own.stop();
}

#[test]
fn what_cannot_be_installed_opens_nothing() {
    let data = tempfile::tempdir().unwrap();
    let backend: Arc<Folders> = Arc::default();
    let own = Own::start(data.path(), &backend, |_| {});
    let id = begin(&own, json!("denied"));
    for (manager, packages, code) in [
        ("npm", json!(["left-pad"]), "E5006"),
        ("pip", json!(["--index-url=http://attacker.example"]), "E1003"),
        ("pip", json!(["six", "./bin"]), "E1003"),
        ("pip", json!([]), "E1003"),
        ("pip", json!(vec!["six"; 65]), "E1003"),
        ("gem", json!(["rails"]), "E1003"),
    ] {
        let params = json!({ "id": id, "manager": manager, "packages": packages });
        let refused = own.site.call("sandbox.v1.install", params).unwrap_err();
        assert_eq!(refused.error_code, code, "{manager} {packages}");
        assert_eq!(backend.network(&id), Network::Denied);
    }
    own.stop();
}
