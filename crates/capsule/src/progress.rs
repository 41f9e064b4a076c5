//! What is shown while something is made ready, once for a machine or a template.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use capsule_server::roots;
use capsule_wasm::{Progress, Stage};

/// How often a line that is written over and over changes.
const PAUSE: Duration = Duration::from_millis(100);

/// Lines on standard error.
#[derive(Default)]
pub(crate) struct Preparing;

impl Progress for Preparing {
    fn stage(&self, stage: Stage) {
        let what = match stage {
            Stage::Unpack => "unpacking the runtime (once for this machine)",
            Stage::Compile => "compiling it for this processor; this takes some seconds",
            Stage::Store => "storing it",
        };
        let _ = writeln!(io::stderr(), "capsule: {what}");
    }
}

/// What is made for templates: a line for each step, and on a terminal how many bytes there are.
pub(crate) struct Making {
    is_terminal: bool,
    /// Whether steps are lines of a server's log.
    is_log: bool,
    /// When the bytes were shown, if they are.
    shown: Mutex<Option<Instant>>,
}

impl Making {
    /// For somebody who waits for it.
    pub(crate) fn for_people() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), is_log: false, shown: Mutex::default() }
    }

    /// For a server that starts.
    pub(crate) fn for_server() -> Self {
        let is_terminal = io::stderr().is_terminal();
        Self { is_terminal, is_log: !is_terminal, shown: Mutex::default() }
    }

    /// Takes away what is written over and over.
    pub(crate) fn clear(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.take().is_some() {
            let _ = io::stderr().write_all(b"\r\x1b[K");
        }
    }
}

impl roots::Progress for Making {
    fn say(&self, text: &str) {
        self.clear();
        let line = match self.is_log {
            true => serde_json::json!({ "level": "info", "message": text }).to_string(),
            false => format!("capsule: {text}"),
        };
        let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
    }

    fn at(&self, bytes: u64) {
        if !self.is_terminal {
            return;
        }
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.is_none_or(|at| at.elapsed() >= PAUSE) {
            *shown = Some(Instant::now());
            let line = format!("\r\x1b[K  {} MiB", bytes >> 20);
            let _ = io::stderr().write_all(line.as_bytes());
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        self.clear();
    }
}
