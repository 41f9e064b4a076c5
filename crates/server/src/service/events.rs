//! Answers that come in pieces.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use capsule_backend::guest::Channel;
use tokio::sync::{mpsc, watch};

use capsule_backend::sandbox::{Notice, NoticeKind, Notices};

use super::Owned;
use crate::live::{Attached, Heard, InUse};
use crate::model::State;
use crate::request::{FileEvent, OutputEvent, WatchEvent};

/// How often changes of files are told.
const TOGETHER: std::time::Duration = std::time::Duration::from_millis(10);

/// An event as it goes over the wire.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    /// What kind it is.
    pub(crate) name: &'static str,
    /// Where its reader can begin again.
    pub(crate) place: Option<u64>,
    /// JSON text.
    pub(crate) data: String,
}

/// Events, until there are no more. Dropping it ends what belongs to it.
pub(crate) struct Events {
    source: Source,
    waiting: std::collections::VecDeque<Event>,
    is_over: bool,
}

enum Source {
    Output { attached: Attached, _used: InUse, _owned: Option<Owned> },
    Files { notices: mpsc::Receiver<Vec<Notice>>, _used: InUse },
    States { states: watch::Receiver<State>, is_new: bool },
}

impl Events {
    pub(super) fn output(
        used: InUse,
        attached: Attached,
        owned: Option<Owned>,
        started: Option<u64>,
    ) -> Self {
        let started = started.map(|process| event(&OutputEvent::Started { process }));
        Self {
            source: Source::Output { attached, _used: used, _owned: owned },
            waiting: started.into_iter().collect(),
            is_over: false,
        }
    }

    pub(super) fn files(used: InUse, mut source: Box<dyn Notices>) -> Self {
        let (told, notices) = mpsc::channel(1);
        // A task of its own: what was begun must not be dropped half-way.
        tokio::spawn(async move {
            loop {
                let found = tokio::select! {
                    found = source.next() => found,
                    () = told.closed() => return,
                };
                let Some(found) = found else { return };
                if told.send(found).await.is_err() {
                    return;
                }
                // What happens meanwhile comes together, and waits in the backend.
                tokio::time::sleep(TOGETHER).await;
            }
        });
        let started = Event { name: "started", place: None, data: "{}".to_owned() };
        Self {
            source: Source::Files { notices, _used: used },
            waiting: [started].into(),
            is_over: false,
        }
    }

    pub(super) fn states(states: watch::Receiver<State>) -> Self {
        let source = Source::States { states, is_new: true };
        Self { source, waiting: std::collections::VecDeque::new(), is_over: false }
    }

    /// The next event; none after the last. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            match &mut self.source {
                Source::Output { attached, .. } => {
                    let heard = attached.next().await;
                    self.is_over = heard.is_empty() || matches!(heard.last(), Some(Heard::Exit(_)));
                    self.waiting.extend(heard.into_iter().map(|heard| event(&told(heard))));
                }
                Source::Files { notices, .. } => match notices.recv().await {
                    Some(found) => self.waiting.extend(found.into_iter().map(noticed)),
                    None => self.is_over = true,
                },
                Source::States { states, is_new } => {
                    if !*is_new && states.changed().await.is_err() {
                        return None;
                    }
                    *is_new = false;
                    let state = *states.borrow_and_update();
                    self.is_over = state == State::Gone;
                    self.waiting.push_back(changed(state));
                }
            }
        }
    }
}

fn noticed(notice: Notice) -> Event {
    let Notice::File { kind, path, is_directory } = notice else {
        return Event { name: "gap", place: None, data: "{}".to_owned() };
    };
    let (kind, to) = match kind {
        NoticeKind::Created => ("created", None),
        NoticeKind::Modified => ("modified", None),
        NoticeKind::Removed => ("removed", None),
        NoticeKind::Moved(to) => ("moved", Some(to)),
    };
    let data = FileEvent { kind: kind.to_owned(), path, to, is_dir: is_directory };
    let data = serde_json::to_string(&data).expect("strings have a JSON form");
    Event { name: "file", place: None, data }
}

fn changed(state: State) -> Event {
    let data = WatchEvent { state: state.name().to_owned() };
    let data = serde_json::to_string(&data).expect("a string has a JSON form");
    Event { name: "state", place: None, data }
}

/// What is heard of a process, on the wire.
pub(crate) fn told(heard: Heard) -> OutputEvent {
    match heard {
        Heard::Gap { bytes, next } => OutputEvent::Gap { bytes, next },
        Heard::Output { channel, bytes, next } => {
            let data = STANDARD.encode(bytes);
            match channel {
                Channel::Stdout => OutputEvent::Stdout { data, next },
                Channel::Stderr => OutputEvent::Stderr { data, next },
            }
        }
        Heard::Exit(exit) => OutputEvent::Exit(exit),
    }
}

fn event(output: &OutputEvent) -> Event {
    let (name, place) = match output {
        OutputEvent::Started { .. } => ("started", None),
        OutputEvent::Stdout { next, .. } => ("stdout", Some(*next)),
        OutputEvent::Stderr { next, .. } => ("stderr", Some(*next)),
        OutputEvent::Gap { next, .. } => ("gap", Some(*next)),
        OutputEvent::Exit(_) => ("exit", None),
    };
    let data = serde_json::to_string(output).expect("strings and numbers have a JSON form");
    Event { name, place, data }
}
