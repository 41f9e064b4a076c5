//! A conversation with a process inside: what is typed goes in, what it writes comes out,
//! and its end is ours. Nothing of it waits for the other: a command that reads nothing can
//! still write, and one whose output nobody takes can still be told to stop.
//!
//! ```text
//!  stdin ──thread──▶ queue ──task──▶ socket ──▶ server
//!  stdout, stderr ◀──thread── queue ◀── socket ◀── server
//!  signals ──▶ resize, kill, or the end
//! ```

mod input;
mod output;

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use capsule_spec::{ErrorCode, Failure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::shell::terminal;
use super::signals::Signals;
use crate::client::{Client, Socket, remote};
use output::{Channel, Output};

/// A server shows that it lives every 20 seconds.
const SILENCE: Duration = Duration::from_secs(75);
/// How long a farewell may take.
const CLOSING: Duration = Duration::from_secs(2);
/// Messages that wait for the socket.
const WAITING: usize = 4;
/// Close codes of a server: the process ended; the sandbox ends.
const ENDED: u16 = 1000;
const SANDBOX_ENDS: u16 = 4001;

/// How a process is spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Through {
    /// Three pipes: signals are passed on.
    Pipes,
    /// A terminal: signals are typed, and it has a size.
    Terminal,
}

/// A conversation that is about to begin.
pub(super) struct Talk<'a> {
    pub(super) client: &'a Client,
    pub(super) id: &'a str,
    pub(super) through: Through,
    pub(super) socket: Socket,
    /// What is said first, if anything.
    pub(super) first: Option<Value>,
    pub(super) signals: Signals,
}

/// Whether what was heard was the last.
enum Step {
    Go,
    /// The exit code to end with.
    End(u8),
}

impl Talk<'_> {
    /// Leads it to its end: the exit code of the process.
    ///
    /// # Errors
    /// When it could not be started, or it is not known how it ended.
    pub(super) async fn lead(self) -> Result<u8, Failure> {
        let Self { client, id, through, socket, first, mut signals } = self;
        let (mut sink, mut stream) = socket.split();
        if let Some(first) = first {
            sink.send(Message::text(first.to_string())).await.map_err(|_| lost())?;
        }
        let (said, mut to_say) = mpsc::channel::<Message>(WAITING);
        let mut typed = Some(input::read());
        let output = Output::start();
        let mut process = None;
        let mut interrupted = false;
        // In a task of its own: a message that the server does not take yet stops nothing else.
        let mut sending = tokio::spawn(async move {
            while let Some(message) = to_say.recv().await {
                if sink.send(message).await.is_err() {
                    break;
                }
            }
            let _ = sink.send(Message::Close(None)).await;
        });
        let ended = loop {
            let has_room = output.has_room();
            tokio::select! {
                biased;
                signal = signals.next() => {
                    match answer_to(signal, through) {
                        Answer::Resize => {
                            let size = json!({ "resize": terminal::size() });
                            // The next one tells the size as well.
                            let _ = said.try_send(Message::text(size.to_string()));
                        }
                        Answer::RawAgain => terminal::raw_again(),
                        Answer::Pass => match process {
                            Some(process) if !interrupted => {
                                interrupted = true;
                                pass(client.another(), id, process, signal);
                            }
                            _ => break Ok(signalled(signal)),
                        },
                        Answer::End => break Ok(signalled(signal)),
                    }
                }
                () = output.broke() => break Ok(signalled(libc::SIGPIPE)),
                message = tokio::time::timeout(SILENCE, stream.next()), if has_room => {
                    let message = match message {
                        Ok(Some(Ok(message))) => message,
                        Ok(Some(Err(_)) | None) | Err(_) => break Err(lost()),
                    };
                    match heard(message, &output, &mut process) {
                        Ok(Step::Go) => {}
                        Ok(Step::End(code)) => break Ok(code),
                        Err(failure) => break Err(failure),
                    }
                }
                () = output.room(), if !has_room => {}
                (room, bytes) = input::next(&said, &mut typed) => match bytes {
                    Some(bytes) => room.send(Message::binary(bytes)),
                    None => {
                        typed = None;
                        // A terminal's input has no end that could be told.
                        if through == Through::Pipes {
                            room.send(Message::text(json!({ "close_input": true }).to_string()));
                        }
                    }
                },
            }
        };
        drop(said);
        output.finish(ended.is_ok()).await;
        if tokio::time::timeout(CLOSING, &mut sending).await.is_err() {
            sending.abort();
        }
        ended
    }
}

/// What a signal does.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Resize,
    RawAgain,
    Pass,
    End,
}

fn answer_to(signal: libc::c_int, through: Through) -> Answer {
    match (signal, through) {
        (libc::SIGWINCH, _) => Answer::Resize,
        (libc::SIGCONT, _) => Answer::RawAgain,
        (_, Through::Pipes) => Answer::Pass,
        (_, Through::Terminal) => Answer::End,
    }
}

/// Passes a signal on, beside the socket: there it would wait behind what was typed.
fn pass(mut client: Client, id: &str, process: u64, signal: libc::c_int) {
    let params = json!({ "id": id, "process": process, "signal": signal, "tree": true });
    // If that fails the next signal ends the conversation, and with it the process.
    std::thread::spawn(move || client.call("sandbox.v1.kill", params));
}

fn heard(message: Message, output: &Output, process: &mut Option<u64>) -> Result<Step, Failure> {
    match message {
        Message::Binary(bytes) => output.write(Channel::Stdout, bytes.to_vec()),
        Message::Text(text) => {
            let event: Value = serde_json::from_str(&text).map_err(|_| lost())?;
            if let Some(error) = event.get("error") {
                return Err(remote(error));
            }
            *process = event["started"]["process"].as_u64().or(*process);
            for (name, channel) in [("stdout", Channel::Stdout), ("stderr", Channel::Stderr)] {
                if let Some(data) = event[name]["data"].as_str() {
                    output.write(channel, STANDARD.decode(data).map_err(|_| lost())?);
                }
            }
            if let Some(exit) = event.get("exit") {
                return Ok(Step::End(told_of(exit, output)));
            }
        }
        Message::Close(frame) => return end(frame.as_ref()),
        Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
    }
    Ok(Step::Go)
}

/// The exit code of a process; what it could not say itself is said for it.
fn told_of(exit: &Value, output: &Output) -> u8 {
    let said = if exit["timed_out"] == json!(true) {
        Some(Failure::new(ErrorCode::TimedOut, "the command ran longer than its timeout"))
    } else if exit["out_of_memory"] == json!(true) {
        let message = "the command used more memory than the sandbox has";
        Some(Failure::new(ErrorCode::MemoryLimit, message))
    } else {
        None
    };
    if let Some(failure) = said {
        output.write(Channel::Stderr, format!("{failure}\n").into_bytes());
    }
    code(exit["exit_code"].as_i64().unwrap_or(1))
}

fn code(code: i64) -> u8 {
    u8::try_from(code & 0xff).unwrap_or(1)
}

/// Why a server closed the socket.
fn end(frame: Option<&CloseFrame>) -> Result<Step, Failure> {
    let Some(frame) = frame else { return Err(lost()) };
    let reason = frame.reason.as_str();
    match u16::from(frame.code) {
        ENDED => match reason.strip_prefix("exit ").and_then(|code| code.parse::<i64>().ok()) {
            Some(exit) => Ok(Step::End(code(exit))),
            None => Err(lost()),
        },
        SANDBOX_ENDS => Err(Failure::new(ErrorCode::SandboxEnded, reason)),
        _ if reason.is_empty() => Err(lost()),
        _ => Err(Failure::new(
            ErrorCode::ServerUnreachable,
            format!("the server closed the connection: {reason}"),
        )),
    }
}

fn lost() -> Failure {
    let message = "the connection to the server was closed";
    Failure::new(ErrorCode::ServerUnreachable, message)
        .hint("what ran in it was ended by the server")
}

fn signalled(signal: libc::c_int) -> u8 {
    code(128 + i64::from(signal))
}
