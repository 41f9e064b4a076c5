//! The network of a sandbox, which can be exchanged while it lives.

use std::sync::Arc;
use std::time::Duration;

use capsule_spec::{ErrorCode, Failure, Network};
use tokio::sync::OwnedMutexGuard;

use super::lifecycle::describe;
use super::{Caller, Service};
use crate::live::{InUse, Live, lock};
use crate::request::{NetworkPolicy, SandboxAnswer, SetNetwork};
use crate::rpc::{Kind, Refusal};

/// How long a change waits for another one of the same sandbox.
const TURN: Duration = Duration::from_secs(5);

impl Service {
    /// A policy, if the operator allows it.
    pub(super) fn allowed(&self, policy: &NetworkPolicy) -> Result<Network, Refusal> {
        let network = policy.resolve().map_err(|it| Refusal::of(Kind::InvalidParams, it))?;
        if network == Network::Open && !self.permits.open_network {
            let message = "sandboxes of this server cannot have the host's network";
            return Err(Refusal::new(Kind::InvalidParams, ErrorCode::NotPermitted, message)
                .hint("name the hosts that it needs: {\"allow\": [\"example.org\"]}"));
        }
        Ok(network)
    }

    pub(super) async fn set_network(
        &self,
        caller: &Caller,
        set: &SetNetwork,
    ) -> Result<SandboxAnswer, Refusal> {
        let used = self.enter(caller, &set.id, Kind::ExecFailed)?;
        let live = used.live();
        let network = set.network.resolve().map_err(|it| Refusal::of(Kind::InvalidParams, it))?;
        let _turn = network_turn(live).await?;
        let is_open = *lock(&live.network) == Network::Open;
        if is_open != (network == Network::Open) {
            let message = "whether a sandbox has the host's network is settled when it is made";
            return Err(Refusal::of(
                Kind::InvalidParams,
                Failure::new(ErrorCode::ConflictingOptions, message).hint("make another one"),
            ));
        }
        self.change_network(&used, &network).await?;
        *lock(&live.network) = network;
        Ok(describe(live))
    }

    /// Remembers a network and then lets it hold, so that a server which dies in between
    /// is followed by one that lets it hold. What fails leaves no way out.
    pub(super) async fn change_network(
        &self,
        used: &InUse,
        network: &Network,
    ) -> Result<(), Refusal> {
        let live = used.live();
        let failed = |failure| Refusal::of(Kind::ExecFailed, failure);
        let sandbox = used.sandbox().map_err(failed)?;
        self.keep_network(live, network).await?;
        let Err(failure) = sandbox.set_network(network).await else { return Ok(()) };
        let old = lock(&live.network).clone();
        // The old one was let go of before the new one failed.
        let holds = match sandbox.set_network(&old).await {
            Ok(()) => old,
            Err(_) => Network::Denied,
        };
        self.keep_network(live, &holds).await?;
        *lock(&live.network) = holds;
        Err(failed(failure))
    }

    async fn keep_network(&self, live: &Live, network: &Network) -> Result<(), Refusal> {
        let kept = self.store.set_network(live.id.clone(), network.clone()).await;
        kept.map_err(|error| Refusal::of(Kind::Internal, error.into()))
    }
}

/// The turn of a change. While packages are installed, nobody else has it.
pub(super) async fn network_turn(live: &Live) -> Result<OwnedMutexGuard<()>, Refusal> {
    let turn = Arc::clone(&live.network_turn).lock_owned();
    tokio::time::timeout(TURN, turn).await.map_err(|_| {
        let message = "the network of the sandbox is being changed by another request";
        Refusal::new(Kind::WrongState, ErrorCode::WrongState, message)
    })
}
