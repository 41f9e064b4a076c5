//! The one way to stdout: a reader that is gone, or a full disk, is no panic.

use std::io::{self, Write};

/// Writes a verb's answer. A reader that has read enough is no error.
pub(crate) fn give(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}
