//! The doors of sandboxes: a process for each, opened and exchanged while the sandbox
//! lives.
//!
//! A door ends with the thread that opened it (PR_SET_PDEATHSIG), so one thread opens
//! them all, and lives as long as there is a server.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use capsule_init::resident::wire::Kind;
use capsule_spec::{ErrorCode, Failure};
use tokio::io::Interest;
use tokio::sync::oneshot;

use super::connection::Connection;
use super::{errors, lock, sys};
use crate::apply::DOOR_PORT;
use crate::supervisor::door::{Door, Terms};

type Opened = Result<Door, Failure>;
type Order = (Terms, OwnedFd, oneshot::Sender<Opened>);

/// The thread, once there is one.
#[derive(Default)]
pub(super) struct Doors {
    orders: Mutex<Option<mpsc::Sender<Order>>>,
}

impl Doors {
    /// Opens a door on a listener that is in the sandbox's network.
    pub(super) async fn open(&self, terms: Terms, listener: OwnedFd) -> Opened {
        let (tell, told) = oneshot::channel();
        let order = (terms, listener, tell);
        let failed = || Failure::new(ErrorCode::DoorFailed, "the network door could not be opened");
        self.orders()?.send(order).map_err(|_| failed())?;
        let door = told.await.map_err(|_| failed())??;
        let log = door.log().map(|log| log.try_clone_to_owned());
        if let Some(Ok(log)) = log {
            tokio::spawn(hear(log));
        }
        Ok(door)
    }

    fn orders(&self) -> Result<mpsc::Sender<Order>, Failure> {
        let mut orders = lock(&self.orders);
        if let Some(orders) = &*orders {
            return Ok(orders.clone());
        }
        let (sender, receiver) = mpsc::channel::<Order>();
        let work = move || {
            for (terms, listener, tell) in receiver {
                let opened = Door::open(&terms, listener).map_err(|error| error.failure);
                // A door that nobody waits for is closed by being dropped.
                let _ = tell.send(opened);
            }
        };
        std::thread::Builder::new()
            .name("capsule-doors".to_owned())
            .spawn(work)
            .map_err(|error| errors::system("start a thread", error))?;
        *orders = Some(sender.clone());
        Ok(sender)
    }
}

/// What a door says of its visits is thrown away; but heard, or it would wait for that.
async fn hear(log: OwnedFd) {
    let Ok(log) = sys::waitable(log, Interest::READABLE) else { return };
    let mut buffer = [0u8; 4096];
    loop {
        match rustix::io::read(log.get_ref(), &mut buffer[..]) {
            Ok(0) => return,
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => match log.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => return,
            },
            Err(_) => return,
        }
    }
}

/// Opens a door in place of an old one, which must be closed by now.
pub(super) async fn open(doors: &Doors, connection: &Connection, terms: Terms) -> Opened {
    const TRIES: usize = 20;
    const PAUSE: Duration = Duration::from_millis(50);
    let mut errno = 0;
    for _ in 0..TRIES {
        let mut answer = connection.ask(Kind::OpenDoor, &[u64::from(DOOR_PORT)], &[], None).await?;
        if let Some(listener) = answer.fds.pop() {
            return doors.open(terms, listener).await;
        }
        errno = answer.errno();
        // The door of a server that was killed may be about to end.
        if errno != libc::EADDRINUSE {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    let failure = Failure::new(ErrorCode::DoorFailed, "the network door could not be opened");
    Err(match errno {
        libc::EADDRINUSE => {
            failure.hint(format!("a process inside uses port {DOOR_PORT}, which is the door's"))
        }
        _ => failure,
    })
}
