//! What one grant says of the network.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use capsule_backend::address::{Host, Reach};
use capsule_backend::guest::Grant;
use capsule_spec::HostRule;

use super::super::interface::bindings::capsule::guest::types::Failure;
use super::failure::failure;
use super::{host_of, log};

/// So much of what is no host is said again.
const HOST_BYTES: usize = 100;

pub(super) struct Policy {
    pub(super) rules: Vec<HostRule>,
    allowance: Mutex<Allowance>,
}

/// How much may still be received.
pub(super) struct Allowance {
    pub(super) left: u64,
    pub(super) whole: u64,
}

impl Policy {
    pub(super) fn new(grant: &Grant) -> Arc<Self> {
        let whole = grant.download.bytes();
        let allowance = Mutex::new(Allowance { left: whole, whole });
        Arc::new(Self { rules: grant.hosts.clone(), allowance })
    }

    /// The next call begins.
    pub(super) fn refill(&self, whole: u64) {
        *self.allowance() = Allowance { left: whole, whole };
    }

    pub(super) fn allowance(&self) -> MutexGuard<'_, Allowance> {
        // Numbers cannot be left half-changed.
        self.allowance.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a rule covers what the guest asks for. Its addresses are the second
    /// question, asked when they are known.
    pub(super) fn admit(&self, text: &str, port: u16) -> Result<Host, Failure> {
        let Some(host) = host_of(text) else {
            let shown = log::cut(text, HOST_BYTES);
            let message =
                format!("{shown:?} is not a host name; write names in ASCII, addresses in full");
            return Err(failure("NameNotFound", message));
        };
        if !self.names(&host, port) {
            return Err(not_listed(&host, port));
        }
        Ok(host)
    }

    pub(super) fn names(&self, host: &Host, port: u16) -> bool {
        Reach { rules: &self.rules, own: &[] }.names(host, port)
    }

    /// Whether a request on a connection to `port` may say that it is for this host. An
    /// address must be open by itself: a proxy would go there.
    pub(super) fn may_address(&self, host: &Host, port: u16) -> bool {
        let reach = Reach { rules: &self.rules, own: &[] };
        match host {
            Host::Name(name) => reach.may_name(name, port),
            Host::Address(address) => reach.names(host, port) && reach.is_open(*address, port),
        }
    }
}

pub(super) fn not_listed(host: &Host, port: u16) -> Failure {
    let message = format!(
        "{host}:{port} is not allowed; to allow it, set the task option allowed_hosts=[\"{host}\"]"
    );
    failure("Denied", message)
}

/// The addresses themselves are not told: the guest need not learn what the host resolves.
pub(super) fn inside(host: &Host, port: u16) -> Failure {
    let way = match host {
        Host::Name(name) if name == "localhost" => {
            "set the task option allowed_hosts=[\"localhost\", \"127.0.0.1\"]".to_owned()
        }
        Host::Name(name) => format!(
            "to allow that, spell the address out beside the name in the task option \
             allowed_hosts=[\"{name}\", \"ADDRESS\"]"
        ),
        Host::Address(_) => format!("to allow it, set the task option allowed_hosts=[\"{host}\"]"),
    };
    failure("Denied", format!("{host}:{port} is an address inside the host or its networks; {way}"))
}
