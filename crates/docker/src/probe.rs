//! What a host's engine allows, found out by running a container: an engine that answers may
//! still have a runtime that starts nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use capsule_backend::Capabilities;
use capsule_backend::sandbox::{Program, Recipe, Root, Sandboxes};
use capsule_jail::resident::Residents;
use capsule_spec::{ByteSize, ErrorCode, ExecutionId, Failure, Limits, Network, Policy};

use crate::Settings;
use crate::container;
use crate::walls::Containers;

/// The longest that a trial may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is found at a socket, with a trial of the runtime.
pub fn try_out(settings: &Settings) -> Capabilities {
    match Containers::new(settings.clone(), &std::env::temp_dir()) {
        Ok(containers) => capabilities(&containers),
        Err(failure) => Capabilities {
            name: "docker",
            usable: Err(failure),
            facts: vec![("socket".to_owned(), settings.socket.display().to_string())],
            walls: Vec::new(),
        },
    }
}

pub(crate) fn capabilities(containers: &Containers) -> Capabilities {
    let facts = &containers.engine().facts;
    let settings = containers.settings();
    let told = [
        ("engine", facts.version.clone()),
        ("socket", settings.socket.display().to_string()),
        ("runtime", settings.runtime.clone()),
        ("runtimes", facts.runtimes.join(", ")),
        ("control groups", format!("cgroup v{}", facts.cgroups)),
        ("storage", facts.storage.clone()),
        ("security", facts.security.join(", ")),
    ];
    let settings = settings.clone();
    // A runtime of tokio cannot be made within another one.
    let tried = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| {
            Failure::new(ErrorCode::OutOfResources, format!("no thread to be had: {error}"))
        })?;
        runtime.block_on(try_container(settings))
    });
    let tried = tried.join().unwrap_or_else(|_| {
        Err(Failure::new(ErrorCode::EngineUnavailable, "the trial of the engine broke off"))
    });
    Capabilities {
        name: "docker",
        usable: tried,
        facts: told.map(|(name, value)| (name.to_owned(), value)).to_vec(),
        walls: container::walls(facts, &Network::Denied, containers.are_gvisor()),
    }
}

/// A whole sandbox, from an image without a file: Capsule's program is static, and is the
/// one program that runs in it.
async fn try_container(settings: Settings) -> Result<(), Failure> {
    let name = format!("trial-{}", &ExecutionId::random().to_string()[..8]);
    let folder = std::env::temp_dir().join(format!("capsule-{name}"));
    let containers = Containers::new(settings, &folder)?.for_a_trial();
    let image = format!("capsule-{name}:empty");
    // Two blocks of zeros are the end of an archive, and here its beginning.
    containers.engine().import(&image, &[0; 1024])?;
    let containers = Arc::new(containers);
    let tried = tokio::time::timeout(PATIENCE, use_one(&containers, &folder, &name, &image)).await;
    let tried = tried.unwrap_or_else(|_| {
        let message = "a trial container did not run within a minute";
        Err(Failure::new(ErrorCode::EngineUnavailable, message))
    });
    let removed = capsule_jail::resident::Walls::remove(&*containers, &name);
    let cleared = containers.engine().remove_image(&image);
    let _ = std::fs::remove_dir_all(&folder);
    tried.and(removed.map(drop)).and(cleared)
}

async fn use_one(
    containers: &Arc<Containers>,
    folder: &std::path::Path,
    name: &str,
    image: &str,
) -> Result<(), Failure> {
    let residents = Residents::within(Arc::clone(containers) as _, folder, PATIENCE)?;
    let memory = ByteSize::from_mib(64);
    let recipe = Recipe {
        root: Root::Image(image.to_owned()),
        limits: Limits { memory, ..Limits::default() },
        policy: Policy::default(),
        require: Vec::new(),
        volumes: Vec::new(),
    };
    let sandbox = residents.create(name, &recipe).await?;
    let program = Program {
        command: vec!["/.capsule/init".to_owned(), "--version".to_owned()],
        working_directory: "/workspace".to_owned(),
        environment: BTreeMap::new(),
        terminal: None,
    };
    let ended = sandbox.spawn(&program).await?.ended().await;
    sandbox.end().await?;
    match ended.exit_code {
        0 => Ok(()),
        code => Err(Failure::new(
            ErrorCode::EngineUnavailable,
            format!("a program in a trial container ended with {code}"),
        )),
    }
}
