//! How far a transfer is, on a terminal.

use std::io::{IsTerminal, Read, Write};
use std::time::{Duration, Instant};

use super::super::text::{cut, harmless, size};

/// How often it is drawn.
const EVERY: Duration = Duration::from_millis(100);

/// A line on standard error, if that is a terminal.
#[derive(Debug)]
pub(super) struct Progress {
    is_shown: bool,
    name: String,
    total: Option<u64>,
    done: u64,
    began: Instant,
    drawn: Instant,
    is_drawn: bool,
}

impl Progress {
    pub(super) fn new(is_wanted: bool) -> Self {
        let now = Instant::now();
        Self {
            is_shown: is_wanted && std::io::stderr().is_terminal(),
            name: String::new(),
            total: None,
            done: 0,
            began: now,
            drawn: now,
            is_drawn: false,
        }
    }

    /// A file begins.
    pub(super) fn begin(&mut self, name: &str, total: Option<u64>) {
        self.name = cut(&harmless(name), 40);
        self.total = total;
        self.done = 0;
        self.began = Instant::now();
    }

    fn advance(&mut self, bytes: u64) {
        self.done += bytes;
        if self.is_shown && self.drawn.elapsed() >= EVERY {
            self.drawn = Instant::now();
            self.is_drawn = true;
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", self.line(self.began.elapsed()));
        }
    }

    fn line(&self, elapsed: Duration) -> String {
        let rate = self.done as f64 / elapsed.as_secs_f64().max(0.001);
        let rate = size(rate as u64);
        match self.total {
            None => format!("{}  {}  {rate}/s", self.name, size(self.done)),
            Some(total) => {
                let share = self.done.saturating_mul(100).checked_div(total).unwrap_or(100);
                let full = usize::try_from(share / 5).unwrap_or(0).min(20);
                let bar = format!("{}{}", "#".repeat(full), ".".repeat(20 - full));
                let (done, total) = (size(self.done), size(total));
                format!("{}  [{bar}] {share:>3}%  {done} of {total}  {rate}/s", self.name)
            }
        }
    }

    /// Nothing is left of it.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

/// A reader that tells how far it is.
pub(super) struct Watched<'a, R> {
    from: R,
    progress: &'a mut Progress,
}

impl<'a, R: Read> Watched<'a, R> {
    pub(super) fn new(from: R, progress: &'a mut Progress) -> Self {
        Self { from, progress }
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.progress.advance(count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let mut progress = Progress::new(false);
        progress.begin("a\u{1b}[2J", Some(4 << 20));
        progress.done = 1 << 20;
        assert_eq!(
            progress.line(Duration::from_secs(1)),
            "a\\u{1b}[2J  [#####...............]  25%  1.0 MiB of 4.0 MiB  1.0 MiB/s"
        );
    }
}
