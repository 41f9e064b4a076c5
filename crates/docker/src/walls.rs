//! Containers as walls round a resident PID 1.

use std::path::{Path, PathBuf};

use capsule_backend::Capabilities;
use capsule_backend::sandbox::Recipe;
use capsule_jail::resident::{Enclosure, Walls, Wire};
use capsule_spec::{ErrorCode, Failure, WallState};

use crate::client::Client;
use crate::container::{self, Order, USER};
use crate::engine::Engine;
use crate::{Settings, attached, probe};

/// Containers of one state folder, on one engine, in one runtime.
pub struct Containers {
    engine: Engine,
    settings: Settings,
    program: String,
    /// The state folder, which labels its containers.
    state: String,
    /// Whether failures go to the operator, who may read the engine's own words: they hold
    /// paths of the host.
    is_trial: bool,
}

impl Containers {
    /// Reaches the engine. The folder is made later, by who uses it.
    ///
    /// # Errors
    /// When the engine cannot be reached, or has no such runtime.
    pub fn new(settings: Settings, folder: &Path) -> Result<Self, Failure> {
        let engine = Engine::connect(Client { socket: settings.socket.clone() })?;
        if !engine.facts.runtimes.contains(&settings.runtime) {
            let message = format!("the engine has no runtime called {:?}", settings.runtime);
            return Err(Failure::new(ErrorCode::EngineUnavailable, message)
                .hint(format!("it has: {}", engine.facts.runtimes.join(", "))));
        }
        let program = text_of(&settings.program)?;
        let state = text_of(&absolute(folder))?;
        Ok(Self { engine, settings, program, state, is_trial: false })
    }

    /// For somebody who tries the engine out.
    pub(crate) fn for_a_trial(self) -> Self {
        Self { is_trial: true, ..self }
    }

    /// For people who list containers: labels are what counts. Two servers may have sandboxes
    /// of one name.
    fn container_name(&self, name: &str) -> String {
        let mut hash = std::hash::DefaultHasher::new();
        std::hash::Hash::hash(&self.state, &mut hash);
        let mark = std::hash::Hasher::finish(&hash) & 0xffff_ffff;
        format!("capsule-{name}-{mark:08x}")
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn are_gvisor(&self) -> bool {
        self.engine.facts.gvisor.contains(&self.settings.runtime)
    }
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The engine is told paths as text.
fn text_of(path: &Path) -> Result<String, Failure> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::new(ErrorCode::InvalidPath, "a path that the engine is to use is not UTF-8")
    })
}

/// The engine follows links, and says in its own words what is not there.
fn check_mounts(recipe: &Recipe) -> Result<(), Failure> {
    for mount in &recipe.policy.files {
        let source = mount.source.as_path();
        match source.canonicalize() {
            Ok(real) if real == source => {}
            Ok(_) => {
                let message = format!("the path {} goes through a link", mount.source);
                return Err(
                    Failure::new(ErrorCode::UnsafePath, message).hint("name where it leads")
                );
            }
            Err(error) => {
                let message = format!("{} cannot be mounted: {}", mount.source, error.kind());
                return Err(Failure::new(ErrorCode::MountFailed, message));
            }
        }
    }
    Ok(())
}

impl Walls for Containers {
    fn capabilities(&self) -> Capabilities {
        probe::capabilities(self)
    }

    fn are_distant(&self) -> bool {
        self.are_gvisor()
    }

    fn build(
        &self,
        name: &str,
        recipe: &Recipe,
        entrance: Option<&Path>,
    ) -> Result<Enclosure, Failure> {
        let facts = &self.engine.facts;
        let walls = container::walls(facts, &recipe.policy.network, self.are_gvisor());
        container::demand(recipe, &walls)?;
        check_mounts(recipe)?;
        let image = container::image_of(recipe)?;
        let image = self.engine.image_or_pull(image, &*self.settings.announce)?;
        let entrance = entrance.map(|path| text_of(&absolute(path))).transpose()?;
        let container = container::container(&Order {
            name,
            recipe,
            image: &image,
            runtime: &self.settings.runtime,
            program: &self.program,
            entrance: entrance.as_deref(),
            state: &self.state,
        })?;
        let pid = self.engine.run(&self.container_name(name), &container).map_err(|refused| {
            if !self.is_trial && !refused.words.is_empty() {
                (self.settings.announce)(&format!("sandbox {name}: {}", refused.words));
            }
            refused.into_failure(self.is_trial)
        })?;
        Ok(Enclosure {
            pid,
            user: USER,
            environment: container::environment(&image, recipe),
            weaker: walls.into_iter().filter(|wall| wall.state != WallState::Full).collect(),
        })
    }

    fn attach(&self, name: &str) -> Result<Option<Wire>, Failure> {
        let found = self.engine.containers(&self.state, Some(name))?;
        let Some(container) = found.first() else { return Ok(None) };
        let stream = self.engine.attach(&container.id)?;
        Ok(stream.map(|stream| Wire { stream, unwrap: attached::unwrap() }))
    }

    fn freeze(&self, name: &str, frozen: bool) -> Result<(), Failure> {
        for container in self.engine.containers(&self.state, Some(name))? {
            self.engine.pause(&container.id, frozen)?;
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<bool, Failure> {
        let found = self.engine.containers(&self.state, Some(name))?;
        for container in &found {
            self.engine.remove(&container.id)?;
        }
        Ok(!found.is_empty())
    }

    fn names(&self) -> Result<Vec<String>, Failure> {
        let found = self.engine.containers(&self.state, None)?;
        Ok(found.into_iter().map(|container| container.name).collect())
    }
}
