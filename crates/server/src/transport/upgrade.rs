//! From a request to a WebSocket.

use std::sync::Arc;

use capsule_spec::ErrorCode;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::{Request as HttpRequest, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::body::Body;
use super::connection::frames;
use super::http::Http;
use super::io::Patient;
use crate::rpc::{Kind, Refusal};

pub(super) type Socket = WebSocketStream<Patient>;

/// The protocol that is spoken, for browsers, which send their key as another one.
const PROTOCOL: &str = "capsule.v1";

/// A WebSocket that is about to open.
pub(super) struct Opening {
    request: HttpRequest<Incoming>,
    permit: OwnedSemaphorePermit,
    accept: HeaderValue,
    speaks: bool,
}

impl Opening {
    /// Looks at a request that wants a WebSocket.
    ///
    /// # Errors
    /// When it is no such request, or too many are open.
    pub(super) fn of(http: &Http, request: HttpRequest<Incoming>) -> Result<Self, Refusal> {
        let headers = request.headers();
        let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
        let is_version = headers.get(SEC_WEBSOCKET_VERSION).is_some_and(|one| one == "13");
        let upgrades =
            names(headers, UPGRADE, "websocket") && names(headers, CONNECTION, "upgrade");
        if !(upgrades && is_version && key.len() == 24) {
            let message = "this path is a WebSocket of version 13";
            return Err(Refusal::new(Kind::InvalidRequest, ErrorCode::InvalidRequest, message));
        }
        let accept = HeaderValue::from_str(&derive_accept_key(key)).expect("base64 is ASCII");
        let speaks = names(headers, SEC_WEBSOCKET_PROTOCOL, PROTOCOL);
        let permit = Arc::clone(&http.sockets).try_acquire_owned().map_err(|_| {
            let message = "too many WebSockets are open";
            Refusal::new(Kind::LimitReached, ErrorCode::ServerLimit, message)
        })?;
        Ok(Self { request, permit, accept, speaks })
    }

    /// Answers the request, and does something with the socket once it is open.
    pub(super) fn then<F>(self, work: impl FnOnce(Socket) -> F + Send + 'static) -> Response<Body>
    where
        F: Future<Output = ()> + Send,
    {
        let Self { request, permit, accept, speaks } = self;
        tokio::spawn(async move {
            let _permit = permit;
            // A peer that goes before it opens is nothing to report.
            let Ok(upgraded) = hyper::upgrade::on(request).await else { return };
            let Ok(parts) = upgraded.downcast::<Patient>() else { return };
            let early = parts.read_buf.to_vec();
            let config = Some(frames());
            let socket =
                WebSocketStream::from_partially_read(parts.io, early, Role::Server, config).await;
            work(socket).await;
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if speaks {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
        }
        response
    }
}

/// Whether a header that is a list names something.
fn names(headers: &HeaderMap, header: HeaderName, wanted: &str) -> bool {
    let values = headers.get_all(header).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|one| one.trim().eq_ignore_ascii_case(wanted))
}
