//! The tree of calls, live, for a person at a terminal.
//!
//! Calls of one task by one caller are one line, so that a thousand of them fit. What
//! tasks print goes above the tree: whoever writes takes the tree away first.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use capsule_engine::{CallId, Observer, TaskEvent};

/// Short runs draw nothing.
const PATIENCE: Duration = Duration::from_millis(300);
const FRAME: Duration = Duration::from_millis(100);
const MOST_LINES: usize = 16;

/// A tree on standard error.
#[derive(Clone)]
pub(crate) struct Tree {
    state: Arc<Mutex<State>>,
}

struct State {
    begun: Instant,
    calls: BTreeMap<CallId, Call>,
    /// Lines of the tree that are on the screen.
    drawn: usize,
    /// Whether the last text that a task wrote ended its line.
    at_line_start: bool,
    is_over: bool,
}

struct Call {
    task: String,
    parent: Option<CallId>,
    begun: Instant,
    state: Progress,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Progress {
    Waiting,
    Running { attempt: u32 },
    Done,
    Failed,
}

impl Tree {
    /// A tree, if a person looks at standard error.
    pub(crate) fn for_terminal() -> Option<Self> {
        if !io::stderr().is_terminal()
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb")
        {
            return None;
        }
        let state = State {
            begun: Instant::now(),
            calls: BTreeMap::new(),
            drawn: 0,
            at_line_start: true,
            is_over: false,
        };
        Some(Self { state: Arc::new(Mutex::new(state)) })
    }

    /// Shows it from now on, until [`Tree::end`]. Starts a thread, so the process must have
    /// locked itself down before.
    pub(crate) fn start(&self) {
        let drawer = self.clone();
        std::thread::spawn(move || {
            std::thread::sleep(PATIENCE);
            while drawer.with(State::draw) {
                std::thread::sleep(FRAME);
            }
        });
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Writes what a task printed, above the tree.
    pub(crate) fn above(&self, text: &[u8], write: impl FnOnce()) {
        self.with(|state| {
            state.erase();
            write();
            state.at_line_start = text.ends_with(b"\n");
        });
    }

    /// Takes the tree away for good.
    pub(crate) fn end(&self) {
        self.with(|state| {
            state.is_over = true;
            state.erase();
        });
    }
}

impl Observer for Tree {
    fn observe(&self, event: TaskEvent) {
        self.with(|state| match event {
            TaskEvent::Called { call, parent, task } => {
                let begun = Instant::now();
                let _ = state
                    .calls
                    .insert(call, Call { task, parent, begun, state: Progress::Waiting });
            }
            TaskEvent::Started { call, attempt } => state.set(call, Progress::Running { attempt }),
            TaskEvent::Retrying { call, .. } => state.set(call, Progress::Waiting),
            TaskEvent::Ended { call, error, .. } => {
                state.set(call, if error.is_none() { Progress::Done } else { Progress::Failed });
            }
        });
    }
}

impl State {
    fn set(&mut self, call: CallId, progress: Progress) {
        if let Some(call) = self.calls.get_mut(&call) {
            call.state = progress;
        }
    }

    /// False when nothing will change any more.
    fn draw(&mut self) -> bool {
        if self.is_over {
            return false;
        }
        // A line that a task has begun stays whole.
        if self.at_line_start {
            let mut lines = Vec::new();
            self.group(None, "", &mut lines);
            if lines.len() > MOST_LINES {
                let more = lines.len() - MOST_LINES;
                lines.truncate(MOST_LINES);
                lines.push(format!("… and {more} more"));
            }
            self.erase();
            let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
            let _ = io::stderr().lock().write_all(text.as_bytes());
            self.drawn = lines.len();
        }
        true
    }

    fn erase(&mut self) {
        if self.drawn > 0 {
            // Up so many lines, then clear to the end of the screen (ECMA-48 CPL, ED).
            let _ = write!(io::stderr().lock(), "\x1b[{}F\x1b[J", self.drawn);
            self.drawn = 0;
        }
    }

    /// The lines of those that `parent` called.
    fn group(&self, parent: Option<CallId>, indent: &str, lines: &mut Vec<String>) {
        let mut groups: BTreeMap<&str, Vec<(CallId, &Call)>> = BTreeMap::new();
        for (id, call) in self.calls.iter().filter(|(_, call)| call.parent == parent) {
            groups.entry(&call.task).or_default().push((*id, call));
        }
        for (task, calls) in groups {
            let name: String = task.chars().filter(|c| !c.is_control()).take(40).collect();
            lines.push(format!("{indent}{}", self.describe(&name, &calls)));
            for (id, call) in calls {
                if !matches!(call.state, Progress::Done | Progress::Failed) {
                    self.group(Some(id), &format!("{indent}  "), lines);
                }
            }
        }
    }

    fn describe(&self, name: &str, calls: &[(CallId, &Call)]) -> String {
        let count = |wanted: fn(&Progress) -> bool| {
            calls.iter().filter(|(_, call)| wanted(&call.state)).count()
        };
        let running = count(|state| matches!(state, Progress::Running { .. }));
        let done = count(|state| *state == Progress::Done);
        let failed = count(|state| *state == Progress::Failed);
        let mark = if running > 0 {
            self.spinner()
        } else if failed > 0 {
            '✗'
        } else {
            '✓'
        };
        let mut line = format!("{mark} {name}");
        if calls.len() > 1 {
            let _ = write!(line, "  {done} of {} done", calls.len());
        }
        if failed > 0 {
            let _ = write!(line, "  {failed} failed");
        }
        let again = calls.iter().filter_map(|(_, call)| match call.state {
            Progress::Running { attempt } if attempt > 1 => Some(attempt),
            _ => None,
        });
        if let Some(attempt) = again.max() {
            let _ = write!(line, "  attempt {attempt}");
        }
        if let Some(begun) = calls.iter().map(|(_, call)| call.begun).min().filter(|_| running > 0)
        {
            let _ = write!(line, "  {:.1} s", begun.elapsed().as_secs_f32());
        }
        line
    }

    fn spinner(&self) -> char {
        const FRAMES: [char; 8] = ['⠋', '⠙', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇'];
        FRAMES[(self.begun.elapsed().as_millis() / FRAME.as_millis()) as usize % FRAMES.len()]
    }
}
