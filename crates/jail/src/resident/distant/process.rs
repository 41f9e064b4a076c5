//! A process of a distant sandbox, as its server sees it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use capsule_backend::guest::{Channel, Pending};
use capsule_backend::sandbox::{Ended, Process, Reach, TerminalSize};
use capsule_spec::{ErrorCode, Failure};
use tokio::sync::{Mutex as Turn, watch};

use super::super::errors;
use super::line::{Asked, Line};
use super::sandbox::Distant;
use super::words::{Ask, Known, Tell};

/// Bytes of input in one message.
const PIECE: usize = 256 << 10;

/// What is known of a process, for all who have a handle.
pub(super) struct Far {
    pub(super) number: u64,
    is_terminal: bool,
    output: Turn<Output>,
    killing: Turn<()>,
    ended: watch::Sender<Option<Ended>>,
    is_input_closed: AtomicBool,
    memory_ran_out: AtomicBool,
    told: AtomicBool,
}

#[derive(Default)]
struct Output {
    /// The number of the last piece that was heard.
    heard: u64,
    /// The question for the next one, which outlives who asked it.
    asked: Option<Asked>,
    is_over: bool,
}

impl Far {
    /// One that was told about; waits for its end in the background.
    pub(super) fn new(known: Known, line: &Arc<Line>) -> Arc<Self> {
        let far = Arc::new(Self {
            number: known.number,
            is_terminal: known.is_terminal,
            output: Turn::default(),
            killing: Turn::new(()),
            ended: watch::Sender::new(None),
            is_input_closed: AtomicBool::new(false),
            memory_ran_out: AtomicBool::new(false),
            told: AtomicBool::new(false),
        });
        let (waiting, line) = (far.clone(), line.clone());
        tokio::spawn(async move {
            let process = waiting.number;
            let ended = match line.ask_and_wait(&Ask::Wait { process }, Vec::new()).await {
                Ok((Tell::Ended(ended), _)) => ended,
                // The sandbox is gone, or tells nonsense.
                Ok(_) | Err(_) => Ended {
                    exit_code: 128 + libc::SIGKILL,
                    signal: Some(libc::SIGKILL),
                    duration: Duration::ZERO,
                    processor: Duration::ZERO,
                    out_of_memory: false,
                },
            };
            let out_of_memory = waiting.memory_ran_out.load(Ordering::Acquire);
            waiting.ended.send_replace(Some(Ended { out_of_memory, ..ended }));
        });
        far
    }

    /// The memory limit ended something; what ends from now on is put down to it.
    pub(super) fn blame_memory(&self) {
        self.memory_ran_out.store(true, Ordering::Release);
    }

    pub(super) fn is_running(&self) -> bool {
        self.ended.borrow().is_none()
    }

    pub(super) async fn await_end(&self) -> Ended {
        let mut receiver = self.ended.subscribe();
        let ended = receiver.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|ended| *ended)
            .expect("the sender lives in self, and some was waited for")
    }

    async fn next_output(&self, line: &Arc<Line>) -> Option<(Channel, Vec<u8>)> {
        let mut output = self.output.lock().await;
        if output.is_over {
            return None;
        }
        let question = Ask::Output { process: self.number, heard: output.heard };
        let asked = match &mut output.asked {
            Some(asked) => asked,
            // When this is dropped half-way the next reader asks again, for the same piece.
            empty => empty.insert(line.question(&question, Vec::new()).await.ok()?),
        };
        let reply = asked.reply().await;
        output.asked = None;
        match reply {
            Ok((Tell::Piece(Some((number, stream))), bytes)) => {
                output.heard = number;
                Some((stream.into(), bytes))
            }
            _ => {
                output.is_over = true;
                None
            }
        }
    }
}

/// A handle. When the last word was told and nobody holds one any more, it is forgotten.
pub(super) struct FarHandle {
    far: Arc<Far>,
    distant: Arc<Distant>,
}

impl FarHandle {
    pub(super) fn new(far: Arc<Far>, distant: Arc<Distant>) -> Arc<Self> {
        Arc::new(Self { far, distant })
    }

    fn line(&self) -> &Arc<Line> {
        &self.distant.line
    }
}

impl Drop for FarHandle {
    fn drop(&mut self) {
        if self.far.told.load(Ordering::Acquire) {
            self.distant.forget(self.far.number);
        }
    }
}

impl Process for FarHandle {
    fn number(&self) -> u64 {
        self.far.number
    }

    fn output(&self) -> Pending<'_, Option<(Channel, Vec<u8>)>> {
        Box::pin(self.far.next_output(self.line()))
    }

    fn input<'a>(&'a self, bytes: &'a [u8]) -> Pending<'a, Result<(), Failure>> {
        Box::pin(async move {
            if self.far.is_input_closed.load(Ordering::Acquire) {
                return Err(Failure::new(ErrorCode::ProcessEnded, "the input is closed"));
            }
            for piece in bytes.chunks(PIECE) {
                let ask = Ask::Input { process: self.far.number };
                self.line().ask_and_wait(&ask, piece.to_vec()).await?;
            }
            Ok(())
        })
    }

    fn close_input(&self) {
        if !self.far.is_terminal && !self.far.is_input_closed.swap(true, Ordering::AcqRel) {
            self.line().say(Ask::CloseInput { process: self.far.number });
        }
    }

    fn signal(&self, signal: i32, reach: Reach) -> Pending<'_, Result<(), Failure>> {
        Box::pin(async move {
            if !(1..=64).contains(&signal) {
                let what = format!("{signal} is not the number of a signal");
                return Err(Failure::new(ErrorCode::InvalidValue, what));
            }
            self.distant.must_be_awake()?;
            if !self.far.is_running() {
                return Err(errors::process_ended());
            }
            let tree = reach == Reach::Tree;
            let _turn = match tree {
                true => Some(self.far.killing.lock().await),
                false => None,
            };
            let ask = Ask::Signal { process: self.far.number, signal, tree };
            self.line().ask(&ask, Vec::new()).await.map(drop)
        })
    }

    fn resize(&self, size: TerminalSize) -> Pending<'_, Result<(), Failure>> {
        Box::pin(async move {
            if !self.far.is_terminal {
                let what = "the process has no terminal";
                return Err(Failure::new(ErrorCode::InvalidValue, what));
            }
            let ask = Ask::Resize { process: self.far.number, size };
            self.line().ask(&ask, Vec::new()).await.map(drop)
        })
    }

    fn ended(&self) -> Pending<'_, Ended> {
        Box::pin(async move {
            let ended = self.far.await_end().await;
            self.far.told.store(true, Ordering::Release);
            ended
        })
    }
}
