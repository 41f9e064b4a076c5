//! One run of `capsule run`, watched from outside: what came out, how long it took, how
//! much of the host's memory it had.

use std::io::{self, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::scene::{PATIENCE, Scene, VARIABLE};
use crate::attack::host;

/// The most output that is kept: a flood has its own limit to meet.
const MOST_KEPT: u64 = 64 << 20;

/// A run that is to be started.
pub(super) struct Start<'a> {
    command: Command,
    scene: &'a Scene<'a>,
}

/// A run that is over.
pub(super) struct Ran {
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// None if a signal ended it.
    pub(super) code: Option<i32>,
    pub(super) took: Duration,
    /// Memory that the process has for itself, at the worst moment that was seen, in MiB.
    pub(super) peak_mib: u64,
    /// It was killed, because nothing else ended it.
    pub(super) hung: bool,
    /// The one line of JSON that standard output held.
    pub(super) answer: Option<Value>,
}

impl<'a> Start<'a> {
    pub(super) fn new(scene: &'a Scene<'a>, arguments: &[&str]) -> Self {
        let mut command = Command::new(scene.binary);
        command
            .arg("run")
            .args(arguments)
            .current_dir(scene.project())
            .env(VARIABLE, &scene.secret)
            .env("CAPSULE_ATTACK_MARKER", scene.marker)
            .env("TMPDIR", scene.temporary())
            // A package that is asked for is not looked for.
            .env("PIP_NO_INDEX", "1");
        Self { command, scene }
    }

    pub(super) fn variable(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it to its end, which it is given in the worst case.
    pub(super) fn run(mut self) -> io::Result<Ran> {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = self.command.spawn()?;
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let (code, peak_mib, hung) = watch(&mut child, started)?;
        let took = started.elapsed();
        let stdout = stdout.join().unwrap_or_default();
        let stderr = stderr.join().unwrap_or_default();
        let answer = one_line(&stdout);
        let _ = self.scene;
        Ok(Ran { stdout, stderr, code, took, peak_mib, hung, answer })
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            let _ = (&mut stream).take(MOST_KEPT).read_to_end(&mut bytes);
            let _ = io::copy(&mut stream, &mut io::sink());
        }
        bytes
    })
}

fn watch(child: &mut Child, started: Instant) -> io::Result<(Option<i32>, u64, bool)> {
    let pid = i32::try_from(child.id()).unwrap_or_default();
    let mut peak = 0;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status.code(), peak, false));
        }
        peak = peak.max(own_mib(pid));
        // More than any attempt may take: it is stopped before the host suffers.
        if started.elapsed() >= PATIENCE || peak > 8 << 10 {
            child.kill()?;
            child.wait()?;
            return Ok((None, peak, true));
        }
        std::thread::sleep(Duration::from_millis(4));
    }
}

/// What a process has for itself: the images that all sandboxes share do not count.
fn own_mib(pid: i32) -> u64 {
    let field = |name| -> u64 {
        let text = host::status_field(pid, name).unwrap_or_default();
        text.split(' ').next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
    };
    (field("RssAnon") + field("RssShmem")) >> 10
}

fn one_line(stdout: &[u8]) -> Option<Value> {
    let text = std::str::from_utf8(stdout).ok()?.strip_suffix('\n')?;
    if text.contains('\n') {
        return None;
    }
    serde_json::from_str(text).ok().filter(Value::is_object)
}

impl Ran {
    /// The code of its error, or nothing if it succeeded.
    pub(super) fn error_code(&self) -> Option<&str> {
        self.answer.as_ref()?["error"]["code"].as_str()
    }

    pub(super) fn result(&self) -> &Value {
        self.answer.as_ref().map_or(&Value::Null, |answer| &answer["result"])
    }

    /// Whether what came out holds `text`, in any stream, however JSON writes it.
    pub(super) fn tells(&self, text: &str) -> bool {
        let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|part| part == text.as_bytes());
        holds(&self.stdout) || holds(&self.stderr)
    }

    /// For evidence.
    pub(super) fn describe(&self) -> String {
        let how = match &self.answer {
            Some(answer) if answer["success"] == true => "it returned".to_owned(),
            Some(answer) => format!(
                "{} {}",
                answer["error"]["code"].as_str().unwrap_or("no code"),
                answer["error"]["error_type"].as_str().unwrap_or("no type"),
            ),
            None => "no answer".to_owned(),
        };
        format!("{how} after {:.1} s, {} MiB at most", self.took.as_secs_f64(), self.peak_mib)
    }
}
