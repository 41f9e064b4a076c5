//! From a covered host to a connected socket: resolve once, check every address,
//! connect to a checked address and to nothing else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use capsule_backend::address::{Host, Reach, Resolver, own_addresses};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::super::interface::bindings::capsule::guest::types::Failure;
use super::connection::Wanted;
use super::failure::{failure, from_io, gone};
use super::policy;

/// All of it: lookup and every try.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one address may keep the next one waiting (RFC 8305 suggests it).
const HEAD_START: Duration = Duration::from_millis(250);
/// Lookups of all guests at once. Each holds a thread of the host's for as long as the
/// name server likes.
static LOOKUPS: Semaphore = Semaphore::const_new(64);

/// Asks the host's resolver.
pub(super) fn look_up(name: &str) -> io::Result<Vec<IpAddr>> {
    static RESOLVER: OnceLock<Resolver> = OnceLock::new();
    let resolver = match RESOLVER.get() {
        Some(resolver) => resolver,
        None => {
            let made = Resolver::new(&own_addresses()?);
            RESOLVER.get_or_init(|| made)
        }
    };
    resolver.resolve(name)
}

/// Connects.
pub(super) async fn dial(wanted: &Wanted) -> Result<TcpStream, Failure> {
    let tried = async {
        let addresses = find(wanted).await?;
        race(addresses).await.map_err(|error| from_io(&error))
    };
    match timeout(PATIENCE, tried).await {
        Ok(result) => result,
        Err(_) => {
            let (host, port) = (&wanted.host, wanted.port);
            Err(failure("TimedOut", format!("{host}:{port} did not answer within 10 seconds")))
        }
    }
}

async fn find(wanted: &Wanted) -> Result<Vec<SocketAddr>, Failure> {
    let own_place = wanted.lookups.clone().acquire_owned().await.map_err(|_| gone())?;
    let place = LOOKUPS.acquire().await.map_err(|_| gone())?;
    let (policy, lookup) = (Arc::clone(&wanted.policy), Arc::clone(&wanted.lookup));
    let (host, port) = (wanted.host.clone(), wanted.port);
    let found = tokio::task::spawn_blocking(move || {
        // They are taken until the lookup ends, also when nobody waits for it any more.
        let _places = (own_place, place);
        let found = match &host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => lookup(name).unwrap_or_default(),
        };
        if found.is_empty() {
            return Err(failure("NameNotFound", format!("the name {host} could not be resolved")));
        }
        // Listed for each connection: a server lives longer than an address.
        let own = own_addresses().map_err(|error| from_io(&error))?;
        let admitted = Reach { rules: &policy.rules, own: &own }.admit(&found, port);
        if admitted.is_empty() { Err(policy::inside(&host, port)) } else { Ok(admitted) }
    });
    found.await.unwrap_or_else(|_| Err(gone()))
}

/// The first of `addresses` that answers. Each has a head start, then the next one is
/// tried beside it; a refusal starts the next one at once.
async fn race(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut racing = JoinSet::new();
    let mut last = io::Error::from(io::ErrorKind::HostUnreachable);
    loop {
        if let Some(address) = waiting.next() {
            racing.spawn(TcpStream::connect(address));
        }
        let head_start = if waiting.len() > 0 { HEAD_START } else { PATIENCE };
        match timeout(head_start, racing.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => {
                // Only costs speed if it fails.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Some(Ok(Err(error)))) => last = error,
            Ok(Some(Err(_))) | Err(_) => {}
            Ok(None) => return Err(last),
        }
    }
}
