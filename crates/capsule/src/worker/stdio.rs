//! The two ends of the protocol, out of everybody's reach: what prints to descriptor 1,
//! or reads from 0, meets `/dev/null`.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Pid, PidfdFlags};

/// The protocol's streams, and the process that they belong to.
pub(super) struct Caller {
    pub(super) input: File,
    output: File,
    /// None where the kernel cannot watch it; then the end of the input has to tell.
    parent: Option<OwnedFd>,
}

/// What there is to do.
pub(super) enum Call {
    /// Something came in, or the input ended.
    Input,
    /// Nobody is there any more.
    Gone,
}

impl Caller {
    /// Takes the process's standard streams away from it.
    pub(super) fn take() -> io::Result<Self> {
        const FIRST_OF_OURS: i32 = 3;
        let input = fcntl_dupfd_cloexec(io::stdin().as_fd(), FIRST_OF_OURS)?;
        let output = fcntl_dupfd_cloexec(io::stdout().as_fd(), FIRST_OF_OURS)?;
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdin(&null)?;
        rustix::stdio::dup2_stdout(&null)?;
        // A signal at the parent's death would come when the thread that started us ends.
        let parent = rustix::process::getppid();
        let parent = parent
            .and_then(|parent: Pid| rustix::process::pidfd_open(parent, PidfdFlags::empty()).ok());
        Ok(Self { input: input.into(), output: output.into(), parent })
    }

    /// The way out, for whoever writes to it.
    pub(super) fn output(&self) -> io::Result<File> {
        self.output.try_clone()
    }

    /// Waits until the caller does something.
    pub(super) fn wait(&self) -> io::Result<Call> {
        loop {
            let mut watched = vec![
                PollFd::new(&self.input, PollFlags::IN),
                // An error there means that nobody reads any more.
                PollFd::new(&self.output, PollFlags::empty()),
            ];
            watched.extend(self.parent.iter().map(|parent| PollFd::new(parent, PollFlags::IN)));
            match rustix::event::poll(&mut watched, None) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let happened: Vec<PollFlags> = watched.iter().map(PollFd::revents).collect();
            let is_unread = happened[1].intersects(PollFlags::ERR | PollFlags::NVAL);
            let is_orphan = happened.get(2).is_some_and(|flags| !flags.is_empty());
            if is_unread || is_orphan {
                return Ok(Call::Gone);
            }
            if !happened[0].is_empty() {
                return Ok(Call::Input);
            }
        }
    }
}
