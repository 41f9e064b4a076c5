//! The door of a distant sandbox. Its listener cannot be handed out, so whoever knocks inside is
//! led to the door from there: bytes one way, bytes the other way.
//!
//! ```text
//!  guest ── 127.0.0.1 ── relay ── the stream ── here ── NAME.door, in the state folder ── door
//! ```
//!
//! The door itself is a jail's: a process of its own, which checks what is asked for.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use capsule_spec::{ErrorCode, Failure};
use rustix::net::SocketAddrUnix;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::super::doors::Doors;
use super::super::errors;
use super::super::process::first_of;
use super::line::Line;
use super::words::{Ask, Tell};
use crate::apply::DOOR_PORT;
use crate::supervisor::door::{Door, Terms};

/// The most visitors at one time.
const VISITORS: usize = 64;
/// Bytes on their way in one direction of a visit.
const PIECE: usize = 64 << 10;

/// A door that is open. Dropped, it is closed, and every visit is over.
pub(super) struct FarDoor {
    line: Arc<Line>,
    _door: Door,
    leading: JoinHandle<()>,
}

impl Drop for FarDoor {
    fn drop(&mut self) {
        self.leading.abort();
        self.line.say(Ask::CloseDoor);
    }
}

/// Opens a door; the last one is closed by now. `listener` is where visitors are led to, and
/// `address` how.
pub(super) async fn open(
    doors: &Doors,
    line: &Arc<Line>,
    terms: Terms,
    (listener, address): (OwnedFd, SocketAddrUnix),
) -> Result<FarDoor, Failure> {
    const TRIES: usize = 20;
    const PAUSE: Duration = Duration::from_millis(50);
    let failed = || Failure::new(ErrorCode::DoorFailed, "the network door could not be opened");
    let mut tries = 0;
    loop {
        match line.ask(&Ask::OpenDoor { port: DOOR_PORT }, Vec::new()).await? {
            (Tell::Done, _) => break,
            // The last listener may not be gone yet.
            (Tell::Refused { errno: libc::EADDRINUSE, .. }, _) if tries < TRIES => tries += 1,
            (Tell::Refused { errno: libc::EADDRINUSE, .. }, _) => {
                let hint = format!("a process inside uses port {DOOR_PORT}, which is the door's");
                return Err(failed().hint(hint));
            }
            _ => return Err(failed()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    let opened = doors.open(terms, listener).await;
    let door = opened.inspect_err(|_| line.say(Ask::CloseDoor))?;
    let leading = tokio::spawn(lead(line.clone(), address));
    Ok(FarDoor { line: line.clone(), _door: door, leading })
}

/// Leads visitors to the door, one after the other, as long as there is a door. With this task
/// all visits end.
async fn lead(line: Arc<Line>, address: SocketAddrUnix) {
    let places = Arc::new(Semaphore::new(VISITORS));
    let mut visits = JoinSet::new();
    while let Ok(place) = places.clone().acquire_owned().await {
        while visits.try_join_next().is_some() {}
        let Ok((Tell::Opened { handle, .. }, _)) =
            line.ask_and_wait(&Ask::Accept, Vec::new()).await
        else {
            return;
        };
        let (line, address) = (line.clone(), address.clone());
        visits.spawn(async move {
            // Who cannot be led on is sent away.
            if let Ok(door) = knock(&address) {
                accompany(&line, handle, door).await;
            }
            line.say(Ask::Close { handle });
            drop(place);
        });
    }
}

fn knock(address: &SocketAddrUnix) -> Result<UnixStream, Failure> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let failed = |error: std::io::Error| errors::system("reach the network door", error);
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket = socket.map_err(|errno| failed(errno.into()))?;
    connect(&socket, address).map_err(|errno| failed(errno.into()))?;
    UnixStream::from_std(socket.into()).map_err(failed)
}

/// Until both directions are over, or one breaks.
async fn accompany(line: &Arc<Line>, visitor: u64, door: UnixStream) {
    let (mut from_door, mut to_door) = door.into_split();
    let inwards = async {
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = from_door.read(&mut piece).await {
            let ask = Ask::Say { visitor };
            if line.ask_and_wait(&ask, piece[..length].to_vec()).await.is_err() {
                return;
            }
        }
        let _ = line.ask_and_wait(&Ask::Hush { visitor }, Vec::new()).await;
    };
    let outwards = async {
        while let Ok((Tell::Bytes, bytes)) =
            line.ask_and_wait(&Ask::Hear { visitor }, Vec::new()).await
        {
            if bytes.is_empty() || to_door.write_all(&bytes).await.is_err() {
                break;
            }
        }
        let _ = to_door.shutdown().await;
        // What the door still has to say is waited for.
        std::future::pending::<()>().await;
    };
    // The door has the last word: it closes every visit in its time.
    first_of(inwards, outwards).await;
}
