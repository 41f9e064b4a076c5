//! The only file that names concrete backends.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use capsule_backend::guest::Guests;
use capsule_backend::sandbox::Sandboxes;
use capsule_backend::{Backend, Capabilities};
use capsule_engine::{Backends, Language, Programs, Project};
use capsule_jail::Jail;
use capsule_jail::native::Native;
use capsule_jail::resident::{LEASE, Residents};
use capsule_server::roots;
use capsule_spec::{ErrorCode, Failure};
use capsule_wasm::{Language as Guest, PACKAGES, Prepared, Progress, Runtime};

use crate::{packages, script};

/// What runs other programs in WebAssembly.
pub(crate) use capsule_wasm::{Command as WasmCommand, CommandLimits, Seal};

/// A folder of files that are hashed before they are used.
pub(crate) use capsule_wasm::Cache as Sealed;

/// How memories of WebAssembly are used again here.
pub(crate) use capsule_wasm::Recycling;

/// Every backend of this binary.
pub(crate) fn backends() -> Vec<Box<dyn Backend>> {
    vec![jail()]
}

/// The jail, for callers that are not themselves in the foreground of a run.
pub(crate) fn jail() -> Box<dyn Backend> {
    Box::new(Jail::default())
}

/// Kinds of sandboxes that live on.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Jails of this host.
    Jail,
    /// Containers of an engine.
    Docker(Engine),
}

/// An engine, and what runs its containers.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) socket: PathBuf,
    pub(crate) runtime: String,
}

impl Engine {
    pub(crate) fn usual_socket() -> PathBuf {
        capsule_docker::Settings::usual_socket()
    }

    fn settings(&self) -> Result<capsule_docker::Settings, Failure> {
        let program = std::env::current_exe().map_err(|error| {
            let what = format!("this program's own file cannot be found: {error}");
            Failure::new(ErrorCode::SystemFailure, what)
        })?;
        Ok(capsule_docker::Settings {
            socket: self.socket.clone(),
            runtime: self.runtime.clone(),
            program,
            announce: Arc::new(announce),
        })
    }
}

/// A line of the server's log.
fn announce(text: &str) {
    let line = serde_json::json!({ "level": "info", "message": text });
    let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("{line}\n").as_bytes());
}

/// The best kind that this host has: jails, or containers where no jail can be.
pub(crate) fn best_kind(engine: Engine) -> Kind {
    if jail().capabilities().usable.is_ok() {
        return Kind::Jail;
    }
    let tried = engine.settings().and_then(|settings| capsule_docker::try_out(&settings).usable);
    // What a jail says is what helps most.
    if tried.is_ok() { Kind::Docker(engine) } else { Kind::Jail }
}

/// What makes sandboxes that live on, with its state below a server's data folder. To be
/// called within a runtime of tokio.
pub(crate) fn sandboxes(kind: &Kind, data: &Path) -> Result<Arc<dyn Sandboxes>, Failure> {
    match kind {
        Kind::Jail => Ok(Residents::open(data.join("jails"), LEASE)?),
        Kind::Docker(engine) => {
            Ok(capsule_docker::open(engine.settings()?, &data.join("containers"))?)
        }
    }
}

/// What makes the sandboxes in which packages of templates are installed. One that nobody
/// waits for any more ends soon.
pub(crate) fn workplace(kind: &Kind, folder: &Path) -> Result<Arc<dyn Sandboxes>, Failure> {
    const SOON: Duration = Duration::from_secs(10);
    match kind {
        Kind::Jail => Ok(Residents::open(folder.join("jails"), SOON)?),
        Kind::Docker(_) => sandboxes(kind, folder),
    }
}

/// What builds images of Dockerfiles.
pub(crate) fn image_builder(socket: PathBuf) -> Result<Box<dyn roots::Engine>, Failure> {
    Ok(Box::new(Builder(capsule_docker::Images::connect(socket)?)))
}

struct Builder(capsule_docker::Images);

impl roots::Engine for Builder {
    fn has(&self, image: &str) -> Result<bool, Failure> {
        self.0.has(image)
    }

    fn build(
        &self,
        image: &str,
        dockerfile: &str,
        context: (&File, u64),
        progress: &dyn roots::Progress,
    ) -> Result<(), Failure> {
        self.0.build(image, dockerfile, context, &|text| progress.say(text))
    }

    fn save(&self, image: &str, file: &File, most: u64) -> Result<(), Failure> {
        self.0.save(image, file, most)
    }

    fn remove(&self, image: &str) -> Result<(), Failure> {
        self.0.remove(image)
    }
}

/// What the usual engine is found to be able to do, by running a container in each of its
/// runtimes that Capsule knows.
pub(crate) fn try_engine() -> Vec<Capabilities> {
    let of = |runtime: &str| {
        let engine = Engine { socket: Engine::usual_socket(), runtime: runtime.to_owned() };
        engine.settings().ok().map(|settings| capsule_docker::try_out(&settings))
    };
    let Some(first) = of("runc") else { return Vec::new() };
    let named = first.facts.iter().find(|(name, _)| name == "runtimes");
    let has_gvisor = named.is_some_and(|(_, all)| all.split(", ").any(|one| one == "runsc"));
    let second = if has_gvisor { of("runsc") } else { None };
    [Some(first), second].into_iter().flatten().collect()
}

/// Becomes a process of Capsule's own in a container, if the argument says so. Answers only when
/// that fails.
pub(crate) fn become_part_of_container(role: &str) -> Option<std::io::Error> {
    capsule_docker::become_part(role)
}

/// What runs tasks: a runtime for each language and set of packages, loaded when it is first
/// needed.
#[derive(Default)]
pub(crate) struct Runtimes {
    loaded: Mutex<HashMap<(Language, Vec<String>), Loaded>>,
}

#[derive(Clone)]
struct Loaded {
    wasm: Arc<dyn Guests>,
    programs: Arc<Programs>,
    packages: Option<PathBuf>,
}

impl Runtimes {
    /// What runs the tasks of a project, its packages in memory and its script made. May
    /// take minutes, the first time on a machine.
    pub(crate) fn of(
        &self,
        project: &mut Project,
        progress: &dyn Progress,
    ) -> Result<Backends, Failure> {
        let has_native = project.mentions("jail");
        script::beside(project, |project| self.without_script(project, has_native, progress))
    }

    /// As [`Runtimes::of`], without a script. `has_native`: tasks may run in jails.
    pub(crate) fn without_script(
        &self,
        project: &mut Project,
        has_native: bool,
        progress: &dyn Progress,
    ) -> Result<Backends, Failure> {
        let requirements = project.requirements()?;
        let key = (project.language(), requirements.clone());
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let loaded = match loaded {
            Some(loaded) => loaded,
            None => {
                let loaded = load(key.0, &requirements, progress)?;
                let mut all = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
                all.entry(key).or_insert(loaded).clone()
            }
        };
        if let Some(folder) = loaded.packages {
            project.packages(folder, PACKAGES);
        }
        let jail = native(project, &requirements, has_native);
        Ok(Backends { wasm: loaded.wasm, jail, programs: loaded.programs, shelf: None })
    }
}

/// Memories that are kept for later tasks.
const MOST_IDLE: usize = 32;

fn load(
    language: Language,
    requirements: &[String],
    progress: &dyn Progress,
) -> Result<Loaded, Failure> {
    let prepared = prepared(language, progress)?;
    let (prepared, packages) = if requirements.is_empty() {
        (prepared, None)
    } else {
        let (layered, folder) = packages::with_packages(&prepared, requirements, &cache())?;
        (layered, Some(folder))
    };
    let runtime = Runtime::new(&prepared, MOST_IDLE)
        .map_err(|error| Failure::new(ErrorCode::RuntimeUnavailable, format!("{error:#}")))?;
    Ok(Loaded { wasm: Arc::new(runtime), programs: Arc::default(), packages })
}

/// The guest of a language: compiled, if it is not yet.
fn prepared(language: Language, progress: &dyn Progress) -> Result<Prepared, Failure> {
    let guest = match language {
        Language::Python => Guest::Python,
        Language::JavaScript => Guest::JavaScript,
    };
    guest.prepare(&cache().join("runtimes"), progress).map_err(|error| {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Failure::new(ErrorCode::RuntimeUnavailable, message)
    })
}

/// What runs tasks with `isolation="jail"`, if the program has any.
fn native(
    project: &Project,
    requirements: &[String],
    has_native: bool,
) -> Result<Arc<dyn Guests>, Failure> {
    if !has_native {
        let message = "the program's own file does not hold the word jail";
        return Err(Failure::new(ErrorCode::InvalidDeclaration, message).hint(
            "write the option isolation in the program itself, or default_isolation in capsule.toml",
        ));
    }
    if project.language() == Language::JavaScript {
        return Ok(Arc::new(node().with_modules(packages::for_node(project))));
    }
    let folder = match requirements {
        [] => None,
        _ => Some(packages::for_cpython(requirements, &cache())?),
    };
    Ok(Arc::new(Native::new(PathBuf::from("python3")).with_packages(folder)))
}

/// What runs functions in jails, without a project.
#[cfg(test)]
pub(crate) fn any_python() -> Arc<dyn Guests> {
    Arc::new(Native::new(PathBuf::from("python3")))
}

/// Makes ready what runs tasks, in both languages, if it is not yet.
pub(crate) fn prepare(progress: &dyn Progress) -> Result<(), Failure> {
    prepared(Language::Python, progress)?;
    prepared(Language::JavaScript, progress).map(drop)
}

/// Whether tasks can run in Node in a jail on this host; why not.
pub(crate) fn node_in_a_jail() -> Result<(), String> {
    jail().capabilities().usable.map_err(|failure| failure.to_string())?;
    node().check().map_err(|failure| failure.message)
}

fn node() -> Native {
    Native::node(PathBuf::from("node"))
}

/// A program that this binary carries, as a file: what `unpack` gives, kept in the user's
/// cache as the guests are.
pub(crate) fn carried_program(
    name: &str,
    hash: &str,
    unpack: impl FnOnce() -> io::Result<Vec<u8>>,
) -> io::Result<PathBuf> {
    let cache = Sealed::open(&cache().join("runtimes"))?;
    let key = format!("{name}-{}", &hash[..16]);
    let entry = match cache.entry(&key) {
        Ok(entry) => entry,
        Err(_) => {
            let entry = cache.create_program(&key, name, &unpack()?)?;
            cache.remove_others(name, &key);
            entry
        }
    };
    Ok(entry.path().join(name))
}

/// The user's cache: only ever a saving.
pub(crate) fn cache() -> PathBuf {
    let variable =
        |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("CAPSULE_CACHE")
        .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("capsule")))
        .or_else(|| {
            Some(variable("HOME")?.join(".cache/capsule"))
                .filter(|path| path.ancestors().nth(2).is_some_and(std::path::Path::is_dir))
        })
        // An account without a home; the folder must still be its own.
        .unwrap_or_else(|| {
            std::env::temp_dir().join(format!("capsule-{}", rustix::process::geteuid().as_raw()))
        })
}
