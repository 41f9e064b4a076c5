//! Executions, those that run and those of the past: a bounded log that can be searched.
//!
//! ```text
//!  begins ─▶ runs ─▶ ended
//!             └────▶ lost: the server was killed, and nobody heard of the end
//! ```

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, Row, params};

use super::{Store, StoreError};
use crate::request::ExecutionKind;

/// Executions that are kept, over all sandboxes.
const MOST_KEPT: i64 = 20_000;
/// How often the oldest are let go.
const SWEEP_EVERY: i64 = 256;

const RUNS: i64 = 0;
const ENDED: i64 = 1;
const LOST: i64 = 2;

/// An execution, from its beginning on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Execution {
    pub(crate) number: i64,
    pub(crate) sandbox: String,
    pub(crate) owner: String,
    pub(crate) request: String,
    pub(crate) kind: ExecutionKind,
    /// Its number in the sandbox.
    pub(crate) process: u64,
    pub(crate) started: i64,
    pub(crate) command: Vec<String>,
    pub(crate) directory: String,
}

/// What is known of it when it is over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// None: it was lost.
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) timed_out: bool,
    pub(crate) out_of_memory: bool,
    pub(crate) duration: i64,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) stdout_truncated: bool,
    pub(crate) stderr_truncated: bool,
}

/// Which executions are wanted.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) owner: String,
    pub(crate) sandbox: Option<String>,
    pub(crate) contains: Option<String>,
    pub(crate) kind: Option<ExecutionKind>,
    pub(crate) failed: bool,
    pub(crate) before: i64,
    pub(crate) limit: i64,
}

impl Store {
    /// A number for an execution, larger than all before.
    pub(crate) fn next_execution(&self) -> i64 {
        self.last_execution.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Writes that an execution runs; nobody waits for it.
    pub(crate) fn log_begin(&self, execution: Execution) {
        self.post(move |connection| {
            // One that is over already has said more.
            write(connection, "IGNORE", &execution, RUNS, &End::default())?;
            if execution.number % SWEEP_EVERY == 0 {
                connection.execute(
                    "DELETE FROM executions WHERE number <= ?1 AND state <> 0",
                    [execution.number - MOST_KEPT],
                )?;
            }
            Ok(())
        });
    }

    /// Writes how an execution ended; whole, so that what could not be written at its beginning
    /// is there, too. Nobody waits for it.
    pub(crate) fn log_end(&self, execution: Execution, end: End) {
        let unlogged = Arc::clone(&self.unlogged);
        self.post(move |connection| {
            let written = write(connection, "REPLACE", &execution, ENDED, &end);
            unlogged.fetch_add(u64::from(written.is_err()), Ordering::Relaxed);
            written
        });
    }

    /// Executions whose end could not be written.
    pub(crate) fn unlogged(&self) -> u64 {
        self.unlogged.load(Ordering::Relaxed)
    }

    /// The execution of a process that an earlier server started, if it is logged.
    pub(crate) async fn running_execution(
        &self,
        sandbox: String,
        process: u64,
    ) -> Result<Option<Execution>, StoreError> {
        self.ask(move |connection| {
            let mut select = connection.prepare(
                "SELECT * FROM executions WHERE sandbox = ?1 AND process = ?2 AND state = 0
                 ORDER BY number DESC LIMIT 1",
            )?;
            let mut rows = select.query_and_then(params![sandbox, signed(process)], execution)?;
            rows.next().transpose()
        })
        .await
    }

    /// Whatever ran under an earlier server and is none of these is lost; how many are.
    pub(crate) async fn lose_executions(&self, kept: BTreeSet<i64>) -> Result<usize, StoreError> {
        self.ask(move |connection| {
            let change = connection.transaction()?;
            let running: Vec<i64> = {
                let mut select = change.prepare("SELECT number FROM executions WHERE state = 0")?;
                let numbers = select.query_map([], |row| row.get(0))?;
                numbers.collect::<Result<_, _>>()?
            };
            let lost: Vec<i64> = running.into_iter().filter(|one| !kept.contains(one)).collect();
            for number in &lost {
                change.execute("UPDATE executions SET state = 2 WHERE number = ?1", [number])?;
            }
            change.commit()?;
            Ok(lost.len())
        })
        .await
    }

    /// Finds executions that are over, newest first.
    pub(crate) async fn executions(
        &self,
        wanted: Wanted,
    ) -> Result<Vec<(Execution, End)>, StoreError> {
        self.ask(move |connection| {
            // instr and not LIKE: what is searched for has no wildcards.
            let mut select = connection.prepare_cached(
                "SELECT * FROM executions
                 WHERE owner = ?1 AND (?2 IS NULL OR sandbox = ?2) AND state <> 0
                   AND (?3 IS NULL OR instr(command, ?3) OR instr(stdout, ?3) OR instr(stderr, ?3))
                   AND (NOT ?4 OR exit_code <> 0 OR timed_out OR state = 2) AND number < ?5
                   AND (?7 IS NULL OR kind = ?7)
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
                    wanted.kind.map(ExecutionKind::name),
                ],
                |row| Ok((execution(row)?, end(row)?)),
            )?;
            rows.collect()
        })
        .await
    }
}

/// Writes a row; `otherwise` is what happens if there is one of its number.
fn write(
    connection: &Connection,
    otherwise: &str,
    execution: &Execution,
    state: i64,
    end: &End,
) -> Result<(), StoreError> {
    let command = serde_json::to_string(&execution.command)?;
    let mut insert = connection.prepare_cached(&format!(
        "INSERT OR {otherwise} INTO executions (number, sandbox, owner, request, kind, process,
         started, command, directory, state, exit_code, signal, timed_out, out_of_memory,
         duration, stdout, stderr, stdout_truncated, stderr_truncated)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17,
         ?18, ?19)"
    ))?;
    insert.execute(params![
        execution.number,
        execution.sandbox,
        execution.owner,
        execution.request,
        execution.kind.name(),
        signed(execution.process),
        execution.started,
        command,
        execution.directory,
        state,
        end.exit_code.unwrap_or_default(),
        end.signal,
        end.timed_out,
        end.out_of_memory,
        end.duration,
        end.stdout,
        end.stderr,
        end.stdout_truncated,
        end.stderr_truncated,
    ])?;
    Ok(())
}

/// As the database has numbers.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn execution(row: &Row<'_>) -> Result<Execution, StoreError> {
    Ok(Execution {
        number: row.get("number")?,
        sandbox: row.get("sandbox")?,
        owner: row.get("owner")?,
        request: row.get("request")?,
        kind: ExecutionKind::of(&row.get::<_, String>("kind")?),
        process: u64::try_from(row.get::<_, i64>("process")?).unwrap_or_default(),
        started: row.get("started")?,
        command: serde_json::from_str(&row.get::<_, String>("command")?)?,
        directory: row.get("directory")?,
    })
}

fn end(row: &Row<'_>) -> Result<End, StoreError> {
    let exit_code: i32 = row.get("exit_code")?;
    Ok(End {
        exit_code: (row.get::<_, i64>("state")? != LOST).then_some(exit_code),
        signal: row.get("signal")?,
        timed_out: row.get("timed_out")?,
        out_of_memory: row.get("out_of_memory")?,
        duration: row.get("duration")?,
        stdout: row.get("stdout")?,
        stderr: row.get("stderr")?,
        stdout_truncated: row.get("stdout_truncated")?,
        stderr_truncated: row.get("stderr_truncated")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn execution_of(store: &Store, sandbox: &str, process: u64) -> Execution {
        Execution {
            number: store.next_execution(),
            sandbox: sandbox.to_owned(),
            owner: "local".to_owned(),
            request: "r".to_owned(),
            kind: ExecutionKind::Stream,
            process,
            started: 7,
            command: vec!["a".to_owned(), "\u{1}\"".to_owned()],
            directory: "/workspace".to_owned(),
        }
    }

    fn all() -> Wanted {
        Wanted {
            owner: "local".to_owned(),
            sandbox: None,
            contains: None,
            kind: None,
            failed: false,
            before: i64::MAX,
            limit: 10,
        }
    }

    #[tokio::test]
    async fn what_ran_when_a_server_was_killed_is_lost_unless_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let [over, goes_on, lost] = [1, 2, 3].map(|process| execution_of(&store, "s", process));
        for one in [&over, &goes_on, &lost] {
            store.log_begin(one.clone());
        }
        let end = End {
            exit_code: Some(3),
            signal: None,
            timed_out: false,
            out_of_memory: true,
            duration: 9,
            stdout: "out".to_owned(),
            stderr: String::new(),
            stdout_truncated: true,
            stderr_truncated: false,
        };
        store.log_end(over.clone(), end.clone());
        assert_eq!(store.executions(all()).await.unwrap(), [(over.clone(), end.clone())]);
        drop(store);

        let store = Store::open(folder.path()).unwrap();
        assert!(store.next_execution() > lost.number, "numbers are never given twice");
        let found = store.running_execution("s".to_owned(), 2).await.unwrap();
        assert_eq!(found, Some(goes_on.clone()));
        assert_eq!(store.running_execution("s".to_owned(), 1).await.unwrap(), None);
        assert_eq!(store.lose_executions([goes_on.number].into()).await.unwrap(), 1);
        let found = store.executions(all()).await.unwrap();
        assert_eq!(found, [(lost.clone(), End::default()), (over, end)]);
        let failed = Wanted { failed: true, limit: 1, ..all() };
        assert_eq!(store.executions(failed).await.unwrap(), [(lost, End::default())]);
        let other = Wanted { kind: Some(ExecutionKind::Exec), ..all() };
        assert_eq!(store.executions(other).await.unwrap(), []);
    }

    /// A log of an earlier format has no word of much of it.
    #[tokio::test]
    async fn an_earlier_log_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let earlier = rusqlite::Connection::open(folder.path().join("server.db")).unwrap();
        earlier.execute_batch(include_str!("tables.sql")).unwrap();
        earlier.pragma_update(None, "user_version", 3).unwrap();
        let old = "INSERT INTO executions (sandbox, owner, request, started, command, exit_code,
                   timed_out, duration, stdout, stderr)
                   VALUES ('s', 'local', 'r', 5, '[\"true\"]', 4, 0, 6, 'o', 'e')";
        earlier.execute(old, []).unwrap();
        drop(earlier);
        let store = Store::open(folder.path()).unwrap();
        let found = store.executions(all()).await.unwrap();
        let [(execution, end)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((execution.kind, &*execution.directory), (ExecutionKind::Exec, ""));
        assert_eq!((end.exit_code, &*end.stdout), (Some(4), "o"));
        assert_eq!(store.next_execution(), execution.number + 1);
    }
}
