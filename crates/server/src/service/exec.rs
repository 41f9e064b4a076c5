//! Commands whose caller waits for their end.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use capsule_spec::{ErrorCode, Failure};

use super::{Caller, Service};
use crate::live::{
    Asked, Context, ExecLimits, Finished, InUse, MOST_CONTEXTS, code_command, context_command,
    ended, lock, program, run, take_up,
};
use crate::request::{
    Batch, BatchAnswer, DEFAULT_DIRECTORY, Done, Exec, ExecAnswer, ExecutionKind, Language,
    OpenContext, RunCode, SetEnv, absolute, check_environment,
};
use crate::rpc::{Kind, Refusal};

impl Service {
    pub(super) async fn exec(&self, caller: &Caller, exec: Exec) -> Result<ExecAnswer, Refusal> {
        let used = self.enter(caller, &exec.id, Kind::ExecFailed)?;
        self.exec_in(&used, self.asked(caller, ExecutionKind::Exec), exec).await.map_err(refused)
    }

    pub(super) async fn exec_in(
        &self,
        used: &InUse,
        asked: Asked,
        exec: Exec,
    ) -> Result<ExecAnswer, Failure> {
        let live = used.live();
        let (directory, context) = (exec.cwd.as_deref(), exec.context.as_deref());
        let input = exec.input()?;
        let program = program(live, exec.cmd.clone(), directory, &exec.env, context, None)?;
        let limits = ExecLimits {
            timeout: Duration::from_millis(exec.timeout_ms),
            stdout: usize::try_from(exec.max_stdout_bytes).unwrap_or(usize::MAX),
            stderr: usize::try_from(exec.max_stderr_bytes).unwrap_or(usize::MAX),
            processes: self.registry.bounds.processes,
        };
        let finished = run(used, &program, input, limits, &self.memory, asked).await?;
        self.metrics.executions.add(1);
        // It was not the command that ended, but all around it.
        if finished.ended.is_some_and(|ended| ended.signal == Some(libc::SIGKILL))
            && !live.state().lives()
        {
            return Err(ended());
        }
        Ok(answer(&finished, exec.base64))
    }

    /// Who asks for an execution, for the log.
    pub(super) fn asked(&self, caller: &Caller, kind: ExecutionKind) -> Asked {
        let (owner, request) = (Arc::clone(&caller.owner), Arc::clone(&caller.request));
        Asked { kind, owner, request, store: self.store.clone() }
    }

    pub(super) async fn run_code(
        &self,
        caller: &Caller,
        code: RunCode,
    ) -> Result<ExecAnswer, Refusal> {
        let used = self.enter(caller, &code.id, Kind::ExecFailed)?;
        let live = used.live();
        let language = code.language.unwrap_or(live.template.language);
        let source = code.code.clone();
        let asked = self.asked(caller, ExecutionKind::Code);
        let (Language::Shell, Some(context)) = (language, code.context.clone()) else {
            let exec = code.into_exec(code_command(language, source));
            return self.exec_in(&used, asked, exec).await.map_err(refused);
        };
        let (command, file) = context_command(source);
        let answer = self.exec_in(&used, asked, code.into_exec(command)).await.map_err(refused)?;
        // A context is what code leaves that came to its end.
        if !answer.timed_out {
            let sandbox = used.sandbox().map_err(refused)?;
            take_up(live, &**sandbox, &context, &file).await;
        }
        Ok(answer)
    }

    pub(super) async fn batch(
        &self,
        caller: &Caller,
        batch: Batch,
    ) -> Result<BatchAnswer, Refusal> {
        let used = self.enter(caller, &batch.id, Kind::ExecFailed)?;
        let mut results = Vec::new();
        for command in batch.commands {
            let asked = self.asked(caller, ExecutionKind::Batch);
            match self.exec_in(&used, asked, command.in_sandbox(batch.id.clone())).await {
                Ok(answer) => {
                    let failed = answer.timed_out || answer.exit_code != 0;
                    results.push(answer);
                    if failed && batch.stop_on_failure {
                        return Ok(BatchAnswer { results, complete: false, error: None });
                    }
                }
                Err(failure) => {
                    return Ok(BatchAnswer { results, complete: false, error: Some(failure) });
                }
            }
        }
        Ok(BatchAnswer { results, complete: true, error: None })
    }

    pub(super) async fn set_env(&self, caller: &Caller, set: SetEnv) -> Result<Done, Refusal> {
        let used = self.enter(caller, &set.id, Kind::ExecFailed)?;
        {
            let mut environment = lock(&used.live().environment);
            let mut changed = environment.clone();
            changed.retain(|name, _| !set.unset.contains(name));
            changed.extend(set.env);
            // Each request is bounded; what they add up to has to be as well.
            check_environment(&changed)
                .map_err(|failure| Refusal::of(Kind::InvalidParams, failure))?;
            *environment = changed;
        }
        self.remember(used.live()).await?;
        Ok(Done::OK)
    }

    pub(super) fn open_context(&self, caller: &Caller, open: OpenContext) -> Result<Done, Refusal> {
        let used = self.enter(caller, &open.id, Kind::ExecFailed)?;
        let mut contexts = lock(&used.live().contexts);
        if contexts.len() >= MOST_CONTEXTS && !contexts.contains_key(&open.context) {
            let message = format!("the sandbox has {MOST_CONTEXTS} contexts, which is the limit");
            return Err(Refusal::new(Kind::LimitReached, ErrorCode::ServerLimit, message));
        }
        let directory = open.cwd.as_deref().map_or(DEFAULT_DIRECTORY.to_owned(), absolute);
        contexts.insert(open.context, Context { directory, environment: open.env });
        Ok(Done::OK)
    }
}

pub(super) fn refused(failure: Failure) -> Refusal {
    let kind = match failure.code {
        ErrorCode::TimedOut => Kind::ExecTimeout,
        _ => Kind::ExecFailed,
    };
    Refusal::of(kind, failure)
}

fn answer(finished: &Finished, with_base64: bool) -> ExecAnswer {
    let base64 = |bytes: &[u8]| with_base64.then(|| STANDARD.encode(bytes));
    ExecAnswer {
        stdout: finished.stdout.text(),
        stderr: finished.stderr.text(),
        exit_code: finished.ended.map_or(124, |ended| ended.exit_code),
        timed_out: finished.ended.is_none(),
        stdout_truncated: finished.stdout.truncated,
        stderr_truncated: finished.stderr.truncated,
        duration_ms: u64::try_from(finished.duration.as_millis()).unwrap_or(u64::MAX),
        signal: finished.ended.and_then(|ended| ended.signal),
        out_of_memory: finished.ended.is_some_and(|ended| ended.out_of_memory),
        stdout_base64: base64(&finished.stdout.bytes),
        stderr_base64: base64(&finished.stderr.bytes),
    }
}
