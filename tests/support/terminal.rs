//! A program on a real terminal, as a user sits before it.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::sys;

/// How long something may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(30);

/// A program on a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    program: File,
    child: Child,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts a program on a new terminal.
    ///
    /// # Panics
    /// When there is no terminal to be had.
    pub fn start(mut command: Command, columns: u16, rows: u16) -> Self {
        let (keyboard, program) = sys::terminal().expect("this machine has terminals");
        sys::resize(&program, columns, rows).expect("it is a terminal");
        let end = || Stdio::from(program.try_clone().expect("a descriptor can be copied"));
        command.stdin(end()).stdout(end()).stderr(end());
        sys::start_on_terminal(&mut command);
        let child = command.spawn().expect("it can be started");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut screen, seen_here) =
            (keyboard.try_clone().expect("a descriptor can be copied"), Arc::clone(&seen));
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut piece) {
                let mut seen = seen_here.lock().unwrap_or_else(PoisonError::into_inner);
                seen.extend_from_slice(&piece[..count]);
            }
        });
        Self { keyboard, program, child, seen }
    }

    /// The process on it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("the terminal is open");
    }

    /// Another size; whoever is on it is told.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn resize(&self, columns: u16, rows: u16) {
        sys::resize(&self.keyboard, columns, rows).expect("the terminal is open");
    }

    /// What is on the screen so far, escapes and all.
    pub fn screen(&self) -> String {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&seen).into_owned()
    }

    /// Waits until the screen shows this, and forgets what came until then.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if let Some(at) = screen.find(text) {
                let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
                // Lossy text is longer where it is not UTF-8, which a test does not print.
                let end = (at + text.len()).min(seen.len());
                seen.drain(..end);
                return screen;
            }
            assert!(Instant::now() < deadline, "no {text:?} in {screen:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether what is typed is shown and lines are edited here, as in a fresh terminal.
    ///
    /// # Panics
    /// When the terminal is gone.
    pub fn is_as_it_was(&self) -> bool {
        sys::is_cooked(&self.program).expect("the terminal is open")
    }

    /// Waits for the program's end.
    ///
    /// # Panics
    /// When it hangs.
    #[track_caller]
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it hangs: {:?}", self.screen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
