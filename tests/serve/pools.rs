//! Spare sandboxes of the binary: fresh, one owner each, none left.

use std::path::Path;

use serde_json::{Value, json};

use crate::server::Serve;
use crate::suite::exec::until;

fn ready(serve: &Serve) -> Value {
    serve.call("sandbox.v1.templates", json!({})).unwrap()["templates"][0]["pool"]["ready"].clone()
}

/// Names of the sandboxes of which anything is there, spares included.
fn names(data: &Path) -> Vec<String> {
    let files = std::fs::read_dir(data.join("jails")).unwrap().flatten();
    let files = files.map(|file| file.file_name().into_string().unwrap());
    let mut names: Vec<String> =
        files.filter_map(|name| Some(name.strip_suffix(".sock")?.to_owned())).collect();
    names.sort();
    names
}

/// What the last one did is nowhere to be found in the next one.
#[test]
fn a_spare_holds_nothing_of_anybody() {
    let serve = Serve::start(&["--pool", "1"]);
    // The number of processes is raised a little when a control group has begun to count them.
    let look = "ls -A /workspace /tmp /dev/shm; set -- /proc/[0-9]*; echo $#; cat /proc/sysvipc/*; \
                env | sort; hostname; ulimit -a | grep -v ^process";
    let fresh = serve.create_with(json!({ "template": "shell", "limits": { "cpu_shares": 1000 } }));
    let expected = serve.shell(&fresh, look);
    let mut before = Vec::new();
    for _ in 0..3 {
        until(|| ready(&serve) == json!(1));
        let spares = names(&serve.data);
        let id = serve.create();
        assert!(spares.contains(&id), "a spare");
        assert!(!before.contains(&id), "not one that was used");
        let found = serve.shell(&id, look);
        assert_eq!(found, expected);
        serve.shell(
            &id,
            "echo mine | tee /workspace/a /tmp/b /dev/shm/c; sleep 1000 & disown -a 2>/dev/null; :",
        );
        serve.delete(&id);
        before.push(id);
    }
}

#[test]
fn spares_end_with_their_server_or_by_the_next_one() {
    let mut serve = Serve::start(&["--keep-sandboxes"]);
    until(|| ready(&serve) == json!(2));
    let kept = serve.create();
    serve.shell(&kept, "echo kept >file");
    until(|| ready(&serve) == json!(2));
    assert_eq!(names(&serve.data).len(), 3);
    assert_eq!(serve.stop(), Some(0));
    assert_eq!(names(&serve.data), std::slice::from_ref(&kept), "it stopped");
    let next = Serve::again(&serve.data, &[]);
    until(|| ready(&next) == json!(2));
    let (data, _none) = next.kill();
    assert_eq!(names(&data).len(), 3, "it was killed");
    let last = Serve::again(&data, &["--pool", "0"]);
    assert_eq!(names(&data), std::slice::from_ref(&kept));
    assert_eq!(last.shell(&kept, "cat file"), "kept\n");
    last.delete(&kept);
    assert_eq!(names(&data), Vec::<String>::new());
}

/// A limit that was asked for holds, whatever is in the pool.
#[test]
fn a_spare_widens_no_limit() {
    let serve = Serve::start(&[]);
    until(|| ready(&serve) == json!(2));
    let spares = names(&serve.data);
    let limits = json!({ "disk_bytes": 2 << 20 });
    let id = serve.create_with(json!({ "template": "shell", "limits": limits }));
    assert!(!spares.contains(&id));
    let write = "head -c 4000000 /dev/zero >big 2>/dev/null || echo full";
    assert_eq!(serve.shell(&id, write), "full\n");
}
