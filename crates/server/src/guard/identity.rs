//! Whose request it is, and whether it is their turn.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use capsule_spec::ErrorCode;
use hyper::header::{AUTHORIZATION, HeaderMap, SEC_WEBSOCKET_PROTOCOL};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Peer;
use super::bucket::Bucket;
use crate::live::lock;
use crate::rpc::{Kind, Refusal};
use crate::store::{Known, Store, id_of};

/// How long a key is believed without a look at the store: a revoked one is refused after
/// this time.
const BELIEVED: Duration = Duration::from_secs(1);
/// How long somebody with a wrong key waits for the answer.
const WRONG_KEY: Duration = Duration::from_millis(250);
/// Requests of one tenant that are under way at one time.
const MOST_UNDER_WAY: usize = 512;
/// The owner of what is made without a key.
const LOCAL: &str = "local";

/// Somebody who owns sandboxes.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) owner: Arc<str>,
    bucket: Option<Mutex<Bucket>>,
    under_way: Arc<Semaphore>,
}

/// A request's turn; the next may come when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Tenant {
    /// Takes a turn.
    ///
    /// # Errors
    /// When too many requests came of late, or are under way.
    pub(crate) fn turn(&self) -> Result<Turn, Refusal> {
        let has_token = self.bucket.as_ref().is_none_or(|bucket| lock(bucket).take(Instant::now()));
        if !has_token {
            return Err(too_many("too many requests came in the last second"));
        }
        match Arc::clone(&self.under_way).try_acquire_owned() {
            Ok(permit) => Ok(Turn { _permit: permit }),
            Err(_) => Err(too_many("too many requests are under way")),
        }
    }
}

fn too_many(message: &str) -> Refusal {
    Refusal::new(Kind::LimitReached, ErrorCode::ServerLimit, message)
}

/// Knows callers by their keys.
#[derive(Debug)]
pub(crate) struct Identities {
    needs_key: bool,
    /// Requests a second of one key.
    rate: u32,
    store: Store,
    tenants: Mutex<HashMap<Arc<str>, Arc<Tenant>>>,
    believed: Mutex<HashMap<String, (Known, Instant)>>,
}

impl Identities {
    pub(crate) fn new(needs_key: bool, rate: u32, store: Store) -> Self {
        let (tenants, believed) = (Mutex::default(), Mutex::default());
        Self { needs_key, rate, store, tenants, believed }
    }

    /// Whose request it is.
    ///
    /// # Errors
    /// When it carries a key that is not known, or none where one is needed.
    pub(crate) async fn of(&self, peer: Peer, headers: &HeaderMap) -> Result<Arc<Tenant>, Refusal> {
        match key_of(headers) {
            Some(key) => match self.known(key).await? {
                Some(id) => Ok(self.tenant(&format!("key:{id}"), true)),
                None => {
                    tokio::time::sleep(WRONG_KEY).await;
                    Err(unknown("the request carries an API key that this server does not know"))
                }
            },
            None if peer == Peer::SameUser || !self.needs_key => Ok(self.tenant(LOCAL, false)),
            None => Err(unknown("the request carries no API key")
                .hint("send it as \"Authorization: Bearer KEY\"")),
        }
    }

    /// Whether a tenant may still be here: its key was not revoked.
    pub(crate) async fn is_welcome(&self, owner: &str) -> bool {
        let Some(id) = owner.strip_prefix("key:") else { return true };
        // A store that fails is no reason to throw somebody out.
        self.look_up(id).await.map_or(true, |known| known.is_some())
    }

    async fn known(&self, key: &str) -> Result<Option<String>, Refusal> {
        let Some(id) = id_of(key) else { return Ok(None) };
        let known = self.look_up(id).await?;
        // The comparison of `blake3::Hash` takes the same time wherever they differ.
        let is_it = known.is_some_and(|known| known.hash == blake3::hash(key.as_bytes()));
        Ok(is_it.then(|| id.to_owned()))
    }

    async fn look_up(&self, id: &str) -> Result<Option<Known>, Refusal> {
        let now = Instant::now();
        if let Some((known, until)) = lock(&self.believed).get(id)
            && *until > now
        {
            return Ok(Some(known.clone()));
        }
        let found = self.store.key(id.to_owned()).await;
        let found = found.map_err(|error| Refusal::of(Kind::Internal, error.into()))?;
        let mut believed = lock(&self.believed);
        match &found {
            Some(known) => believed.insert(id.to_owned(), (known.clone(), now + BELIEVED)),
            None => believed.remove(id),
        };
        Ok(found)
    }

    fn tenant(&self, owner: &str, has_rate: bool) -> Arc<Tenant> {
        let mut tenants = lock(&self.tenants);
        if let Some(tenant) = tenants.get(owner) {
            return Arc::clone(tenant);
        }
        let owner: Arc<str> = owner.into();
        let bucket = has_rate.then(|| {
            Mutex::new(Bucket::new(self.rate, self.rate.saturating_mul(2), Instant::now()))
        });
        let under_way = Arc::new(Semaphore::new(MOST_UNDER_WAY));
        let tenant = Arc::new(Tenant { owner: Arc::clone(&owner), bucket, under_way });
        tenants.insert(owner, Arc::clone(&tenant));
        tenant
    }
}

fn unknown(message: &str) -> Refusal {
    Refusal::new(Kind::NotAuthorized, ErrorCode::NotAuthorized, message)
}

/// The key of a request. A browser's WebSocket can set no header but its protocols.
fn key_of(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let value = value.to_str().unwrap_or_default();
        return Some(value.strip_prefix("Bearer ").unwrap_or_default().trim());
    }
    let protocols = headers.get(SEC_WEBSOCKET_PROTOCOL)?.to_str().ok()?;
    protocols.split(',').find_map(|protocol| protocol.trim().strip_prefix("capsule.key."))
}
