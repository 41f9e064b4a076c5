//! Executions of the past: a bounded log that can be searched.

use rusqlite::{Row, params};

use super::{Store, StoreError};

/// Executions that are kept, over all sandboxes.
const MOST_KEPT: i64 = 20_000;
/// How often the oldest are let go.
const SWEEP_EVERY: i64 = 256;

/// An execution that is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Execution {
    pub(crate) number: i64,
    pub(crate) sandbox: String,
    pub(crate) owner: String,
    pub(crate) request: String,
    pub(crate) started: i64,
    pub(crate) command: Vec<String>,
    pub(crate) exit_code: i32,
    pub(crate) timed_out: bool,
    pub(crate) duration: i64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Which executions are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) owner: String,
    pub(crate) sandbox: Option<String>,
    pub(crate) contains: Option<String>,
    pub(crate) failed: bool,
    pub(crate) before: i64,
    pub(crate) limit: i64,
}

impl Store {
    /// Adds an execution to the log, which gives it its number; false if too much waits
    /// for the database. Nobody waits for a log.
    pub(crate) fn log(&self, execution: Execution) -> bool {
        self.post(move |connection| {
            let command = serde_json::to_string(&execution.command)?;
            let mut insert = connection.prepare_cached(
                "INSERT INTO executions (sandbox, owner, request, started, command, exit_code,
                 timed_out, duration, stdout, stderr)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
            )?;
            insert.execute(params![
                execution.sandbox,
                execution.owner,
                execution.request,
                execution.started,
                command,
                execution.exit_code,
                execution.timed_out,
                execution.duration,
                execution.stdout,
                execution.stderr,
            ])?;
            drop(insert);
            let last = connection.last_insert_rowid();
            if last % SWEEP_EVERY == 0 {
                connection
                    .execute("DELETE FROM executions WHERE number <= ?1", [last - MOST_KEPT])?;
            }
            Ok(())
        })
    }

    /// Finds executions, newest first.
    pub(crate) async fn executions(&self, wanted: Wanted) -> Result<Vec<Execution>, StoreError> {
        self.ask(move |connection| {
            // instr and not LIKE: what is searched for has no wildcards.
            let mut select = connection.prepare_cached(
                "SELECT * FROM executions
                 WHERE owner = ?1 AND (?2 IS NULL OR sandbox = ?2)
                   AND (?3 IS NULL OR instr(command, ?3) OR instr(stdout, ?3) OR instr(stderr, ?3))
                   AND (NOT ?4 OR exit_code <> 0 OR timed_out) AND number < ?5
                 ORDER BY number DESC LIMIT ?6",
            )?;
            let rows = select.query_and_then(
                params![
                    wanted.owner,
                    wanted.sandbox,
                    wanted.contains,
                    wanted.failed,
                    wanted.before,
                    wanted.limit,
                ],
                execution,
            )?;
            rows.collect()
        })
        .await
    }
}

fn execution(row: &Row<'_>) -> Result<Execution, StoreError> {
    Ok(Execution {
        number: row.get("number")?,
        sandbox: row.get("sandbox")?,
        owner: row.get("owner")?,
        request: row.get("request")?,
        started: row.get("started")?,
        command: serde_json::from_str(&row.get::<_, String>("command")?)?,
        exit_code: row.get("exit_code")?,
        timed_out: row.get("timed_out")?,
        duration: row.get("duration")?,
        stdout: row.get("stdout")?,
        stderr: row.get("stderr")?,
    })
}
