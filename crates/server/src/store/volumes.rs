//! Volumes, and which sandbox has which.

use std::collections::HashMap;

use capsule_spec::Access;
use rusqlite::{OptionalExtension, Row, params};

use super::{Store, StoreError};
use crate::live::Mounted;

/// A volume as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VolumeRow {
    /// What the backend calls it.
    pub(crate) id: String,
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) size: u64,
    pub(crate) created: i64,
}

/// Why a volume is not remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    Yes,
    /// The owner has one of this name.
    NameIsTaken,
    /// It is more than the owner may have.
    TooMuch,
}

impl Store {
    /// Remembers a volume that was made, if its owner may have it.
    pub(crate) async fn insert_volume(
        &self,
        row: VolumeRow,
        most: (u64, u64),
    ) -> Result<Added, StoreError> {
        self.ask(move |connection| {
            let mut select = connection.prepare_cached(
                "SELECT count(*), coalesce(sum(size), 0), coalesce(sum(name = ?2), 0)
                 FROM volumes WHERE owner = ?1",
            )?;
            let (count, bytes, same): (i64, i64, i64) = select
                .query_row([&row.owner, &row.name], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?;
            if same > 0 {
                return Ok(Added::NameIsTaken);
            }
            let bytes = bytes.max(0).cast_unsigned().saturating_add(row.size);
            if count.max(0).cast_unsigned() >= most.0 || bytes > most.1 {
                return Ok(Added::TooMuch);
            }
            let size = i64::try_from(row.size).unwrap_or(i64::MAX);
            connection
                .prepare_cached("INSERT INTO volumes VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![row.id, row.owner, row.name, size, row.created])?;
            Ok(Added::Yes)
        })
        .await
    }

    /// The volume of an owner; somebody else's is answered as if it were not there.
    pub(crate) async fn volume(
        &self,
        owner: String,
        name: String,
    ) -> Result<Option<VolumeRow>, StoreError> {
        self.ask(move |connection| {
            let mut select = connection
                .prepare_cached("SELECT * FROM volumes WHERE owner = ?1 AND name = ?2")?;
            Ok(select.query_row([owner, name], volume).optional()?)
        })
        .await
    }

    /// The volumes of an owner, ordered by name.
    pub(crate) async fn volumes(&self, owner: String) -> Result<Vec<VolumeRow>, StoreError> {
        self.ask(move |connection| {
            let mut select = connection
                .prepare_cached("SELECT * FROM volumes WHERE owner = ?1 ORDER BY name")?;
            let rows = select.query_map([owner], volume)?;
            rows.map(|row| Ok(row?)).collect()
        })
        .await
    }

    /// What the backend calls all volumes of everybody.
    pub(crate) async fn volume_ids(&self) -> Result<Vec<String>, StoreError> {
        self.ask(|connection| {
            let mut select = connection.prepare("SELECT id FROM volumes")?;
            let rows = select.query_map([], |row| row.get(0))?;
            rows.map(|row| Ok(row?)).collect()
        })
        .await
    }

    /// Forgets a volume.
    pub(crate) async fn remove_volume(&self, id: String) -> Result<(), StoreError> {
        self.ask(move |connection| {
            connection.prepare_cached("DELETE FROM volumes WHERE id = ?1")?.execute([id])?;
            Ok(())
        })
        .await
    }

    /// Remembers which volumes a sandbox has; forgotten with the sandbox.
    pub(crate) async fn set_mounts(
        &self,
        sandbox: String,
        mounts: Vec<Mounted>,
    ) -> Result<(), StoreError> {
        self.ask(move |connection| {
            let mut insert = connection
                .prepare_cached("INSERT OR REPLACE INTO mounts VALUES (?1, ?2, ?3, ?4, ?5)")?;
            for one in mounts {
                let writes = one.access == Access::ReadWrite;
                insert.execute(params![sandbox, one.path, one.volume, one.name, writes])?;
            }
            Ok(())
        })
        .await
    }

    /// Volumes by sandbox.
    pub(crate) async fn mounts(&self) -> Result<HashMap<String, Vec<Mounted>>, StoreError> {
        self.ask(|connection| {
            let mut select = connection.prepare("SELECT * FROM mounts ORDER BY sandbox, path")?;
            let rows = select.query_map([], |row| {
                let writes: bool = row.get("writes")?;
                let access = if writes { Access::ReadWrite } else { Access::ReadOnly };
                let (volume, name) = (row.get("volume")?, row.get("name")?);
                Ok((row.get("sandbox")?, Mounted { volume, name, path: row.get("path")?, access }))
            })?;
            let mut all: HashMap<String, Vec<Mounted>> = HashMap::new();
            for row in rows {
                let (sandbox, mount): (String, Mounted) = row?;
                all.entry(sandbox).or_default().push(mount);
            }
            Ok(all)
        })
        .await
    }
}

fn volume(row: &Row<'_>) -> rusqlite::Result<VolumeRow> {
    Ok(VolumeRow {
        id: row.get("id")?,
        owner: row.get("owner")?,
        name: row.get("name")?,
        size: row.get::<_, i64>("size")?.max(0).cast_unsigned(),
        created: row.get("created")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, owner: &str, name: &str, size: u64) -> VolumeRow {
        VolumeRow { id: id.into(), owner: owner.into(), name: name.into(), size, created: 1 }
    }

    #[tokio::test]
    async fn an_owner_keeps_its_own_and_no_more_than_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let most = (2, 100);
        let add = |row| store.insert_volume(row, most);
        assert_eq!(add(row("1", "one", "a", 60)).await.unwrap(), Added::Yes);
        assert_eq!(add(row("2", "one", "a", 1)).await.unwrap(), Added::NameIsTaken);
        assert_eq!(add(row("2", "one", "b", 41)).await.unwrap(), Added::TooMuch);
        assert_eq!(add(row("2", "one", "b", 40)).await.unwrap(), Added::Yes);
        assert_eq!(add(row("3", "one", "c", 0)).await.unwrap(), Added::TooMuch);
        assert_eq!(add(row("3", "two", "a", 60)).await.unwrap(), Added::Yes);
        let find = |owner: &str, name: &str| store.volume(owner.into(), name.into());
        assert_eq!(find("one", "a").await.unwrap(), Some(row("1", "one", "a", 60)));
        assert_eq!(find("two", "b").await.unwrap(), None);
        assert_eq!(store.volumes("one".into()).await.unwrap().len(), 2);
        let mount = Mounted {
            volume: "1".into(),
            name: "a".into(),
            path: "/data".into(),
            access: Access::ReadOnly,
        };
        store.set_mounts("box".into(), vec![mount.clone()]).await.unwrap();
        store.remove_volume("2".into()).await.unwrap();
        drop(store);
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.mounts().await.unwrap(), [("box".to_owned(), vec![mount])].into());
        assert_eq!(store.volume_ids().await.unwrap(), ["1", "3"]);
        store.remove("box".into()).await.unwrap();
        assert!(store.mounts().await.unwrap().is_empty());
    }
}
