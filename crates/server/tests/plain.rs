//! The suite against sandboxes without walls, in a server of this process.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail with them")]

mod own;
#[allow(unreachable_pub, reason = "other crates include it, too")]
mod suite;
mod support;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use capsule_server::request::Language;
use capsule_server::{Listen, PackageIndex, PackageIndexes, Server, Settings, Template};

use suite::client::Site;
use support::Folders;

crate::suite!(site);

/// One server for all tests of this process.
fn site() -> Site {
    static ADDRESS: OnceLock<SocketAddr> = OnceLock::new();
    let start = || {
        let data = Box::leak(Box::new(tempfile::tempdir().unwrap()));
        let settings = settings(data.path());
        let (told, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let threads = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            threads.block_on(async {
                let backend = Arc::new(Folders::default());
                let server = Server::start(settings, |_| Ok(backend), templates()).await.unwrap();
                let address = server.address().strip_prefix("http://").unwrap().parse().unwrap();
                told.send(address).unwrap();
                server.run(std::future::pending()).await
            });
        });
        address.recv().unwrap()
    };
    Site::new(*ADDRESS.get_or_init(start))
}

fn settings(data: &std::path::Path) -> Settings {
    Settings {
        listen: Listen::Tcp("127.0.0.1:0".parse().unwrap()),
        data: data.join("data"),
        require_key: false,
        hosts: Vec::new(),
        origins: Vec::new(),
        sandboxes: 1_000,
        sandboxes_each: 1_000,
        processes: 64,
        snapshot_bytes: 64 << 20,
        volume_bytes: 64 << 20,
        keep_paused: std::time::Duration::from_secs(3_600),
        rate: 1_000,
        open_network: false,
        indexes: indexes(),
        webhooks: capsule_server::WebhookRules::default(),
        keep_sandboxes: false,
    }
}

fn templates() -> Vec<Template> {
    templates_with(0)
}

/// Both have the same recipe, and so one pool.
fn templates_with(pool: usize) -> Vec<Template> {
    let template = |name: &str, language| Template {
        name: name.to_owned(),
        recipe: support::recipe(),
        language,
        description: None,
        on_expiry: capsule_server::request::OnExpiry::Delete,
        pool,
        origin: capsule_server::roots::Origin::default(),
    };
    vec![template("shell", Language::Shell), template("python", Language::Python)]
}

/// One host, and managers that can be told from real ones.
fn indexes() -> PackageIndexes {
    let index = PackageIndex {
        hosts: vec!["index.example:443".parse().unwrap()],
        environment: [("CAPSULE_TEST_INDEX".to_owned(), "here".to_owned())].into(),
    };
    PackageIndexes { pip: index, npm: PackageIndex::default() }
}
