//! One program of a run: what it declares, and the sandboxes that its tasks run in.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use capsule_backend::guest::{Grant, Guest, GuestError, Guests, Meter, Usage};
use capsule_spec::{ByteSize, ErrorCode, Execution, Failure, Fuel, Function, Isolation, nearest};

use crate::answer::{Answer, explain, requests};
use crate::declaration;
use crate::exit::Exit;
use crate::output::Held;
use crate::parts::Part;
use crate::programs::{Kept, Loaded};
use crate::project::{Language, Project};
use crate::uses::{self, Use};
use crate::workflow::{Backends, DISK, DOWNLOAD, Shared, within};

/// A program of a run.
pub(crate) struct Program {
    /// Which one it is; the first is the one that was named.
    index: usize,
    /// What `capsule.toml` calls it; empty if nothing.
    pub(crate) name: String,
    pub(crate) project: Project,
    backends: Backends,
    functions: OnceLock<BTreeMap<String, Function>>,
    /// What it says that it calls of others.
    uses: OnceLock<Vec<Use>>,
    /// The sandbox in which it was loaded, if the first call can go on there.
    first: Mutex<Option<Opened>>,
    /// What opens others in which it is read.
    read: OnceLock<Arc<dyn Guests>>,
    /// What opens others in which it is loaded.
    loaded: OnceLock<Loaded>,
}

/// A sandbox and its way out.
pub(crate) struct Opened {
    pub(crate) guest: Box<dyn Guest>,
    pub(crate) exit: Arc<Exit>,
}

/// Loading all programs of a run may take this long, and each may use this much.
pub(crate) const LOAD_TIMEOUT: Duration = Duration::from_secs(30);

impl Program {
    pub(crate) fn new(index: usize, part: Part) -> Self {
        let Part { name, project, backends } = part;
        Self {
            index,
            name,
            project,
            backends,
            functions: OnceLock::new(),
            uses: OnceLock::new(),
            first: Mutex::new(None),
            read: OnceLock::new(),
            loaded: OnceLock::new(),
        }
    }

    /// Its tasks, by the names that it gave them. Each is called in the run's own words.
    pub(crate) fn functions(&self) -> &BTreeMap<String, Function> {
        static NONE: BTreeMap<String, Function> = BTreeMap::new();
        self.functions.get().unwrap_or(&NONE)
    }

    /// What it says that it calls of others.
    pub(crate) fn uses(&self) -> &[Use] {
        self.uses.get().map_or(&[], Vec::as_slice)
    }

    /// Whether it is the one that was named.
    fn is_entry(&self) -> bool {
        self.index == 0
    }

    /// What one of its tasks is called in the run.
    fn shown(&self, task: &str) -> String {
        if self.is_entry() { task.to_owned() } else { format!("{}:{task}", self.name) }
    }

    /// Loads it without rights, to learn what its tasks may do; until `deadline` at most.
    pub(crate) async fn declare(
        &self,
        shared: &Arc<Shared>,
        deadline: Instant,
    ) -> Result<(), Answer> {
        let refused = |failure| Answer::refused("main", failure);
        let own = self.project.source("");
        let source = |name: &str| self.project.source(name);
        let shelf = self.backends.shelf.as_deref();
        let known = own.as_ref().and_then(|own| self.backends.programs.find(own, source));
        if let Some(loaded) = known {
            self.settle(shared, &loaded.functions, &loaded.uses).map_err(refused)?;
            let _ = self.loaded.set(loaded);
            return Ok(());
        }
        match shelf.and_then(|shelf| Kept::take(shelf, &*self.backends.wasm)) {
            Some(Kept::Loaded(loaded))
                if self.settle(shared, &loaded.functions, &loaded.uses).is_ok() =>
            {
                let _ = self.loaded.set(loaded);
                return Ok(());
            }
            Some(Kept::Read(guests)) => drop(self.read.set(guests)),
            Some(Kept::Loaded(_)) | None => {}
        }
        let exit = Arc::new(Exit::new(shared, self.index, Held::hold()));
        let bounds = Grant {
            environment: Vec::new(),
            ..self.bare_grant(Meter::within(Fuel::LOW.units(), &shared.room), Function::RAM)
        };
        let mut guest = self.unloaded().open(exit.clone()).map_err(refused)?;
        bounds.meter.charge(guest.usage().fuel);
        // An instance whose memory is another's does some things again that are in neither
        // (the adapter of a JavaScript guest takes a stack of its own), for a little fuel. For
        // each run to burn the same, loading and the first call are in such instances, too.
        let begins_anew = self.project.language() == Language::JavaScript;
        let started = Instant::now();
        let most = deadline.saturating_duration_since(started);
        let told = async {
            if begins_anew && self.read.get().is_none() {
                guest.read(&bounds).await?;
                if let Some(read) = guest.save() {
                    guest = read.open(exit.clone()).map_err(GuestError::Failed)?;
                    let _ = self.read.set(read);
                }
            }
            guest.declare(&bounds).await
        };
        let declared = within(Some(most), Box::pin(told)).await;
        let declared = declared.map_err(|error| {
            // What it printed may say why.
            for (channel, bytes) in exit.held.release() {
                shared.output.write(channel, &bytes);
            }
            self.not_loaded(self.placed(error), &guest.usage(), started.elapsed())
        })?;
        self.settle(shared, &declared.functions, &declared.uses).map_err(refused)?;
        if declared.is_pure {
            let mut save = || {
                let (guests, output) = (guest.save()?, exit.held.copy());
                let (functions, uses) = (declared.functions.clone(), declared.uses.clone());
                Some(Loaded { guests, output, functions, uses })
            };
            // A program with one task will hardly call another; others will.
            if (self.functions().len() > 1 || !self.is_entry() || begins_anew)
                && let Some(loaded) = save()
            {
                let _ = self.loaded.set(loaded);
            }
            if let Some(own) = own {
                let save = || self.loaded.get().cloned().or_else(save);
                self.backends.programs.note(own, exit.asked(), save);
            }
            if !begins_anew || self.loaded.get().is_none() {
                let first = Opened { guest, exit };
                *self.first.lock().unwrap_or_else(PoisonError::into_inner) = Some(first);
            }
        }
        if let Some(shelf) = shelf {
            Kept::put(self.loaded.get(), self.read.get().map(|read| &**read), shelf);
        }
        Ok(())
    }

    /// What opens sandboxes in which it is not loaded, at most read.
    fn unloaded(&self) -> &Arc<dyn Guests> {
        self.read.get().unwrap_or(&self.backends.wasm)
    }

    /// From here on it is settled what its tasks may do.
    fn settle(&self, shared: &Shared, declared: &str, used: &str) -> Result<(), Failure> {
        let place = |file: &str, line, column| self.project.place(file, line, column);
        let defaults = &self.project.settings.defaults;
        let mut functions = declaration::functions(declared, defaults, place)?;
        for (name, function) in &mut functions {
            if let Some(other) = name.split_once(':').and_then(|(other, _)| shared.named(other)) {
                let file = self.project.path(self.project.entry());
                let message = format!(
                    "{file}: task {name:?} has a name that means a task of the program {:?}",
                    other.name
                );
                return Err(Failure::new(ErrorCode::InvalidDeclaration, message)
                    .hint("give it another name, or the program another one in capsule.toml"));
            }
            function.name = self.shown(name);
        }
        let uses = uses::read(used, place)?;
        let _ = self.functions.set(functions);
        let _ = self.uses.set(uses);
        Ok(())
    }

    fn not_loaded(&self, error: GuestError, usage: &Usage, took: Duration) -> Answer {
        let function = loading(self.shown("main"));
        let mut error = explain(&function, error);
        error.hint = error.hint.or_else(|| {
            Some(
                "a program is first loaded without any right, to learn what its tasks may do; \
             what needs files, hosts or variables belongs into a task"
                    .to_owned(),
            )
            .filter(|_| {
                matches!(
                    error.error_type.as_str(),
                    "KeyError" | "DeniedError" | "FileNotFoundError" | "PermissionError"
                )
            })
        });
        if !self.is_entry() {
            let why = format!(
                "all programs of [programs] in capsule.toml are loaded before a run; {:?} is one",
                self.name
            );
            error.hint = Some(match error.hint {
                Some(hint) => format!("{hint}; {why}"),
                None => why,
            });
        }
        let execution = Execution {
            task_name: "main".to_owned(),
            duration_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            fuel_consumed: usage.fuel,
            ram_used: usage.ram,
            host_requests: requests(usage.requests.clone()),
            ..Execution::default()
        };
        Answer { value: Err(error), execution }
    }

    /// A guest's error, with the user's places.
    pub(crate) fn placed(&self, error: GuestError) -> GuestError {
        match error {
            GuestError::Raised { kind, message, traceback } => {
                GuestError::Raised { kind, message, traceback: self.project.trace(traceback) }
            }
            other => other,
        }
    }

    fn bare_grant(&self, meter: Arc<Meter>, ram: ByteSize) -> Grant {
        Grant {
            meter,
            ram,
            disk: DISK,
            files: self.project.always(),
            hosts: Vec::new(),
            download: DOWNLOAD,
            environment: Vec::new(),
        }
    }

    /// What an attempt of one of its tasks gets.
    pub(crate) fn grant(
        &self,
        function: &Function,
        environment: &BTreeMap<String, String>,
        meter: Arc<Meter>,
    ) -> Result<Grant, Failure> {
        let variable = |name: &String| Some((name.clone(), environment.get(name)?.clone()));
        Ok(Grant {
            files: self.project.files(function)?,
            hosts: function.hosts.clone(),
            environment: function.environment.iter().filter_map(variable).collect(),
            ..self.bare_grant(meter, function.ram)
        })
    }

    /// A sandbox for one of its tasks.
    pub(crate) fn guest(
        &self,
        shared: &Arc<Shared>,
        isolation: Isolation,
    ) -> Result<Opened, Failure> {
        let (guests, held) = match (isolation, self.loaded.get()) {
            (Isolation::Jail, _) => {
                (self.backends.jail.as_ref().map_err(Clone::clone)?, Held::default())
            }
            (_, loaded) => {
                let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(first) = first {
                    return Ok(first);
                }
                match loaded {
                    Some(loaded) => (&loaded.guests, Held::again(&loaded.output)),
                    None => (self.unloaded(), Held::default()),
                }
            }
        };
        let exit = Arc::new(Exit::new(shared, self.index, held));
        Ok(Opened { guest: guests.open(exit.clone())?, exit })
    }

    /// That it has no task of this name.
    pub(crate) fn unknown(&self, name: &str) -> Failure {
        let names = || self.functions().keys().map(String::as_str);
        let message = if self.is_entry() {
            format!("the program has no task {name:?}")
        } else {
            let file = self.project.path(self.project.entry());
            format!("the program {:?} ({file}) has no task {name:?}", self.name)
        };
        let failure = Failure::new(ErrorCode::UnknownFunction, message);
        let listed =
            names().take(20).map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        failure.hint(match nearest(name, names()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!(
                "it declares {listed}; every task must be declared when the program is loaded"
            ),
        })
    }
}

/// What stands for a task while a program is loaded.
fn loading(name: String) -> Function {
    Function {
        name,
        compute: Fuel::LOW,
        ram: Function::RAM,
        timeout: LOAD_TIMEOUT,
        max_retries: 0,
        files: Vec::new(),
        hosts: Vec::new(),
        environment: Vec::new(),
        isolation: Isolation::Wasm,
    }
}
