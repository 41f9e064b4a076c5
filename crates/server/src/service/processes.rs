//! Processes with numbers.

use std::sync::Arc;
use std::time::Duration;

use capsule_backend::sandbox::{Process, Reach, TerminalSize};
use capsule_spec::{ErrorCode, Failure};

use super::exec::refused;
use super::{Caller, Events, Service};
use crate::live::{Hook, InUse, Live, Outlives, Running, kill_tree, login_shells, program};
use crate::model::rfc3339;
use crate::request::{
    Attach, CloseInput, Done, ExecStream, ExecutionKind, Exited, Input, Kill, ProcessAnswer,
    ProcessesAnswer, Resize, Size, Start, Started, Wait, Webhook, decoded,
};
use crate::rpc::{Kind, Refusal};
use crate::webhook::Url;

impl Service {
    pub(super) async fn start(&self, caller: &Caller, start: Start) -> Result<Started, Refusal> {
        let (_, running) = self.started(caller, start, ExecutionKind::Start).await?;
        Ok(Started { process: running.number })
    }

    async fn started(
        &self,
        caller: &Caller,
        start: Start,
        kind: ExecutionKind,
    ) -> Result<(InUse, Arc<Running>), Refusal> {
        let used = self.enter(caller, &start.id, Kind::ExecFailed)?;
        let webhook = start.webhook.map(|webhook| self.hook(caller, webhook)).transpose()?;
        let program = program(
            used.live(),
            start.cmd,
            start.cwd.as_deref(),
            &start.env,
            start.context.as_deref(),
            start.terminal,
        )
        .map_err(refused)?;
        let deadline = start.timeout_ms.map(Duration::from_millis);
        let most = self.registry.bounds.processes;
        let outlives = match kind {
            ExecutionKind::Start => Outlives::Caller,
            _ => Outlives::Nobody,
        };
        let asked = self.asked(caller, kind);
        let running = Running::start(&used, &program, deadline, webhook, outlives, asked, most);
        let running = running.await.map_err(refused)?;
        self.metrics.executions.add(1);
        Ok((used, running))
    }

    /// A webhook, if it may be sent.
    fn hook(&self, caller: &Caller, webhook: Webhook) -> Result<Hook, Refusal> {
        let url = Url::parse(&webhook.url);
        if !url.is_some_and(|url| self.permits.webhooks.may(&url)) {
            let message = "webhooks of this server do not go to addresses inside";
            return Err(Refusal::new(Kind::InvalidParams, ErrorCode::NotPermitted, message)
                .hint("its operator allows one with --allow-webhook ADDRESS"));
        }
        Ok(Hook { owner: caller.owner.to_string(), url: webhook.url, secret: webhook.secret })
    }

    pub(super) async fn exec_stream(
        &self,
        caller: &Caller,
        exec: ExecStream,
    ) -> Result<Events, Refusal> {
        Ok(self.session(caller, exec).await?.into_events())
    }

    /// Starts a command that belongs to whoever listens to it.
    pub(crate) async fn session(
        &self,
        caller: &Caller,
        exec: ExecStream,
    ) -> Result<Session, Refusal> {
        let keeps_input = exec.input;
        let (used, running) =
            self.started(caller, exec.into_start(), ExecutionKind::Stream).await?;
        if !keeps_input {
            running.process().iter().for_each(|process| process.close_input());
        }
        Ok(Session { used, running: Owned(running) })
    }

    /// A login shell in a terminal, which belongs to whoever listens to it.
    pub(crate) async fn shell(
        &self,
        caller: &Caller,
        id: &str,
        size: Size,
    ) -> Result<Session, Refusal> {
        size.check().map_err(refused)?;
        let mut result = None;
        for cmd in login_shells() {
            let start = Start {
                id: id.to_owned(),
                cmd,
                cwd: None,
                env: std::collections::BTreeMap::new(),
                context: None,
                terminal: Some(size),
                timeout_ms: None,
                webhook: None,
            };
            let started = self.started(caller, start, ExecutionKind::Terminal).await;
            let is_missing = matches!(&started, Err(refusal)
                if refusal.failure.code == ErrorCode::CommandNotFound);
            result = Some(started);
            if !is_missing {
                break;
            }
        }
        let (used, running) = result.expect("there are two shells to try")?;
        Ok(Session { used, running: Owned(running) })
    }

    pub(super) fn list_processes(
        &self,
        caller: &Caller,
        id: &str,
    ) -> Result<ProcessesAnswer, Refusal> {
        let live = self.find(caller, id)?;
        let started = live.processes().into_iter().map(|running| ProcessAnswer {
            process: running.number,
            cmd: running.command.clone(),
            started_at: rfc3339(running.started),
            terminal: running.terminal,
            exit: running.exit(),
        });
        let foreground = live.foreground().into_iter().map(|(process, one)| ProcessAnswer {
            process,
            cmd: one.command,
            started_at: rfc3339(one.started),
            terminal: false,
            exit: None,
        });
        let mut processes: Vec<_> = started.chain(foreground).collect();
        processes.sort_by_key(|one| one.process);
        Ok(ProcessesAnswer { processes })
    }

    pub(super) fn attach(&self, caller: &Caller, attach: &Attach) -> Result<Events, Refusal> {
        let live = self.find(caller, &attach.id)?;
        let running = live.process(attach.process).map_err(refused)?;
        let attached = running.attach(attach.offset);
        Ok(Events::output(live.hold(), attached, None, None))
    }

    pub(super) async fn wait(&self, caller: &Caller, wait: &Wait) -> Result<Exited, Refusal> {
        let live = self.find(caller, &wait.id)?;
        let running = live.process(wait.process).map_err(refused)?;
        let _used = live.hold();
        let limit = Duration::from_millis(wait.timeout_ms);
        let exit = tokio::time::timeout(limit, running.ended()).await;
        Ok(Exited { exit: exit.ok().or_else(|| running.exit()) })
    }

    pub(super) async fn input(&self, caller: &Caller, input: &Input) -> Result<Done, Refusal> {
        let bytes = decoded("data", &input.data)
            .map_err(|failure| Refusal::of(Kind::InvalidParams, failure))?;
        let (_used, process) = self.process(caller, &input.id, input.process)?;
        let limit = Duration::from_millis(input.timeout_ms);
        match tokio::time::timeout(limit, process.input(&bytes)).await {
            Ok(written) => written.map_err(refused)?,
            Err(_) => {
                let message = "the process did not read its input in time";
                return Err(refused(
                    Failure::new(ErrorCode::TimedOut, message)
                        .hint("a part of it may have been read"),
                ));
            }
        }
        Ok(Done::OK)
    }

    pub(super) fn close_input(&self, caller: &Caller, close: &CloseInput) -> Result<Done, Refusal> {
        let (_used, process) = self.process(caller, &close.id, close.process)?;
        process.close_input();
        Ok(Done::OK)
    }

    pub(super) async fn kill(&self, caller: &Caller, kill: &Kill) -> Result<Done, Refusal> {
        let (_used, process) = self.process(caller, &kill.id, kill.process)?;
        let reach = if kill.tree { Reach::Tree } else { Reach::Process };
        process.signal(kill.signal, reach).await.map_err(refused)?;
        Ok(Done::OK)
    }

    pub(super) async fn resize(&self, caller: &Caller, resize: &Resize) -> Result<Done, Refusal> {
        let (used, process) = self.process(caller, &resize.id, resize.process)?;
        let size = TerminalSize { columns: resize.columns, rows: resize.rows };
        process.resize(size).await.map_err(refused)?;
        if let Ok(running) = used.live().process(resize.process) {
            running.resized(size);
        }
        Ok(Done::OK)
    }

    fn process(
        &self,
        caller: &Caller,
        id: &str,
        number: u64,
    ) -> Result<(InUse, Arc<dyn Process>), Refusal> {
        let used = self.enter(caller, id, Kind::ExecFailed)?;
        let process = used.live().any_process(number).map_err(refused)?;
        Ok((used, process))
    }
}

/// A process that belongs to whoever listens to it: it ends with the session.
pub(crate) struct Session {
    used: InUse,
    running: Owned,
}

/// Kills the tree when dropped.
pub(crate) struct Owned(Arc<Running>);

impl Session {
    pub(crate) fn live(&self) -> &Arc<Live> {
        self.used.live()
    }

    pub(crate) fn running(&self) -> &Arc<Running> {
        &self.running.0
    }

    fn into_events(self) -> Events {
        let attached = self.running.0.attach(0);
        let number = self.running.0.number;
        Events::output(self.used, attached, Some(self.running), Some(number))
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(process) = self.0.process() {
            kill_tree(process);
        }
    }
}
