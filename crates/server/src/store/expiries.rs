//! Sandboxes that are paused, and not ended, when their time is over.

use std::collections::HashMap;

use rusqlite::params;

use super::{Store, StoreError};

/// What is remembered of the end of such a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExpiryRow {
    /// Milliseconds that it was given last.
    pub(crate) life: i64,
    /// Whether its time is over: then it lives until it expires as one that is kept.
    pub(crate) is_kept: bool,
}

impl Store {
    /// Remembers how a sandbox ends; forgotten with the sandbox.
    pub(crate) async fn set_expiry(&self, id: String, row: ExpiryRow) -> Result<(), StoreError> {
        self.ask(move |connection| {
            connection
                .prepare_cached("INSERT OR REPLACE INTO expiries VALUES (?1, ?2, ?3)")?
                .execute(params![id, row.life, row.is_kept])?;
            Ok(())
        })
        .await
    }

    /// What is remembered, by sandbox.
    pub(crate) async fn expiries(&self) -> Result<HashMap<String, ExpiryRow>, StoreError> {
        self.ask(|connection| {
            let mut select = connection.prepare("SELECT sandbox, life, kept FROM expiries")?;
            let rows = select.query_map([], |row| {
                Ok((row.get(0)?, ExpiryRow { life: row.get(1)?, is_kept: row.get(2)? }))
            })?;
            rows.map(|row| Ok(row?)).collect()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_remembered_until_the_sandbox_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let row = |is_kept| ExpiryRow { life: 5, is_kept };
        store.set_expiry("a".into(), row(false)).await.unwrap();
        store.set_expiry("a".into(), row(true)).await.unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.expiries().await.unwrap(), [("a".to_owned(), row(true))].into());
        store.remove("a".into()).await.unwrap();
        assert!(store.expiries().await.unwrap().is_empty());
    }
}
