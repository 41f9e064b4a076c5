//! Sandboxes that live, and the processes in them that were started to stay.

use std::collections::BTreeMap;

use rusqlite::{Row, params};

use super::{Store, StoreError};

/// A sandbox as a new server finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SandboxRow {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) template: String,
    pub(crate) created: i64,
    pub(crate) expires: i64,
    pub(crate) idle: Option<i64>,
    pub(crate) paused: bool,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) key: Option<String>,
    /// Of the request that made it, to tell a repetition from another one with its key.
    pub(crate) request: String,
}

/// A process as a new server finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessRow {
    pub(crate) number: u64,
    pub(crate) command: Vec<String>,
    pub(crate) started: i64,
    pub(crate) terminal: bool,
    pub(crate) deadline: Option<i64>,
}

impl Store {
    /// Remembers a sandbox, before anything of it is made.
    pub(crate) async fn insert(&self, row: SandboxRow) -> Result<(), StoreError> {
        self.ask(move |connection| {
            let labels = serde_json::to_string(&row.labels)?;
            let metadata = serde_json::to_string(&row.metadata)?;
            let environment = serde_json::to_string(&row.environment)?;
            let mut insert = connection.prepare_cached(
                "INSERT INTO sandboxes VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?;
            insert.execute(params![
                row.id,
                row.owner,
                row.template,
                row.created,
                row.expires,
                row.idle,
                row.paused,
                labels,
                metadata,
                environment,
                row.key,
                row.request,
            ])?;
            Ok(())
        })
        .await
    }

    /// Forgets a sandbox and its processes, of which nothing is left.
    pub(crate) async fn remove(&self, id: String) -> Result<(), StoreError> {
        self.ask(move |connection| {
            connection.prepare_cached("DELETE FROM sandboxes WHERE id = ?1")?.execute([&id])?;
            connection
                .prepare_cached("DELETE FROM unfinished WHERE sandbox = ?1")?
                .execute([&id])?;
            connection
                .prepare_cached("DELETE FROM processes WHERE sandbox = ?1")?
                .execute([&id])?;
            connection.prepare_cached("DELETE FROM networks WHERE sandbox = ?1")?.execute([&id])?;
            connection.prepare_cached("DELETE FROM expiries WHERE sandbox = ?1")?.execute([&id])?;
            connection.prepare_cached("DELETE FROM mounts WHERE sandbox = ?1")?.execute([&id])?;
            Ok(())
        })
        .await
    }

    /// Keeps what can change of a sandbox.
    pub(crate) async fn update(
        &self,
        id: String,
        expires: i64,
        idle: Option<i64>,
        paused: bool,
        environment: BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        self.ask(move |connection| {
            let environment = serde_json::to_string(&environment)?;
            let mut update = connection.prepare_cached(
                "UPDATE sandboxes SET expires = ?2, idle = ?3, paused = ?4, environment = ?5
                 WHERE id = ?1",
            )?;
            update.execute(params![id, expires, idle, paused, environment])?;
            Ok(())
        })
        .await
    }

    /// Every sandbox that is remembered.
    pub(crate) async fn sandboxes(&self) -> Result<Vec<SandboxRow>, StoreError> {
        self.ask(|connection| {
            let mut select = connection.prepare("SELECT * FROM sandboxes ORDER BY id")?;
            let rows = select.query_and_then([], sandbox)?;
            rows.collect()
        })
        .await
    }

    /// Remembers a process that is to stay.
    pub(crate) async fn insert_process(
        &self,
        sandbox: String,
        row: ProcessRow,
    ) -> Result<(), StoreError> {
        self.ask(move |connection| {
            let command = serde_json::to_string(&row.command)?;
            let mut insert = connection.prepare_cached(
                "INSERT OR REPLACE INTO processes VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let number = i64::try_from(row.number).unwrap_or(i64::MAX);
            insert.execute(params![
                sandbox,
                number,
                command,
                row.started,
                row.terminal,
                row.deadline
            ])?;
            Ok(())
        })
        .await
    }

    /// Forgets a process that has ended.
    pub(crate) async fn remove_process(
        &self,
        sandbox: String,
        number: u64,
    ) -> Result<(), StoreError> {
        self.ask(move |connection| {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            connection
                .prepare_cached("DELETE FROM processes WHERE sandbox = ?1 AND number = ?2")?
                .execute(params![sandbox, number])?;
            Ok(())
        })
        .await
    }

    /// The processes of a sandbox that are remembered.
    pub(crate) async fn processes(&self, sandbox: String) -> Result<Vec<ProcessRow>, StoreError> {
        self.ask(move |connection| {
            let mut select =
                connection.prepare("SELECT * FROM processes WHERE sandbox = ?1 ORDER BY number")?;
            let rows = select.query_and_then([sandbox], process)?;
            rows.collect()
        })
        .await
    }
}

fn sandbox(row: &Row<'_>) -> Result<SandboxRow, StoreError> {
    let map = |name| -> Result<BTreeMap<String, String>, StoreError> {
        Ok(serde_json::from_str(&row.get::<_, String>(name)?)?)
    };
    Ok(SandboxRow {
        id: row.get("id")?,
        owner: row.get("owner")?,
        template: row.get("template")?,
        created: row.get("created")?,
        expires: row.get("expires")?,
        idle: row.get("idle")?,
        paused: row.get("paused")?,
        labels: map("labels")?,
        metadata: map("metadata")?,
        environment: map("environment")?,
        key: row.get("creation_key")?,
        request: row.get("creation_request")?,
    })
}

fn process(row: &Row<'_>) -> Result<ProcessRow, StoreError> {
    Ok(ProcessRow {
        number: u64::try_from(row.get::<_, i64>("number")?).unwrap_or_default(),
        command: serde_json::from_str(&row.get::<_, String>("command")?)?,
        started: row.get("started")?,
        terminal: row.get("terminal")?,
        deadline: row.get("deadline")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_remembered_is_found_by_the_next_server() {
        let folder = tempfile::tempdir().unwrap();
        let row = SandboxRow {
            id: "a".into(),
            owner: "local".into(),
            template: "python".into(),
            created: 1,
            expires: 2,
            idle: None,
            paused: false,
            labels: BTreeMap::from([("k".into(), "v".into())]),
            metadata: BTreeMap::new(),
            environment: BTreeMap::from([("É".into(), "\u{1}\"".into())]),
            key: Some("once".into()),
            request: "r".into(),
        };
        let process = ProcessRow {
            number: 7,
            command: vec!["sleep".into(), "1".into()],
            started: 3,
            terminal: true,
            deadline: Some(9),
        };
        let store = Store::open(folder.path()).unwrap();
        store.insert(row.clone()).await.unwrap();
        store.insert_process("a".into(), process.clone()).await.unwrap();
        let twin = SandboxRow { id: "b".into(), ..row.clone() };
        assert!(store.insert(twin).await.is_err(), "one sandbox for a key");
        store.update("a".into(), 20, Some(5), true, BTreeMap::new()).await.unwrap();
        drop(store);

        let store = Store::open(folder.path()).unwrap();
        let changed = SandboxRow {
            expires: 20,
            idle: Some(5),
            paused: true,
            environment: BTreeMap::new(),
            ..row
        };
        assert_eq!(store.sandboxes().await.unwrap(), [changed]);
        assert_eq!(store.processes("a".into()).await.unwrap(), [process]);
        store.remove("a".into()).await.unwrap();
        assert_eq!(store.sandboxes().await.unwrap(), []);
        assert_eq!(store.processes("a".into()).await.unwrap(), []);
    }
}
