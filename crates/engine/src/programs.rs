//! Programs that are loaded already.
//!
//! Loading a program that looked for nothing always ends in the same memory. So the
//! memory is kept, and later sandboxes of the program begin with it: those of its
//! sub-tasks at once, those of later runs if the program runs again. Whether it is the
//! same program is asked of its files each time, and of every one that it imported or
//! looked for in vain.

use std::collections::HashMap;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use capsule_backend::guest::{Guests, Source};
use serde::{Deserialize, Serialize};

use crate::output::Piece;

/// A program that was loaded.
#[derive(Clone)]
pub(crate) struct Loaded {
    /// What opens sandboxes in which it is loaded.
    pub(crate) guests: Arc<dyn Guests>,
    /// What it printed meanwhile.
    pub(crate) output: Vec<Piece>,
    /// What it declared.
    pub(crate) functions: String,
    /// What it says that it calls of other programs.
    pub(crate) uses: String,
}

/// Modules that a program looked for, and what was found under their names.
#[derive(Default)]
pub(crate) struct Asked {
    list: Vec<(String, Option<Source>)>,
    bytes: usize,
    is_too_much: bool,
}

impl Asked {
    /// Notes one. A program may ask a million times: what is too much is dropped.
    pub(crate) fn add(&mut self, name: &str, found: Option<&Source>) {
        self.bytes += name.len() + found.map_or(0, |source| source.bytes.len());
        self.is_too_much |= self.bytes > MOST_SOURCE || self.list.len() >= MOST_MODULES;
        if self.is_too_much {
            self.list.clear();
        } else {
            self.list.push((name.to_owned(), found.cloned()));
        }
    }
}

/// Where one program is kept, loaded or at least read, from one process to the next. Whoever makes one sees to
/// it that it is the same program: that nothing else than what it goes by is loaded.
pub trait Shelf: Send + Sync {
    /// What was put there by an earlier process.
    fn take(&self) -> Option<Shelved>;

    /// Whether a program can be put there.
    fn wants(&self) -> bool;

    /// Puts a program there: what it declares, if it is loaded, and its memory. No more than a
    /// saving.
    fn put(&self, declared: Option<&[u8]>, memory: &[u8]);

    /// The program cannot be kept: its memory is large, or cannot be told from others.
    fn give_up(&self);
}

/// What a [`Shelf`] holds.
#[derive(Debug)]
pub struct Shelved {
    /// What the program declares; nothing if it is not loaded, but only read.
    pub declared: Option<Vec<u8>>,
    /// Its memory. Nobody changes the file any more.
    pub memory: File,
}

/// What a program declares, as a [`Shelf`] holds it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    functions: String,
    uses: String,
}

/// A program as a [`Shelf`] has it.
pub(crate) enum Kept {
    Loaded(Loaded),
    /// What opens sandboxes in which it is read.
    Read(Arc<dyn Guests>),
}

impl Kept {
    /// From a shelf, if it can run on these guests.
    pub(crate) fn take(shelf: &dyn Shelf, guests: &dyn Guests) -> Option<Self> {
        let Shelved { declared, memory } = shelf.take()?;
        let guests = guests.restore(&memory)?;
        let Some(declared) = declared else { return Some(Self::Read(guests)) };
        let Told { functions, uses } = serde_json::from_slice(&declared).ok()?;
        Some(Self::Loaded(Loaded { guests, output: Vec::new(), functions, uses }))
    }

    /// Puts a program onto a shelf: loaded, if it was saved, printed nothing, and can be told
    /// in bytes; else as it was read.
    pub(crate) fn put(loaded: Option<&Loaded>, read: Option<&dyn Guests>, shelf: &dyn Shelf) {
        if !shelf.wants() {
            return;
        }
        let stored = loaded.filter(|loaded| loaded.output.is_empty()).and_then(|loaded| {
            let told = Told { functions: loaded.functions.clone(), uses: loaded.uses.clone() };
            Some((serde_json::to_vec(&told).ok()?, loaded.guests.store()?))
        });
        match stored {
            Some((told, memory)) => shelf.put(Some(&told), &memory),
            None => match read.and_then(Guests::store) {
                Some(memory) => shelf.put(None, &memory),
                None => shelf.give_up(),
            },
        }
    }
}

/// Programs that ran before, for one set of packages.
#[derive(Default)]
pub struct Programs {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// By the program's own file.
    programs: HashMap<Source, Program>,
    clock: u64,
}

struct Program {
    /// When it ran last.
    used: u64,
    /// None until it has run a second time: most programs run once.
    loaded: Option<(Asked, Loaded)>,
}

/// Programs that are remembered; each takes some megabytes.
const MOST: usize = 64;
/// Programs with more source than this load themselves anew.
const MOST_SOURCE: usize = 1 << 20;
const MOST_MODULES: usize = 2000;

impl Programs {
    /// The program with this file of its own, if all its modules are as they were.
    pub(crate) fn find(
        &self,
        own: &Source,
        source: impl Fn(&str) -> Option<Source>,
    ) -> Option<Loaded> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clock += 1;
        let now = known.clock;
        let program = known.programs.get_mut(own)?;
        let (asked, loaded) = program.loaded.as_ref()?;
        if !asked.list.iter().all(|(name, found)| source(name) == *found) {
            program.loaded = None;
            return None;
        }
        program.used = now;
        Some(loaded.clone())
    }

    /// A program was loaded. Keeps what `save` makes of it if it ran before.
    pub(crate) fn note(&self, own: Source, asked: Asked, save: impl FnOnce() -> Option<Loaded>) {
        if asked.is_too_much {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clock += 1;
        let used = known.clock;
        if let Some(program) = known.programs.get_mut(&own) {
            *program = Program { used, loaded: save().map(|loaded| (asked, loaded)) };
            return;
        }
        if known.programs.len() >= MOST {
            let oldest = known.programs.iter().min_by_key(|(_, program)| program.used);
            if let Some(oldest) = oldest.map(|(own, _)| own.clone()) {
                known.programs.remove(&oldest);
            }
        }
        known.programs.insert(own, Program { used, loaded: None });
    }
}

#[cfg(test)]
mod tests {
    use capsule_backend::guest::{Guest, Outside};
    use capsule_spec::{ErrorCode, Failure};

    use super::*;

    struct Nothing;

    impl Guests for Nothing {
        fn open(&self, _: Arc<dyn Outside>) -> Result<Box<dyn Guest>, Failure> {
            Err(Failure::new(ErrorCode::SystemFailure, "a test opens none"))
        }
    }

    fn source(text: &str) -> Source {
        Source { path: "main.py".to_owned(), is_package: false, bytes: text.into() }
    }

    fn loaded() -> Loaded {
        let none = || "[]".to_owned();
        Loaded { guests: Arc::new(Nothing), output: Vec::new(), functions: none(), uses: none() }
    }

    fn asked(helper: Option<&str>) -> Asked {
        let mut asked = Asked::default();
        asked.add("", Some(&source("import helper")));
        asked.add("helper", helper.map(source).as_ref());
        asked
    }

    fn alone(own: &Source) -> Asked {
        let mut asked = Asked::default();
        asked.add("", Some(own));
        asked
    }

    fn is_found(programs: &Programs, helper: Option<&str>) -> bool {
        let files = asked(helper);
        let find = |name: &str| files.list.iter().find(|(known, _)| known == name)?.1.clone();
        programs.find(&source("import helper"), find).is_some()
    }

    #[test]
    fn a_program_is_kept_when_it_runs_again_and_nothing_changed() {
        let programs = Programs::default();
        let own = || source("import helper");
        programs.note(own(), asked(Some("x = 1")), || unreachable!("it ran once"));
        assert!(!is_found(&programs, Some("x = 1")));
        programs.note(own(), asked(Some("x = 1")), || Some(loaded()));
        assert!(is_found(&programs, Some("x = 1")));
        assert!(is_found(&programs, Some("x = 1")));
        assert!(programs.find(&source("import other"), |_| None).is_none());
        // A module that was edited is seen, and so is one that went away.
        assert!(!is_found(&programs, Some("x = 2")));
        programs.note(own(), asked(Some("x = 1")), || Some(loaded()));
        assert!(!is_found(&programs, None));
        // A module that was not there, and now is.
        programs.note(own(), asked(None), || Some(loaded()));
        assert!(is_found(&programs, None));
        assert!(!is_found(&programs, Some("x = 1")));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let programs = Programs::default();
        for number in 0..10 * MOST {
            let own = source(&number.to_string());
            programs.note(own.clone(), alone(&own), || None);
        }
        let known = programs.known.lock().unwrap();
        assert_eq!(known.programs.len(), MOST);
        assert!(known.programs.contains_key(&source(&(10 * MOST - 1).to_string())));
        drop(known);
        let large = source(&"#".repeat(MOST_SOURCE + 1));
        programs.note(large.clone(), alone(&large), || None);
        let mut asked = Asked::default();
        (0..10 * MOST_MODULES).for_each(|_| asked.add("nothing", None));
        assert!(asked.is_too_much && asked.list.is_empty());
        assert!(!programs.known.lock().unwrap().programs.contains_key(&large));
    }
}
