//! `/terminal/{id}`, `/sandbox/{id}/stream` and `/sandbox/{id}/exec`.
//!
//! A terminal's frames are raw bytes: what the server sends is output, whatever a client
//! sends is input. With `?control=1`, text frames of the client are commands ([`Command`])
//! and binary ones are input.
//!
//! Two loops, because one that writes input cannot at the same time take in the output that
//! the input is waiting for:
//!
//! ```text
//!  client ──▶ hear ──▶ process          process ──▶ tell ──▶ client
//!      either ends ──▶ close frame ──▶ the process goes, if it belongs to the socket
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use capsule_backend::sandbox::{Process, Reach, TerminalSize};
use capsule_spec::{ErrorCode, Failure};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, Stream, StreamExt};
use hyper::body::Incoming;
use hyper::{Request as HttpRequest, Response};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use super::body::Body;
use super::http::Http;
use super::io::PATIENCE;
use super::route::query;
use super::upgrade::{Opening, Socket};
use crate::live::{Attached, Heard, InUse, Live, Running};
use crate::request::{ExecStream, OutputEvent, Request, Size};
use crate::rpc::{Kind, Refusal};
use crate::service::{Caller, Session, told};

/// How often a client has to show that it lives, and how long it may be silent.
const PING: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);
/// How often a key is looked at again.
const WELCOME: Duration = Duration::from_secs(5);
/// How long a client may take to send what it wants to run, and to close.
const FIRST: Duration = Duration::from_secs(15);
const CLOSING: Duration = Duration::from_secs(2);
/// Close codes of our own: the sandbox ends; the request was refused.
const SANDBOX_ENDS: u16 = 4001;
const REFUSED: u16 = 4002;

/// What a client can say beside input.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    /// Input as text.
    Input(String),
    /// The input is over.
    CloseInput(bool),
    /// A signal for all that the process started.
    Signal(i32),
    /// A new size.
    Resize(Size),
}

/// A process and how a socket speaks with it.
struct Line {
    running: Arc<Running>,
    live: Arc<Live>,
    speaks: Speaks,
    has_control: bool,
    /// Lives as long as the socket.
    _owned: Ownership,
}

enum Ownership {
    /// The process ends with the socket.
    Session(#[expect(dead_code, reason = "held for its drop")] Session),
    /// The process stays.
    Visit(#[expect(dead_code, reason = "held for its drop")] InUse),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaks {
    /// Raw bytes.
    Bytes,
    /// Events as JSON.
    Events,
}

pub(super) async fn terminal(
    http: &Arc<Http>,
    caller: Caller,
    id: String,
    request: HttpRequest<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let wrong = |message: &str| {
        Refusal::of(Kind::InvalidParams, Failure::new(ErrorCode::InvalidValue, message))
    };
    let values =
        query(request.uri().query()).ok_or_else(|| wrong("the query cannot be decoded"))?;
    let number = |name: &str, default: u64| match values.get(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| wrong(&format!("{name} is not a number"))),
    };
    let known = ["columns", "rows", "control", "process", "offset"];
    if let Some(name) = values.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(wrong(&format!(
            "there is no value {name:?}; known here: {}",
            known.join(", ")
        )));
    }
    let side = |value: u64| u16::try_from(value).map_err(|_| wrong("the terminal is too large"));
    let size = Size { columns: side(number("columns", 80)?)?, rows: side(number("rows", 24)?)? };
    let has_control = values.get("control").is_some_and(|value| value == "1");
    let opening = Opening::of(http, request)?;
    let (line, from) = match values.contains_key("process") {
        true => {
            let live = http.service.registry.find(&caller.owner, &id);
            let live = live.map_err(|failure| Refusal::of(Kind::NotFound, failure))?;
            let running = live.process(number("process", 0)?);
            let running = running.map_err(|failure| Refusal::of(Kind::NotFound, failure))?;
            let _owned = Ownership::Visit(live.hold());
            let speaks = Speaks::Bytes;
            let from = values.contains_key("offset").then(|| number("offset", 0)).transpose()?;
            (Line { running, live, speaks, has_control, _owned }, from)
        }
        false => {
            let session = http.service.shell(&caller, &id, size).await?;
            (Line::owning(session, Speaks::Bytes, has_control), Some(0))
        }
    };
    let http = Arc::clone(http);
    Ok(opening.then(move |socket| async move {
        http.service.metrics.terminals.add(1);
        converse(&http, &caller, line, from, socket).await;
        http.service.metrics.terminals.sub(1);
    }))
}

pub(super) async fn exec(
    http: &Arc<Http>,
    caller: Caller,
    id: String,
    request: HttpRequest<Incoming>,
) -> Result<Response<Body>, Refusal> {
    // Before the socket opens: who does not know the sandbox learns nothing else.
    let found = http.service.registry.find(&caller.owner, &id);
    found.map_err(|failure| Refusal::of(Kind::NotFound, failure))?;
    let opening = Opening::of(http, request)?;
    let http = Arc::clone(http);
    Ok(opening.then(move |mut socket| async move {
        let begun = match tokio::time::timeout(FIRST, first(&mut socket, &id)).await {
            Ok(Some(Ok(exec))) => http.service.session(&caller, exec).await,
            Ok(Some(Err(refusal))) => Err(refusal),
            Ok(None) | Err(_) => return,
        };
        match begun {
            Ok(session) => {
                let line = Line::owning(session, Speaks::Events, true);
                let started = OutputEvent::Started { process: line.running.number };
                if socket.send(text(&started)).await.is_ok() {
                    converse(&http, &caller, line, Some(0), socket).await;
                }
            }
            Err(refusal) => {
                let refusal = serde_json::json!({ "error": refusal });
                let _ = socket.send(Message::text(refusal.to_string())).await;
                close(&mut socket, REFUSED, refusal["error"]["data"]["type"].as_str()).await;
            }
        }
    }))
}

/// What a client wants to run: its first message, the parameters of `sandbox.v1.execStream`
/// without an id.
async fn first(socket: &mut Socket, id: &str) -> Option<Result<ExecStream, Refusal>> {
    let text = loop {
        match socket.next().await?.ok()? {
            Message::Text(text) => break text,
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Binary(_) | Message::Close(_) | Message::Frame(_) => return None,
        }
    };
    let mut fields: BTreeMap<String, Box<RawValue>> = match serde_json::from_str(&text) {
        Ok(fields) => fields,
        Err(_) => {
            let message = "the first message is not a JSON object";
            return Some(Err(Refusal::new(Kind::Parse, ErrorCode::InvalidRequest, message)));
        }
    };
    let id = serde_json::value::to_raw_value(id).expect("a string has a JSON form");
    fields.insert("id".to_owned(), id);
    // Whoever opens a socket may have something to say.
    let yes = serde_json::value::to_raw_value(&true).expect("so has a boolean");
    fields.entry("input".to_owned()).or_insert(yes);
    let params = serde_json::value::to_raw_value(&fields).expect("and a map of them");
    Some(match Request::parse("sandbox.v1.execStream", Some(&params)) {
        Ok(Request::ExecStream(exec)) => Ok(exec),
        Ok(_) => return None,
        Err(wrong) => Err(wrong.into()),
    })
}

impl Line {
    fn owning(session: Session, speaks: Speaks, has_control: bool) -> Self {
        let (running, live) = (Arc::clone(session.running()), Arc::clone(session.live()));
        Self { running, live, speaks, has_control, _owned: Ownership::Session(session) }
    }
}

/// Why a conversation is over.
struct Over(u16, String);

/// Speaks until one side is over. Without a place to begin at, a terminal is first shown as
/// it is, and a process without one from its start.
async fn converse(http: &Http, caller: &Caller, line: Line, from: Option<u64>, socket: Socket) {
    let (mut sink, mut stream) = socket.split();
    let picture = if from.is_none() { line.running.picture() } else { None };
    let mut attached = match picture {
        Some((picture, attached)) => {
            let shown = tokio::time::timeout(PATIENCE, sink.send(Message::binary(picture)));
            if !matches!(shown.await, Ok(Ok(()))) {
                return;
            }
            attached
        }
        None => line.running.attach(from.unwrap_or(0)),
    };
    let over = tokio::select! {
        over = tell(&mut attached, line.speaks, &mut sink) => over,
        over = hear(&line, &mut stream) => over,
        over = end_of(&line.live) => Some(over),
        over = unwelcome(http, caller) => Some(over),
        () = http.doors.closing() => Some(Over(CloseCode::Away.into(), "the server stops".into())),
    };
    if let Some(Over(code, reason)) = over {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        let _ = tokio::time::timeout(CLOSING, async {
            let _ = sink.send(Message::Close(Some(frame))).await;
            unheard(&mut stream).await;
        })
        .await;
    }
}

/// Hears a client out that was told of the end. A socket that is closed with something unread
/// in it takes back what the client has not read yet: how its command ended.
async fn unheard(stream: &mut (impl Stream<Item = tungstenite::Result<Message>> + Unpin)) {
    while let Some(Ok(_)) = stream.next().await {}
}

/// Output to the client, and pings.
async fn tell(
    attached: &mut Attached,
    speaks: Speaks,
    sink: &mut SplitSink<Socket, Message>,
) -> Option<Over> {
    let mut ping = tokio::time::interval(PING);
    loop {
        let heard = tokio::select! {
            heard = attached.next() => heard,
            _ = ping.tick() => {
                sink.send(Message::Ping(bytes::Bytes::new())).await.ok()?;
                continue;
            }
        };
        if heard.is_empty() {
            return None;
        }
        for one in heard {
            let exit = match &one {
                Heard::Exit(exit) => Some(*exit),
                _ => None,
            };
            let message = match (speaks, one) {
                (Speaks::Bytes, Heard::Output { bytes, .. }) => Some(Message::binary(bytes)),
                (Speaks::Bytes, _) => None,
                (Speaks::Events, heard) => Some(text(&told(heard))),
            };
            if let Some(message) = message {
                sink.send(message).await.ok()?;
            }
            if let Some(exit) = exit {
                let reason = format!("exit {}", exit.exit_code);
                return Some(Over(CloseCode::Normal.into(), reason));
            }
        }
    }
}

/// Input and commands from the client.
async fn hear(line: &Line, stream: &mut SplitStream<Socket>) -> Option<Over> {
    loop {
        let message = match tokio::time::timeout(SILENCE, stream.next()).await {
            Ok(message) => message?.ok()?,
            // Not even an answer to a ping: nobody is there any more.
            Err(_) => return None,
        };
        // What is said to a process that has ended is said to nobody; its exit is told.
        let Some(process) = line.running.process() else { continue };
        let process = &*process;
        match message {
            Message::Text(text) if line.has_control => match serde_json::from_str(&text) {
                Ok(command) => obey(&line.running, process, command).await,
                Err(error) => {
                    let reason: String =
                        format!("not a command: {error}").chars().take(100).collect();
                    return Some(Over(CloseCode::Policy.into(), reason));
                }
            },
            Message::Text(text) => input(process, text.as_bytes()).await,
            Message::Binary(bytes) => input(process, &bytes).await,
            Message::Close(_) => return None,
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
}

/// A process that ends while it is spoken to is told of by its exit.
async fn input(process: &dyn Process, bytes: &[u8]) {
    let _ = process.input(bytes).await;
}

async fn obey(running: &Running, process: &dyn Process, command: Command) {
    match command {
        Command::Input(text) => input(process, text.as_bytes()).await,
        Command::CloseInput(true) => process.close_input(),
        Command::CloseInput(false) => {}
        Command::Signal(signal) if (1..=64).contains(&signal) => {
            let _ = process.signal(signal, Reach::Tree).await;
        }
        Command::Signal(_) => {}
        Command::Resize(size) if size.check().is_ok() => {
            let size = TerminalSize { columns: size.columns, rows: size.rows };
            if process.resize(size).await.is_ok() {
                running.resized(size);
            }
        }
        Command::Resize(_) => {}
    }
}

async fn end_of(live: &Live) -> Over {
    let mut states = live.watch();
    let state = states.wait_for(|state| !state.lives()).await.map(|state| state.name());
    Over(SANDBOX_ENDS, format!("the sandbox is {}", state.unwrap_or("gone")))
}

async fn unwelcome(http: &Http, caller: &Caller) -> Over {
    loop {
        tokio::time::sleep(WELCOME).await;
        if !http.identities.is_welcome(&caller.owner).await {
            return Over(CloseCode::Policy.into(), "the API key was revoked".to_owned());
        }
    }
}

fn text(event: &OutputEvent) -> Message {
    Message::text(serde_json::to_string(event).expect("strings and numbers have a JSON form"))
}

async fn close(socket: &mut Socket, code: u16, reason: Option<&str>) {
    let reason = reason.unwrap_or_default().to_owned().into();
    let frame = CloseFrame { code: code.into(), reason };
    let _ = tokio::time::timeout(CLOSING, async {
        let _ = socket.close(Some(frame)).await;
        unheard(socket).await;
    })
    .await;
}
