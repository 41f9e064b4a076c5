//! The protocol with one guest, from the host's side: reads, writes and waits at once.
//!
//! What a hostile guest may do here, and what it gets:
//! - a frame that is too long, no JSON, of unknown form, before the greeting, or with a
//!   number that is in use: the end of it;
//! - frames without end: each is charged, and others get their turn;
//! - questions whose answers it does not read: it is not heard above [`PATIENCE`], and
//!   ended when answers to its calls come to [`MOST_UNREAD`].

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use capsule_backend::guest::{GuestError, Outside};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::account::Account;
use super::calls::Calls;
use super::frames::{self, Answer, Inbox, Module, Reason, Said, Told, What};

/// Bytes of answers that a guest may leave unread.
const MOST_UNREAD: usize = 256 << 20;
/// With more than this unread nothing more is heard.
const PATIENCE: usize = 1 << 20;
/// Bytes that are read at once.
const CHUNK: usize = 64 << 10;
/// Chunks after which others get their turn.
const TURN: usize = 16;
/// Characters of an exception's type, and of its message and its traceback.
const MOST_KIND: usize = 200;
const MOST_TEXT: usize = 64 << 10;
/// Bytes of a module's dotted name.
const MOST_NAME: usize = 1024;

/// How a conversation ended.
#[derive(Debug)]
pub(super) enum Word {
    /// The guest has answered.
    Said(Result<String, GuestError>),
    /// It said what no guest of ours says.
    Nonsense(String),
    /// It hung up.
    Silence,
}

pub(super) struct Conversation {
    stream: UnixStream,
    outside: Arc<dyn Outside>,
    account: Arc<Account>,
    inbox: Inbox,
    /// Frames one after the other: many small ones must not cost more than their bytes.
    outbox: Vec<u8>,
    /// Bytes of `outbox` that are gone.
    sent: usize,
    calls: Calls,
    has_greeted: bool,
    /// The guest is gone: its answer counts, its questions do not.
    is_over: bool,
}

impl Conversation {
    /// Begins with the frame `start`.
    pub(super) fn new(
        stream: UnixStream,
        outside: Arc<dyn Outside>,
        account: Arc<Account>,
        start: Vec<u8>,
    ) -> Self {
        Self {
            stream,
            outside,
            account,
            inbox: Inbox::default(),
            outbox: start,
            sent: 0,
            calls: Calls::default(),
            has_greeted: false,
            is_over: false,
        }
    }

    pub(super) fn has_greeted(&self) -> bool {
        self.has_greeted
    }

    /// Goes on, until it has ended.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Word> {
        for _ in 0..TURN {
            // Each time round: what was just begun must be able to wake us.
            while let Poll::Ready((id, result)) = self.calls.poll(context) {
                self.answer_call(id, result);
            }
            if self.unread() > MOST_UNREAD {
                let text = "it does not read the answers to what it asks";
                return Poll::Ready(Word::Nonsense(text.to_owned()));
            }
            let wrote = self.write(context);
            if self.unread() > PATIENCE {
                // First it reads, then it is read.
                ready!(wrote);
                continue;
            }
            match self.stream.poll_read_ready(context) {
                Poll::Pending => {
                    if wrote.is_pending() {
                        return Poll::Pending;
                    }
                }
                Poll::Ready(Err(_)) => return Poll::Ready(Word::Silence),
                Poll::Ready(Ok(())) => match self.read() {
                    Ok(0) => return Poll::Ready(Word::Silence),
                    Ok(_) => {
                        if let Some(word) = self.listen() {
                            return Poll::Ready(word);
                        }
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Poll::Ready(Word::Silence),
                },
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// What the guest said before it ended.
    pub(super) fn last_word(&mut self) -> Word {
        self.is_over = true;
        // Past the event loop, which may not have heard of these bytes yet.
        loop {
            match receive(&self.stream, self.inbox.bytes()) {
                Ok(0) => return Word::Silence,
                Ok(_) => {
                    if let Some(word) = self.listen() {
                        return word;
                    }
                }
                Err(Errno::INTR) => {}
                Err(_) => return Word::Silence,
            }
        }
    }

    fn read(&mut self) -> io::Result<usize> {
        let Self { stream, inbox, .. } = self;
        stream.try_io(Interest::READABLE, || Ok(receive(&*stream, inbox.bytes())?))
    }

    fn unread(&self) -> usize {
        self.outbox.len() - self.sent
    }

    /// Writes what the guest takes now. Pending when it takes nothing, or nothing is left.
    fn write(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.unread() == 0 || self.stream.poll_write_ready(context).is_pending() {
            return Poll::Pending;
        }
        let (stream, rest) = (&self.stream, &self.outbox[self.sent..]);
        let sent = stream.try_io(Interest::WRITABLE, || {
            Ok(rustix::net::send(stream, rest, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?)
        });
        match sent {
            Ok(length) => self.sent += length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // It hung up: what it has said before is still to be read.
            Err(_) => (self.sent, self.is_over) = (self.outbox.len(), true),
        }
        // Moved together seldom, so that each byte is moved a few times at most.
        if self.unread() <= self.sent {
            self.outbox.drain(..self.sent);
            self.sent = 0;
        }
        Poll::Ready(())
    }

    fn answer(&mut self, id: u64, what: What<'_>) {
        match frames::frame(&Told::Answer(Answer { id, what })) {
            Some(frame) => self.outbox.extend_from_slice(&frame),
            None => self.answer(
                id,
                What::Failure(Reason {
                    kind: "TooLarge".to_owned(),
                    message: "the answer is larger than 64 MiB".to_owned(),
                    detail: String::new(),
                }),
            ),
        }
    }

    fn answer_call(&mut self, id: u64, result: Result<String, Reason>) {
        match result {
            Ok(value) => self.answer(id, What::Value(&value)),
            Err(reason) => self.answer(id, What::Failure(reason)),
        }
    }

    /// Deals with all frames that are complete.
    fn listen(&mut self) -> Option<Word> {
        loop {
            let frame = match self.inbox.next() {
                Ok(None) => return None,
                Ok(Some(frame)) => frame,
                Err(frames::TooLong) => return nonsense("a frame of more than 64 MiB"),
            };
            self.account.serve(frame.len());
            let Ok(said) = serde_json::from_slice(&frame) else {
                return nonsense("something that is no message");
            };
            if let Some(word) = self.hear(said) {
                return Some(word);
            }
        }
    }

    fn hear(&mut self, said: Said<'_>) -> Option<Word> {
        if self.has_greeted == matches!(said, Said::Hello {}) {
            return nonsense("its messages in the wrong order");
        }
        match said {
            Said::Hello {} => self.has_greeted = true,
            Said::Source { .. } | Said::Call { .. } | Said::Cancel { .. } if self.is_over => {}
            Said::Source { id, name } => {
                let module = if is_module(&name) { self.outside.source(&name) } else { None };
                self.answer(id, What::Module(module.as_ref().map(Module::from)));
            }
            Said::Call { id, .. } if self.calls.has(id) => {
                return nonsense("a number that is in use");
            }
            Said::Call { id, task, arguments } => {
                if let Err(reason) = self.calls.begin(id, &task, arguments, &*self.outside) {
                    self.answer(id, What::Failure(reason));
                }
            }
            Said::Cancel { id } => self.calls.cancel(id),
            Said::Done(value) if frames::is_too_deep(value.get()) => {
                return nonsense("a value that is nested too deeply");
            }
            Said::Done(value) => return Some(Word::Said(Ok(value.get().to_owned()))),
            Said::Failed { kind, message, traceback } => {
                return Some(Word::Said(Err(GuestError::Raised {
                    kind: cut(kind, MOST_KIND),
                    message: cut(message, MOST_TEXT),
                    traceback: cut(traceback, MOST_TEXT + 100),
                })));
            }
        }
        None
    }
}

fn receive(stream: &UnixStream, bytes: &mut Vec<u8>) -> Result<usize, Errno> {
    bytes.reserve(CHUNK);
    let (_, length) =
        rustix::net::recv(stream, rustix::buffer::spare_capacity(bytes), RecvFlags::DONTWAIT)?;
    Ok(length)
}

fn nonsense(what: &str) -> Option<Word> {
    Some(Word::Nonsense(format!("it sent the host {what}")))
}

/// Whether a name can be that of a module: what stands between its dots is no path.
fn is_module(name: &str) -> bool {
    name.len() <= MOST_NAME
        && name.split('.').all(|part| {
            let mut letters = part.chars();
            letters.next().is_some_and(|letter| letter.is_alphabetic() || letter == '_')
                && letters.all(|letter| letter.is_alphanumeric() || letter == '_')
        })
}

fn cut(mut text: String, most: usize) -> String {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_modules_are_no_paths() {
        for name in ["a", "_a.b1", "größe.x", "a.b.c"] {
            assert!(is_module(name), "{name}");
        }
        for name in ["", ".", "a.", ".a", "a..b", "../a", "a/b", "a\\b", "a\0", "1a", "a b", "~"] {
            assert!(!is_module(name), "{name:?}");
        }
        assert!(!is_module(&"a".repeat(MOST_NAME + 1)));
    }

    #[test]
    fn texts_are_cut_between_letters() {
        assert_eq!(cut("äöü".to_owned(), 3), "ä");
        assert_eq!(cut("abc".to_owned(), 3), "abc");
    }
}
