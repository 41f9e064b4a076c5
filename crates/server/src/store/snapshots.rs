//! Snapshots that are kept, and sandboxes whose files are not complete yet.

use std::collections::{BTreeMap, HashSet};

use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError};

/// A snapshot as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotRow {
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) name: Option<String>,
    pub(crate) sandbox: String,
    pub(crate) template: String,
    pub(crate) created: i64,
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    pub(crate) labels: BTreeMap<String, String>,
    /// The hash of its bytes, which is the name of the file that holds them.
    pub(crate) content: String,
}

/// How much one owner may keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quota {
    pub(crate) snapshots: u64,
    pub(crate) bytes: u64,
}

impl Store {
    /// How many snapshots an owner has, and their bytes.
    pub(crate) async fn snapshot_usage(&self, owner: String) -> Result<(u64, u64), StoreError> {
        self.ask(move |connection| usage(connection, &owner)).await
    }

    /// Remembers a snapshot whose bytes are in place; false if it is more than the owner may
    /// have, which may have changed since it was looked at.
    pub(crate) async fn insert_snapshot(
        &self,
        row: SnapshotRow,
        quota: Quota,
    ) -> Result<bool, StoreError> {
        self.ask(move |connection| {
            let (count, bytes) = usage(connection, &row.owner)?;
            if count >= quota.snapshots || bytes.saturating_add(row.bytes) > quota.bytes {
                return Ok(false);
            }
            let labels = serde_json::to_string(&row.labels)?;
            connection
                .prepare_cached(
                    "INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?
                .execute(params![
                    row.id,
                    row.owner,
                    row.name,
                    row.sandbox,
                    row.template,
                    row.created,
                    number(row.bytes),
                    number(row.files),
                    labels,
                    row.content,
                ])?;
            Ok(true)
        })
        .await
    }

    /// The snapshot of an owner; somebody else's is answered as if it were not there.
    pub(crate) async fn snapshot(
        &self,
        owner: String,
        id: String,
    ) -> Result<Option<SnapshotRow>, StoreError> {
        self.ask(move |connection| {
            let mut select = connection
                .prepare_cached("SELECT * FROM snapshots WHERE owner = ?1 AND id = ?2")?;
            let found = select.query_row([owner, id], |row| Ok(snapshot(row))).optional()?;
            found.transpose()
        })
        .await
    }

    /// The snapshots of an owner after an id.
    pub(crate) async fn snapshots(
        &self,
        owner: String,
        after: Option<String>,
    ) -> Result<Vec<SnapshotRow>, StoreError> {
        self.ask(move |connection| {
            let mut select = connection
                .prepare("SELECT * FROM snapshots WHERE owner = ?1 AND id > ?2 ORDER BY id")?;
            let rows = select.query_and_then([owner, after.unwrap_or_default()], snapshot)?;
            rows.collect()
        })
        .await
    }

    /// Forgets a snapshot of an owner: whether there was one.
    pub(crate) async fn remove_snapshot(
        &self,
        owner: String,
        id: String,
    ) -> Result<bool, StoreError> {
        self.ask(move |connection| {
            let removed = connection
                .prepare_cached("DELETE FROM snapshots WHERE owner = ?1 AND id = ?2")?
                .execute([owner, id])?;
            Ok(removed > 0)
        })
        .await
    }

    /// All contents that snapshots are made of.
    pub(crate) async fn contents(&self) -> Result<HashSet<String>, StoreError> {
        self.ask(|connection| {
            let mut select = connection.prepare("SELECT DISTINCT content FROM snapshots")?;
            let rows = select.query_map([], |row| row.get(0))?;
            rows.map(|row| Ok(row?)).collect()
        })
        .await
    }

    /// A sandbox whose files are about to be written. One that a server finds is of no use.
    pub(crate) async fn set_unfinished(&self, id: String, is: bool) -> Result<(), StoreError> {
        self.ask(move |connection| {
            let change = match is {
                true => "INSERT OR REPLACE INTO unfinished VALUES (?1)",
                false => "DELETE FROM unfinished WHERE sandbox = ?1",
            };
            connection.prepare_cached(change)?.execute([id])?;
            Ok(())
        })
        .await
    }

    /// Sandboxes whose files are not complete.
    pub(crate) async fn unfinished(&self) -> Result<HashSet<String>, StoreError> {
        self.ask(|connection| {
            let mut select = connection.prepare("SELECT sandbox FROM unfinished")?;
            let rows = select.query_map([], |row| row.get(0))?;
            rows.map(|row| Ok(row?)).collect()
        })
        .await
    }
}

fn usage(connection: &rusqlite::Connection, owner: &str) -> Result<(u64, u64), StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT count(*), coalesce(sum(bytes), 0) FROM snapshots WHERE owner = ?1",
    )?;
    let (count, bytes): (i64, i64) =
        select.query_row([owner], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok((count.max(0).cast_unsigned(), bytes.max(0).cast_unsigned()))
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn snapshot(row: &Row<'_>) -> Result<SnapshotRow, StoreError> {
    let unsigned = |name| row.get::<_, i64>(name).map(|value| value.max(0).cast_unsigned());
    Ok(SnapshotRow {
        id: row.get("id")?,
        owner: row.get("owner")?,
        name: row.get("name")?,
        sandbox: row.get("sandbox")?,
        template: row.get("template")?,
        created: row.get("created")?,
        bytes: unsigned("bytes")?,
        files: unsigned("files")?,
        labels: serde_json::from_str(&row.get::<_, String>("labels")?)?,
        content: row.get("content")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, owner: &str, bytes: u64) -> SnapshotRow {
        SnapshotRow {
            id: id.into(),
            owner: owner.into(),
            name: Some("name".into()),
            sandbox: "s".into(),
            template: "python".into(),
            created: 1,
            bytes,
            files: 2,
            labels: BTreeMap::from([("k".into(), "v".into())]),
            content: format!("hash-{id}"),
        }
    }

    #[tokio::test]
    async fn an_owner_keeps_its_own_and_no_more_than_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let quota = Quota { snapshots: 2, bytes: 100 };
        assert!(store.insert_snapshot(row("a", "one", 60), quota).await.unwrap());
        assert!(!store.insert_snapshot(row("b", "one", 60), quota).await.unwrap(), "too large");
        assert!(store.insert_snapshot(row("b", "one", 40), quota).await.unwrap());
        assert!(!store.insert_snapshot(row("c", "one", 0), quota).await.unwrap(), "too many");
        assert!(store.insert_snapshot(row("c", "other", 60), quota).await.unwrap());
        assert_eq!(store.snapshot_usage("one".into()).await.unwrap(), (2, 100));
        let of = |owner: &str, id: &str| store.snapshot(owner.into(), id.into());
        assert_eq!(of("one", "a").await.unwrap(), Some(row("a", "one", 60)));
        assert_eq!(of("other", "a").await.unwrap(), None);
        assert!(!store.remove_snapshot("other".into(), "a".into()).await.unwrap());
        let all = store.snapshots("one".into(), Some("a".into())).await.unwrap();
        assert_eq!(all, [row("b", "one", 40)]);
        assert!(store.remove_snapshot("one".into(), "a".into()).await.unwrap());
        let contents = store.contents().await.unwrap();
        assert_eq!(contents, HashSet::from(["hash-b".to_owned(), "hash-c".to_owned()]));
        store.set_unfinished("x".into(), true).await.unwrap();
        store.set_unfinished("y".into(), true).await.unwrap();
        store.set_unfinished("x".into(), false).await.unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.unfinished().await.unwrap(), HashSet::from(["y".to_owned()]));
    }
}
