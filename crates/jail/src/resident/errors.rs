//! What went wrong inside, in words for outside.

use std::io;

use capsule_init::resident::wire::Broken;
use capsule_spec::{ErrorCode, Failure};

use crate::supervisor;

/// The sandbox is not there any more.
pub(super) fn ended() -> Failure {
    Failure::new(ErrorCode::SandboxEnded, "the sandbox has ended")
}

pub(super) fn process_ended() -> Failure {
    Failure::new(ErrorCode::ProcessEnded, "the process has ended")
}

/// PID 1 did not answer in time.
pub(super) fn no_answer() -> Failure {
    Failure::new(ErrorCode::SystemFailure, "the sandbox does not answer")
        .hint("its processes may be stopped or the host busy: try again, or end the sandbox")
}

pub(super) fn system(what: &str, error: impl Into<io::Error>) -> Failure {
    supervisor::system_error(what, &error.into()).failure
}

/// A look-up or change of files.
pub(super) fn file(path: &str, errno: i32) -> Failure {
    let (code, what) = match errno {
        libc::ENOENT => (ErrorCode::FileNotFound, "there is no"),
        libc::EACCES | libc::EPERM | libc::EROFS | libc::ETXTBSY => {
            (ErrorCode::FileDenied, "the sandbox's user may not do this with")
        }
        libc::EISDIR => (ErrorCode::WrongFileKind, "a directory:"),
        libc::ENOTDIR => (ErrorCode::WrongFileKind, "not a directory, or below none:"),
        libc::ENXIO | libc::ENODEV => (ErrorCode::WrongFileKind, "not a regular file:"),
        libc::ELOOP => {
            (ErrorCode::WrongFileKind, "too many links, or one that may not be followed:")
        }
        libc::EEXIST => (ErrorCode::FileInTheWay, "there is already"),
        libc::ENOTEMPTY => (ErrorCode::FileInTheWay, "not empty:"),
        libc::EBUSY => (ErrorCode::FileInTheWay, "a mount point, or changed meanwhile:"),
        libc::EXDEV => (ErrorCode::WrongFileKind, "across two mounts only files can be moved:"),
        libc::ENOSPC | libc::EDQUOT | libc::EFBIG => {
            (ErrorCode::DiskLimit, "the private files have reached their limit:")
        }
        libc::ENAMETOOLONG => (ErrorCode::InvalidPath, "a path or name is too long:"),
        libc::EINVAL => (ErrorCode::InvalidPath, "cannot be used as a path:"),
        libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE | libc::EUSERS => {
            (ErrorCode::ProcessLimit, "the sandbox is out of processes, memory or descriptors for")
        }
        libc::EINTR => (ErrorCode::Interrupted, "somebody inside ended the work on"),
        _ => (ErrorCode::SystemFailure, "the operating system refused to use"),
    };
    Failure::new(code, format!("{what} {}", shown(path)))
}

/// A path as the caller gave it, shortened if it is absurd, and without what a terminal or a
/// reader would take for something else: a guest names files, too.
fn shown(path: &str) -> String {
    const MOST: usize = 200;
    let acts = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut text = String::new();
    for (count, c) in path.chars().enumerate() {
        match c {
            _ if count == MOST => {
                text.push('…');
                break;
            }
            c if acts(c) => text.extend(c.escape_unicode()),
            c => text.push(c),
        }
    }
    text
}

/// A process that was not started.
pub(super) fn start(name: &str, directory: &str, broken: Option<Broken>, errno: i32) -> Failure {
    match broken {
        Some(Broken::WorkingDirectory) => Failure::new(
            ErrorCode::WorkdirMissing,
            format!("the working directory {} cannot be entered", shown(directory)),
        ),
        Some(Broken::Execute) => supervisor::not_executed(name, errno),
        Some(Broken::Malformed) => {
            Failure::new(ErrorCode::InvalidValue, "the command cannot be passed on")
        }
        Some(Broken::Resources) if errno == libc::EUSERS => Failure::new(
            ErrorCode::ServerLimit,
            "the sandbox has too many processes whose end nobody has asked for",
        ),
        Some(Broken::Resources) => Failure::new(
            ErrorCode::ProcessLimit,
            "the sandbox is out of processes, memory or descriptors",
        )
        .hint("end some of its processes, or give it more"),
        Some(Broken::Confine) | None => {
            Failure::new(ErrorCode::SystemFailure, "the process could not be confined")
        }
    }
}

pub(super) fn group(error: &io::Error) -> Failure {
    Failure::new(ErrorCode::CgroupFailed, "the sandbox's control group could not be set up")
        .hint("run \"capsule doctor\" to see what this host allows")
        .detail("reason", error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_as_text_and_not_at_any_length() {
        let failure = file("a\u{1b}[2J\u{202e}\nb é", libc::ENOENT);
        assert_eq!(failure.message, "there is no a\\u{1b}[2J\\u{202e}\\u{a}b é");
        let failure = file(&"\u{7}".repeat(100_000), libc::ENOENT);
        assert!(failure.message.len() < 1_200 && failure.message.ends_with('…'));
    }
}
