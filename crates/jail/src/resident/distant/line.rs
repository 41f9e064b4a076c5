//! The server's end of the stream to a distant sandbox: questions with numbers, answers in any
//! order, each to who waits for it.
//!
//! Whoever is at the other end is a stranger: what is no answer to a question of this
//! conversation is dropped, and of what it says no more is held than was asked for.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capsule_spec::{ErrorCode, Failure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

use super::super::process::first_of;
use super::super::walls::{Unwrap, Wire};
use super::super::{errors, lock};
use super::frames::{Decoder, Frame, WORDS};
use super::words::{Ask, BYTES, Tell, Terms, VERSION};

/// How long an answer may take that waits for nobody.
const PATIENCE: Duration = Duration::from_secs(30);
/// Frames that wait to be written.
const QUEUE: usize = 32;
/// Bytes that are read at once.
const PIECE: usize = 64 << 10;
/// How often within a lease something is said.
const WORDS_IN_LEASE: u32 = 8;

pub(super) type Reply = (Tell, Vec<u8>);

/// A conversation.
pub(super) struct Line {
    conversation: u64,
    serial: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Reply>>>,
    out: mpsc::Sender<Vec<u8>>,
    closed: watch::Sender<bool>,
}

/// A question that was asked. Dropped, nobody waits for its answer any more.
pub(super) struct Asked {
    line: Arc<Line>,
    serial: u64,
    receiver: oneshot::Receiver<Reply>,
}

impl Asked {
    /// The answer, as often as somebody waits until it comes.
    pub(super) async fn reply(&mut self) -> Result<Reply, Failure> {
        (&mut self.receiver).await.map_err(|_| errors::ended())
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        lock(&self.line.waiting).remove(&self.serial);
    }
}

impl Line {
    /// Begins to listen.
    pub(super) fn open(wire: Wire) -> io::Result<Arc<Self>> {
        wire.stream.set_nonblocking(true)?;
        let (from, to) = UnixStream::from_std(wire.stream)?.into_split();
        let (out, to_write) = mpsc::channel(QUEUE);
        let line = Arc::new(Self {
            // Not a secret, only not the last one's.
            conversation: RandomState::new().build_hasher().finish(),
            serial: AtomicU64::new(1),
            waiting: Mutex::default(),
            out,
            closed: watch::Sender::new(false),
        });
        let (reading, writing) = (line.clone(), line.clone());
        tokio::spawn(async move {
            let mut closed = reading.closed.subscribe();
            first_of(reading.read(from, wire.unwrap), closed.wait_for(|closed| *closed)).await;
            reading.close();
        });
        tokio::spawn(async move {
            let mut closed = writing.closed.subscribe();
            first_of(write(to, to_write), closed.wait_for(|closed| *closed)).await;
            writing.close();
        });
        Ok(line)
    }

    /// Says who this is, and goes on saying that it is there.
    pub(super) async fn greet(self: &Arc<Self>, terms: &Terms) -> Result<(), Failure> {
        let greeting = Ask::Greet { version: VERSION, terms: terms.clone() };
        match self.ask(&greeting, Vec::new()).await?.0 {
            Tell::Welcome { version: VERSION } => {}
            _ => return Err(errors::no_answer()),
        }
        let line = self.clone();
        let pause = Duration::from_millis(terms.lease) / WORDS_IN_LEASE;
        tokio::spawn(async move {
            let mut closed = line.closed.subscribe();
            let over = closed.wait_for(|closed| *closed);
            let mut over = std::pin::pin!(over);
            while first_of(tokio::time::sleep(pause), &mut over).await.is_some() {
                line.say(Ask::Alive);
            }
        });
        Ok(())
    }

    /// One question, one answer, within a time.
    pub(super) async fn ask(self: &Arc<Self>, ask: &Ask, bytes: Vec<u8>) -> Result<Reply, Failure> {
        let answered = async { self.question(ask, bytes).await?.reply().await };
        let reply = tokio::time::timeout(PATIENCE, answered).await;
        fail_if_failed(reply.map_err(|_| errors::no_answer())??)
    }

    /// The same for what may take as long as it likes.
    pub(super) async fn ask_and_wait(
        self: &Arc<Self>,
        ask: &Ask,
        bytes: Vec<u8>,
    ) -> Result<Reply, Failure> {
        fail_if_failed(self.question(ask, bytes).await?.reply().await?)
    }

    /// Asks; who holds the answer waits for it or drops it.
    pub(super) async fn question(
        self: &Arc<Self>,
        ask: &Ask,
        bytes: Vec<u8>,
    ) -> Result<Asked, Failure> {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let frame = self.frame(serial, ask, bytes)?;
        let (sender, receiver) = oneshot::channel();
        lock(&self.waiting).insert(serial, sender);
        let asked = Asked { line: self.clone(), serial, receiver };
        if *self.closed.borrow() {
            return Err(errors::ended());
        }
        self.out.send(frame).await.map_err(|_| errors::ended())?;
        Ok(asked)
    }

    /// Says something that is not answered. What cannot be said at once is said by a task.
    pub(super) fn say(&self, ask: Ask) {
        let Ok(frame) = self.frame(0, &ask, Vec::new()) else { return };
        if let Err(mpsc::error::TrySendError::Full(frame)) = self.out.try_send(frame) {
            // One word more is as good as two.
            if matches!(ask, Ask::Alive) {
                return;
            }
            let out = self.out.clone();
            tokio::spawn(async move { out.send(frame).await.is_ok() });
        }
    }

    fn frame(&self, serial: u64, ask: &Ask, bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
        let words = serde_json::to_vec(ask).map_err(|_| errors::no_answer())?;
        if words.len() > WORDS || bytes.len() > BYTES {
            return Err(Failure::new(ErrorCode::InvalidValue, "this is too much at once"));
        }
        Ok(Frame { conversation: self.conversation, serial, words, bytes }.encode())
    }

    /// Answers when nobody is at the other end any more.
    pub(super) async fn await_end(&self) {
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Nothing is said any more, and who waits hears that.
    pub(super) fn close(&self) {
        self.closed.send_replace(true);
        lock(&self.waiting).clear();
    }

    async fn read(&self, mut from: OwnedReadHalf, mut unwrap: Unwrap) {
        let mut decoder = Decoder::default();
        let (mut buffer, mut plain) = (vec![0; PIECE], Vec::new());
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            plain.clear();
            if unwrap(&buffer[..length], &mut plain).is_err() {
                return;
            }
            decoder.take(&plain, &mut |frame| self.hear(frame));
        }
    }

    fn hear(&self, frame: Frame) {
        if frame.conversation != self.conversation {
            return;
        }
        let Some(waiting) = lock(&self.waiting).remove(&frame.serial) else { return };
        // What makes no sense is no answer: who waits hears so.
        if let Ok(tell) = serde_json::from_slice(&frame.words) {
            let _ = waiting.send((tell, frame.bytes));
        }
    }
}

fn fail_if_failed(reply: Reply) -> Result<Reply, Failure> {
    match reply {
        (Tell::Failed(failure), _) => Err(failure),
        other => Ok(other),
    }
}

async fn write(mut to: OwnedWriteHalf, mut frames: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = frames.recv().await {
        if to.write_all(&frame).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    fn line() -> (Arc<Line>, std::os::unix::net::UnixStream) {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let unwrap: Unwrap = Box::new(|bytes, out| {
            out.extend_from_slice(bytes);
            Ok(())
        });
        (Line::open(Wire { stream: near, unwrap }).unwrap(), far)
    }

    /// The next message that was asked, as the other end reads it.
    fn heard(far: &mut std::os::unix::net::UnixStream) -> Frame {
        let (mut decoder, mut found) = (Decoder::default(), None);
        let mut byte = [0];
        while found.is_none() {
            far.read_exact(&mut byte).unwrap();
            decoder.take(&byte, &mut |frame| found = Some(frame));
        }
        found.unwrap()
    }

    fn answer(to: &Frame, words: &[u8]) -> Frame {
        Frame { words: words.to_vec(), bytes: b"beside".to_vec(), ..to.clone() }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stranger_at_the_other_end_is_answered_nothing() {
        let (line, mut far) = line();
        let asking = line.clone();
        let asked = tokio::spawn(async move { asking.ask(&Ask::Usage, Vec::new()).await });
        let (question, mut far) =
            tokio::task::spawn_blocking(move || (heard(&mut far), far)).await.unwrap();
        // Noise, somebody else's conversation, a question that nobody asked.
        far.write_all(&[7; 5000]).unwrap();
        let other = Frame { conversation: !question.conversation, ..question.clone() };
        far.write_all(&answer(&other, b"\"Done\"").encode()).unwrap();
        let unasked = Frame { serial: question.serial + 1, ..question.clone() };
        far.write_all(&answer(&unasked, b"\"Done\"").encode()).unwrap();
        far.write_all(&answer(&question, b"\"Done\"").encode()).unwrap();
        let (tell, bytes) = asked.await.unwrap().unwrap();
        assert!(matches!(tell, Tell::Done));
        assert_eq!(bytes, b"beside");
        // The same once more, and what is no word at all.
        far.write_all(&answer(&question, b"\"Done\"").encode()).unwrap();
        let asking = line.clone();
        let asked = tokio::spawn(async move { asking.ask(&Ask::Usage, Vec::new()).await });
        let (question, mut far) =
            tokio::task::spawn_blocking(move || (heard(&mut far), far)).await.unwrap();
        far.write_all(&answer(&question, b"{\"Entries\":[{}]}").encode()).unwrap();
        assert_eq!(asked.await.unwrap().unwrap_err().code, ErrorCode::SandboxEnded);
        assert!(lock(&line.waiting).is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_waits_hears_of_the_end() {
        let (line, far) = line();
        let asking = line.clone();
        let asked = tokio::spawn(async move {
            asking.ask_and_wait(&Ask::Wait { process: 1 }, Vec::new()).await.map(drop)
        });
        tokio::task::yield_now().await;
        drop(far);
        assert_eq!(asked.await.unwrap().unwrap_err().code, ErrorCode::SandboxEnded);
        line.await_end().await;
        let late = line.ask(&Ask::Usage, Vec::new()).await.map(drop);
        assert_eq!(late.unwrap_err().code, ErrorCode::SandboxEnded);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_gives_up_is_forgotten() {
        let (line, _far) = line();
        let mut asked = line.question(&Ask::Accept, Vec::new()).await.unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(10), asked.reply()).await;
        assert!(waited.is_err() && lock(&line.waiting).len() == 1);
        drop(asked);
        assert!(lock(&line.waiting).is_empty());
        let too_much = line.question(&Ask::Write { file: 1 }, vec![0; BYTES + 1]).await;
        assert_eq!(too_much.map(drop).unwrap_err().code, ErrorCode::InvalidValue);
    }
}
