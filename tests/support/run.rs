//! One run of a binary, with a hard time limit and the leak audit after it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use capsule_jail::groups;

use crate::audit::{MARK, PATIENCE, Traces};
use crate::binaries::{Binary, path_of};
use crate::collected::Collected;
use crate::{Caller, Finished, Limit, Scratch, Signal, send_signal, sys};

/// A run that is to be started.
///
/// Defaults: `capsule-run`, as whoever runs the tests, nothing to read, two
/// minutes, an audit at the end.
#[derive(Debug)]
pub struct Run {
    binary: Binary,
    arguments: Vec<OsString>,
    wrapper: Vec<String>,
    input: Input,
    caller: Caller,
    limits: Vec<Limit>,
    refused_call: Option<(i64, i32)>,
    descriptor: Option<i32>,
    environment: Vec<(String, String)>,
    directory: Option<PathBuf>,
    patience: Duration,
    stdout: Option<Stdio>,
}

#[derive(Debug)]
enum Input {
    Nothing,
    Bytes(Vec<u8>),
    /// The test writes and closes.
    Open,
}

impl Run {
    /// `capsule-run` with these arguments.
    pub fn new(arguments: &[&str]) -> Self {
        Self {
            binary: Binary::CapsuleRun,
            arguments: arguments.iter().map(OsString::from).collect(),
            wrapper: Vec::new(),
            input: Input::Nothing,
            caller: Caller::Current,
            limits: Vec::new(),
            refused_call: None,
            descriptor: None,
            environment: Vec::new(),
            directory: None,
            // Far more than anything takes on a busy machine: only a hang reaches it.
            patience: Duration::from_secs(120),
            stdout: None,
        }
    }

    /// `capsule-run FLAGS -- sh -c SCRIPT`
    pub fn shell(flags: &[&str], script: &str) -> Self {
        Self::new(&[flags, &["--", "sh", "-c", script]].concat())
    }

    /// `capsule-run FLAGS -- python3 -c SCRIPT`
    pub fn python(flags: &[&str], script: &str) -> Self {
        Self::new(&[flags, &["--", "python3", "-c", script]].concat())
    }

    /// `capsule-run --json` with this request.
    pub fn json(request: &serde_json::Value) -> Self {
        Self::new(&["--json"]).input(request.to_string())
    }

    /// Another binary.
    #[must_use]
    pub fn binary(mut self, binary: Binary) -> Self {
        self.binary = binary;
        self
    }

    /// Another user.
    #[must_use]
    pub fn caller(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// One more argument at the end.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// What it reads.
    #[must_use]
    pub fn input(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.input = Input::Bytes(bytes.into());
        self
    }

    /// What it reads comes later, by [`Running::write`], or never ends.
    #[must_use]
    pub fn open_input(mut self) -> Self {
        self.input = Input::Open;
        self
    }

    /// Starts it by another program that ends with `exec "$@"`, or is like it.
    #[must_use]
    pub fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// A limit on the binary itself.
    #[must_use]
    pub fn limited(mut self, limit: Limit) -> Self {
        self.limits.push(limit);
        self
    }

    /// A seccomp filter round the binary that answers a system call with `errno`.
    #[must_use]
    pub fn without_call(mut self, number: i64, errno: i32) -> Self {
        self.refused_call = Some((number, errno));
        self
    }

    /// An open file that the binary inherits.
    #[must_use]
    pub fn with_descriptor(mut self, number: i32) -> Self {
        self.descriptor = Some(number);
        self
    }

    /// A variable of the binary itself.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where it starts; else in an empty folder.
    #[must_use]
    pub fn directory(mut self, directory: impl AsRef<Path>) -> Self {
        self.directory = Some(directory.as_ref().to_owned());
        self
    }

    /// How long until it counts as hung.
    #[must_use]
    pub fn within(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Standard output goes there and is not read by the test.
    #[must_use]
    pub fn stdout(mut self, target: impl Into<Stdio>) -> Self {
        self.stdout = Some(target.into());
        self
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// When it hangs, or leaves something behind.
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.start().finish()
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it cannot be started.
    #[track_caller]
    pub fn start(mut self) -> Running {
        let scratch = Scratch::new();
        let user = self.caller.change_to();
        let mark = format!("mark-{}", scratch.text().rsplit('-').next().unwrap_or_default());
        let mut command = self.command(&scratch, &mark);
        for name in ["tmp", "home", "cwd"] {
            scratch.directory_of(name, user.unwrap_or_else(sys::own_user));
        }
        command
            .current_dir(self.directory.take().unwrap_or_else(|| scratch.path().join("cwd")))
            .env(MARK, &mark)
            .env("TMPDIR", scratch.at("tmp"))
            .env("HOME", scratch.at("home"))
            .envs(self.environment.drain(..))
            .stdin(match self.input {
                Input::Nothing => Stdio::null(),
                Input::Bytes(_) | Input::Open => Stdio::piped(),
            })
            .stdout(self.stdout.take().unwrap_or_else(Stdio::piped))
            .stderr(Stdio::piped());
        if let Some(number) = self.descriptor {
            sys::start_with_descriptor(&mut command, number);
        }
        for limit in &self.limits {
            sys::start_limited(&mut command, *limit);
        }
        if let Some((number, errno)) = self.refused_call {
            sys::start_without_call(&mut command, number, errno);
        }
        if let Some(user) = user {
            sys::start_as(&mut command, user);
        }
        let groups = groups::Audit::begin();
        let started = Instant::now();
        let mut child = command.spawn().expect("the binary can be started");
        let stdin = child.stdin.take();
        let stdin = match self.input {
            Input::Nothing => None,
            Input::Open => stdin,
            Input::Bytes(bytes) => {
                // It may end without reading all; that is not the test's failure.
                std::thread::spawn(move || drop(stdin.map(|mut pipe| pipe.write_all(&bytes))));
                None
            }
        };
        Running {
            stdout: child.stdout.take().map(Collected::of),
            stderr: child.stderr.take().map(Collected::of),
            stdin,
            traces: Traces { mark, pid: child.id(), folder: scratch.path().to_owned(), groups },
            child: Reaped(child),
            started,
            deadline: started + self.patience,
            scratch,
        }
    }

    fn command(&mut self, scratch: &Scratch, mark: &str) -> Command {
        let mut path = path_of(self.binary);
        if self.caller.change_to().is_some() {
            // The build folder may be closed to others. By cp, because a file that this
            // process has open for writing could be inherited by another test's child.
            let copy = scratch.path().join(self.binary.name());
            let status = Command::new("cp").arg(&path).arg(&copy).status().expect("cp starts");
            assert!(status.success(), "the binary can be copied");
            path = copy;
        }
        let arguments = std::mem::take(&mut self.arguments);
        if let Some((program, rest)) = self.wrapper.split_first() {
            let mut command = Command::new(program);
            command.args(rest).arg(path).args(arguments);
            return command;
        }
        let mut command = Command::new(path);
        // Seen in /proc/PID/cmdline by everybody, while the environment is not.
        command.arg0(format!("/{mark}/{}", self.binary.name())).args(arguments);
        command
    }
}

/// A run under way.
#[derive(Debug)]
pub struct Running {
    child: Reaped,
    stdin: Option<std::process::ChildStdin>,
    stdout: Option<Collected>,
    stderr: Option<Collected>,
    traces: Traces,
    started: Instant,
    deadline: Instant,
    scratch: Scratch,
}

impl Running {
    /// The process id of the binary.
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// The control groups that it holds by now.
    pub fn groups(&self) -> BTreeSet<PathBuf> {
        groups::held_by(self.pid())
    }

    /// What to look for if something should be left.
    pub fn traces(&self) -> Traces {
        self.traces.clone()
    }

    /// Waits until standard output holds `text`, and returns what came so far.
    ///
    /// # Panics
    /// When it ends without it, or does not come.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        let stdout = self.stdout.as_ref().expect("standard output is read");
        match stdout.wait_for(text, self.deadline) {
            Ok(so_far) => so_far,
            Err(so_far) => {
                let errors = self.stderr.as_ref().map(Collected::so_far).unwrap_or_default();
                panic!("no {text:?} in {so_far:?}\n{}", String::from_utf8_lossy(&errors))
            }
        }
    }

    /// Sends a signal to the binary.
    pub fn signal(&self, signal: Signal) {
        send_signal(self.pid(), signal);
    }

    /// Writes to its standard input.
    ///
    /// # Panics
    /// When it is not open.
    pub fn write(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().expect("the input is open").write_all(bytes).expect("it reads");
    }

    /// Closes its standard input.
    pub fn close_input(&mut self) {
        self.stdin = None;
    }

    /// Whether it has not ended yet.
    ///
    /// # Panics
    /// When that cannot be told.
    pub fn is_running(&mut self) -> bool {
        self.child.0.try_wait().expect("it is our child").is_none()
    }

    /// Waits for its end, and for every trace of it to go.
    ///
    /// # Panics
    /// When it hangs, or leaves something behind.
    #[track_caller]
    pub fn finish(self) -> Finished {
        let (finished, traces, _scratch) = self.finish_unaudited();
        traces.assert_gone();
        finished
    }

    /// Kills the supervisor, so that nothing of it can clean up, and waits for every
    /// trace to go all the same.
    ///
    /// # Panics
    /// When something is left.
    #[track_caller]
    pub fn kill_and_audit(self) {
        let groups = self.groups();
        self.signal(Signal::Kill);
        let (finished, traces, _scratch) = self.finish_unaudited();
        assert_eq!(finished.code, None, "it ended before it was killed\n{finished}");
        // The processes go by themselves; groups are swept by the next run that makes one.
        traces.assert_only_groups_left();
        let deadline = Instant::now() + PATIENCE;
        loop {
            Run::new(&["--", "sleep", "0.1"]).finish();
            // One that is still busy is the next one's.
            if !groups.iter().any(|group| group.exists()) || Instant::now() >= deadline {
                break;
            }
        }
        traces.assert_gone();
        let left: Vec<_> = groups.iter().filter(|group| group.exists()).collect();
        assert!(left.is_empty(), "not swept: {left:?}");
    }

    /// Waits for its end only. The scratch folder lives as long as the audit needs it.
    ///
    /// # Panics
    /// When it hangs.
    #[track_caller]
    pub fn finish_unaudited(mut self) -> (Finished, Traces, Scratch) {
        let status = loop {
            if let Some(status) = self.child.0.try_wait().expect("it is our child") {
                break status;
            }
            if Instant::now() >= self.deadline {
                let so_far = self.stdout.as_ref().map(Collected::so_far).unwrap_or_default();
                panic!("hung; output so far: {}", String::from_utf8_lossy(&so_far));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let took = self.started.elapsed();
        // Whoever still holds the pipes is a leak, and must not hang the test.
        let patience = Instant::now() + Duration::from_secs(20);
        let collect = |stream: Option<Collected>| {
            stream.map(|stream| stream.until_end(patience)).unwrap_or_default()
        };
        let finished = Finished {
            code: status.code(),
            stdout: collect(self.stdout.take()),
            stderr: collect(self.stderr.take()),
            took,
        };
        (finished, self.traces, self.scratch)
    }
}

/// A child that does not outlive a test that panics.
#[derive(Debug)]
struct Reaped(Child);

impl Drop for Reaped {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
