//! Leaving out, loudly, what this machine cannot show.

use std::io::Write;

use crate::Run;

/// Says that the current test is left out and why; the test returns after it.
///
/// The suite counts the lines in the file that `CAPSULE_SKIP_LOG` names. With
/// `CAPSULE_NO_SKIP` it fails.
///
/// # Panics
/// When nothing may be skipped.
pub fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {reason}\n", thread.name().unwrap_or("a test"));
    assert!(std::env::var_os("CAPSULE_NO_SKIP").is_none(), "may not be skipped: {line}");
    let _ = write!(std::io::stderr(), "skipped: {line}");
    if let Some(log) = std::env::var_os("CAPSULE_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(log)
            .expect("CAPSULE_SKIP_LOG can be written");
        // One write: tests run side by side.
        log.write_all(line.as_bytes()).expect("CAPSULE_SKIP_LOG can be written");
    }
}

/// Whether a wall would stand fully for the user that runs the tests.
pub fn wall_stands(name: &str) -> bool {
    Run::new(&["--dry-run", "--require", name, "--", "true"]).finish().code == Some(0)
}
