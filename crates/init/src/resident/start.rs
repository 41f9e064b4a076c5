//! From a message to a program that runs: the last steps before execve.

use std::sync::atomic::Ordering::SeqCst;

use super::table::{Area, Slot};
use super::wire::{Broken, HEAD_BYTES, Head, PATH_BYTES, STRINGS};
use super::{Shared, sys};

/// The strings of a Spawn.
pub(super) struct Program<'a> {
    pub(super) directory: &'a [u8],
    /// Address of a list that ends with null.
    argv: usize,
    envp: usize,
    name: &'a [u8],
    path: &'a [u8],
}

impl<'a> Program<'a> {
    /// Reads the message, and writes the lists of pointers that the kernel wants.
    pub(super) fn read(area: Area, message_bytes: usize) -> Option<Self> {
        let message: &'a [u8] = sys::bytes(area.message(), message_bytes)?;
        let (head, _) = Head::decode(message)?;
        let [_, _, _, arguments, variables, _] = head.words;
        let (arguments, variables) =
            (usize::try_from(arguments).ok()?, usize::try_from(variables).ok()?);
        if arguments == 0 || arguments.checked_add(variables)? > STRINGS {
            return None;
        }
        let list = sys::words(area.pointers(), STRINGS + 4)?;
        let mut at = HEAD_BYTES;
        let mut next = || -> Option<&'a [u8]> {
            let rest = message.get(at..)?;
            let end = rest.iter().position(|byte| *byte == 0)?;
            at += end + 1;
            rest.get(..=end)
        };
        let directory = next()?;
        let (mut name, mut path): (&[u8], &[u8]) = (&[], &[]);
        for index in 0..arguments {
            let text = next()?;
            if index == 0 {
                name = text;
            }
            *list.get_mut(index)? = text.as_ptr() as usize;
        }
        *list.get_mut(arguments)? = 0;
        for index in 0..variables {
            let text = next()?;
            if let Some(value) = text.strip_prefix(b"PATH=") {
                path = value;
            }
            *list.get_mut(arguments + 1 + index)? = text.as_ptr() as usize;
        }
        *list.get_mut(arguments + 1 + variables)? = 0;
        let argv = area.pointers();
        let envp = argv + (arguments + 1) * size_of::<usize>();
        (at == message_bytes && name.len() > 1).then_some(Self {
            directory,
            argv,
            envp,
            name,
            path,
        })
    }

    /// Executes the program, found as execvp(3) does; returns when that fails.
    fn execute(&self, area: Area) -> i32 {
        if self.name.contains(&b'/') {
            return sys::execute(self.name, self.argv, self.envp);
        }
        let (scratch, _) = area.scratch();
        let Some(candidate) = sys::bytes(scratch, PATH_BYTES) else { return libc::ENOMEM };
        let (mut last, mut denied) = (libc::ENOENT, None);
        let path = self.path.strip_suffix(&[0]).unwrap_or(self.path);
        for directory in path.split(|byte| *byte == b':') {
            let directory = if directory.is_empty() { b"." } else { directory };
            let parts = [directory, b"/", self.name];
            let mut at = 0;
            for part in parts {
                let Some(place) = candidate.get_mut(at..at + part.len()) else { break };
                place.copy_from_slice(part);
                at += part.len();
            }
            if at != directory.len() + 1 + self.name.len() {
                continue;
            }
            last = sys::execute(candidate, self.argv, self.envp);
            match last {
                libc::EACCES => denied = Some(last),
                libc::ENOENT | libc::ENOTDIR => {}
                _ => return last,
            }
        }
        denied.unwrap_or(last)
    }
}

/// Becomes the program of a slot; returns only when that fails, having said why.
///
/// Runs in a child that shares PID 1's memory, while its maker, the keeper, waits.
pub(super) fn become_program(slot: &Slot, shared: &Shared) {
    let failed = |broken: Broken, errno: i32| {
        slot.errno.store(errno, SeqCst);
        slot.broken.store(broken.number(), SeqCst);
    };
    let area = Area(slot.area.load(SeqCst));
    let Some(program) = Program::read(area, slot.message_bytes.load(SeqCst)) else {
        return failed(Broken::Malformed, libc::EINVAL);
    };
    sys::new_session();
    for (number, inner) in (0..).zip(&slot.inner) {
        sys::as_stream(inner.load(SeqCst), number);
    }
    if slot.is_terminal.load(SeqCst) != 0 {
        sys::take_terminal(0);
    }
    crate::sys::reset_signals();
    if let Err(errno) = sys::change_directory(program.directory) {
        return failed(Broken::WorkingDirectory, errno);
    }
    sys::close_from(3);
    sys::limit_files(shared.open_files);
    if let Some(user) = shared.user
        && let Err(errno) = sys::become_for_good(user)
    {
        return failed(Broken::Confine, errno);
    }
    if let Err(error) = (shared.confine)() {
        return failed(Broken::Confine, error.raw_os_error().unwrap_or(libc::EPERM));
    }
    failed(Broken::Execute, program.execute(area));
}
