//! What happened and what is used.

use std::time::Duration;

use super::{Caller, Events, Service};
use crate::model::rfc3339;
use crate::request::{LogEntry, Logs, LogsAnswer, StatsAnswer, WatchDir, absolute};
use crate::rpc::{Kind, Refusal};
use crate::store::{End, Execution, Wanted, time};

impl Service {
    pub(super) async fn logs(&self, caller: &Caller, logs: Logs) -> Result<LogsAnswer, Refusal> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let wanted = Wanted {
            owner: caller.owner.to_string(),
            sandbox: logs.id,
            contains: logs.contains,
            kind: logs.kind,
            failed: logs.failed,
            before: logs.before.map_or(i64::MAX, number),
            limit: number(logs.limit),
        };
        let found = self.store.executions(wanted).await;
        let found = found.map_err(|error| Refusal::of(Kind::Internal, error.into()))?;
        Ok(LogsAnswer { executions: found.into_iter().map(entry).collect() })
    }

    pub(super) async fn stats(&self, caller: &Caller, id: &str) -> Result<StatsAnswer, Refusal> {
        let live = self.find(caller, id)?;
        let failed = |failure| Refusal::of(Kind::ExecFailed, failure);
        let sandbox = live.made().ok_or_else(|| failed(crate::live::ended()))?;
        let usage = sandbox.usage().await.map_err(failed)?;
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(StatsAnswer {
            cpu_time_ms: usage.processor.map(milliseconds),
            memory_bytes: usage.memory,
            max_memory_bytes: usage.peak_memory,
            processes: usage.processes,
            disk_bytes: usage.disk,
            io_bytes_read: usage.io.map(|(read, _)| read),
            io_bytes_written: usage.io.map(|(_, written)| written),
        })
    }

    pub(super) fn watch(&self, caller: &Caller, id: &str) -> Result<Events, Refusal> {
        Ok(Events::states(self.find(caller, id)?.watch()))
    }

    pub(super) async fn watch_dir(
        &self,
        caller: &Caller,
        watch: &WatchDir,
    ) -> Result<Events, Refusal> {
        let used = self.enter(caller, &watch.id, Kind::FileFailed)?;
        let failed = |failure| Refusal::of(Kind::FileFailed, failure);
        let sandbox = used.sandbox().map_err(failed)?;
        let notices = sandbox.watch(&absolute(&watch.path), watch.recursive).await;
        let notices = notices.map_err(failed)?;
        Ok(Events::files(used, notices))
    }
}

fn entry((execution, end): (Execution, End)) -> LogEntry {
    LogEntry {
        number: execution.number.max(0).cast_unsigned(),
        id: execution.sandbox,
        request: execution.request,
        kind: execution.kind,
        process: execution.process,
        started_at: rfc3339(time(execution.started)),
        cmd: execution.command,
        cwd: execution.directory,
        exit_code: end.exit_code,
        signal: end.signal,
        timed_out: end.timed_out,
        out_of_memory: end.out_of_memory,
        lost: end.exit_code.is_none(),
        duration_ms: end.duration.max(0).cast_unsigned(),
        stdout: end.stdout,
        stderr: end.stderr,
        stdout_truncated: end.stdout_truncated,
        stderr_truncated: end.stderr_truncated,
    }
}
