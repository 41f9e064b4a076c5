//! What PID 1 starts, with everything prepared before the clone.

use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::RawFd;
use std::ptr;

use crate::sys;

/// A command, ready to be executed without an allocation.
pub struct Command<'a> {
    candidates: Vec<CString>,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    working_directory: &'a CStr,
    stdio: [RawFd; 3],
    channel: Option<RawFd>,
    confine: &'a dyn Fn() -> io::Result<()>,
}

/// The number of the descriptor that a command gets beside its three streams, if any.
pub const CHANNEL: RawFd = 3;

/// Where the way to the command's first instruction broke off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StartStep {
    Clone,
    WorkingDirectory,
    Confine,
    Execute,
}

impl<'a> Command<'a> {
    /// Prepares a command. `argv` must not be empty; a name without `/` is
    /// looked up in the `PATH` of `environment`, as execvp(3) does. `confine`
    /// runs last before execve(2), so it may forbid everything else.
    pub fn new(
        argv: &'a [CString],
        environment: &'a [CString],
        working_directory: &'a CStr,
        stdio: [RawFd; 3],
        confine: &'a dyn Fn() -> io::Result<()>,
    ) -> Self {
        let pointers = |strings: &'a [CString]| {
            strings.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect()
        };
        Self {
            candidates: candidates(&argv[0], environment),
            argv: pointers(argv),
            envp: pointers(environment),
            working_directory,
            stdio,
            channel: None,
            confine,
        }
    }

    /// Gives the command one more descriptor, under the number [`CHANNEL`].
    #[must_use]
    pub fn with_channel(self, channel: Option<RawFd>) -> Self {
        Self { channel, ..self }
    }

    /// For PID 1, once the command has its own: whoever holds the other end shall see
    /// when the command lets go of this one.
    pub(crate) fn close_channel(&self) {
        if let Some(channel) = self.channel {
            sys::close(channel);
        }
    }

    /// Becomes the command; returns only when that fails.
    ///
    /// Runs in a child that shares this process's memory, so it must not change any.
    pub(crate) fn execute(&self) -> (StartStep, i32) {
        sys::new_session();
        sys::reset_signals();
        for (target, fd) in (0..).zip(self.stdio) {
            sys::duplicate(fd, target);
        }
        if let Err(errno) = sys::change_directory(self.working_directory) {
            return (StartStep::WorkingDirectory, errno);
        }
        // Nothing of this process may reach the command but its three streams, and the
        // channel where there is one.
        let mut first = 3;
        if let Some(channel) = self.channel {
            sys::duplicate(channel, CHANNEL);
            sys::keep_across_execute(CHANNEL);
            first = 4;
        }
        sys::close_from(first);
        if let Err(error) = (self.confine)() {
            return (StartStep::Confine, error.raw_os_error().unwrap_or(libc::EPERM));
        }
        let mut denied = None;
        let mut last = libc::ENOENT;
        for candidate in &self.candidates {
            last = sys::execve(candidate, &self.argv, &self.envp);
            match last {
                libc::EACCES => denied = Some(last),
                libc::ENOENT | libc::ENOTDIR => {}
                _ => return (StartStep::Execute, last),
            }
        }
        (StartStep::Execute, denied.unwrap_or(last))
    }
}

fn candidates(name: &CStr, environment: &[CString]) -> Vec<CString> {
    let name = name.to_bytes();
    if name.contains(&b'/') {
        return CString::new(name).into_iter().collect();
    }
    let path = environment.iter().find_map(|variable| variable.to_bytes().strip_prefix(b"PATH="));
    path.unwrap_or_default()
        .split(|byte| *byte == b':')
        .filter_map(|directory| {
            let directory = if directory.is_empty() { b"." } else { directory };
            CString::new([directory, b"/", name].concat()).ok()
        })
        .collect()
}
