//! A process that runs guests, as the front sees it: locked down, and not believed.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;

use capsule_engine::Answer;
use capsule_spec::{ErrorCode, Failure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::lockdown;
use crate::worker::between::{Answered, Order, Start};
use crate::worker::frame::{Front as Next, Incoming, MOST, Outgoing, framed};
use crate::worker::request::Reply;

/// What this program is called with to be such a process. Nobody types it.
pub(crate) const NAME: &str = "run-guests";

/// A process that runs guests. Dropping the last handle lets it end.
pub(super) struct Runner {
    frames: mpsc::Sender<Vec<u8>>,
    open: Mutex<Option<HashMap<u64, Open>>>,
    /// None where the kernel has none; then the end of its input ends it.
    process: Option<OwnedFd>,
    /// Sessions whose memory is there.
    pub(super) sessions: AtomicUsize,
    /// When it was last asked for something, by the front's own count.
    pub(super) used: AtomicU64,
}

/// A question that is not answered yet.
pub(super) struct Open {
    pub(super) awaits: Awaits,
    /// Whatever others wait for until then.
    pub(super) _held: Vec<Box<dyn Send>>,
}

/// Which answer a question has, beside an error.
pub(super) enum Awaits {
    /// An envelope, of this task.
    Envelope(String),
    /// That a session's memory is given up, which the end of the process does as well.
    Done,
}

impl Awaits {
    /// The answer to who waits when the process has ended.
    fn at_the_end(self, id: u64, failure: &Failure) -> Reply<'static> {
        match self {
            Self::Envelope(task) => Reply::answer(id, Answer::refused(&task, failure.clone())),
            Self::Done => Reply::Done { id, done: true },
        }
    }

    fn is_met_by(&self, answer: &Answered<'_>) -> bool {
        match self {
            Self::Envelope(_) => answer.is_envelope() || answer.is_error(),
            Self::Done => answer.is_done() || answer.is_error(),
        }
    }
}

/// Where answers go: the caller's stream, if the number is still waited for.
pub(super) trait Answers: Send + Sync {
    /// Whether nobody has answered yet; from here on somebody has.
    fn forget(&self, id: u64) -> bool;

    /// The way out.
    fn outgoing(&self) -> &Outgoing;
}

/// Starts processes from one thread, as long as this process lives: they end with the
/// thread that started them (PR_SET_PDEATHSIG).
pub(super) struct Starter {
    asks: mpsc::Sender<(Command, mpsc::Sender<io::Result<Child>>)>,
}

impl Starter {
    pub(super) fn new() -> io::Result<Self> {
        let (asks, asked) = mpsc::channel::<(Command, mpsc::Sender<io::Result<Child>>)>();
        thread::Builder::new().name("starter".to_owned()).spawn(move || {
            for (mut command, answer) in asked {
                let _ = answer.send(command.spawn());
            }
        })?;
        Ok(Self { asks })
    }

    /// A process for `order`, whose answers go to `answers`.
    pub(super) fn start(
        &self,
        order: &Order,
        answers: Arc<dyn Answers>,
    ) -> Result<Arc<Runner>, Failure> {
        let failed = |why: &dyn std::fmt::Display| {
            let message = format!("no process for guests can be started: {why}");
            Failure::new(ErrorCode::OutOfResources, message)
        };
        let words = serde_json::to_string(order).map_err(|error| failed(&error))?;
        let mut command = Command::new("/proc/self/exe");
        command.arg0("capsule").arg(NAME).arg(words);
        lockdown::never_started_over(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let (answer, answered) = mpsc::channel();
        self.asks.send((command, answer)).map_err(|_| failed(&"nobody starts it"))?;
        let child = answered.recv().map_err(|_| failed(&"nobody started it"))?;
        child.and_then(|child| Runner::of(child, answers)).map_err(|error| failed(&error))
    }
}

impl Runner {
    fn of(mut child: Child, answers: Arc<dyn Answers>) -> io::Result<Arc<Self>> {
        let missing = || io::Error::from(io::ErrorKind::BrokenPipe);
        let to = File::from(OwnedFd::from(child.stdin.take().ok_or_else(missing)?));
        let from = File::from(OwnedFd::from(child.stdout.take().ok_or_else(missing)?));
        let (frames, queue) = mpsc::channel();
        let process = Pid::from_child(&child);
        let runner = Arc::new(Self {
            frames,
            process: pidfd_open(process, PidfdFlags::empty()).ok(),
            open: Mutex::new(Some(HashMap::new())),
            sessions: AtomicUsize::new(0),
            used: AtomicU64::new(0),
        });
        let named = |name: &str| thread::Builder::new().name(name.to_owned());
        // Ends when nobody can ask any more; then the process reads the end of its input.
        named("runner-in").spawn(move || write(to, &queue))?;
        let reading = Reading { open: Arc::downgrade(&runner), answers, child };
        named("runner-out").spawn(move || reading.until_the_end(from))?;
        Ok(runner)
    }

    /// Asks for something. Gives it back if the process has ended.
    pub(super) fn ask(&self, id: u64, open: Open, frame: Vec<u8>) -> Result<(), Open> {
        match &mut *lock(&self.open) {
            None => return Err(open),
            Some(all) => all.insert(id, open),
        };
        // A process that has ended meanwhile is told of by its reader.
        self.say(frame);
        Ok(())
    }

    /// Tells it something that has no answer of its own.
    pub(super) fn say(&self, frame: Vec<u8>) {
        let _ = self.frames.send(framed(&frame));
    }

    /// Whether it is there no more.
    pub(super) fn has_ended(&self) -> bool {
        lock(&self.open).is_none()
    }

    /// Whether nobody waits for it, and nothing is lost with it.
    pub(super) fn is_idle(&self) -> bool {
        self.sessions.load(Ordering::Relaxed) == 0
            && lock(&self.open).as_ref().is_none_or(HashMap::is_empty)
    }
}

impl Runner {
    /// Ends it where it is.
    pub(super) fn kill(&self) {
        if let Some(process) = &self.process {
            let _ = pidfd_send_signal(process, Signal::KILL);
        }
    }

    /// Until it is gone, or for a second.
    pub(super) fn wait(&self) {
        let Some(process) = &self.process else { return };
        let second = Timespec { tv_sec: 1, tv_nsec: 0 };
        let _ = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&second));
    }
}

fn write(mut to: File, queue: &mpsc::Receiver<Vec<u8>>) {
    for frame in queue {
        if to.write_all(&frame).is_err() {
            return;
        }
    }
}

/// What is read of a runner. Holds the process, and ends it.
struct Reading {
    open: std::sync::Weak<Runner>,
    answers: Arc<dyn Answers>,
    child: Child,
}

impl Reading {
    fn until_the_end(mut self, mut from: File) {
        let mut incoming = Incoming::of(MOST);
        let mut failure = None;
        'reading: while incoming.fill(&mut from).is_ok_and(|length| length > 0) {
            loop {
                match incoming.take() {
                    Next::Frame(bytes) => {
                        if !self.hear(bytes, &mut failure) {
                            break 'reading;
                        }
                    }
                    Next::Partial => break,
                    Next::TooLarge(_) => break 'reading,
                }
            }
        }
        let _ = self.child.kill();
        let status = self.child.wait();
        let failure = failure.unwrap_or_else(|| told(status));
        let Some(runner) = self.open.upgrade() else { return };
        let open = lock(&runner.open).take();
        for (id, Open { awaits, .. }) in open.unwrap_or_default() {
            if self.answers.forget(id) {
                awaits.at_the_end(id, &failure).send_to(self.answers.outgoing());
            }
        }
    }

    /// One frame; false if it is none that this process may send.
    fn hear(&self, bytes: &[u8], failure: &mut Option<Failure>) -> bool {
        let Ok(answer) = serde_json::from_slice::<Answered<'_>>(bytes) else {
            return match serde_json::from_slice(bytes) {
                Ok(Start::Ready(_)) => true,
                Ok(Start::Failed(why)) => {
                    *failure = Some(why);
                    true
                }
                Err(_) => false,
            };
        };
        let Some(runner) = self.open.upgrade() else { return false };
        let mut open = lock(&runner.open);
        let Some(all) = open.as_mut() else { return false };
        match answer.is_output() {
            Some(true) if all.contains_key(&answer.id) => {
                drop(open);
                self.answers.outgoing().pass_on(bytes);
                true
            }
            Some(false) => {
                if !all.get(&answer.id).is_some_and(|asked| asked.awaits.is_met_by(&answer)) {
                    return false;
                }
                let asked = all.remove(&answer.id);
                drop(open);
                if self.answers.forget(answer.id) {
                    self.answers.outgoing().pass_on(bytes);
                }
                drop(asked);
                true
            }
            // A guest that was ended prints until it stops; nobody hears it any more.
            Some(true) => true,
            None => false,
        }
    }
}

/// What the caller hears of a process that ended too early.
fn told(status: io::Result<ExitStatus>) -> Failure {
    let how = match status {
        Ok(status) => match (status.signal(), status.code()) {
            (Some(libc::SIGKILL), _) => "was killed".to_owned(),
            (Some(signal), _) => format!("was ended by signal {signal}"),
            (None, code) => format!("ended with code {}", code.unwrap_or_default()),
        },
        Err(error) => format!("is lost: {error}"),
    };
    Failure::new(ErrorCode::Crashed, format!("the process that runs the sandboxes {how}"))
        .hint("everything that ran in it is lost; the next request gets a new one")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::time::{Duration, Instant};

    use super::*;

    /// What the caller would get.
    struct Heard {
        outgoing: Outgoing,
        waiting: Mutex<Vec<u64>>,
    }

    impl Answers for Heard {
        fn forget(&self, id: u64) -> bool {
            let mut waiting = lock(&self.waiting);
            let before = waiting.len();
            waiting.retain(|one| *one != id);
            waiting.len() < before
        }

        fn outgoing(&self) -> &Outgoing {
            &self.outgoing
        }
    }

    /// A process that says this when it is asked something, and then waits; and all that the
    /// caller gets of it, who asked for 1, a task, and 2, the end of a session.
    fn said_by(frames: &[&str]) -> String {
        let mut script = "head -c 5 >/dev/null; ".to_owned();
        for text in frames {
            let [a, b, c, d] = u32::try_from(text.len()).unwrap().to_be_bytes();
            let text = text.replace('\\', "\\\\").replace('%', "%%").replace('\'', "\\047");
            script += &format!("printf '\\{a:03o}\\{b:03o}\\{c:03o}\\{d:03o}{text}'; ");
        }
        let (mut reader, writer) = io::pipe().unwrap();
        let outgoing = Outgoing::new(OwnedFd::from(writer).into());
        let answers = Arc::new(Heard { outgoing, waiting: Mutex::new(vec![1, 2]) });
        let child = Command::new("sh")
            .args(["-c", &format!("{script} exec sleep 60")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let runner = Runner::of(child, answers.clone()).unwrap();
        for (id, awaits) in [(1, Awaits::Envelope("main".to_owned())), (2, Awaits::Done)] {
            let open = Open { awaits, _held: Vec::new() };
            assert!(runner.ask(id, open, b"{}".to_vec()).is_ok());
        }
        let until = Instant::now() + Duration::from_secs(20);
        while !lock(&answers.waiting).is_empty() && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(*lock(&answers.waiting), [0; 0], "somebody waits for ever: {frames:?}");
        runner.kill();
        runner.wait();
        while Arc::strong_count(&answers) > 1 && Instant::now() < until {
            thread::sleep(Duration::from_millis(5));
        }
        drop((runner, answers));
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn answers_to_what_was_asked_are_passed_on() {
        let text = said_by(&[
            r#"{"ready":true}"#,
            r#"{"id":1,"output":{"channel":"stdout","text":"x"}}"#,
            r#"{"id":1,"envelope":{"success":true}}"#,
            r#"{"id":2,"done":true}"#,
        ]);
        for part in
            ["\"text\":\"x\"", "\"id\":1,\"envelope\":{\"success\":true}", "\"id\":2,\"done\""]
        {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(!text.contains("ready"), "{text}");
    }

    /// Who took a process over would like to answer others, twice, or with nonsense.
    #[test]
    fn what_is_no_answer_of_its_own_ends_it() {
        for nonsense in [
            r#"{"id":3,"envelope":{"success":true,"result":"forged"}}"#,
            r#"{"id":null,"error":{"code":"E6001","message":"forged"}}"#,
            r#"{"hello":{"version":"forged","protocol":1}}"#,
            r#"{"id":1,"output":{"text":"forged"},"done":true}"#,
            r#"{"id":1,"envelope":forged}"#,
            r#"{"id":1,"done":true,"forged":1}"#,
            r#"{"id":2,"envelope":{"success":true,"result":"forged"}}"#,
            "forged",
            "",
        ] {
            let text = said_by(&[nonsense]);
            assert!(!text.contains("forged"), "{nonsense}: {text}");
            assert_eq!(text.matches("the process that runs the sandboxes").count(), 1, "{text}");
            assert_eq!(text.matches(r#"{"id":2,"done":true}"#).count(), 1, "{text}");
        }
    }

    /// It takes a moment until a run that was given up stops printing.
    #[test]
    fn output_that_nobody_waits_for_is_dropped() {
        let late = r#"{"id":3,"output":{"channel":"stdout","text":"late"}}"#;
        let text = said_by(&[
            late,
            r#"{"id":1,"envelope":{"success":true}}"#,
            &late.replace('3', "1"),
            r#"{"id":2,"done":true}"#,
        ]);
        assert!(!text.contains("late"), "{text}");
        assert_eq!(text.matches("\"done\":true").count(), 1, "{text}");
    }

    #[test]
    fn an_answer_counts_once() {
        let once = r#"{"id":1,"envelope":{"success":true,"result":"first"}}"#;
        let text = said_by(&[once, &once.replace("first", "second")]);
        assert!(text.contains("first") && !text.contains("second"), "{text}");
        assert_eq!(text.matches("\"done\":true").count(), 1, "{text}");
    }

    #[test]
    fn why_it_could_not_start_is_told() {
        let text = said_by(&[
            r#"{"failed":{"code":"E2007","message":"no runtime","details":{}}}"#,
            "broken",
        ]);
        assert_eq!(text.matches("no runtime").count(), 1, "{text}");
        assert_eq!(text.matches("\"done\":true").count(), 1, "{text}");
    }
}
