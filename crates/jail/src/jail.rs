//! The jail as a backend.

use capsule_backend::{Backend, BackendError, Capabilities, Observer, Output};
use capsule_spec::{Network, Outcome, Task};

use crate::host::Host;
use crate::plan::Plan;
use crate::probe;
use crate::supervisor::{self, Caller};

/// What happens to signals that the caller receives while a task runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Signals {
    /// They are the caller's own business. For servers.
    #[default]
    Ignored,
    /// SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 go to the command;
    /// one that should end it is given two seconds. For one-shot programs with
    /// one thread.
    Forwarded,
}

/// The Linux jail.
///
/// Defaults: signals are ignored.
#[derive(Clone, Copy, Debug, Default)]
pub struct Jail {
    signals: Signals,
}

impl Jail {
    /// A jail whose caller's signals go to the command.
    #[must_use]
    pub fn forwarding_signals() -> Self {
        Self { signals: Signals::Forwarded }
    }
}

impl Backend for Jail {
    fn capabilities(&self) -> Capabilities {
        probe::capabilities(&Host::read(false))
    }

    fn run(
        &self,
        task: &Task,
        output: Output,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, BackendError> {
        let host = Host::read(task.policy.network == Network::Open);
        let plan = Plan::new(task, &host)
            .map_err(|failure| BackendError { internal: failure.to_string(), failure })?;
        let caller = Caller { output, signals: self.signals, attended: None };
        supervisor::run(&plan, &host.cgroups, caller, observer)
    }
}
