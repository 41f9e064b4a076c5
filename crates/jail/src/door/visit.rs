//! What the door decided, one record per request or tunnel, in a form that fits
//! a pipe: one line, bounded, no byte in it that the guest chose freely.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// A host in a record is cut to this many bytes; DNS allows 253.
const HOST_BYTES: usize = 255;

/// How a request for a host ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    /// It was let out and is over. What came of it, only the byte counts tell.
    Allowed,
    /// No rule covers the host and port.
    NotListed,
    /// The host is, or resolves to, nothing but inside addresses that no rule names.
    InsideAddress,
    /// TLS inside a tunnel named another server. The tunnel was open by then.
    WrongServerName,
    /// The request was not one that the door understands.
    BadRequest,
    SlowRequest,
    LongRequest,
    NameNotFound,
    Unreachable,
    TimedOut,
    /// The origin's answer was not HTTP, or the origin hung up instead of one.
    BadAnswer,
    OverCapacity,
    /// A connection was made, and is not over: said at once, because a guest that
    /// ends next would otherwise take it with it.
    Opened,
}

/// In the order of the enum; the words are what travels.
const WORDS: [(Verdict, &str); 13] = [
    (Verdict::Allowed, "allowed"),
    (Verdict::NotListed, "not-listed"),
    (Verdict::InsideAddress, "inside-address"),
    (Verdict::WrongServerName, "wrong-server-name"),
    (Verdict::BadRequest, "bad-request"),
    (Verdict::SlowRequest, "slow-request"),
    (Verdict::LongRequest, "long-request"),
    (Verdict::NameNotFound, "name-not-found"),
    (Verdict::Unreachable, "unreachable"),
    (Verdict::TimedOut, "timed-out"),
    (Verdict::BadAnswer, "bad-answer"),
    (Verdict::OverCapacity, "over-capacity"),
    (Verdict::Opened, "opened"),
];

impl Verdict {
    /// Whether policy said no, as opposed to the guest, the network or the origin.
    #[must_use]
    pub(crate) fn is_denial(self) -> bool {
        matches!(self, Self::NotListed | Self::InsideAddress | Self::WrongServerName)
    }

    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        WORDS[self as usize].1
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// One request or tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Visit {
    pub verdict: Verdict,
    /// Printable ASCII without blanks; empty if the request had no readable host.
    pub host: String,
    /// 0 if the request had no readable port.
    pub port: u16,
    /// The address connected to. For the operator's eyes, not the guest's.
    pub address: Option<IpAddr>,
    /// From guest to origin, heads included.
    pub bytes_up: u64,
    pub bytes_down: u64,
    pub duration: Duration,
}

impl Visit {
    pub(super) fn new(verdict: Verdict, host: &str, port: u16) -> Self {
        let host = sanitised(host);
        Self {
            verdict,
            host,
            port,
            address: None,
            bytes_up: 0,
            bytes_down: 0,
            duration: Duration::ZERO,
        }
    }

    /// The visit as one line without its end, shorter than PIPE_BUF, so that the
    /// door's threads can write lines to one pipe without mixing them.
    #[must_use]
    pub(crate) fn to_line(&self) -> String {
        let address = self.address.map_or_else(|| "-".to_owned(), |address| address.to_string());
        let host = if self.host.is_empty() { "-" } else { &self.host };
        let Self { verdict, port, bytes_up, bytes_down, .. } = self;
        let microseconds = self.duration.as_micros();
        format!("{verdict} {host} {port} {address} {bytes_up} {bytes_down} {microseconds}")
    }

    /// Reads what [`Visit::to_line`] wrote. `None` for anything else: the reader
    /// treats the door as hostile, since it talks to the guest.
    #[must_use]
    pub(crate) fn from_line(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let verdict = words.next()?;
        let (verdict, _) = *WORDS.iter().find(|(_, word)| *word == verdict)?;
        let host = words.next()?;
        let port = words.next()?.parse().ok()?;
        let address = match words.next()? {
            "-" => None,
            text => Some(text.parse().ok()?),
        };
        let visit = Self {
            verdict,
            host: sanitised(if host == "-" { "" } else { host }),
            port,
            address,
            bytes_up: words.next()?.parse().ok()?,
            bytes_down: words.next()?.parse().ok()?,
            duration: Duration::from_micros(words.next()?.parse().ok()?),
        };
        words.next().is_none().then_some(visit)
    }
}

/// Keeps what a log may hold of text that the guest chose.
fn sanitised(text: &str) -> String {
    let printable = |letter: char| {
        if letter.is_ascii_graphic() { letter } else { '?' }
    };
    text.chars().take(HOST_BYTES).map(printable).collect()
}

/// The first visits in full and the rest as numbers: a guest that knocks a
/// million times must not fill its own outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct VisitBook {
    /// At most [`VisitBook::KEPT`], oldest first.
    pub first: Vec<Visit>,
    /// All visits, those in `first` included.
    pub visits: u64,
    /// How many of `visits` policy refused.
    pub denials: u64,
    pub bytes_up: u64,
    pub bytes_down: u64,
}

impl VisitBook {
    /// How many visits are kept in full.
    pub(crate) const KEPT: usize = 100;

    pub(crate) fn record(&mut self, visit: &Visit) {
        self.visits += 1;
        self.denials += u64::from(visit.verdict.is_denial());
        self.bytes_up = self.bytes_up.saturating_add(visit.bytes_up);
        self.bytes_down = self.bytes_down.saturating_add(visit.bytes_down);
        if self.first.len() < Self::KEPT {
            self.first.push(visit.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_words_stand_in_the_order_of_the_enum() {
        for (index, (verdict, _)) in WORDS.iter().enumerate() {
            assert_eq!(*verdict as usize, index);
        }
    }

    #[test]
    fn the_book_is_bounded() {
        let mut book = VisitBook::default();
        for _ in 0..1000 {
            book.record(&Visit::new(Verdict::NotListed, "a.org", 80));
        }
        assert_eq!((book.first.len(), book.visits, book.denials), (100, 1000, 1000));
    }

    proptest! {
        #[test]
        fn lines_come_back_whatever_the_host(host in ".{0,300}", port: u16, word in 0usize..13, up: u64) {
            let mut visit = Visit::new(WORDS[word].0, &host, port);
            visit.bytes_up = up;
            visit.address = Some([10, 1, 2, 3].into());
            let line = visit.to_line();
            prop_assert!(line.len() < 512 && !line.contains(['\n', '\r']));
            if visit.host != "-" {
                prop_assert_eq!(Visit::from_line(&line), Some(visit));
            }
        }

        #[test]
        fn no_line_panics(line in ".{0,100}") {
            let _ = Visit::from_line(&line);
        }
    }
}
