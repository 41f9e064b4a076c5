//! Sandboxes: places that live on, with files and processes of their own.
//!
//! ```text
//!  Sandboxes::create ──▶ Sandbox ── spawn ──▶ Process ── output, input, signal ──▶ Ended
//!        ▲                 │ open, list, move, remove: as a user inside would
//!        │                 └ pause, resume, usage, end
//!  adopt: a new server finds what the last one left
//! ```
//!
//! Who holds a [`Sandbox`] or a [`Process`] holds a handle: dropping it ends nothing. What
//! ends a sandbox is [`Sandbox::end`], and what ends those that nobody remembers is
//! [`Sandboxes::sweep`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use capsule_spec::{
    Access, ByteSize, ErrorCode, Failure, GuestPath, Limits, Network, Policy, Wall, WallStatus,
};
use serde::{Deserialize, Serialize};

use crate::Capabilities;
use crate::guest::{Channel, Pending};

/// A kind of sandboxes.
pub trait Sandboxes: Send + Sync {
    /// What it is called: `jail`, `docker`.
    fn name(&self) -> &'static str;

    /// What this host allows, found out by trying.
    fn capabilities(&self) -> Capabilities;

    /// A new sandbox. `name` is the server's: letters, digits and `-`, unique on this host.
    ///
    /// Every limit and every denial of the recipe holds, or the sandbox is refused, or
    /// [`Sandbox::weaker`] says which wall stands less than fully; a wall in
    /// [`Recipe::require`] that would stand less than fully refuses it.
    ///
    /// # Errors
    /// When it cannot be built; nothing of it is left then.
    fn create<'a>(&'a self, name: &'a str, recipe: &'a Recipe) -> Pending<'a, Made>;

    /// The sandbox of this name that an earlier process made, if it still lives.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn adopt<'a>(&'a self, name: &'a str)
    -> Pending<'a, Result<Option<Arc<dyn Sandbox>>, Failure>>;

    /// Ends every sandbox of this kind, made with the same state folder, that `keep` does
    /// not name, and removes all that is left of it. Says how many there were.
    ///
    /// # Errors
    /// When something could not be removed.
    fn sweep<'a>(&'a self, keep: &'a [String]) -> Pending<'a, Result<usize, Failure>>;

    /// Where files are that outlive sandboxes; none if this kind has no such place, and then
    /// a recipe that names one is refused.
    fn volumes(&self) -> Option<&dyn Volumes> {
        None
    }
}

/// Files that outlive sandboxes. What a volume holds is never more than its size, of bytes
/// and of names, however many sandboxes write to it.
pub trait Volumes: Send + Sync {
    /// Makes an empty one. `name` is the server's, as that of a sandbox.
    ///
    /// # Errors
    /// The host cannot enforce the size (`VolumesUnavailable`), or has no room; nothing is
    /// left then.
    fn create<'a>(&'a self, name: &'a str, size: ByteSize) -> Pending<'a, Result<(), Failure>>;

    /// Bytes of the host that it takes.
    ///
    /// # Errors
    /// When that cannot be found out.
    fn used<'a>(&'a self, name: &'a str) -> Pending<'a, Result<u64, Failure>>;

    /// Removes one that no sandbox has, with all that it holds.
    ///
    /// # Errors
    /// When it could not be removed.
    fn remove<'a>(&'a self, name: &'a str) -> Pending<'a, Result<(), Failure>>;

    /// Removes every one that `keep` does not name, and what is half-made. Says how many
    /// there were.
    ///
    /// # Errors
    /// When something could not be removed.
    fn sweep<'a>(&'a self, keep: &'a [String]) -> Pending<'a, Result<usize, Failure>>;
}

/// A volume in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeMount {
    /// Its name, as in [`Volumes::create`].
    pub volume: String,
    /// Where it is inside; the directory is made, if it is not below one of the root's.
    pub destination: GuestPath,
    /// Whether the sandbox may write.
    pub access: Access,
}

/// What [`Sandboxes::create`] answers.
pub type Made = Result<Arc<dyn Sandbox>, Failure>;

/// What a sandbox is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// What its processes find at `/`.
    pub root: Root,
    /// Of all processes of the sandbox together.
    pub limits: Limits,
    /// Mounts, network, environment, system calls.
    pub policy: Policy,
    /// Walls without which it is not to be.
    pub require: Vec<Wall>,
    /// Files that outlive it.
    pub volumes: Vec<VolumeMount>,
}

/// A root file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The host's system directories, read-only, and its toolchains.
    Host,
    /// A directory of the host, read-only or copied on write.
    Directory(PathBuf),
    /// An image that the backend knows by this name.
    Image(String),
}

/// A sandbox that lives.
pub trait Sandbox: Send + Sync {
    /// Walls that stand less than fully.
    fn weaker(&self) -> Vec<WallStatus>;

    /// Starts a process.
    ///
    /// # Errors
    /// A program that is not there, cannot be executed, or a working directory that is
    /// not there, each with a code of its own; a sandbox that has ended.
    fn spawn<'a>(&'a self, program: &'a Program) -> Pending<'a, Result<Arc<dyn Process>, Failure>>;

    /// Processes that were started here and whose end nobody has been told yet, also
    /// by an earlier server.
    fn processes(&self) -> Pending<'_, Result<Vec<Arc<dyn Process>>, Failure>>;

    /// Opens a file as a process inside would: the sandbox's own root, links and rights.
    ///
    /// # Errors
    /// As from open(2): not there, a directory, not allowed, no space. Never blocks on a
    /// file that is not regular: those are refused.
    fn open<'a>(
        &'a self,
        path: &'a str,
        mode: OpenMode,
    ) -> Pending<'a, Result<Box<dyn SandboxFile>, Failure>>;

    /// What a directory holds, without `.` and `..`, in no order; at most `limit` entries.
    ///
    /// # Errors
    /// Not there, not a directory, not allowed; more than `limit`.
    fn list<'a>(&'a self, path: &'a str, limit: usize) -> Pending<'a, Result<Vec<Entry>, Failure>>;

    /// What a path is; links are not followed.
    ///
    /// # Errors
    /// Not there, not allowed.
    fn stat<'a>(&'a self, path: &'a str) -> Pending<'a, Result<Entry, Failure>>;

    /// Changes names in the file system.
    ///
    /// # Errors
    /// As from the system calls.
    fn change<'a>(&'a self, change: &'a Change) -> Pending<'a, Result<(), Failure>>;

    /// Tells what changes in a directory from now on, or, `recursive`, also below it: as far
    /// as a process inside sees it, and never more than is listened to.
    ///
    /// # Errors
    /// Not there, not a directory, not allowed; this kind of sandbox cannot tell.
    fn watch<'a>(
        &'a self,
        path: &'a str,
        recursive: bool,
    ) -> Pending<'a, Result<Box<dyn Notices>, Failure>> {
        let _ = (path, recursive);
        let message = "changes of files cannot be told in this kind of sandbox";
        Box::pin(async move { Err(Failure::new(ErrorCode::ConflictingOptions, message)) })
    }

    /// Ends every process in it, also those that programs left behind.
    ///
    /// # Errors
    /// It has ended, or is paused.
    fn kill_all(&self) -> Pending<'_, Result<(), Failure>>;

    /// Stops all its processes where they are, or lets them go on. Its private files can be
    /// listed, told about and read while they stand still.
    ///
    /// # Errors
    /// When the host has no way to.
    fn freeze(&self, frozen: bool) -> Pending<'_, Result<(), Failure>>;

    /// Replaces its network policy: denied, or hosts. It holds for connections made
    /// from then on; those of the old policy are cut.
    ///
    /// # Errors
    /// A change from or to the open network, which is settled when the sandbox is made
    /// (`ConflictingOptions`); no way out to be had; it has ended.
    fn set_network<'a>(&'a self, network: &'a Network) -> Pending<'a, Result<(), Failure>>;

    /// What it uses.
    ///
    /// # Errors
    /// When it has ended.
    fn usage(&self) -> Pending<'_, Result<SandboxUsage, Failure>>;

    /// Answers when the sandbox has ended, by itself or because it was ended.
    fn ended(&self) -> Pending<'_, ()>;

    /// Ends every process and removes every trace. Answers when nothing is left.
    ///
    /// # Errors
    /// When something could not be removed.
    fn end(&self) -> Pending<'_, Result<(), Failure>>;
}

/// A process to start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// Name and arguments. A name without `/` is looked for in the sandbox's PATH.
    pub command: Vec<String>,
    /// Absolute, inside.
    pub working_directory: String,
    /// Over the recipe's.
    pub environment: BTreeMap<String, String>,
    /// None: three pipes. Else a terminal of this size, and one stream.
    pub terminal: Option<TerminalSize>,
}

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct TerminalSize {
    pub columns: u16,
    pub rows: u16,
}

/// A process that was started from outside. All that it starts belongs to it, however
/// often it forks and calls setsid, until it has ended; what it leaves behind then lives
/// on in the sandbox.
pub trait Process: Send + Sync {
    /// Unique within the sandbox, never used again.
    fn number(&self) -> u64;

    /// The next piece of output, as it comes; none when both streams are closed by
    /// all who hold them or the process has ended and nothing is left to read. A reader
    /// that is dropped loses nothing. One reader at a time.
    fn output(&self) -> Pending<'_, Option<(Channel, Vec<u8>)>>;

    /// Writes to its standard input or terminal; answers when all is written, or that
    /// nobody reads any more.
    ///
    /// # Errors
    /// The input is closed.
    fn input<'a>(&'a self, bytes: &'a [u8]) -> Pending<'a, Result<(), Failure>>;

    /// Closes its standard input.
    fn close_input(&self);

    /// Sends a signal to the process, or to it and all that belongs to it.
    ///
    /// # Errors
    /// It has ended.
    fn signal(&self, signal: i32, reach: Reach) -> Pending<'_, Result<(), Failure>>;

    /// Changes the size of its terminal.
    ///
    /// # Errors
    /// It has none.
    fn resize(&self, size: TerminalSize) -> Pending<'_, Result<(), Failure>>;

    /// Answers when the process itself has ended, as often as asked.
    fn ended(&self) -> Pending<'_, Ended>;
}

/// Whom a signal reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// The process that was started.
    Process,
    /// It and all that belongs to it. With SIGKILL: when the answer comes, none is left.
    Tree,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Exit code, or 128 + signal.
    pub exit_code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// From start to end.
    pub duration: Duration,
    /// Processor time of it and its children that were waited for.
    pub processor: Duration,
    /// The sandbox's memory limit ended it or a process of its tree.
    pub out_of_memory: bool,
}

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OpenMode {
    /// For reading.
    Read,
    /// For writing, from the start of an empty file with these permission bits. It
    /// appears under its name at once, or, when the backend can, when it is complete.
    Write {
        /// Permission bits of a file that is made.
        mode: u32,
    },
}

/// An open file of a sandbox.
pub trait SandboxFile: Send {
    /// What it is.
    fn entry(&self) -> Entry;

    /// The next bytes, at most `most`; none at the end.
    ///
    /// # Errors
    /// As from read(2).
    fn read(&mut self, most: usize) -> Pending<'_, Result<Vec<u8>, Failure>>;

    /// Passes over the next bytes of a file that is read.
    ///
    /// # Errors
    /// As from read(2).
    fn skip(&mut self, bytes: u64) -> Pending<'_, Result<(), Failure>> {
        const PIECE: u64 = 256 << 10;
        Box::pin(async move {
            let mut left = bytes;
            while left > 0 {
                let read = self.read(usize::try_from(left.min(PIECE)).unwrap_or(1)).await?;
                if read.is_empty() {
                    break;
                }
                left -= read.len() as u64;
            }
            Ok(())
        })
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// No space.
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> Pending<'a, Result<(), Failure>>;

    /// Answers when what was written is in its place.
    ///
    /// # Errors
    /// No space.
    fn finish(self: Box<Self>) -> Pending<'static, Result<(), Failure>>;
}

/// A name in a file system, and what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The last part of the path. What is not UTF-8 is shown with U+FFFD.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Last change.
    pub modified: SystemTime,
    /// Where a symbolic link points.
    pub target: Option<String>,
}

/// Kinds of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum EntryKind {
    File,
    Directory,
    Link,
    Other,
}

/// Changes of files, as they happen. Dropped, nobody listens any more.
pub trait Notices: Send {
    /// What happened since; none when the directory or the sandbox is gone.
    fn next(&mut self) -> Pending<'_, Option<Vec<Notice>>>;
}

/// A change of a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Notice {
    /// Something happened to the file of this path.
    File {
        /// What.
        kind: NoticeKind,
        /// Absolute, inside. What is not UTF-8 is shown with U+FFFD.
        path: String,
        /// Whether it is a directory.
        is_directory: bool,
    },
    /// More happened than could be told: whoever wants to know has to look.
    Lost,
}

/// What happened to a file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum NoticeKind {
    Created,
    Modified,
    Removed,
    /// Its new path.
    Moved(String),
}

/// A change of names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A directory, and those above it.
    MakeDirectory(String),
    /// A symbolic link.
    Link {
        /// Where it is; nothing may be there.
        path: String,
        /// Where it points to, as it stands; nothing needs to be there.
        target: String,
    },
    /// A file or directory gets another name.
    Move {
        /// What it is called.
        from: String,
        /// What it is to be called; replaced if it is a file.
        to: String,
    },
    /// A file, an empty directory, or with `recursive` all below it.
    Remove {
        /// What to remove.
        path: String,
        /// Whether a directory goes with all that it holds.
        recursive: bool,
    },
}

/// What a sandbox uses now, or has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SandboxUsage {
    /// Processor time since it was made; none where the host does not count it.
    pub processor: Option<Duration>,
    /// Bytes of memory now, private files included.
    pub memory: Option<u64>,
    /// Most of it at once.
    pub peak_memory: Option<u64>,
    /// Processes now.
    pub processes: Option<u64>,
    /// Bytes of private files.
    pub disk: Option<u64>,
    /// Bytes read and written by system calls.
    pub io: Option<(u64, u64)>,
}
