//! More than one may have.

use std::io;
use std::thread;

use serde_json::json;

use crate::attack::Family;
use crate::attack::serve::attempt::{Access, Attempt, Tries, Without};
use crate::attack::serve::scene::Scene;

const FAMILY: Family = Family::Limits;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "too-many-sandboxes",
        family: FAMILY,
        tries: "make more sandboxes than a key may have, all at the same time",
        access: Access::Keys,
        options: &["--max-sandboxes-per-key", "3"],
        without: Without::Options(&[]),
        play: too_many_sandboxes,
    },
    Attempt {
        name: "too-many-processes",
        family: FAMILY,
        tries: "start more processes than a sandbox may have",
        access: Access::Open,
        options: &["--max-processes", "4"],
        without: Without::Options(&[]),
        play: too_many_processes,
    },
    Attempt {
        name: "too-many-requests",
        family: FAMILY,
        tries: "ask faster than a key may, while another key asks",
        access: Access::Keys,
        options: &["--rate", "20"],
        without: Without::Options(&["--rate", "1000000"]),
        play: too_many_requests,
    },
    Attempt {
        name: "too-large-snapshots",
        family: FAMILY,
        tries: "keep more bytes in snapshots than a key may",
        access: Access::Open,
        options: &["--max-snapshots-per-key", "1MiB"],
        without: Without::Options(&[]),
        play: too_large_snapshots,
    },
    Attempt {
        name: "raised-limits",
        family: FAMILY,
        tries: "ask for limits of a sandbox that are out of range",
        access: Access::Open,
        options: &[],
        without: Without::Nothing,
        play: raised_limits,
    },
];

fn too_many_sandboxes(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let made: usize = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..10).map(|_| scope.spawn(|| usize::from(scene.other.create().is_ok()))).collect();
        threads.into_iter().map(|one| one.join().unwrap_or(0)).sum()
    });
    tries.expect("ten at once", made == 3, format!("{made} were made, 3 are allowed"));
    let mine = scene.mine.create();
    tries.expect("the other key", mine.is_ok(), "has its own");
    Ok(())
}

fn too_many_processes(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let mut started = 0;
    for _ in 0..10 {
        let start = json!({ "id": id, "cmd": ["sleep", "1000"] });
        started += usize::from(scene.other.call("sandbox.v1.start", start)?.is_ok());
    }
    tries.expect("processes", started == 4, format!("{started} were started, 4 are allowed"));
    let exec = scene.other.call("sandbox.v1.exec", json!({ "id": id, "cmd": ["true"] }))?;
    let code = exec.err().map(|refused| refused.error_code).unwrap_or_default();
    tries.expect("a command", code == "E4007", code);
    Ok(())
}

fn too_many_requests(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"sandbox.v1.list","params":{}}"#;
    let mut refused = 0;
    for _ in 0..200 {
        refused += usize::from(scene.other.post(list)?.status == 429);
    }
    tries.expect("200 requests", refused > 50, format!("{refused} were refused"));
    let status = scene.mine.post(list)?.status;
    tries.expect("the other key", status == 200, format!("HTTP {status}"));
    Ok(())
}

fn too_large_snapshots(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    let id = scene.mine.create()?;
    let mut kept = 0;
    for turn in 0..6 {
        scene
            .mine
            .shell(&id, &format!("head -c 400000 /dev/urandom >{turn}; rm -f $(({turn}-1))"))?;
        kept += usize::from(scene.other.call("sandbox.v1.snapshot", json!({ "id": id }))?.is_ok());
    }
    tries.expect("400 kB each", kept <= 2, format!("{kept} of 6 were kept, in 1 MiB"));
    Ok(())
}

fn raised_limits(scene: &Scene, tries: &mut Tries) -> io::Result<()> {
    for (what, limits) in [
        ("memory", json!({ "memory_bytes": u64::MAX })),
        ("no memory", json!({ "memory_bytes": 0 })),
        ("disk", json!({ "disk_bytes": u64::MAX })),
        ("processes", json!({ "max_pids": u64::MAX })),
        ("shares", json!({ "cpu_shares": u64::MAX })),
        ("an unknown one", json!({ "privileged": true })),
    ] {
        let order = json!({ "template": "shell", "limits": limits });
        let code =
            scene.other.call("sandbox.v1.create", order)?.err().map_or(0, |refused| refused.code);
        tries.expect(what, code == -32001, code.to_string());
    }
    for field in ["root", "mounts", "image", "runtime", "privileged", "owner"] {
        let order = json!({ "template": "shell", field: "/" });
        let code =
            scene.other.call("sandbox.v1.create", order)?.err().map_or(0, |refused| refused.code);
        tries.expect(field, code == -32001, code.to_string());
    }
    Ok(())
}
