//! The side inside: what an attempt's program has at hand, and how it tells what
//! it met.
//!
//! One line on standard output for each thing tried, `VERDICT TAB WHAT TAB
//! EVIDENCE`, and a last line [`END`]. A program that dies or falls silent before
//! that line proved nothing.

use std::cell::Cell;
use std::io::{self, Write};
use std::process::ExitCode;

/// The line that says that everything was tried.
pub(super) const END: &str = "end";

/// The errnos by which a wall refuses. Others, such as EFAULT or EBADF, say that
/// the attempt itself is broken and met no wall.
const REFUSALS: [i32; 11] = [
    libc::EPERM,
    libc::EACCES,
    libc::ENOSYS,
    libc::EROFS,
    libc::EOPNOTSUPP,
    libc::EAFNOSUPPORT,
    libc::EPROTONOSUPPORT,
    libc::ESOCKTNOSUPPORT,
    libc::ENETUNREACH,
    libc::EHOSTUNREACH,
    libc::EXDEV,
];

/// The hostile program's own view.
pub(crate) struct Guest {
    pub(super) name: String,
    pub(super) marker: String,
    pub(super) arguments: Vec<String>,
    is_silent: Cell<bool>,
}

/// Plays the part of attempt `name`; called inside a jail, by this same binary.
pub(crate) fn play(name: &str, marker: &str, arguments: &[String]) -> ExitCode {
    let Some(attempt) = super::find(name) else {
        return ExitCode::FAILURE;
    };
    let guest = Guest {
        name: name.to_owned(),
        marker: marker.to_owned(),
        arguments: arguments.to_vec(),
        is_silent: Cell::new(false),
    };
    (attempt.guest)(&guest);
    if !guest.is_silent.get() {
        guest.say(&[END]);
    }
    ExitCode::SUCCESS
}

impl Guest {
    /// The part to play, where an attempt has several; empty in the main one.
    pub(super) fn role(&self) -> &str {
        self.argument(0)
    }

    pub(super) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    /// No last line: what is printed is for the attempt's own check.
    pub(super) fn keep_silent(&self) {
        self.is_silent.set(true);
    }

    fn say(&self, fields: &[&str]) {
        let clean: Vec<String> =
            fields.iter().map(|field| field.replace(['\t', '\n'], " ")).collect();
        let mut out = io::stdout().lock();
        // A closed output is seen outside as a missing last line.
        let _ = writeln!(out, "{}", clean.join("\t"));
        let _ = out.flush();
    }

    /// A wall stood in the way.
    pub(super) fn held(&self, what: &str, evidence: impl AsRef<str>) {
        self.say(&["held", what, evidence.as_ref()]);
    }

    /// The way was open.
    pub(super) fn through(&self, what: &str, evidence: impl AsRef<str>) {
        self.say(&["through", what, evidence.as_ref()]);
    }

    /// Neither; the attempt is broken, or the machine is odd.
    pub(super) fn unclear(&self, what: &str, evidence: impl AsRef<str>) {
        self.say(&["unclear", what, evidence.as_ref()]);
    }

    /// This machine lacks what is attacked.
    pub(super) fn absent(&self, what: &str, why: impl AsRef<str>) {
        self.say(&["absent", what, why.as_ref()]);
    }

    /// Success is an escape, a refusal holds.
    pub(super) fn refused<T>(&self, what: &str, result: io::Result<T>) {
        self.refused_by(what, result, &[]);
    }

    /// As [`Guest::refused`], where further errnos mean refusal too.
    pub(super) fn refused_by<T>(&self, what: &str, result: io::Result<T>, also: &[i32]) {
        match result {
            Ok(_) => self.through(what, "it was allowed"),
            Err(error) => {
                let number = error.raw_os_error().unwrap_or(0);
                let evidence = errno_name(number);
                if REFUSALS.contains(&number) || also.contains(&number) {
                    self.held(what, evidence);
                } else {
                    self.unclear(what, evidence);
                }
            }
        }
    }

    /// A path that must lead nowhere, or to something that may not be opened.
    pub(super) fn unreachable(&self, path: &str, result: io::Result<impl Sized>) {
        self.refused_by(path, result, &[libc::ENOENT, libc::ENOTDIR, libc::ELOOP, libc::ENXIO]);
    }

    /// Holds if `holds`.
    pub(super) fn expect(&self, what: &str, holds: bool, evidence: impl AsRef<str>) {
        if holds { self.held(what, evidence) } else { self.through(what, evidence) }
    }
}

/// The errno's name where it is one that attempts meet, else its number.
pub(super) fn errno_name(number: i32) -> String {
    let name = match number {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::ESRCH => "ESRCH",
        libc::EIO => "EIO",
        libc::ENXIO => "ENXIO",
        libc::E2BIG => "E2BIG",
        libc::EBADF => "EBADF",
        libc::EAGAIN => "EAGAIN",
        libc::ENOMEM => "ENOMEM",
        libc::EACCES => "EACCES",
        libc::EFAULT => "EFAULT",
        libc::EBUSY => "EBUSY",
        libc::EEXIST => "EEXIST",
        libc::EXDEV => "EXDEV",
        libc::ENODEV => "ENODEV",
        libc::ENOTDIR => "ENOTDIR",
        libc::EINVAL => "EINVAL",
        libc::EMFILE => "EMFILE",
        libc::ETXTBSY => "ETXTBSY",
        libc::ENOKEY => "ENOKEY",
        libc::ENOTTY => "ENOTTY",
        libc::ENOSPC => "ENOSPC",
        libc::EROFS => "EROFS",
        libc::ENAMETOOLONG => "ENAMETOOLONG",
        libc::ENOSYS => "ENOSYS",
        libc::ELOOP => "ELOOP",
        libc::EPROTONOSUPPORT => "EPROTONOSUPPORT",
        libc::ESOCKTNOSUPPORT => "ESOCKTNOSUPPORT",
        libc::EOPNOTSUPP => "EOPNOTSUPP",
        libc::EAFNOSUPPORT => "EAFNOSUPPORT",
        libc::ENETUNREACH => "ENETUNREACH",
        libc::EHOSTUNREACH => "EHOSTUNREACH",
        libc::ECONNREFUSED => "ECONNREFUSED",
        libc::ETIMEDOUT => "ETIMEDOUT",
        _ => return format!("errno {number}"),
    };
    name.to_owned()
}
