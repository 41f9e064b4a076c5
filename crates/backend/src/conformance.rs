//! What every backend must pass, written against the trait alone.
//!
//! A case lets a guest try, and sees the denial. What a backend cannot do fully it
//! must have said in [`Outcome::weaker`]; it is never excused for saying nothing.
//! Guests are written for `sh`, `bash` and the usual small programs.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use capsule_spec::{
    BindMount, ErrorCode, Event, ExecutionId, Outcome, ResolveError, Status, Stdin, Task, TaskSpec,
    Wall, WallState,
};

use crate::{Backend, BackendError, Observer, Output, Silent};

/// One promise of the contract.
#[derive(Clone, Copy)]
pub struct Case {
    /// What is promised.
    pub name: &'static str,
    /// Panics where the promise is broken.
    pub check: fn(&dyn Backend),
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! cases {
    ($($name:ident)*) => {
        /// Every promise, in reading order. Each stands alone, so that a harness may
        /// run them side by side.
        pub const CASES: &[Case] = &[$(Case { name: stringify!($name), check: $name }),*];
    };
}

cases! {
    says_what_it_can_do
    passes_the_exit_code_on
    captures_both_streams_as_bytes
    names_the_execution
    tells_events_in_order
    reads_nothing_unless_told
    starts_in_the_working_directory
    gives_a_clean_environment
    says_when_there_is_no_such_command
    says_when_a_signal_ended_it
    keeps_output_and_metrics_of_a_timeout
    kills_the_whole_tree_at_a_timeout
    does_not_wait_for_who_holds_the_pipe
    limits_memory
    limits_processes
    limits_output_and_awaits_the_end
    limits_the_private_disk
    measures_time
    hides_the_files_of_the_host
    keeps_the_system_read_only
    mounts_read_only
    mounts_writable
    refuses_mounts_through_links
    has_no_network
    has_no_privileges
    refuses_without_a_required_wall
    forgets_private_files
}

/// Runs every case.
///
/// # Panics
/// With the first promise that is broken.
pub fn check(backend: &dyn Backend) {
    for case in CASES {
        (case.check)(backend);
    }
}

/// A shell script as a request.
fn shell(script: &str) -> TaskSpec {
    let command = ["sh", "-c", script].map(str::to_owned).to_vec();
    TaskSpec { command: Some(command), ..TaskSpec::default() }
}

fn task(spec: TaskSpec) -> Task {
    spec.resolve(ExecutionId::random(), Stdin::Empty)
        .map_err(ResolveError::into_failure)
        .expect("the requests of this suite are right")
}

#[track_caller]
fn run(backend: &dyn Backend, spec: TaskSpec) -> Outcome {
    backend.run(&task(spec), Output::Captured, &mut Silent).expect("the sandbox can be built")
}

#[track_caller]
fn run_shell(backend: &dyn Backend, script: &str) -> Outcome {
    run(backend, shell(script))
}

#[track_caller]
fn refused(backend: &dyn Backend, spec: TaskSpec) -> BackendError {
    backend
        .run(&task(spec), Output::Captured, &mut Silent)
        .expect_err("the task should have been refused")
}

fn stdout(outcome: &Outcome) -> String {
    String::from_utf8_lossy(&outcome.stdout.bytes).into_owned()
}

fn code(outcome: &Outcome) -> Option<ErrorCode> {
    outcome.error.as_ref().map(|failure| failure.code)
}

fn says_weaker(outcome: &Outcome, wall: Wall) -> bool {
    outcome.weaker.iter().any(|status| status.wall == wall)
}

/// A folder of the host that is gone in the end.
struct HostFolder(PathBuf);

impl HostFolder {
    fn new(name: &str) -> Self {
        let unique = format!("capsule-conformance-{name}-{}", ExecutionId::random());
        let base = std::env::temp_dir().canonicalize().expect("there is a temporary folder");
        let path = base.join(unique);
        fs::create_dir(&path).expect("the temporary folder can be written");
        Self(path)
    }

    fn text(&self) -> String {
        self.0.to_str().expect("the temporary folder is UTF-8").to_owned()
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn with(self, name: &str, contents: &str) -> Self {
        fs::write(self.0.join(name), contents).expect("the folder is ours");
        self
    }

    fn mounted(&self, mut spec: TaskSpec, readonly: bool) -> TaskSpec {
        let destination = "/data".to_owned();
        spec.isolation.bind_mounts.push(BindMount { source: self.text(), destination, readonly });
        spec
    }
}

impl Drop for HostFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn says_what_it_can_do(backend: &dyn Backend) {
    let capabilities = backend.capabilities();
    assert!(!capabilities.name.is_empty());
    assert_eq!(capabilities.usable, Ok(()));
    for status in &capabilities.walls {
        if let WallState::Weaker(why) | WallState::Absent(why) = &status.state {
            assert!(!why.is_empty(), "{} is not whole, and nobody says why", status.wall);
        }
    }
}

fn passes_the_exit_code_on(backend: &dyn Backend) {
    let success = run_shell(backend, "exit 0");
    assert_eq!((success.status, success.exit_code), (Status::Success, Some(0)));
    assert_eq!((success.error, success.signal), (None, None));
    for number in [1, 2, 77, 124, 137, 255] {
        let outcome = run_shell(backend, &format!("exit {number}"));
        assert_eq!((outcome.status, outcome.exit_code), (Status::Error, Some(number)));
        assert_eq!(code(&outcome), Some(ErrorCode::NonZeroExit));
    }
}

fn captures_both_streams_as_bytes(backend: &dyn Backend) {
    let outcome = run_shell(backend, "printf 'a\\377\\000b'; printf 'err\\n' >&2");
    assert_eq!(outcome.stdout.bytes, b"a\xff\0b");
    assert_eq!(outcome.stderr.bytes, b"err\n");
    assert!(!outcome.stdout.truncated && !outcome.stderr.truncated);
}

fn names_the_execution(backend: &dyn Backend) {
    let task = task(shell("true"));
    let outcome = backend.run(&task, Output::Captured, &mut Silent).expect("it runs");
    assert_eq!(outcome.id, task.id);
    assert!(outcome.started <= outcome.completed);
}

fn tells_events_in_order(backend: &dyn Backend) {
    struct Heard(Vec<Event>);
    impl Observer for Heard {
        fn observe(&mut self, event: Event) {
            self.0.push(event);
        }
    }
    let mut heard = Heard(Vec::new());
    let task = task(shell("true"));
    backend.run(&task, Output::Captured, &mut heard).expect("it runs");
    assert!(matches!(heard.0.first(), Some(Event::Started { id }) if *id == task.id));
    assert!(matches!(heard.0.last(), Some(Event::Ended { .. })));
}

fn reads_nothing_unless_told(backend: &dyn Backend) {
    let outcome = run_shell(backend, "cat; echo end");
    assert_eq!(stdout(&outcome), "end\n");
}

fn starts_in_the_working_directory(backend: &dyn Backend) {
    assert_eq!(stdout(&run_shell(backend, "pwd")), "/workspace\n");
    let mut spec = shell("pwd; echo made > here; cat here");
    spec.isolation.working_directory = Some("/tmp/deep/er".to_owned());
    assert_eq!(stdout(&run(backend, spec)), "/tmp/deep/er\nmade\n");
    let mut spec = shell("true");
    spec.isolation.working_directory = Some("/no/where".to_owned());
    assert_eq!(code(&run(backend, spec)), Some(ErrorCode::WorkdirMissing));
}

fn gives_a_clean_environment(backend: &dyn Backend) {
    // Cargo sets many in every test; a harness without them proves nothing here.
    assert!(std::env::vars().any(|(name, _)| name.starts_with("CARGO")));
    let mut spec = shell("env");
    spec.environment.insert("OWN".to_owned(), "a b=c".to_owned());
    let seen = stdout(&run(backend, spec));
    assert!(seen.lines().any(|line| line == "OWN=a b=c"), "{seen}");
    assert!(!seen.contains("CARGO"), "{seen}");
}

fn says_when_there_is_no_such_command(backend: &dyn Backend) {
    let spec =
        TaskSpec { command: Some(vec!["no-such-command".to_owned()]), ..TaskSpec::default() };
    let outcome = run(backend, spec);
    assert_eq!((outcome.status, outcome.exit_code), (Status::Error, None));
    assert_eq!(code(&outcome), Some(ErrorCode::CommandNotFound));
}

fn says_when_a_signal_ended_it(backend: &dyn Backend) {
    let outcome = run_shell(backend, "echo before; kill -SEGV $$");
    assert_eq!((outcome.status, outcome.exit_code), (Status::Killed, None));
    assert_eq!((outcome.signal, code(&outcome)), (Some(11), Some(ErrorCode::Killed)));
    assert_eq!(stdout(&outcome), "before\n");
}

fn keeps_output_and_metrics_of_a_timeout(backend: &dyn Backend) {
    let mut spec = shell("echo so far; echo err >&2; while :; do :; done");
    spec.timeout_ms = Some(1000);
    let outcome = run(backend, spec);
    assert_eq!((outcome.status, outcome.exit_code), (Status::Timeout, None));
    assert_eq!(code(&outcome), Some(ErrorCode::TimedOut));
    assert_eq!((&*outcome.stdout.bytes, &*outcome.stderr.bytes), (&b"so far\n"[..], &b"err\n"[..]));
    // The deadline may count from a moment before the command starts.
    assert!(outcome.metrics.wall >= Duration::from_millis(800), "{:?}", outcome.metrics);
    assert!(outcome.metrics.user + outcome.metrics.kernel >= Duration::from_millis(50));
    assert!(outcome.metrics.max_memory > 0);
}

/// A time that no other process on this machine sleeps for.
fn peculiar_seconds() -> String {
    let digits: String =
        ExecutionId::random().to_string().chars().filter(char::is_ascii_digit).collect();
    format!("9{}.{digits}", std::process::id())
}

fn somebody_runs(argument: &str) -> bool {
    fs::read_dir("/proc").into_iter().flatten().flatten().any(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == argument.as_bytes())
    })
}

fn kills_the_whole_tree_at_a_timeout(backend: &dyn Backend) {
    let seconds = peculiar_seconds();
    let mut spec = shell(&format!(
        "sleep {seconds} & (setsid sleep {seconds} &) ; setsid sh -c '(sleep {seconds} &)'; \
         (trap '' TERM; sleep {seconds}) & echo started; wait"
    ));
    spec.timeout_ms = Some(700);
    let started = Instant::now();
    let outcome = run(backend, spec);
    assert_eq!((outcome.status, stdout(&outcome)), (Status::Timeout, "started\n".to_owned()));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    // Not soon: when `run` returns, they are gone.
    assert!(!somebody_runs(&seconds), "a process outlived its run");
}

fn does_not_wait_for_who_holds_the_pipe(backend: &dyn Backend) {
    let seconds = peculiar_seconds();
    let started = Instant::now();
    let outcome = run_shell(backend, &format!("sleep {seconds} & echo done; exit 3"));
    assert_eq!((outcome.exit_code, stdout(&outcome)), (Some(3), "done\n".to_owned()));
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(!somebody_runs(&seconds), "a process outlived its run");
}

fn limits_memory(backend: &dyn Backend) {
    // One block of 200 MiB is memory of its own, again and again for a second or more.
    let hog = "echo kept; dd if=/dev/zero of=/dev/null bs=200M count=60; echo got it";
    let mut spec = shell(hog);
    spec.resources.memory_bytes = Some(64 << 20);
    let outcome = run(backend, spec);
    assert_ne!(outcome.status, Status::Success);
    assert_eq!(code(&outcome), Some(ErrorCode::MemoryLimit), "{outcome:?}");
    assert!(stdout(&outcome).starts_with("kept\n"));
    let mut spec = shell("dd if=/dev/zero of=/dev/null bs=100M count=1 2>/dev/null && echo got it");
    spec.resources.memory_bytes = Some(400 << 20);
    assert_eq!(stdout(&run(backend, spec)), "got it\n");
}

fn limits_processes(backend: &dyn Backend) {
    let mut spec = shell("i=0; while [ $i -lt 40 ]; do sleep 30 & i=$((i + 1)); done; echo all");
    spec.resources.max_pids = Some(10);
    let outcome = run(backend, spec);
    if stdout(&outcome).contains("all") {
        assert!(
            says_weaker(&outcome, Wall::Pids),
            "40 processes where 10 are allowed: {outcome:?}"
        );
    }
    assert_ne!(outcome.status, Status::Success);
}

fn limits_output_and_awaits_the_end(backend: &dyn Backend) {
    let mut spec = shell("head -c 100000 /dev/zero; head -c 1000 /dev/zero >&2; sleep 0.2; exit 5");
    spec.resources.max_output_bytes = Some(1000);
    let outcome = run(backend, spec);
    assert_eq!((outcome.stdout.bytes.len(), outcome.stdout.truncated), (1000, true));
    assert_eq!((outcome.stderr.bytes.len(), outcome.stderr.truncated), (1000, false));
    assert_eq!((outcome.status, outcome.exit_code), (Status::Error, Some(5)));
    assert_eq!(code(&outcome), Some(ErrorCode::OutputLimit));
    let mut spec = shell("head -c 2000 /dev/zero");
    spec.resources.max_output_bytes = Some(1000);
    let outcome = run(backend, spec);
    assert_eq!((outcome.status, outcome.exit_code), (Status::Error, Some(0)));
}

fn limits_the_private_disk(backend: &dyn Backend) {
    let script = "head -c 20000000 /dev/zero > /tmp/file; wc -c < /tmp/file; \
        i=0; while [ $i -lt 4000 ] && : > /workspace/$i; do i=$((i + 1)); done; echo $i";
    let mut spec = shell(script);
    spec.resources.disk_bytes = Some(4 << 20);
    let outcome = run(backend, spec);
    let numbers: Vec<u64> = stdout(&outcome).lines().filter_map(|line| line.parse().ok()).collect();
    let held = numbers.first().is_some_and(|bytes| *bytes <= 4 << 20)
        // A redirection that fails ends a POSIX shell: then there is no second number.
        && numbers.get(1).is_none_or(|files| *files < 4000);
    assert!(held || says_weaker(&outcome, Wall::Disk), "{outcome:?}");
}

fn measures_time(backend: &dyn Backend) {
    let outcome = run_shell(backend, "sleep 0.5");
    assert!(outcome.metrics.wall >= Duration::from_millis(500), "{:?}", outcome.metrics);
    assert!(outcome.metrics.wall < Duration::from_secs(20), "{:?}", outcome.metrics);
    assert!(outcome.metrics.user < Duration::from_millis(300), "{:?}", outcome.metrics);
    let busy = run_shell(backend, "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done");
    assert!(busy.metrics.user + busy.metrics.kernel > Duration::from_millis(20));
}

fn hides_the_files_of_the_host(backend: &dyn Backend) {
    let folder = HostFolder::new("hidden").with("secret", "s3cret");
    let path = folder.text();
    let outcome = run_shell(backend, &format!("ls {path}; cat {path}/secret /etc/shadow; ls /tmp"));
    assert_eq!(stdout(&outcome), "");
    assert_ne!(outcome.exit_code, None);
}

fn keeps_the_system_read_only(backend: &dyn Backend) {
    let script = "for place in / /usr /usr/bin /etc /proc/sys/kernel; do \
        touch $place/new && echo wrote $place; done; \
        echo 1 > /proc/sys/vm/drop_caches && echo dropped; \
        echo x > /proc/sys/kernel/core_pattern && echo pattern; true";
    assert_eq!(stdout(&run_shell(backend, script)), "");
}

fn mounts_read_only(backend: &dyn Backend) {
    let folder = HostFolder::new("readonly").with("file", "precious\n");
    let script = "cat /data/file; echo x > /data/file && echo wrote; rm -rf /data/* && echo removed; \
        touch /data/new && echo made; true";
    let outcome = run(backend, folder.mounted(shell(script), true));
    assert_eq!(stdout(&outcome), "precious\n");
    let kept = fs::read_to_string(folder.path().join("file"));
    assert_eq!(kept.ok().as_deref(), Some("precious\n"));
}

fn mounts_writable(backend: &dyn Backend) {
    use std::os::unix::fs::MetadataExt;
    let folder = HostFolder::new("writable").with("file", "precious\n");
    let mut spec = folder.mounted(shell("echo new > /data/made; sleep 60"), false);
    // However it ends, what was there is there, and what was made is its owner's.
    spec.timeout_ms = Some(700);
    assert_eq!(run(backend, spec).status, Status::Timeout);
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    assert_eq!((read("file"), read("made")), ("precious\n".to_owned(), "new\n".to_owned()));
    let owner = |path: &Path| fs::metadata(path).map(|found| found.uid()).ok();
    assert_eq!(owner(&folder.path().join("made")), owner(folder.path()));
}

fn refuses_mounts_through_links(backend: &dyn Backend) {
    let folder = HostFolder::new("links");
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/etc", &link).expect("the folder is ours");
    let mut spec = shell("ls /data");
    spec.isolation.bind_mounts.push(BindMount {
        source: format!("{}/link", folder.text()),
        destination: "/data".to_owned(),
        readonly: true,
    });
    let error = refused(backend, spec);
    assert_eq!(error.failure.code, ErrorCode::UnsafePath);
    assert!(error.failure.hint.is_some());
}

fn has_no_network(backend: &dyn Backend) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.set_nonblocking(true).expect("a listener can wait for nothing");
    let port = listener.local_addr().expect("it was just bound").port();
    let mut spec = shell("");
    let script = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port} && echo connected; \
         exec 3<>/dev/tcp/192.0.2.1/80 && echo connected; exit 0"
    );
    // Bash goes on after a redirection of exec that fails, unlike sh.
    spec.command = Some(["bash", "-c", &script].map(str::to_owned).to_vec());
    let outcome = run(backend, spec);
    assert_eq!((stdout(&outcome), outcome.status), (String::new(), Status::Success), "{outcome:?}");
    assert!(listener.accept().is_err(), "the guest reached the host");
}

fn has_no_privileges(backend: &dyn Backend) {
    let script = "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs)' /proc/self/status; \
        mount -t tmpfs none /tmp && echo mounted; unshare -U true && echo unshared; \
        mknod /tmp/null c 1 3 && echo made; kill -9 1 && echo killed; true";
    let said = stdout(&run_shell(backend, script));
    let (user, rest) = said.split_once('\n').unwrap_or_default();
    assert_ne!(user, "0");
    // Signals to PID 1 may seem to be sent; it must not matter.
    assert_eq!(
        rest.replace("killed\n", ""),
        "CapEff:\t0000000000000000\nCapBnd:\t0000000000000000\nNoNewPrivs:\t1\n"
    );
}

fn refuses_without_a_required_wall(backend: &dyn Backend) {
    for status in backend.capabilities().walls {
        let mut spec = shell("true");
        spec.isolation.require = vec![status.wall];
        // In an own network, abstract sockets have nobody to reach.
        if status.wall == Wall::Scope {
            continue;
        }
        if status.state == WallState::Full {
            let outcome = run(backend, spec);
            assert_eq!(outcome.status, Status::Success, "{}", status.wall);
            assert!(!says_weaker(&outcome, status.wall), "{}", status.wall);
        } else {
            let error = refused(backend, spec);
            assert_eq!(error.failure.code, ErrorCode::WallUnavailable, "{}", status.wall);
            let outcome = run_shell(backend, "true");
            assert!(says_weaker(&outcome, status.wall), "{} is weaker in silence", status.wall);
        }
    }
    let mut spec = shell("true");
    spec.isolation.network = Some(true);
    spec.isolation.require = vec![Wall::Network];
    assert_eq!(refused(backend, spec).failure.code, ErrorCode::WallUnavailable);
}

fn forgets_private_files(backend: &dyn Backend) {
    let script =
        "ls -A /tmp /workspace /dev/shm | grep left; touch /tmp/left /workspace/left /dev/shm/left";
    for _ in 0..2 {
        let outcome = run_shell(backend, script);
        assert_eq!((stdout(&outcome), outcome.exit_code), (String::new(), Some(0)));
    }
}
