//! An engine that is killed while sandboxes live on it: what is lost is known to be lost, what
//! lives can be used, and in the end nothing is left of any of it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::server::{Serve, engine};
use crate::suite::client::{Events, Site};
use crate::suite::is_gvisor;

/// Starts one by the script that every suite starts one by, and again when it was killed. When
/// nobody speaks any more, it ends it and what it has left.
const KEEPER: &str = r#"
source "$1/scripts/engine.sh"
trap engine_stop EXIT
while read -r word; do
  case "$word" in
    start) engine_start "$2" "${@:3}" >&2 || exit 1 ;;
    kill) kill -9 "$engine_pid"; wait "$engine_pid" 2>/dev/null ;;
    shims) mapfile -t shims < <(engine_shims); printf '%s ' "${shims[@]}" ;;
  esac
  echo "$word"
done
"#;

/// Waits longer than an engine takes to come back, and to end what it finds.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(90);
    while !is_so() {
        assert!(Instant::now() < deadline, "it never came to be: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Processes of the host with a text in their command line.
fn processes_with(text: &str) -> Vec<String> {
    let own = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let others = processes.filter(|one| one.file_name().to_string_lossy() != own);
    let lines = others.filter_map(|one| {
        let line = std::fs::read(one.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(text).then(|| format!("{} {line}", one.file_name().to_string_lossy()))
    });
    lines.collect()
}

fn mounts_below(folder: &Path) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let places = table.lines().filter_map(|line| line.split(' ').nth(4));
    places.filter(|place| Path::new(place).starts_with(folder)).map(str::to_owned).collect()
}

/// An engine of this test's own.
struct Own {
    folder: PathBuf,
    keeper: Child,
    words: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    _folder: tempfile::TempDir,
}

impl Own {
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("engine");
        let project = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut keeper = Command::new("bash")
            .args(["-c", KEEPER, "engine"])
            .args([project, &place])
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let words = keeper.stdin.take();
        let answers = BufReader::new(keeper.stdout.take().unwrap());
        let mut own = Self { folder: place, keeper, words, answers, _folder: folder };
        own.say("start");
        let mut save = Command::new("docker");
        save.args(["save", &engine().image]).stdout(Stdio::piped());
        let mut save = save.spawn().unwrap();
        let mut load = own.command(&["load"]);
        assert!(load.stdin(save.stdout.take().unwrap()).output().unwrap().status.success());
        assert!(save.wait().unwrap().success());
        own
    }

    /// Has something done, and answers what was said.
    fn say(&mut self, word: &str) -> String {
        writeln!(self.words.as_mut().unwrap(), "{word}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        let said = answer.trim_end().strip_suffix(word);
        said.unwrap_or_else(|| panic!("{answer:?} in place of {word}")).trim().to_owned()
    }

    fn socket(&self) -> String {
        self.folder.join("d.sock").display().to_string()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.args(["-H", &format!("unix://{}", self.socket())]).args(arguments);
        command.env_remove("DOCKER_HOST").stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// What is left of containers on it: their names, what holds them, what is mounted for them.
    fn left(&mut self) -> Vec<String> {
        let shown = "{{.ID}} {{.Names}} {{.Status}}";
        let listed = self.command(&["ps", "-a", "--no-trunc", "--format", shown]).output().unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        let listed = String::from_utf8(listed.stdout).unwrap();
        // One that was killed may list what it has removed, until it is started again.
        let is_there = |line: &&str| {
            let id = line.split(' ').next().unwrap_or_default();
            self.command(&["container", "inspect", id]).output().unwrap().status.success()
        };
        let mut left: Vec<String> = listed.lines().filter(is_there).map(str::to_owned).collect();
        left.extend(self.say("shims").split_whitespace().map(|shim| format!("shim {shim}")));
        left.extend(mounts_below(&self.folder.join("run")));
        // The engine binds its own folder to itself.
        let overlays = mounts_below(&self.folder.join("data")).into_iter();
        left.extend(
            overlays.filter(|place| place.contains("overlay2/") || place.contains("containers/")),
        );
        left
    }

    fn until_nothing_is_left(&mut self, mark: &str) {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let mut left = self.left();
            left.extend(processes_with(mark));
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left: {left:#?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn server(&self, data: &Path) -> Serve {
        Serve::again(data, &["--docker-socket", &self.socket()])
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.words.take());
        let _ = self.keeper.wait();
    }
}

/// Three sandboxes with a file and a process each; the last one stands still.
fn fill(serve: &Serve, mark: &str) -> Vec<String> {
    let ids: Vec<String> = (0..3).map(|_| serve.create()).collect();
    for (turn, id) in ids.iter().enumerate() {
        serve.shell(id, &format!("echo {turn} >file"));
        let start = json!({ "id": id, "cmd": ["/bin/sh", "-c", format!("sleep {mark}; :")] });
        serve.call("sandbox.v1.start", start).unwrap();
    }
    serve.call("sandbox.v1.pause", json!({ "id": ids[2] })).unwrap();
    ids
}

fn state(site: &Site, id: &str) -> Option<String> {
    match site.call("sandbox.v1.get", json!({ "id": id })) {
        Ok(found) => Some(found["state"].as_str().unwrap().to_owned()),
        Err(refused) => {
            assert_eq!(refused.error_code, "E1015", "{refused:?}");
            None
        }
    }
}

fn watch(serve: &Serve, id: &str) -> Events {
    serve.events("sandbox.v1.watch", json!({ "id": id }))
}

/// Who watched was told of the end.
fn assert_told(watched: Events) {
    let states: Vec<Value> =
        watched.all().into_iter().map(|(_, data)| data["state"].clone()).collect();
    assert_eq!(states.last(), Some(&json!("gone")), "{states:?}");
}

/// An engine ends what it finds when it starts.
#[test]
fn a_killed_engine_loses_nothing_silently_and_leaves_nothing() {
    let mut own = Own::start(&[]);
    let data = own.folder.parent().unwrap().join("data");
    let serve = own.server(&data);
    let mark = format!("5432.{}", serve.process());
    let ids = fill(&serve, &mark);
    let watched: Vec<Events> = ids.iter().map(|id| watch(&serve, id)).collect();
    own.say("kill");
    // What lives needs no engine; gVisor's stream was the engine's. What needs one says so.
    if !is_gvisor() {
        assert_eq!(serve.shell(&ids[0], "cat file"), "0\n");
        // Ended while nobody is there to remove what it was in.
        serve.delete(&ids[1]);
    }
    let refused = serve.call("sandbox.v1.create", json!({ "template": "shell" })).unwrap_err();
    assert_eq!(refused.error_code, "E2009", "{refused:?}");
    own.say("start");
    for id in &ids {
        until("each of them is known to be gone", || state(&serve, id).is_none());
    }
    watched.into_iter().for_each(assert_told);
    let id = serve.create();
    assert_eq!(serve.shell(&id, "echo here"), "here\n", "new ones can be made");
    serve.delete(&id);
    own.until_nothing_is_left(&mark);

    // The server in the same moment.
    let ids = fill(&serve, &mark);
    own.say("kill");
    let _ = serve.kill();
    own.say("start");
    let mut serve = own.server(&data);
    assert!(ids.iter().all(|id| state(&serve, id).is_none()));
    let listed = serve.call("sandbox.v1.list", json!({})).unwrap();
    assert_eq!(listed["sandboxes"], json!([]));
    let id = serve.create();
    serve.delete(&id);
    own.until_nothing_is_left(&mark);
    assert_eq!(serve.stop(), Some(0));
    assert_eq!(files(&data), Vec::<String>::new());
}

/// The same where it was told to leave containers alone. One that is to be removed when it ends is
/// ended all the same by some versions; so each lives with all that it had, or is known to be gone.
#[test]
fn an_engine_that_lets_containers_live_loses_nothing_silently() {
    let mut own = Own::start(&["--live-restore"]);
    let data = own.folder.parent().unwrap().join("data");
    let mut serve = own.server(&data);
    let mark = format!("5433.{}", serve.process());
    let ids = fill(&serve, &mark);
    own.say("kill");
    own.say("start");
    let is_whole = |turn: usize, id: &str| {
        if state(&serve, id).as_deref() == Some("paused") {
            let _ = serve.call("sandbox.v1.resume", json!({ "id": id }));
        }
        let cat = json!({ "id": id, "cmd": ["cat", "file"] });
        let done = serve.call("sandbox.v1.exec", cat);
        done.is_ok_and(|done| done["stdout"] == json!(format!("{turn}\n")))
    };
    for (turn, id) in ids.iter().enumerate() {
        until("it is whole or gone", || is_whole(turn, id) || state(&serve, id).is_none());
        if state(&serve, id).is_some() {
            let _ = serve.call("sandbox.v1.delete", json!({ "id": id }));
        }
        until("it is gone", || state(&serve, id).is_none());
    }
    let id = serve.create();
    serve.delete(&id);
    own.until_nothing_is_left(&mark);
    assert_eq!(serve.stop(), Some(0));
    assert_eq!(files(&data), Vec::<String>::new());
}

/// Names that the state folder of the containers has.
fn files(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data.join("containers")).unwrap().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name != "lock").collect()
}

/// A server that dies while it stops a sandbox may not have come to write that down.
/// (In gVisor nothing is stopped by the engine.)
#[test]
fn a_container_that_somebody_stopped_is_taken_over() {
    if is_gvisor() {
        return;
    }
    let serve = Serve::start(&[]);
    let id = serve.create();
    serve.shell(&id, "echo kept >file");
    let (data, _folder) = serve.kill();
    let container = crate::own::container_of(&id);
    crate::own::docker(&["pause", &container]);
    let serve = Serve::again(&data, &[]);
    assert_eq!(serve.shell(&id, "cat file"), "kept\n");
    serve.delete(&id);
    assert_eq!(crate::own::container_of(&id), "");
}
