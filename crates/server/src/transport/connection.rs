//! Connections: how many, how long, and how they end.

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::sync::{Semaphore, watch};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::http::Http;
use super::io::{Clock, Patient, Socket};
use super::listen::{Listener, next};
use crate::guard::Peer;
use crate::log;

/// How long the head of a request may take, and how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(15);
/// Largest head of a request, and most headers in it.
const HEAD_BYTES: usize = 32 << 10;
const HEADERS: usize = 64;
/// How long the listener rests after an error such as too many open files.
const REST: Duration = Duration::from_millis(50);

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Doors {
    /// One permit for each connection that may be open.
    room: Arc<Semaphore>,
    most: u32,
    /// True from the moment on when the server is to stop.
    stopping: watch::Sender<bool>,
}

impl Doors {
    pub(crate) fn new(most: u32) -> Self {
        let room = Arc::new(Semaphore::new(most as usize));
        Self { room, most, stopping: watch::Sender::new(false) }
    }

    /// Lets no new request in.
    pub(crate) fn close(&self) {
        self.stopping.send_replace(true);
    }

    /// Answers when the server is to stop.
    pub(crate) async fn closing(&self) {
        let mut stopping = self.stopping.subscribe();
        // The sender lives in `self`.
        let _ = stopping.wait_for(|stops| *stops).await;
    }

    /// Answers when every connection is closed, or the time is over.
    pub(crate) async fn drained(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.room.acquire_many(self.most)).await.is_ok()
    }
}

/// Takes connections until the doors close.
pub(crate) async fn accept(listener: Listener, doors: Arc<Doors>, http: Arc<Http>) {
    let closing = doors.closing();
    tokio::pin!(closing);
    loop {
        // Without room nobody is let in; who comes waits in the kernel's queue, which is short.
        let room = tokio::select! {
            room = Arc::clone(&doors.room).acquire_owned() => room,
            () = &mut closing => return,
        };
        let Ok(room) = room else { return };
        let accepted = tokio::select! {
            accepted = next(&listener) => accepted,
            () = &mut closing => return,
        };
        match accepted {
            Ok(Some((socket, peer))) => {
                let (doors, http) = (Arc::clone(&doors), Arc::clone(&http));
                tokio::spawn(async move {
                    serve(socket, peer, &doors, http).await;
                    drop(room);
                });
            }
            Ok(None) => log::warn("another user was turned away", &[]),
            Err(error) => {
                log::warn("no connection", &[("error", &error.to_string())]);
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn serve(socket: Socket, peer: Peer, doors: &Doors, http: Arc<Http>) {
    let count = &Arc::clone(&http.service.metrics).connections;
    count.add(1);
    let answer = service_fn(move |request| {
        let http = Arc::clone(&http);
        async move { Ok::<_, std::convert::Infallible>(http.answer(peer, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(Clock)
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(Patient::new(socket), answer)
        .with_upgrades();
    tokio::pin!(connection);
    // A peer that breaks off or breaks the rules is nothing to report.
    tokio::select! {
        _ = &mut connection => {}
        () = doors.closing() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
    count.sub(1);
}

/// Bounds of every WebSocket.
pub(super) fn frames() -> WebSocketConfig {
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(1 << 20);
    config.max_frame_size = Some(1 << 20);
    config.read_buffer_size = 16 << 10;
    config.write_buffer_size = 16 << 10;
    config.max_write_buffer_size = 2 << 20;
    config
}
