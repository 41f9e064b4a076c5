//! Networks of sandboxes that are not their template's.

use std::collections::HashMap;

use capsule_spec::Network;
use rusqlite::params;

use super::{Store, StoreError};
use crate::request::NetworkPolicy;

impl Store {
    /// Remembers the network of a sandbox; forgotten with the sandbox.
    pub(crate) async fn set_network(&self, id: String, network: Network) -> Result<(), StoreError> {
        self.ask(move |connection| {
            let text = serde_json::to_string(&NetworkPolicy::of(&network))?;
            connection
                .prepare_cached("INSERT OR REPLACE INTO networks VALUES (?1, ?2)")?
                .execute(params![id, text])?;
            Ok(())
        })
        .await
    }

    /// What is remembered, by sandbox. A policy that cannot be read lets nobody out.
    pub(crate) async fn networks(&self) -> Result<HashMap<String, Network>, StoreError> {
        self.ask(|connection| {
            let mut select = connection.prepare("SELECT sandbox, network FROM networks")?;
            let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.map(|row| {
                let (id, text): (String, String) = row?;
                let policy = serde_json::from_str::<NetworkPolicy>(&text).ok();
                let network = policy.and_then(|policy| policy.resolve().ok());
                Ok((id, network.unwrap_or(Network::Denied)))
            })
            .collect()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_network_is_remembered_and_nonsense_is_no_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let hosts = Network::Hosts(vec!["a.example:443".parse().unwrap()]);
        store.set_network("a".into(), Network::Open).await.unwrap();
        store.set_network("a".into(), hosts.clone()).await.unwrap();
        store.set_network("b".into(), Network::Open).await.unwrap();
        store
            .ask(|connection| {
                connection.execute("UPDATE networks SET network = '?' WHERE sandbox = 'b'", [])?;
                Ok(())
            })
            .await
            .unwrap();
        let found = store.networks().await.unwrap();
        assert_eq!((&found["a"], &found["b"]), (&hosts, &Network::Denied));
        store.remove("a".into()).await.unwrap();
        assert_eq!(store.networks().await.unwrap().len(), 1);
    }

    /// A folder of the first format gets the tables that came since.
    #[tokio::test]
    async fn an_older_folder_is_taken_up() {
        let folder = tempfile::tempdir().unwrap();
        drop(Store::open(folder.path()).unwrap());
        let connection = rusqlite::Connection::open(folder.path().join("server.db")).unwrap();
        connection.execute_batch("DROP TABLE networks; PRAGMA user_version = 1").unwrap();
        drop(connection);
        let store = Store::open(folder.path()).unwrap();
        store.set_network("a".into(), Network::Denied).await.unwrap();
    }
}
