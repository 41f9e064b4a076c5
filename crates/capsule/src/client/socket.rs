//! WebSockets: what goes both ways at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use capsule_spec::{ErrorCode, Failure};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::connection::{Stream, broken, unreachable};
use super::{Client, foreign, remote};

/// A WebSocket to a server.
pub(crate) type Socket = WebSocketStream<Line>;

/// How long a server may take to open it.
const OPENING: Duration = Duration::from_secs(30);
/// Largest message: the server's own bound.
const LARGEST: usize = 4 << 20;

/// A socket of either kind, without blocking.
#[derive(Debug)]
pub(crate) enum Line {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Opens a WebSocket at a path.
///
/// # Errors
/// What the server says, or that there is none.
pub(crate) async fn open(client: &Client, path: &str) -> Result<Socket, Failure> {
    let place = client.place();
    let line = Line::of(Stream::open(place).map_err(|error| unreachable(place, &error))?);
    let line = line.map_err(|error| unreachable(place, &error))?;
    let mut request = Request::builder()
        .uri(format!("ws://{}{path}", place.authority()))
        .header("Host", place.authority())
        .header("Connection", "Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", generate_key());
    if let Some(key) = client.key() {
        request = request.header("Authorization", format!("Bearer {key}"));
    }
    let request = request.body(()).map_err(|_| unusable())?;
    let mut config = WebSocketConfig::default();
    config.max_message_size = Some(LARGEST);
    config.max_frame_size = Some(LARGEST);
    let opening = tokio_tungstenite::client_async_with_config(request, line, Some(config));
    match tokio::time::timeout(OPENING, opening).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(Error::Http(answer))) => {
            let body = answer.body().as_deref().unwrap_or_default();
            let body: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
            let status = answer.status().as_u16();
            Err(body.get("error").map_or_else(|| foreign(status), remote))
        }
        Ok(Err(Error::Io(error))) => Err(broken(&error)),
        Ok(Err(_)) => Err(foreign(0)),
        Err(_) => Err(broken(&io::ErrorKind::TimedOut.into())),
    }
}

fn unusable() -> Failure {
    Failure::new(ErrorCode::InvalidValue, "the API key holds characters that none can have")
}

impl Line {
    fn of(stream: Stream) -> io::Result<Self> {
        match stream {
            Stream::Tcp(stream) => {
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream).map(Self::Tcp)
            }
            Stream::Unix(stream) => {
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream).map(Self::Unix)
            }
        }
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
