//! What a server and the relay in a distant sandbox say to each other: JSON with a number, and
//! bytes beside it. Only the server asks; every question has one answer at most, so whoever is
//! inside can make the server hold no more than it asked for.

use capsule_backend::guest::Channel;
use capsule_backend::sandbox::{Change, Ended, Entry, Notice, OpenMode, TerminalSize};
use capsule_spec::Failure;
use serde::{Deserialize, Serialize};

/// Changes with the meaning of any word.
pub(super) const VERSION: u64 = 1;
/// The most bytes beside the words.
pub(super) const BYTES: usize = 1 << 20;
/// The most entries of a directory in one answer.
pub(super) const ENTRIES: usize = 1000;

/// What the server asks. A handle is what `Opened` gave.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    /// The first word of a server, which makes it the only one: what an earlier one had open is
    /// closed. Processes go on.
    Greet {
        version: u64,
        terms: Terms,
    },
    /// Nothing, so that the lease goes on. Not answered.
    Alive,
    /// All processes that are not forgotten.
    Processes,
    /// Starts one. Bytes: working directory, arguments and variables, each with a NUL.
    Spawn {
        terminal: Option<TerminalSize>,
        arguments: usize,
        variables: usize,
    },
    /// The next piece of output; `heard` is the number of the last one that was heard.
    Output {
        process: u64,
        heard: u64,
    },
    /// Bytes for its input. Answered when they are written.
    Input {
        process: u64,
    },
    CloseInput {
        process: u64,
    },
    Signal {
        process: u64,
        signal: i32,
        tree: bool,
    },
    Resize {
        process: u64,
        size: TerminalSize,
    },
    /// Answered when it has ended.
    Wait {
        process: u64,
    },
    Forget {
        process: u64,
    },
    KillAll,
    SignalAll {
        signal: i32,
    },
    Open {
        path: String,
        mode: OpenMode,
    },
    Read {
        file: u64,
        most: usize,
    },
    Skip {
        file: u64,
        bytes: u64,
    },
    Write {
        file: u64,
    },
    Finish {
        file: u64,
    },
    /// A file, list, watch or visitor. Not answered.
    Close {
        handle: u64,
    },
    List {
        path: String,
        limit: usize,
    },
    /// At most [`ENTRIES`] more; none at the end.
    Entries {
        list: u64,
    },
    Stat {
        path: String,
    },
    Change {
        change: Change,
    },
    Watch {
        path: String,
        recursive: bool,
    },
    Notices {
        watch: u64,
    },
    Usage,
    /// Opens the door's listener.
    OpenDoor {
        port: u16,
    },
    /// Closes it, and every visitor.
    CloseDoor,
    /// The next one who knocks.
    Accept,
    Hear {
        visitor: u64,
    },
    Say {
        visitor: u64,
    },
    /// Nothing more is said to them.
    Hush {
        visitor: u64,
    },
}

/// What a sandbox goes by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Terms {
    /// Milliseconds without a word from a server.
    pub(super) lease: u64,
    pub(super) open_files: u64,
    /// The most processes at one time.
    pub(super) processes: u64,
    pub(super) is_strict: bool,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Tell {
    Done,
    Failed(Failure),
    /// The start of a program broke off: `Broken`, and errno.
    Refused {
        broken: u64,
        errno: i32,
    },
    Welcome {
        version: u64,
    },
    Process(Known),
    Processes(Vec<Known>),
    /// Its number, and whose it is; bytes beside it. None: there will be no more.
    Piece(Option<(u64, Stream)>),
    Ended(Ended),
    Opened {
        handle: u64,
        entry: Option<Entry>,
    },
    /// Bytes beside it; none at the end.
    Bytes,
    Entries(Vec<Entry>),
    /// None: there will be no more.
    Notices(Option<Vec<Notice>>),
    Usage {
        processes: u64,
        disk: Option<u64>,
    },
}

/// A process, as a server finds it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Known {
    pub(super) number: u64,
    pub(super) is_terminal: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Stream {
    Output,
    Errors,
}

impl From<Channel> for Stream {
    fn from(channel: Channel) -> Self {
        match channel {
            Channel::Stdout => Self::Output,
            Channel::Stderr => Self::Errors,
        }
    }
}

impl From<Stream> for Channel {
    fn from(stream: Stream) -> Self {
        match stream {
            Stream::Output => Self::Stdout,
            Stream::Errors => Self::Stderr,
        }
    }
}
