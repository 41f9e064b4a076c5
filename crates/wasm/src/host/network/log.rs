//! The requests of one guest, as its usage tells them: bounded, and free of control
//! characters, because the text is the guest's and ends in logs and terminals.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capsule_backend::guest::Request;

/// More requests are made, but not recorded.
const MOST: usize = 1000;
/// A URL is cut to so many bytes.
const URL_BYTES: usize = 2048;
/// A method likewise.
const METHOD_BYTES: usize = 32;

#[derive(Clone, Default)]
pub(super) struct Log(Arc<Mutex<Vec<Request>>>);

/// A recorded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry(usize);

impl Log {
    pub(super) fn requests(&self) -> Vec<Request> {
        self.entries().clone()
    }

    pub(super) fn request(&self, method: &str, url: &str, allowed: bool) -> Option<Entry> {
        let mut entries = self.entries();
        if entries.len() >= MOST {
            return None;
        }
        entries.push(told(method, url, allowed));
        Some(Entry(entries.len() - 1))
    }

    /// A connection, or a try to make one, of which no request is known (yet).
    pub(super) fn connect(&self, host: &str, port: u16, allowed: bool) -> Option<Entry> {
        self.request("CONNECT", &format!("{host}:{port}"), allowed)
    }

    /// The first request on a connection stands for it.
    pub(super) fn replace(&self, entry: Entry, method: &str, url: &str, allowed: bool) {
        if let Some(request) = self.entries().get_mut(entry.0) {
            *request = told(method, url, allowed);
        }
    }

    /// It turned out not to be allowed.
    pub(super) fn refuse(&self, entry: Entry) {
        if let Some(request) = self.entries().get_mut(entry.0) {
            request.allowed = false;
        }
    }

    pub(super) fn answer(&self, entry: Entry, status: u16) {
        if let Some(request) = self.entries().get_mut(entry.0) {
            request.status = Some(status);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Vec<Request>> {
        // A record is pushed whole or not at all.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(method: &str, url: &str, allowed: bool) -> Request {
    Request { method: cut(method, METHOD_BYTES), url: cut(url, URL_BYTES), status: None, allowed }
}

/// Text of the guest's for a record or a message.
pub(super) fn cut(text: &str, most: usize) -> String {
    let bytes = text.as_bytes();
    let mut kept = escaped(&bytes[..bytes.len().min(most)]);
    if kept.len() > most || bytes.len() > most {
        kept.truncate(most);
        kept.push_str("...");
    }
    kept
}

/// Printable ASCII as it is, any other byte as in a URL: `%0A`.
pub(super) fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_graphic() {
            out.push(char::from(*byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_the_guest_is_escaped_and_cut() {
        let log = Log::default();
        log.request("GET", "http://a/\r\nHTTP/1.1 200\x1b[2J\u{e9}", true);
        log.request(&"M".repeat(1000), &"é".repeat(100_000), true);
        let requests = log.requests();
        assert_eq!(requests[0].url, "http://a/%0D%0AHTTP/1.1%20200%1B[2J%C3%A9");
        assert!(
            requests[1].url.len() <= URL_BYTES + 3 && requests[1].method.len() <= METHOD_BYTES + 3
        );
    }

    #[test]
    fn at_most_a_thousand_are_kept() {
        let log = Log::default();
        for _ in 0..1500 {
            log.connect("a", 1, false);
        }
        assert_eq!(log.requests().len(), MOST);
        assert_eq!(log.request("GET", "x", true), None);
    }
}
