//! What a server and a resident PID 1 say to each other: one datagram each, bounded,
//! with a head of fixed layout and bytes behind it.
//!
//! The two may be of different builds: after an update a new server finds sandboxes of
//! the old one. So [`Kind::Hello`] carries [`VERSION`], and both refuse another one.

/// Changes with the layout or the meaning of any message.
pub const VERSION: u64 = 2;
/// The bytes of a head.
pub const HEAD_BYTES: usize = 64;
/// The most bytes of a message: head, program, variables, paths.
pub const MESSAGE_BYTES: usize = 160 * 1024;
/// The most strings of a program: arguments and variables together.
pub const STRINGS: usize = 8192;
/// The most bytes of a path with its NUL, as the kernel has it (PATH_MAX).
pub const PATH_BYTES: usize = 4096;
/// The most processes whose end nobody has been told yet.
pub const PROCESSES: usize = 128;
/// The most changes of files and look-ups at one time.
pub const JOBS: usize = 32;

macro_rules! kinds {
    ($($name:ident = $number:literal, $what:literal;)*) => {
        /// What a message is about.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind {
            $(#[doc = $what] $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            fn number(self) -> u64 {
                match self { $(Self::$name => $number),* }
            }

            fn of(number: u64) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    // What the server asks. Words are numbered from 0.
    Hello = 1, "0: version. Answered by Done with the version in word 1.";
    List = 2, "Answered by a Process for each that is not forgotten, then Done.";
    Spawn = 3, "0: 1 for a terminal, 1: columns, 2: rows, 3: count of arguments, 4: of variables. Bytes: working directory, arguments, variables. Answered by Process, or Refused.";
    Signal = 4, "0: process, 1: signal, 2: 1 for its tree. SIGKILL to a tree is answered when none is left.";
    CloseInput = 5, "0: process.";
    Forget = 6, "0: process. Its streams are let go; not answered.";
    KillAll = 7, "Ends every process. Answered when none is left.";
    SignalAll = 8, "0: signal, to every process but PID 1.";
    KeepFreezer = 9, "A descriptor: what to write THAWED to when the lease is over, as who stands still cannot end.";
    Look = 10, "0: 1 for a directory to be listed. Bytes: path. Answered by Done with a descriptor.";
    Read = 11, "Bytes: path. Answered by Done with a descriptor.";
    Write = 12, "0: mode. Bytes: path. Answered by Done with a descriptor and, in word 1, 1 when it must be put in its place.";
    Place = 13, "A descriptor. Bytes: path. Puts the file of a Write in its place.";
    MakeDirectory = 14, "Bytes: path.";
    Move = 15, "Bytes: two paths.";
    Remove = 16, "0: 1 to remove what is below, too. Bytes: path.";
    Link = 17, "Bytes: path, and what a symbolic link there is to hold.";
    Notify = 18, "Answered by Done with a descriptor of inotify, on the sandbox's own account.";
    OpenDoor = 20, "0: port. Answered by Done with a listener on loopback.";
    // What PID 1 answers and tells.
    Done = 30, "0: errno, or 0. 1: see the question.";
    Process = 31, "0: number, 1: state (0 runs, 1 ended), 2: wait status, 3: nanoseconds, 4: of processor, 5: 1 for a terminal. Descriptors: input (if open), output, errors; or the terminal.";
    Refused = 32, "0: step of the start (StartStep), 1: errno.";
    Ended = 33, "0: number, 2 to 4 as in Process. Not an answer.";
}

/// Where the start of a process broke off, as a number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// No process, pipe or terminal was to be had.
    Resources,
    /// The working directory.
    WorkingDirectory,
    /// The system call filter.
    Confine,
    /// The program.
    Execute,
    /// The request makes no sense.
    Malformed,
}

impl Broken {
    const ALL: [Self; 5] =
        [Self::Resources, Self::WorkingDirectory, Self::Confine, Self::Execute, Self::Malformed];

    /// The number on the wire.
    pub fn number(self) -> u64 {
        Self::ALL.iter().position(|broken| *broken == self).unwrap_or(0) as u64
    }

    /// From the wire.
    pub fn of(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

/// The head of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// What it is about.
    pub kind: Kind,
    /// An answer carries that of its question; 0 is no answer.
    pub serial: u64,
    /// By kind.
    pub words: [u64; 6],
}

impl Head {
    /// A head whose first words are `words`.
    pub fn new(kind: Kind, serial: u64, words: &[u64]) -> Self {
        let mut all = [0; 6];
        for (place, word) in all.iter_mut().zip(words) {
            *place = *word;
        }
        Self { kind, serial, words: all }
    }

    /// The bytes. Numbers are in native byte order: both ends are on one machine.
    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        let head = [self.kind.number(), self.serial];
        let words = head.iter().chain(self.words.iter());
        for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }

    /// Reads a message: its head and what stands behind it.
    pub fn decode(message: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = message.split_at_checked(HEAD_BYTES)?;
        let mut numbers = [0u64; HEAD_BYTES / 8];
        for (number, place) in numbers.iter_mut().zip(head.chunks_exact(8)) {
            *number = u64::from_ne_bytes(place.try_into().ok()?);
        }
        let [kind, serial, words @ ..] = numbers;
        Some((Self { kind: Kind::of(kind)?, serial, words }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_survive_the_way() {
        for kind in Kind::ALL {
            let head = Head::new(*kind, u64::MAX, &[1, 2, 3, 4, 5, 6]);
            let mut message = head.encode().to_vec();
            message.extend_from_slice(b"more");
            assert_eq!(Head::decode(&message), Some((head, &b"more"[..])));
        }
        assert_eq!(Head::decode(&[0; HEAD_BYTES]), None);
        assert_eq!(Head::decode(&[1; HEAD_BYTES - 1]), None);
        for broken in Broken::ALL {
            assert_eq!(Broken::of(broken.number()), Some(broken));
        }
        assert_eq!(Broken::of(99), None);
    }
}
