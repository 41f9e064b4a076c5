//! Server-sent events.

use std::fmt::Write;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use super::answer::typed;
use super::body::Body;
use super::http::Http;
use crate::service::{Event, Events};

/// Pieces that wait for a slow reader; what is behind them waits in the process's ring.
const WAITING: usize = 4;
/// How often a quiet stream shows that it lives, which also finds peers that are gone.
const QUIET: Duration = Duration::from_secs(15);

pub(super) fn answer(http: &Arc<Http>, events: Events) -> Response<Body> {
    let (pieces, body) = mpsc::channel(WAITING);
    let http = Arc::clone(http);
    tokio::spawn(async move {
        tokio::select! {
            () = send(events, &pieces) => {}
            () = pieces.closed() => {}
            // Without its last event, a reader knows that it has to come back.
            () = http.doors.closing() => {}
        }
    });
    typed(StatusCode::OK, "text/event-stream", Body::Pieces(body))
}

async fn send(mut events: Events, pieces: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let text = match tokio::time::timeout(QUIET, events.next()).await {
            Ok(Some(event)) => text(&event),
            Ok(None) => return,
            Err(_) => ":\n\n".to_owned(),
        };
        if pieces.send(Ok(text.into())).await.is_err() {
            return;
        }
    }
}

fn text(event: &Event) -> String {
    let mut text = format!("event: {}\n", event.name);
    if let Some(place) = event.place {
        let _ = writeln!(text, "id: {place}");
    }
    // JSON text has no line breaks.
    let _ = write!(text, "data: {}\n\n", event.data);
    text
}
