//! Guests: functions of a program, each call in a sandbox of its own.
//!
//! The host owns the policy. A program is loaded once without any right, to learn
//! what it declares; from then on a call carries a name and arguments, and its
//! [`Grant`] comes from what was declared then.

use std::fs::File;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use capsule_spec::{Access, Blame, ByteSize, ErrorCode, Failure, HostRule};

/// Something that is under way. Dropping it ends it.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What runs functions.
pub trait Guests: Send + Sync {
    /// A new sandbox without any right, whose way out is `outside`.
    ///
    /// # Errors
    /// When the sandbox cannot be built.
    fn open(&self, outside: Arc<dyn Outside>) -> Result<Box<dyn Guest>, Failure>;

    /// What sandboxes that are opened here begin with and run on, as a name: the same name
    /// means the same bytes. None if it has none.
    fn name(&self) -> Option<String> {
        None
    }

    /// What [`Guest::save`] gave, as bytes for [`Guests::restore`]. None if it cannot be told
    /// in bytes.
    fn store(&self) -> Option<Vec<u8>> {
        None
    }

    /// What was stored, also by another process, of guests of the same name. The bytes are
    /// the whole file, which nobody may change from now on. None if they are damaged.
    fn restore(&self, stored: &File) -> Option<Arc<dyn Guests>> {
        let _ = stored;
        None
    }
}

/// One sandbox, for one program. Dropping it leaves nothing behind.
pub trait Guest: Send {
    /// Reads the program, and runs nothing of it; at most once, before anything else. What
    /// [`Guest::save`] answers then opens sandboxes that need not read it.
    ///
    /// # Errors
    /// [`GuestError`] when it cannot be read within `bounds`.
    fn read<'a>(&'a mut self, bounds: &'a Grant) -> Pending<'a, Result<(), GuestError>> {
        let _ = bounds;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Loads the program without rights; at most once, before any call.
    ///
    /// # Errors
    /// [`GuestError`] when its top level fails or reaches a limit of `bounds`.
    fn declare<'a>(&'a mut self, bounds: &'a Grant) -> Pending<'a, Result<Declared, GuestError>>;

    /// Calls a function; the JSON text that it returned. Loads the program first,
    /// if that did not happen yet.
    ///
    /// After an error the sandbox is used no more. Dropping the future ends the guest
    /// at once; what it used can still be asked for.
    ///
    /// # Errors
    /// [`GuestError`], also when the guest did what `grant` denies and did not handle it.
    fn call<'a>(
        &'a mut self,
        function: &'a str,
        arguments: &'a str,
        grant: &'a Grant,
    ) -> Pending<'a, Result<String, GuestError>>;

    /// Runs code in the sandbox's session; the JSON text of its last expression.
    ///
    /// # Errors
    /// As [`Guest::call`]; the session lives on after an exception.
    fn evaluate<'a>(
        &'a mut self,
        code: &'a str,
        name: &'a str,
        grant: &'a Grant,
    ) -> Pending<'a, Result<String, GuestError>>;

    /// What opens sandboxes that are as this one is now, in which the program is read or loaded
    /// already; their use begins with what this one has used. None if that cannot be:
    /// another load could end in another state, or the state is large.
    fn save(&mut self) -> Option<Arc<dyn Guests>> {
        None
    }

    /// What it has used so far.
    fn usage(&self) -> Usage;
}

/// What a guest may touch and use in one call.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Work, counted in fuel.
    pub meter: Arc<Meter>,
    /// Linear memory.
    pub ram: ByteSize,
    /// Private files, in `/tmp`.
    pub disk: ByteSize,
    /// Files and folders of the host.
    pub files: Vec<Granted>,
    /// Hosts that may be reached.
    pub hosts: Vec<HostRule>,
    /// Bytes that may be received from them, in all.
    pub download: ByteSize,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
}

/// A file or folder that a guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// Where it is on the host; absolute.
    pub source: PathBuf,
    /// Where the guest sees it; absolute, normalised.
    pub destination: String,
    /// Whether it may be written.
    pub access: Access,
}

/// A guest's way out. Everything it may ask goes through here.
pub trait Outside: Send + Sync {
    /// The source of a module of the program, by its dotted name; the empty name is the
    /// program itself.
    fn source(&self, module: &str) -> Option<Source>;

    /// Output, as it comes; bounded by whoever implements this.
    fn output(&self, channel: Channel, bytes: &[u8]);

    /// Calls another function of the program, or `PROGRAM:FUNCTION` of another one of the
    /// run, in a sandbox of its own.
    fn call(
        &self,
        function: &str,
        arguments: String,
    ) -> Pending<'static, Result<String, GuestError>>;
}

/// Source text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// Where it is, as the user names it.
    pub path: String,
    /// Whether it is the `__init__` of a package.
    pub is_package: bool,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// Where output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What loading a program told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The functions that it declares, as JSON objects `{name, options, file, line}`.
    pub functions: String,
    /// The tasks of other programs that it says it calls, as JSON objects
    /// `{name, file, line}`, each name `PROGRAM:TASK`.
    pub uses: String,
    /// Whether the program, while it was loaded, looked for nothing that a grant could
    /// have given it: then the same sandbox may go on to make a call.
    pub is_pure: bool,
}

/// Why a guest did not return a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GuestError {
    /// It raised an exception, or its sandbox refused.
    Raised {
        /// The exception's type.
        kind: String,
        /// Its message.
        message: String,
        /// The guest's own traceback; may be empty.
        traceback: String,
    },
    /// A task that it called failed.
    Task {
        /// The exception's type, or Capsule's word.
        kind: String,
        /// Its message.
        message: String,
        /// Its own traceback; may be empty.
        traceback: String,
        /// What stands in the envelope.
        code: ErrorCode,
    },
    /// It used up its fuel, or that of a task above it.
    OutOfFuel,
    /// It had no memory left, where it could raise no exception.
    OutOfMemory,
    /// It ran longer than it may.
    TimedOut,
    /// It crashed: an engine trap. The text is for people.
    Crashed(String),
    /// The call did not happen, or its end is not known.
    Failed(Failure),
}

/// How a guest hears that a task failed which it called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The exception's type, or Capsule's word.
    pub kind: String,
    /// One sentence or more.
    pub message: String,
    /// The stable code, and from the next line on the traceback, if there is one.
    pub detail: String,
}

impl GuestError {
    /// The same, for the guest that made the call.
    pub fn told(self) -> Told {
        let own = |kind: &str, message: &str, code| {
            (kind.to_owned(), message.to_owned(), code, String::new())
        };
        let (kind, message, code, traceback) = match self {
            Self::Raised { kind, message, traceback } => {
                (kind, message, ErrorCode::Raised, traceback)
            }
            Self::Task { kind, message, traceback, code } => (kind, message, code, traceback),
            Self::OutOfFuel => {
                own("FuelExhausted", "it used up its compute budget", ErrorCode::FuelExhausted)
            }
            Self::OutOfMemory => {
                own("MemoryError", "it used up its memory", ErrorCode::MemoryLimit)
            }
            Self::TimedOut => own("Timeout", "it ran longer than its timeout", ErrorCode::TimedOut),
            Self::Crashed(text) => own("Crashed", &text, ErrorCode::Crashed),
            Self::Failed(failure) => {
                let is_policy = failure.code.blame() == Blame::Policy;
                own(if is_policy { "Denied" } else { "Refused" }, &failure.message, failure.code)
            }
        };
        let line = if traceback.is_empty() { "" } else { "\n" };
        Told { kind, message, detail: format!("{}{line}{traceback}", code.code()) }
    }
}

/// What a guest used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Fuel units, exactly.
    pub fuel: u64,
    /// The most linear memory it had, in bytes.
    pub ram: u64,
    /// The requests that it made.
    pub requests: Vec<Request>,
}

/// One request of a guest to a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET` and so on; `CONNECT` where the protocol is not HTTP.
    pub method: String,
    /// Where to.
    pub url: String,
    /// The status that came back.
    pub status: Option<u16>,
    /// Whether the policy let it pass.
    pub allowed: bool,
}

/// Counts work against a budget, and against the budgets above it.
#[derive(Debug)]
pub struct Meter {
    used: AtomicU64,
    budget: u64,
    above: Option<Arc<Meter>>,
    room: Arc<Room>,
}

impl Meter {
    /// A budget of its own, whose sandbox shares its room with nobody.
    pub fn new(budget: u64) -> Arc<Self> {
        Self::within(budget, &Room::new(usize::MAX))
    }

    /// A budget of its own, in the room of a run.
    pub fn within(budget: u64, room: &Arc<Room>) -> Arc<Self> {
        Arc::new(Self { used: AtomicU64::new(0), budget, above: None, room: room.clone() })
    }

    /// A budget within another: what is charged to it is charged to both.
    pub fn below(above: &Arc<Self>, budget: u64) -> Arc<Self> {
        let room = above.room.clone();
        Arc::new(Self { used: AtomicU64::new(0), budget, above: Some(above.clone()), room })
    }

    /// Where memory is, for all that is charged to the same budget.
    pub fn room(&self) -> &Arc<Room> {
        &self.room
    }

    /// What is left, here and in every budget above.
    pub fn left(&self) -> u64 {
        let here = self.budget.saturating_sub(self.used());
        self.above.as_ref().map_or(here, |above| here.min(above.left()))
    }

    /// What was charged.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Charges work that was done.
    pub fn charge(&self, units: u64) {
        self.used.fetch_add(units, Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.charge(units);
        }
    }

    /// Takes back what was charged too much.
    pub fn refund(&self, units: u64) {
        self.used.fetch_sub(units.min(self.used()), Ordering::Relaxed);
        if let Some(above) = &self.above {
            above.refund(units);
        }
    }
}

/// Memory of the host that all sandboxes of one run share: each has a limit of its own,
/// and a program that may call tasks has as many as it likes.
#[derive(Debug)]
pub struct Room {
    taken: AtomicUsize,
    most: usize,
}

impl Room {
    /// So many bytes.
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { taken: AtomicUsize::new(0), most })
    }

    /// Takes some of it until the answer is dropped; None if there is not enough.
    pub fn take(this: &Arc<Self>, bytes: usize) -> Option<Taken> {
        let mut taken = Taken { room: this.clone(), bytes: 0 };
        taken.more(bytes).then_some(taken)
    }
}

/// A part of a [`Room`].
#[derive(Debug)]
pub struct Taken {
    room: Arc<Room>,
    bytes: usize,
}

impl Taken {
    /// Whether there was so much more; nothing is taken if not.
    pub fn more(&mut self, bytes: usize) -> bool {
        let most = self.room.most;
        let add = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= most);
        let added = self.room.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        self.bytes += if added { bytes } else { 0 };
        added
    }

    /// Whether it is a part of this one.
    pub fn is_of(&self, room: &Arc<Room>) -> bool {
        Arc::ptr_eq(&self.room, room)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_uses_its_parents_budget() {
        let parent = Meter::new(100);
        let child = Meter::below(&parent, 1000);
        assert_eq!(child.left(), 100);
        child.charge(30);
        assert_eq!((parent.used(), parent.left(), child.left()), (30, 70, 70));
        let sibling = Meter::below(&parent, 10);
        sibling.charge(20);
        assert_eq!((sibling.left(), child.left()), (0, 50));
        child.refund(10);
        assert_eq!(parent.used(), 40);
    }

    #[test]
    fn all_calls_of_a_run_share_one_room() {
        let room = Room::new(100);
        let parent = Meter::within(1, &room);
        let child = Meter::below(&parent, 1);
        let mut own = Room::take(parent.room(), 60).unwrap();
        let other = Room::take(child.room(), 30).unwrap();
        assert!(!own.more(11) && !own.more(usize::MAX) && own.more(10));
        assert!(Room::take(&room, 1).is_none());
        drop(other);
        assert!(Room::take(&room, 30).is_some());
        drop(own);
        assert!(Room::take(&room, 100).is_some());
    }
}
