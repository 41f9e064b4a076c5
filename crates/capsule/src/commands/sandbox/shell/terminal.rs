//! The user's own terminal: its size, and a mode in which every key is passed on.

use std::sync::{Mutex, PoisonError};

use capsule_spec::{ErrorCode, Failure};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use serde::Serialize;

/// What the terminal was before, while it is raw.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Columns and rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Size {
    pub(crate) columns: u16,
    pub(crate) rows: u16,
}

/// The size of the terminal; that of old ones if it has none.
pub(crate) fn size() -> Size {
    let size = tcgetwinsize(stdout()).or_else(|_| tcgetwinsize(stdin()));
    let side = |told: u16, usual: u16| if told == 0 { usual } else { told.min(1_000) };
    match size {
        Ok(size) => Size { columns: side(size.ws_col, 80), rows: side(size.ws_row, 24) },
        Err(_) => Size { columns: 80, rows: 24 },
    }
}

/// A terminal that passes every key on. Dropping it, also by a panic, makes it what it was.
#[derive(Debug)]
pub(super) struct Raw(());

impl Raw {
    /// # Errors
    /// When standard input is no terminal after all.
    pub(super) fn enter() -> Result<Self, Failure> {
        let before = tcgetattr(stdin()).map_err(|error| failed(error.into()))?;
        *BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = Some(before);
        let raw = Self(());
        make_raw().map_err(|error| failed(error.into()))?;
        Ok(raw)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let before = BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(before) = before {
            // If the terminal is gone there is nothing to restore.
            let _ = tcsetattr(stdin(), OptionalActions::Drain, &before);
        }
    }
}

/// After this process was stopped and went on, its shell has made the terminal its own.
pub(crate) fn raw_again() {
    if BEFORE.lock().unwrap_or_else(PoisonError::into_inner).is_some() {
        let _ = make_raw();
    }
}

fn make_raw() -> rustix::io::Result<()> {
    let mut attributes = tcgetattr(stdin())?;
    attributes.make_raw();
    tcsetattr(stdin(), OptionalActions::Now, &attributes)
}

fn failed(error: std::io::Error) -> Failure {
    let message = format!("the terminal cannot be set up: {error}");
    Failure::new(ErrorCode::SystemFailure, message)
}
