//! The network of one guest: TCP connections that the host makes for it.
//!
//! Who attacks: the guest. It wants to reach hosts that its grant does not name (other
//! names, inside addresses, names that resolve to them, redirects, another tenant of an
//! allowed server by TLS name or Host field), and to exhaust the host (connections,
//! buffers, records, lookups). What stands against it:
//!
//! 1. a rule covers the name and port of every connection (`policy`), the host resolves
//!    the name, once, and every address is checked where the jail's door checks it
//!    (`capsule_backend::address`); the connection goes to a checked address (`dial`);
//! 2. TLS is the host's own (`tls`): a server name is the connected host or covered;
//! 3. HTTP requests are read on their way out (`watch`): a Host that is not covered, or
//!    a head that two servers could read in two ways, does not leave;
//! 4. all that is held or begun is counted, and [`Network`] ends it when it is dropped.
//!
//! What does not: other protocols are not looked into, and what a guest says to an
//! allowed host is its own affair.

mod connection;
mod dial;
mod failure;
mod head;
mod log;
mod policy;
mod response;
#[cfg(test)]
mod tests;
mod tls;
mod unread;
mod watch;

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use capsule_backend::address::Host;
use capsule_backend::guest::{Grant, Pending, Request};
use tokio::sync::Semaphore;

use self::connection::{Command, Connection, Wanted};
use self::failure::{failure, gone};
use self::log::Log;
use self::policy::Policy;
pub(super) use self::unread::Unread;
use super::interface::bindings::capsule::guest::types::Failure;
use super::operations::Answer;

/// Connections of one guest at once, those that are being made or closed included.
const MOST_CONNECTIONS: usize = 64;
/// What one guest may have in the host: bytes to be sent, and answers not yet heard.
const MOST_BUFFERED: usize = 32 * 1024 * 1024;
/// What an operation costs of that besides its bytes, so that small ones are counted too.
const COST: usize = 4 * 1024;
/// The most that one `receive` answers.
const MOST_RECEIVED: usize = 256 * 1024;
/// The most that one `send` takes.
const MOST_SENT: usize = 4 * 1024 * 1024;
/// Names that are looked up for one guest at once. A lookup cannot be stopped.
const MOST_LOOKUPS: usize = 8;

/// An operation that has begun.
type Work = Pending<'static, Result<Answer, Failure>>;
/// Finds the addresses of a name; blocks.
type Lookup = Arc<dyn Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync>;

pub(crate) struct Network {
    /// What is allowed; nothing before the first grant.
    policy: Option<Arc<Policy>>,
    was_refused: bool,
    next: u64,
    connections: HashMap<u64, Connection>,
    log: Log,
    buffered: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    lookup: Lookup,
}

impl Network {
    pub(crate) fn new() -> Self {
        Self::with_lookup(Arc::new(dial::look_up))
    }

    fn with_lookup(lookup: Lookup) -> Self {
        Self {
            policy: None,
            was_refused: false,
            next: 1,
            connections: HashMap::new(),
            log: Log::default(),
            buffered: Arc::new(Semaphore::new(MOST_BUFFERED)),
            lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)),
            lookup,
        }
    }

    /// What holds from here on. Connections live on only if the rules stay the same.
    pub(crate) fn grant(&mut self, grant: &Grant) {
        let stays = self.policy.as_ref().is_some_and(|policy| policy.rules == grant.hosts);
        if !stays {
            self.connections.clear();
        }
        match &self.policy {
            Some(policy) if stays => policy.refill(grant.download.bytes()),
            _ => self.policy = Some(Policy::new(grant)),
        }
    }

    /// Takes every right back.
    pub(crate) fn deny(&mut self) {
        self.policy = None;
        self.connections.clear();
    }

    /// Whether it was asked for anything while it had no grant.
    pub(crate) fn was_refused(&self) -> bool {
        self.was_refused
    }

    /// Whether no connection is open: memory that is copied could not take one along.
    pub(crate) fn is_idle(&self) -> bool {
        self.connections.values().all(|one| one.is_closing() || one.is_over())
    }

    /// The requests that were made, in order.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.log.requests()
    }

    /// Begins to connect; the answer is the connection's number, 8 bytes, little endian.
    pub(crate) fn connect(&mut self, host: &str, port: u16) -> Result<Work, Failure> {
        let Some(policy) = self.policy.clone() else {
            self.was_refused = true;
            return Err(failure("Denied", "a program may not use the network while it is loaded"));
        };
        let admitted = match policy.admit(host, port) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.log.connect(host, port, false);
                return Err(refusal);
            }
        };
        self.make_room()?;
        let id = self.next;
        self.next += 1;
        let wanted = Wanted {
            policy,
            port,
            entry: self.log.connect(&admitted.to_string(), port, true),
            host: admitted,
            log: self.log.clone(),
            lookup: self.lookup.clone(),
            lookups: self.lookups.clone(),
        };
        let (connection, made) = Connection::begin(wanted);
        self.connections.insert(id, connection);
        Ok(Box::pin(async move {
            made.await.unwrap_or_else(|_| Err(gone()))?;
            Ok(id.to_le_bytes().to_vec().into())
        }))
    }

    /// Begins TLS.
    pub(crate) fn secure(
        &mut self,
        connection: u64,
        name: &str,
        verify: bool,
    ) -> Result<Work, Failure> {
        let hold = self.hold(0)?;
        let name = name.to_owned();
        self.command(connection, move |reply| Command::Secure { name, verify, reply, hold })
    }

    /// Begins to send; without bytes, ends what is sent.
    pub(crate) fn send(&mut self, connection: u64, bytes: Vec<u8>) -> Result<Work, Failure> {
        if bytes.len() > MOST_SENT {
            let message = format!("more than {MOST_SENT} bytes cannot be sent at once");
            return Err(failure("TooLarge", message));
        }
        let hold = self.hold(bytes.len())?;
        self.command(connection, move |reply| Command::Send { bytes, reply, hold })
    }

    /// Begins to receive.
    pub(crate) fn receive(&mut self, connection: u64, most: u32) -> Result<Work, Failure> {
        let most = usize::try_from(most).unwrap_or(usize::MAX).clamp(1, MOST_RECEIVED);
        let hold = self.hold(most)?;
        self.command(connection, move |reply| Command::Receive { most, reply, hold })
    }

    /// Closes a connection; its operations end.
    pub(crate) fn close(&mut self, connection: u64) {
        if let Some(connection) = self.connections.get_mut(&connection) {
            connection.close();
        }
    }

    fn command(
        &mut self,
        connection: u64,
        command: impl FnOnce(connection::Reply) -> Command,
    ) -> Result<Work, Failure> {
        let connection = self.connections.get(&connection).ok_or_else(gone)?;
        let answer = connection.command(command)?;
        Ok(Box::pin(async move { answer.await.unwrap_or_else(|_| Err(gone())) }))
    }

    fn hold(&self, bytes: usize) -> Result<connection::Hold, Failure> {
        let cost = u32::try_from(bytes + COST).unwrap_or(u32::MAX);
        self.buffered.clone().try_acquire_many_owned(cost).map_err(|_| {
            failure("TooMany", format!("more than {MOST_BUFFERED} bytes wait to be sent or heard"))
        })
    }

    fn make_room(&mut self) -> Result<(), Failure> {
        if self.connections.len() < MOST_CONNECTIONS {
            return Ok(());
        }
        self.connections.retain(|_, connection| !connection.is_over());
        if self.connections.len() < MOST_CONNECTIONS {
            return Ok(());
        }
        // One that only says good-bye need not be waited for.
        let closing = self.connections.iter().find(|(_, connection)| connection.is_closing());
        match closing.map(|(id, _)| *id) {
            Some(id) => {
                self.connections.remove(&id);
                Ok(())
            }
            None => {
                let message = format!("more than {MOST_CONNECTIONS} connections at once");
                Err(failure("TooMany", message))
            }
        }
    }
}

/// What a guest means by a host: IPv6 may come without brackets, as sockets take it.
fn host_of(text: &str) -> Option<Host> {
    if text.contains(':') && !text.starts_with('[') {
        return Host::parse(&format!("[{text}]"));
    }
    Host::parse(text)
}
