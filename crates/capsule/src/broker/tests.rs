//! Hostile runners, and an honest one, with real jails behind the broker.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use capsule_backend::guest::{
    Channel, Grant, Granted, GuestError, Meter, Outside, Pending, Source,
};
use capsule_engine::{MountOption, Project};
use capsule_spec::{Access, ByteSize, ErrorCode};
use proptest::prelude::*;

use super::client::Link;
use super::frame::{Frame, Outgoing};
use super::grant::{Bounds, Wanted, WantedFile};
use super::message::{Ask, Ended, Tell};
use super::server::serve;
use crate::wire;

/// A project with a mount beside it, and something that is neither.
struct Place {
    folder: tempfile::TempDir,
    project: Project,
}

impl Place {
    fn new(program: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for name in ["project/data", "mounted/inner", "outside"] {
            fs::create_dir_all(root.join(name)).unwrap();
        }
        fs::write(root.join("project/main.py"), program).unwrap();
        fs::write(root.join("project/data/file"), "data").unwrap();
        fs::write(root.join("outside/secret"), "a secret").unwrap();
        symlink("/etc", root.join("project/link")).unwrap();
        symlink("../../outside/secret", root.join("project/data/up")).unwrap();
        let main = root.join("project/main.py");
        let mut project = Project::open(main.to_str()).unwrap();
        let mount = MountOption {
            source: root.join("mounted").to_str().unwrap().to_owned(),
            destination: "/mounted".to_owned(),
            access: Access::ReadOnly,
        };
        project.mount(&mount).unwrap();
        Self { folder, project }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(path)
    }

    fn bounds(&self) -> Bounds {
        Bounds::of(&self.project).unwrap()
    }
}

fn wanted() -> Wanted {
    Wanted {
        fuel: 1 << 40,
        ram: 256 << 20,
        disk: 64 << 20,
        download: 1 << 20,
        files: Vec::new(),
        hosts: Vec::new(),
        environment: Vec::new(),
    }
}

fn file(source: impl Into<PathBuf>, destination: &str, access: Access) -> Wanted {
    let file = WantedFile { source: source.into(), destination: destination.to_owned(), access };
    Wanted { files: vec![file], ..wanted() }
}

fn refusal(bounds: &Bounds, wanted: Wanted) -> Option<ErrorCode> {
    bounds.grant(wanted).err().map(|failure| failure.code)
}

// ---- what is granted

#[test]
fn files_of_the_run_are_granted() {
    use Access::{ReadOnly, ReadWrite};
    let place = Place::new("");
    let bounds = place.bounds();
    for (path, access) in [
        ("project", ReadWrite),
        ("project/data", ReadWrite),
        ("project/data/file", ReadOnly),
        ("mounted", ReadOnly),
        ("mounted/inner", ReadOnly),
    ] {
        let granted = bounds.grant(file(place.path(path), "/x", access)).unwrap();
        assert_eq!(granted.files[0].source, place.path(path));
    }
}

#[test]
fn no_other_file_is_granted() {
    use Access::{ReadOnly, ReadWrite};
    let place = Place::new("");
    let bounds = place.bounds();
    let root = place.path("project");
    for path in [
        PathBuf::from("/"),
        PathBuf::from("/etc"),
        PathBuf::from("/etc/passwd"),
        PathBuf::from("/proc/self/root"),
        PathBuf::new(),
        PathBuf::from("data"),
        place.path("outside"),
        place.path("outside/secret"),
        place.path(""),
        // Begins alike, and is another.
        PathBuf::from(format!("{}-other", root.display())),
        // Out of the project by a link, by steps, by both.
        root.join("link"),
        root.join("link/passwd"),
        root.join("data/up"),
        root.join("../outside/secret"),
        root.join("data/../../outside/secret"),
        PathBuf::from(format!("{}//../outside", root.display())),
        root.join("x".repeat(5000)),
        root.join("not there"),
    ] {
        let code = refusal(&bounds, file(&path, "/x", ReadOnly));
        assert_eq!(code, Some(ErrorCode::UnsafePath), "{path:?}");
    }
    // To be read is not to be written.
    for path in ["mounted", "mounted/inner"] {
        let code = refusal(&bounds, file(place.path(path), "/x", ReadWrite));
        assert_eq!(code, Some(ErrorCode::UnsafePath), "{path}");
    }
}

/// What lay in the project when the run began is looked at, whatever its name means now.
#[test]
fn a_project_that_is_moved_away_grants_nothing_else() {
    let place = Place::new("");
    let bounds = place.bounds();
    fs::rename(place.path("project"), place.path("moved")).unwrap();
    symlink("outside", place.path("project")).unwrap();
    let secret = file(place.path("project/secret"), "/x", Access::ReadOnly);
    assert_eq!(refusal(&bounds, secret), Some(ErrorCode::UnsafePath));
}

#[test]
fn a_destination_is_a_plain_path() {
    let place = Place::new("");
    let bounds = place.bounds();
    for destination in ["", "x", "/x/", "//", "/x/../y", "/./x", "/x\0", "/\0"] {
        let code = refusal(&bounds, file(place.path("project"), destination, Access::ReadOnly));
        assert_eq!(code, Some(ErrorCode::InvalidPath), "{destination:?}");
    }
}

#[test]
fn limits_are_bounded() {
    let place = Place::new("");
    let giant =
        Wanted { fuel: u64::MAX, ram: u64::MAX, disk: u64::MAX, download: u64::MAX, ..wanted() };
    let grant = place.bounds().grant(giant).unwrap();
    assert_eq!(grant.meter.left(), i64::MAX as u64);
    assert_eq!(grant.disk, ByteSize::from_mib(256));
    assert_eq!(grant.download, ByteSize::from_mib(4096));
    let total = fs::read_to_string("/proc/meminfo").unwrap();
    let total: u64 = total.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(grant.ram.bytes() <= (total + 1024) << 10, "{}", grant.ram);
}

#[test]
fn variables_have_the_values_of_the_caller() {
    let place = Place::new("");
    let environment = ["PATH", "NOT_A_VARIABLE_OF_ANYBODY", "", "PATH=/evil", "A\0B"];
    let wanted = Wanted { environment: environment.map(str::to_owned).to_vec(), ..wanted() };
    let grant = place.bounds().grant(wanted).unwrap();
    let path = std::env::var("PATH").unwrap();
    assert_eq!(grant.environment, [("PATH".to_owned(), path)]);
}

#[test]
fn lists_end() {
    let place = Place::new("");
    let environment = vec!["PATH".to_owned(); 1001];
    let code = refusal(&place.bounds(), Wanted { environment, ..wanted() });
    assert_eq!(code, Some(ErrorCode::InvalidValue));
}

// ---- what ends it

/// A broker on a thread, and a runner's end of its socket.
struct Hostile {
    socket: UnixStream,
    broker: Option<JoinHandle<()>>,
}

impl Hostile {
    fn new(place: &Place) -> Self {
        let (socket, theirs) = UnixStream::pair().unwrap();
        let bounds = place.bounds();
        let broker = std::thread::spawn(move || serve(theirs, bounds, wire::any_python()));
        Self { socket, broker: Some(broker) }
    }

    fn say(&self, head: &Ask, body: &[u8]) {
        Outgoing::new(&self.socket).write(head, body).unwrap();
    }

    fn hear(&self) -> Frame<Tell> {
        Frame::read(&mut &self.socket).unwrap().expect("the broker is there")
    }

    /// Whether the broker has ended, without our closing anything.
    fn is_ended(&mut self) -> bool {
        let until = Instant::now() + Duration::from_secs(20);
        let broker = self.broker.take().unwrap();
        while !broker.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let is_ended = broker.is_finished();
        if is_ended {
            broker.join().expect("it did not panic");
        }
        is_ended
    }
}

fn call(call: u64, grant: Wanted) -> Ask {
    Ask::Call { call, function: "main".to_owned(), grant }
}

#[test]
fn a_grant_beyond_the_run_is_refused_and_the_broker_lives() {
    let place = Place::new("");
    let hostile = Hostile::new(&place);
    for (number, path) in [(1, PathBuf::from("/etc")), (2, place.path("project/link"))] {
        hostile.say(&call(number, file(path, "/x", Access::ReadOnly)), b"{}");
        match hostile.hear().head {
            Tell::Returned { call, error: Some(Ended::Failed(failure)), .. } => {
                assert_eq!((call, failure.code), (number, ErrorCode::UnsafePath));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn nonsense_ends_it() {
    let place = Place::new("");
    let head = |text: &str| {
        let mut bytes = (text.len() as u32).to_be_bytes().to_vec();
        bytes.extend([0; 4]);
        bytes.extend(text.as_bytes());
        bytes
    };
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    for bytes in [
        head(""),
        head("{}"),
        head("null"),
        head("{\"stop\":{\"call\":1,\"more\":1}}"),
        head("{\"stop\":{\"call\":-1}}"),
        head("{\"stop\":{\"call\":1}} x"),
        head(&deep),
        // Lengths beyond any frame.
        vec![0xff; 8],
        vec![0, 0x20, 0, 0, 0, 0, 0, 0],
        vec![0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff],
        // An answer that nobody asked for.
        head("{\"source\":{\"request\":1,\"found\":null}}"),
        head("{\"called\":{\"request\":18446744073709551615,\"error\":null}}"),
    ] {
        let mut hostile = Hostile::new(&place);
        (&hostile.socket).write_all(&bytes).unwrap();
        assert!(hostile.is_ended(), "{:?}", String::from_utf8_lossy(&bytes[..bytes.len().min(60)]));
    }
}

#[test]
fn numbers_of_calls_only_grow() {
    let place = Place::new("");
    for again in [5, 4, 0] {
        let mut hostile = Hostile::new(&place);
        hostile.say(&call(5, file("/etc", "/x", Access::ReadOnly)), b"{}");
        hostile.say(&call(again, wanted()), b"{}");
        assert!(hostile.is_ended(), "{again}");
    }
}

#[test]
fn a_frame_that_does_not_end_is_an_end() {
    let place = Place::new("");
    let mut hostile = Hostile::new(&place);
    (&hostile.socket).write_all(&[0, 0, 0, 200, 0, 0, 0, 0, b'{']).unwrap();
    hostile.socket.shutdown(std::net::Shutdown::Write).unwrap();
    assert!(hostile.is_ended());
}

#[test]
fn a_runner_that_does_not_read_does_not_keep_the_broker_alive() {
    let place = Place::new("");
    let mut hostile = Hostile::new(&place);
    hostile.socket.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    // Each is refused, and nobody reads why.
    let outgoing = Outgoing::new(&hostile.socket);
    let long = file(format!("/{}", "x".repeat(3000)), "/x", Access::ReadOnly);
    let mut number = 0;
    while outgoing.write(&call(number + 1, long.clone()), b"{}").is_ok() {
        number += 1;
        assert!(number < 100_000, "the broker's answers go nowhere, and it reads on");
    }
    hostile.socket.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(hostile.is_ended());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    /// Whatever comes: no panic, no life after the end, nothing granted.
    #[test]
    fn any_bytes_end_it(bytes in prop::collection::vec(any::<u8>(), 0..400), length in 0u32..300) {
        let place = Place::new("");
        for start in [Vec::new(), [length.to_be_bytes(), [0; 4]].concat()] {
            let mut hostile = Hostile::new(&place);
            let _ = (&hostile.socket).write_all(&[start, bytes.clone()].concat());
            let _ = hostile.socket.shutdown(std::net::Shutdown::Write);
            let mut told = Vec::new();
            let _ = (&hostile.socket).read_to_end(&mut told);
            prop_assert!(hostile.is_ended());
            prop_assert_eq!(told, Vec::<u8>::new());
        }
    }

    /// A real frame with some bytes changed.
    #[test]
    fn changed_frames_are_heard_or_end_it(at in 0usize..200, byte in any::<u8>()) {
        let place = Place::new("");
        let mut frame = Vec::new();
        let unsafe_call = call(1, file("/etc", "/x", Access::ReadOnly));
        Outgoing::new(&mut frame).write(&unsafe_call, b"{}").unwrap();
        let at = at % frame.len();
        frame[at] = byte;
        let mut hostile = Hostile::new(&place);
        let _ = (&hostile.socket).write_all(&frame);
        let _ = hostile.socket.shutdown(std::net::Shutdown::Write);
        while let Ok(Some(told)) = Frame::<Tell>::read(&mut &hostile.socket) {
            let is_refused = matches!(told.head, Tell::Returned { error: Some(_), .. });
            prop_assert!(is_refused, "{:?}", told.head);
        }
        prop_assert!(hostile.is_ended());
    }
}

// ---- what works

/// The way out of a test's guest.
#[derive(Default)]
struct Way {
    program: String,
    output: Mutex<Vec<(bool, u8)>>,
}

impl Outside for Way {
    fn source(&self, module: &str) -> Option<Source> {
        let bytes = match module {
            "" => self.program.clone().into_bytes(),
            "helper" => b"VALUE = 20".to_vec(),
            _ => return None,
        };
        Some(Source { path: format!("{module}.py"), is_package: false, bytes })
    }

    fn output(&self, channel: Channel, bytes: &[u8]) {
        let is_error = channel == Channel::Stderr;
        self.output.lock().unwrap().extend(bytes.iter().map(|byte| (is_error, *byte)));
    }

    fn call(
        &self,
        function: &str,
        arguments: String,
    ) -> Pending<'static, Result<String, GuestError>> {
        let function = function.to_owned();
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            match function.as_str() {
                "double" => {
                    let value: serde_json::Value = serde_json::from_str(&arguments).unwrap();
                    Ok((value["args"][0].as_i64().unwrap() * 2).to_string())
                }
                _ => Err(GuestError::OutOfFuel),
            }
        })
    }
}

/// Some hosts build no jails.
fn can_jail() -> bool {
    let usable = wire::jail().capabilities().usable.is_ok();
    if !usable {
        let line = format!(
            "{}: no jail or no python3 on this host\n",
            std::thread::current().name().unwrap_or_default()
        );
        eprint!("skipped: {line}");
        if let Some(log) = std::env::var_os("CAPSULE_SKIP_LOG") {
            let log = fs::OpenOptions::new().append(true).open(log);
            let _ = log.and_then(|mut log| log.write_all(line.as_bytes()));
        }
    }
    usable
}

fn grant(files: Vec<Granted>, fuel: u64) -> Grant {
    Grant {
        meter: Meter::new(fuel),
        ram: ByteSize::from_mib(256),
        disk: ByteSize::from_mib(64),
        files,
        hosts: Vec::new(),
        download: ByteSize::from_mib(1),
        environment: vec![("PATH".to_owned(), "not what the runner says".to_owned())],
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

fn connect(place: &Place) -> (Arc<Link>, JoinHandle<()>, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (bounds, end) = (place.bounds(), theirs.try_clone().unwrap());
    let broker = std::thread::spawn(move || serve(theirs, bounds, wire::any_python()));
    (Link::new(ours), broker, end)
}

const PROGRAM: &str = "\
from capsule import task
import os, sys
import helper

@task(name='double')
def double(x): ...

@task(name='main')
def main(path):
    print('out', flush=True)
    print('err', file=sys.stderr, flush=True)
    with open(path) as file:
        text = file.read()
    return [text, helper.VALUE + double(1), os.environ['PATH'], os.getpid()]

@task(name='spin')
def spin():
    while True: pass

@task(name='fail')
def fail():
    raise ValueError('no')
";

#[test]
fn a_task_runs_in_a_jail_behind_the_broker() {
    if !can_jail() {
        return;
    }
    let place = Place::new(PROGRAM);
    let (link, broker, _end) = connect(&place);
    let way = Arc::new(Way { program: PROGRAM.to_owned(), ..Way::default() });
    let files = vec![Granted {
        source: place.path("project/data"),
        destination: "/data".to_owned(),
        access: Access::ReadOnly,
    }];
    run(async {
        let grant = grant(files, 1 << 40);
        let mut guest = link.open(way.clone()).unwrap();
        let arguments = "{\"args\": [\"/data/file\"], \"kwargs\": {}}";
        let value = guest.call("main", arguments, &grant).await.unwrap();
        let value: serde_json::Value = serde_json::from_str(&value).unwrap();
        assert_eq!((&value[0], &value[1]), (&"data".into(), &22.into()));
        // The caller's, whatever the runner says its value is.
        assert_eq!(value[2], std::env::var("PATH").unwrap());
        assert!(guest.usage().fuel > 0 && guest.usage().ram > 0);
        assert_eq!(grant.meter.used(), guest.usage().fuel);
        let output = way.output.lock().unwrap();
        let of = |is_error| {
            output.iter().filter(|(error, _)| *error == is_error).map(|(_, byte)| *byte).collect()
        };
        assert_eq!(String::from_utf8(of(false)).unwrap(), "out\n");
        assert_eq!(String::from_utf8(of(true)).unwrap(), "err\n");
    });
    run(async {
        let mut guest = link.open(way.clone()).unwrap();
        let failed =
            guest.call("fail", "{\"args\":[],\"kwargs\":{}}", &grant(vec![], 1 << 40)).await;
        match failed {
            Err(GuestError::Raised { kind, message, .. }) => {
                assert_eq!((kind.as_str(), message.as_str()), ("ValueError", "no"));
            }
            other => panic!("{other:?}"),
        }
        // An endless loop ends with its fuel, or with whoever waits for it.
        let mut guest = link.open(way.clone()).unwrap();
        let little = grant(vec![], 3_000_000_000);
        let ended = guest.call("spin", "{\"args\":[],\"kwargs\":{}}", &little).await;
        assert_eq!(ended, Err(GuestError::OutOfFuel));
        let mut guest = link.open(way.clone()).unwrap();
        let much = grant(vec![], 1 << 50);
        let spin = guest.call("spin", "{\"args\":[],\"kwargs\":{}}", &much);
        assert!(tokio::time::timeout(Duration::from_millis(300), spin).await.is_err());
        assert!(much.meter.used() > 0, "it is told while it runs");
    });
    assert_eq!(jails_of(std::process::id(), &link), 0, "what was dropped is gone");
    link.hang_up();
    broker.join().unwrap();
}

#[test]
fn a_broker_that_dies_fails_the_calls() {
    if !can_jail() {
        return;
    }
    let place = Place::new(PROGRAM);
    let (link, _broker, end) = connect(&place);
    let way = Arc::new(Way { program: PROGRAM.to_owned(), ..Way::default() });
    run(async {
        let much = grant(vec![], 1 << 50);
        let mut guest = link.open(way.clone()).unwrap();
        let killer = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            // As the kernel does when the process is killed.
            end.shutdown(std::net::Shutdown::Both).unwrap();
        });
        let ended = guest.call("spin", "{\"args\":[],\"kwargs\":{}}", &much).await;
        killer.join().unwrap();
        let code = |error| match error {
            Err(GuestError::Failed(failure)) => failure.code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(ended), ErrorCode::RuntimeUnavailable);
        let mut guest = link.open(way).unwrap();
        let refused = guest.call("spin", "{\"args\":[],\"kwargs\":{}}", &much).await;
        assert_eq!(code(refused), ErrorCode::RuntimeUnavailable);
    });
}

/// Jails that spin below this process, given some time to be gone.
fn jails_of(process: u32, _: &Link) -> usize {
    let until = Instant::now() + Duration::from_secs(5);
    loop {
        let count = spinning_below(process);
        if count == 0 || Instant::now() > until {
            return count;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn spinning_below(process: u32) -> usize {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(pid) = name.parse::<u32>() else { continue };
        let stat = fs::read_to_string(Path::new("/proc").join(&name).join("stat"));
        let Some(rest) = stat.ok().and_then(|stat| stat.rsplit_once(") ").map(|s| s.1.to_owned()))
        else {
            continue;
        };
        let parent = rest.split(' ').nth(1).and_then(|parent| parent.parse::<u32>().ok());
        parents.extend(parent.map(|parent| (pid, parent)));
    }
    let is_below = |mut pid: u32| {
        while let Some(parent) = parents.get(&pid) {
            if *parent == process {
                return true;
            }
            pid = *parent;
        }
        false
    };
    let is_python = |pid: u32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.contains("python"))
    };
    parents.keys().filter(|pid| is_below(**pid) && is_python(**pid)).count()
}
