//! Packages, through a way out to their index that is open only meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use capsule_spec::{ErrorCode, HostRule, Network};
use tokio::sync::OwnedMutexGuard;

use super::exec::refused;
use super::network::network_turn;
use super::{Caller, Service};
use crate::live::{InUse, Live, lock};
use crate::log;
use crate::model::State;
use crate::request::{Exec, ExecAnswer, ExecutionKind, Install, Manager, OUTPUT};
use crate::rpc::{Kind, Refusal};
use crate::store::Store;

/// How long a caller waits for the way out to be closed; it is closed in any case.
const CLOSING: Duration = Duration::from_secs(10);
/// How long a failed closing waits before it is tried again.
const AGAIN: Duration = Duration::from_millis(200);

/// Where the packages of a manager come from.
#[derive(Clone, Debug, Default)]
pub struct PackageIndex {
    /// Hosts that are open while packages are installed. None: nothing can be installed.
    pub hosts: Vec<HostRule>,
    /// Variables that tell the manager of it.
    pub environment: BTreeMap<String, String>,
}

/// Where packages come from.
#[derive(Clone, Debug, Default)]
pub struct PackageIndexes {
    /// Of Python.
    pub pip: PackageIndex,
    /// Of Node.
    pub npm: PackageIndex,
}

impl Service {
    pub(super) async fn install(
        &self,
        caller: &Caller,
        install: Install,
    ) -> Result<ExecAnswer, Refusal> {
        let index = match install.manager {
            Manager::Pip => &self.permits.indexes.pip,
            Manager::Npm => &self.permits.indexes.npm,
        };
        if index.hosts.is_empty() {
            let message = format!("this server has no index for {}", install.manager.name());
            return Err(Refusal::new(Kind::InvalidParams, ErrorCode::NotPermitted, message)
                .hint("its operator names one with --package-index"));
        }
        let used = self.enter(caller, &install.id, Kind::ExecFailed)?;
        let turn = network_turn(used.live()).await?;
        let opened = Opened::open(&used, self.store.clone(), turn, &index.hosts).await?;
        let asked = self.asked(caller, ExecutionKind::Install);
        let done = self.exec_in(&used, asked, command(install, index)).await.map_err(refused);
        opened.close().await;
        done
    }
}

/// Variables that keep a manager to what it was asked for. Variables rather than options: an
/// older manager passes over those that it does not know.
pub(crate) fn quiet(manager: Manager) -> &'static [(&'static str, &'static str)] {
    match manager {
        Manager::Pip => &[
            ("PIP_CONFIG_FILE", "/dev/null"),
            ("PIP_EXTRA_INDEX_URL", ""),
            ("PIP_BREAK_SYSTEM_PACKAGES", "1"),
            ("PIP_NO_INPUT", "1"),
            ("PIP_NO_CACHE_DIR", "1"),
            ("PIP_NO_WARN_SCRIPT_LOCATION", "1"),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
            ("PIP_PROGRESS_BAR", "off"),
        ],
        Manager::Npm => &[
            ("npm_config_cache", "/tmp/.npm"),
            ("npm_config_audit", "false"),
            ("npm_config_fund", "false"),
            ("npm_config_update_notifier", "false"),
            ("npm_config_progress", "false"),
        ],
    }
}

/// What installs them.
fn command(install: Install, index: &PackageIndex) -> Exec {
    let (command, own): (&[&str], &[(&str, &str)]) = match install.manager {
        // The user's packages are in the workspace, where Python looks for them.
        Manager::Pip => (&["python3", "-m", "pip", "install", "--"], &[("PIP_USER", "1")]),
        Manager::Npm => (&["npm", "install", "--"], &[]),
    };
    let own = quiet(install.manager).iter().chain(own);
    let own = own.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Exec {
        id: install.id,
        cmd: command.iter().map(|word| (*word).to_owned()).chain(install.packages).collect(),
        cwd: None,
        env: own.chain(index.environment.clone()).collect(),
        timeout_ms: install.timeout_ms,
        max_stdout_bytes: OUTPUT,
        max_stderr_bytes: OUTPUT,
        stdin: None,
        stdin_base64: None,
        base64: false,
        context: None,
    }
}

/// A network that is wider than its policy. Dropped, it is closed by a task of its own.
struct Opened(Option<Wider>);

struct Wider {
    live: Arc<Live>,
    store: Store,
    _turn: OwnedMutexGuard<()>,
}

impl Opened {
    /// Opens the way to the hosts, beside those that are open.
    async fn open(
        used: &InUse,
        store: Store,
        turn: OwnedMutexGuard<()>,
        hosts: &[HostRule],
    ) -> Result<Self, Refusal> {
        let live = Arc::clone(used.live());
        let policy = lock(&live.network).clone();
        let mut rules = match &policy {
            // It reaches them as it is.
            Network::Open => return Ok(Self(None)),
            Network::Denied => Vec::new(),
            Network::Hosts(rules) => rules.clone(),
        };
        rules.extend_from_slice(hosts);
        // What is remembered is the policy: the next server lets it hold again.
        let kept = store.set_network(live.id.clone(), policy).await;
        kept.map_err(|error| Refusal::of(Kind::Internal, error.into()))?;
        let opened = Self(Some(Wider { live, store, _turn: turn }));
        let sandbox = used.sandbox().map_err(refused)?;
        match sandbox.set_network(&Network::Hosts(rules)).await {
            Ok(()) => Ok(opened),
            Err(failure) => {
                opened.close().await;
                Err(refused(failure))
            }
        }
    }

    async fn close(mut self) {
        if let Some(wider) = self.0.take() {
            let _ = tokio::time::timeout(CLOSING, tokio::spawn(wider.close())).await;
        }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(wider) = self.0.take() {
            tokio::spawn(wider.close());
        }
    }
}

impl Wider {
    /// Lets the policy hold again, whatever happens meanwhile, unless the sandbox ends.
    async fn close(self) {
        let Some(sandbox) = self.live.made() else { return };
        loop {
            let policy = lock(&self.live.network).clone();
            let Err(failure) = sandbox.set_network(&policy).await else { return };
            let mut states = self.live.watch();
            let state = *states.borrow_and_update();
            match state {
                // Nobody in it connects to anything; it waits for this before it goes on.
                State::Paused => {
                    let _ = states.changed().await;
                }
                state if state.lives() => {
                    let facts = [("sandbox", self.live.id.as_str()), ("error", &failure.message)];
                    log::warn("network not narrowed; denied", &facts);
                    let denied = Network::Denied;
                    *lock(&self.live.network) = denied.clone();
                    let _ = self.store.set_network(self.live.id.clone(), denied).await;
                    tokio::time::sleep(AGAIN).await;
                }
                _ => return,
            }
        }
    }
}
