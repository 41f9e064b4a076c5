//! API keys, of which only hashes are kept.
//!
//! A key is `cap_ID_SECRET`. The secret is 244 random bits, so a fast hash is enough: there
//! is nothing to guess. The id is no secret; it is what lists show and what is revoked.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{OptionalExtension, params};

use super::{Store, StoreError, connect, folder};

/// A key that was just made: the only time that it can be seen.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// What lists show.
    pub id: String,
    /// What requests carry.
    pub key: String,
}

/// A key, as lists show it.
#[derive(Clone, Debug)]
pub struct KeyInfo {
    /// What it is revoked by.
    pub id: String,
    /// What its maker called it.
    pub name: String,
    /// When it was made.
    pub created: SystemTime,
    /// When it was revoked, if it was.
    pub revoked: Option<SystemTime>,
}

/// What is known of a key that is not revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) id: String,
    pub(crate) hash: blake3::Hash,
}

/// The id of a key, if it has the shape of one.
pub(crate) fn id_of(key: &str) -> Option<&str> {
    let (id, secret) = key.strip_prefix("cap_")?.split_once('_')?;
    let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (id.len() == 16 && secret.len() == 64 && is_plain(id) && is_plain(secret)).then_some(id)
}

impl Store {
    /// What is known of the key with this id, if it is not revoked.
    pub(crate) async fn key(&self, id: String) -> Result<Option<Known>, StoreError> {
        self.ask(move |connection| {
            let mut select = connection
                .prepare_cached("SELECT hash FROM keys WHERE id = ?1 AND revoked IS NULL")?;
            let hash: Option<[u8; 32]> = select.query_row([&id], |row| row.get(0)).optional()?;
            Ok(hash.map(|hash| Known { id, hash: blake3::Hash::from_bytes(hash) }))
        })
        .await
    }
}

/// Makes a key in a data folder.
///
/// # Errors
/// When the folder or its database cannot be used.
pub fn create_key(folder: &Path, name: &str) -> Result<NewKey, StoreError> {
    folder::make(folder)?;
    let random = || uuid::Uuid::new_v4().simple().to_string();
    let id = crate::model::new_id();
    let key = format!("cap_{id}_{}{}", random(), random());
    let hash = blake3::hash(key.as_bytes());
    connect(folder)?.execute(
        "INSERT INTO keys VALUES (?1, ?2, ?3, ?4, NULL)",
        params![id, name, hash.as_bytes(), milliseconds(SystemTime::now())],
    )?;
    Ok(NewKey { id, key })
}

/// The keys of a data folder, oldest first.
///
/// # Errors
/// When the folder or its database cannot be used.
pub fn list_keys(folder: &Path) -> Result<Vec<KeyInfo>, StoreError> {
    folder::make(folder)?;
    let connection = connect(folder)?;
    let mut select =
        connection.prepare("SELECT id, name, created, revoked FROM keys ORDER BY created, id")?;
    let rows = select.query_map([], |row| {
        Ok(KeyInfo {
            id: row.get(0)?,
            name: row.get(1)?,
            created: time(row.get(2)?),
            revoked: row.get::<_, Option<i64>>(3)?.map(time),
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Revokes a key; whether there was one that was not revoked. A running server knows it
/// within a second.
///
/// # Errors
/// When the folder or its database cannot be used.
pub fn revoke_key(folder: &Path, id: &str) -> Result<bool, StoreError> {
    folder::make(folder)?;
    let changed = connect(folder)?.execute(
        "UPDATE keys SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL",
        params![id, milliseconds(SystemTime::now())],
    )?;
    Ok(changed == 1)
}

/// Milliseconds since 1970.
pub(crate) fn milliseconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The time that is so many milliseconds after 1970.
pub(crate) fn time(milliseconds: i64) -> SystemTime {
    UNIX_EPOCH + std::time::Duration::from_millis(milliseconds.max(0).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn keys_are_kept_as_hashes_and_can_be_revoked() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("data");
        let made = create_key(&folder, "first").unwrap();
        assert_eq!(id_of(&made.key), Some(made.id.as_str()));
        let store = Store::open(&folder).unwrap();
        let known = store.key(made.id.clone()).await.unwrap().unwrap();
        assert_eq!(known.hash, blake3::hash(made.key.as_bytes()));
        let secret = made.key.rsplit('_').next().unwrap().as_bytes();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(secret.len()).any(|part| part == secret));
        }
        assert!(revoke_key(&folder, &made.id).unwrap());
        assert!(!revoke_key(&folder, &made.id).unwrap());
        assert_eq!(store.key(made.id).await.unwrap(), None);
        assert!(list_keys(&folder).unwrap()[0].revoked.is_some());
        for bad in ["", "cap_", "cap_a_b", "cap_aaaaaaaaaaaaaaaa_", "CAP_a_b"] {
            assert_eq!(id_of(bad), None);
        }
    }
}
