//! Bodies: read within bounds, written in one piece or as they come.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use capsule_spec::ErrorCode;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

use crate::memory::Held;
use crate::rpc::{Kind, Refusal};

/// How long a peer may send nothing while a body is expected.
const SILENCE: Duration = Duration::from_secs(30);
/// How long a body may take that is held in memory.
const WHOLE: Duration = Duration::from_secs(120);

/// A body to send.
pub(super) enum Body {
    /// In one piece.
    Whole(Option<Bytes>),
    /// As the pieces come; with an error the connection breaks off, so a part cannot pass
    /// for the whole.
    Pieces(mpsc::Receiver<io::Result<Bytes>>),
}

impl Body {
    pub(super) fn empty() -> Self {
        Self::Whole(None)
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::Whole(Some(text.into()))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Pieces(pieces) => {
                pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// The next bytes of a body; none at its end.
pub(super) async fn next(body: &mut Incoming) -> Result<Option<Bytes>, Refusal> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        match tokio::time::timeout(SILENCE, frame).await {
            Ok(None) => return Ok(None),
            Ok(Some(Ok(frame))) => match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                // Trailers say nothing that is asked for.
                _ => {}
            },
            Ok(Some(Err(_))) => return Err(broken("the body broke off")),
            Err(_) => return Err(broken("the body did not come in time")),
        }
    }
}

/// All of a body, if it is not too large.
pub(super) async fn whole(
    mut body: Incoming,
    most: usize,
    held: &mut Held,
) -> Result<Vec<u8>, Refusal> {
    let declared = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if declared > most {
        return Err(too_large(most));
    }
    let mut bytes = Vec::new();
    let read = async {
        while let Some(piece) = next(&mut body).await? {
            if bytes.len() + piece.len() > most {
                return Err(too_large(most));
            }
            if !held.grow(piece.len()) {
                let message = "the server holds too many large bodies";
                return Err(Refusal::new(Kind::LimitReached, ErrorCode::ServerLimit, message));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(())
    };
    match tokio::time::timeout(WHOLE, read).await {
        Ok(read) => read.map(|()| bytes),
        Err(_) => Err(broken("the body did not come in time")),
    }
}

fn broken(message: &str) -> Refusal {
    Refusal::new(Kind::InvalidRequest, ErrorCode::InvalidRequest, message)
}

fn too_large(most: usize) -> Refusal {
    let message = format!("the body is larger than {most} bytes");
    let mut refusal = Refusal::new(Kind::LimitReached, ErrorCode::ServerLimit, message)
        .hint("upload files with PUT /sandbox/{id}/files?path=");
    refusal.failure = refusal.failure.detail("limit", most);
    refusal
}
