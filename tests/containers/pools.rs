//! Spare containers: made beforehand if the operator wants them, given away once, never left.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::engine::until as until_so;
use crate::own::docker;
use crate::server::Serve;

/// Names of a server's sandboxes of which there is a container, spares included.
fn names(data: &Path) -> Vec<String> {
    let state = data.join("containers");
    let label = format!("label=dev.capsule.state={}", state.display());
    let shown = "{{.Label \"dev.capsule.sandbox\"}}";
    let listed = docker(&["ps", "-a", "--filter", &label, "--format", shown]);
    let mut names: Vec<String> = listed.lines().map(str::to_owned).collect();
    names.sort();
    names
}

fn until(is_so: impl Fn() -> bool) {
    until_so("what the test waits for", is_so);
}

fn pool(serve: &Serve) -> Value {
    serve.call("sandbox.v1.templates", json!({})).unwrap()["templates"][0]["pool"].clone()
}

fn is_ready(serve: &Serve, wanted: u64) -> bool {
    pool(serve)["ready"] == json!(wanted)
}

#[test]
fn without_the_option_there_is_no_spare() {
    let serve = Serve::start(&[]);
    assert_eq!(pool(&serve), json!({ "size": 0, "ready": 0 }));
    let id = serve.create();
    assert_eq!(names(&serve.data), [id]);
}

#[test]
fn a_spare_container_is_given_away_once_and_holds_nothing_of_anybody() {
    let serve = Serve::start(&["--pool", "1"]);
    let look = "python3 -c 'import os; print([os.listdir(place) for place in \
                (\"/workspace\", \"/tmp\", \"/dev/shm\")])'; env | sort; id";
    let fresh = serve.create_with(json!({ "template": "shell", "limits": { "cpu_shares": 1000 } }));
    let expected = serve.shell(&fresh, look);
    let mut before = vec![fresh];
    for _ in 0..3 {
        until(|| is_ready(&serve, 1));
        let spares = names(&serve.data);
        let id = serve.create();
        assert!(spares.contains(&id) && !before.contains(&id), "{id} of {spares:?}");
        assert_eq!(serve.shell(&id, look), expected);
        serve.shell(&id, "echo mine | tee /workspace/a /tmp/b /dev/shm/c; sleep 1000 & :");
        serve.delete(&id);
        assert!(!names(&serve.data).contains(&id), "a used one is never a spare again");
        before.push(id);
    }
    // A limit that was asked for holds, whatever is in the pool.
    until(|| is_ready(&serve, 1));
    let spares = names(&serve.data);
    let limits = json!({ "memory_bytes": 64 << 20 });
    let id = serve.create_with(json!({ "template": "shell", "limits": limits }));
    assert!(!spares.contains(&id));
    let told = String::from_utf8(serve.http("GET", "/metrics", &[], b"").body).unwrap();
    for line in ["capsule_pool_taken_total 3", "capsule_pool_size{", "capsule_pool_ready{"] {
        assert!(told.contains(line), "{told}");
    }
}

/// Somebody else ends it: it is not given away, and there is soon another one.
#[test]
fn a_spare_container_that_is_killed_is_replaced() {
    let serve = Serve::start(&["--pool", "1"]);
    until(|| is_ready(&serve, 1));
    let killed = names(&serve.data);
    docker(&["kill", &crate::own::container_of(&killed[0])]);
    let is_another = |names: &[String]| names.len() == 1 && names != killed;
    until(|| is_ready(&serve, 1) && is_another(&names(&serve.data)));
    let id = serve.create();
    assert!(!killed.contains(&id));
    assert_eq!(serve.shell(&id, "echo here"), "here\n");
}

/// There are never more than there may be, spares and sandboxes together.
#[test]
fn spare_containers_take_no_room_from_anybody() {
    let serve = Serve::start(&["--pool", "3", "--max-sandboxes", "3"]);
    until(|| is_ready(&serve, 3));
    let ids = [serve.create(), serve.create()];
    until(|| is_ready(&serve, 1));
    assert_eq!(names(&serve.data).len(), 3);
    let last = serve.create();
    until(|| names(&serve.data).len() == 3);
    let refused = serve.call("sandbox.v1.create", json!({ "template": "shell" })).unwrap_err();
    assert_eq!(refused.error_code, "E4007", "{refused:?}");
    ids.iter().for_each(|id| serve.delete(id));
    serve.delete(&last);
    until(|| is_ready(&serve, 3));
}

#[test]
fn spare_containers_end_with_their_server_or_by_the_next_one() {
    let mut serve = Serve::start(&["--pool", "2", "--keep-sandboxes"]);
    until(|| is_ready(&serve, 2));
    let kept = serve.create();
    serve.shell(&kept, "echo kept >file");
    until(|| is_ready(&serve, 2));
    assert_eq!(names(&serve.data).len(), 3);
    assert_eq!(serve.stop(), Some(0));
    assert_eq!(names(&serve.data), std::slice::from_ref(&kept), "it stopped");
    let next = Serve::again(&serve.data, &["--pool", "2"]);
    until(|| is_ready(&next, 2));
    let (data, _none) = next.kill();
    assert_eq!(names(&data).len(), 3, "it was killed");
    let last = Serve::again(&data, &[]);
    assert_eq!(names(&data), std::slice::from_ref(&kept), "they are reaped");
    assert_eq!(last.shell(&kept, "cat file"), "kept\n");
    last.delete(&kept);
    assert_eq!(names(&data), Vec::<String>::new());
}

/// The engine may be at work for a server that is not there any more, and finish when the next
/// one has looked already.
#[test]
fn a_server_that_dies_while_it_makes_spares_leaves_none() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for turn in 0..8 {
        let serve = Serve::again(&data, &["--pool", "2"]);
        std::thread::sleep(Duration::from_millis(60 * turn));
        let _ = serve.kill();
    }
    let mut serve = Serve::again(&data, &[]);
    for _ in 0..8 {
        until(|| names(&data).is_empty());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(serve.stop(), Some(0));
    assert_eq!(names(&data), Vec::<String>::new());
}
