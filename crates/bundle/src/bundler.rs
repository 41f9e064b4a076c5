//! A program as one script: from the cache, or made now.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::fs::{Mode, OFlags};

use crate::cache::{Cache, Stored};
use crate::error::BundleError;
use crate::helper::{Helper, Running};
use crate::holding::Holding;
use crate::limits::Allowance;
use crate::map::Map;
use crate::order::Compiled;
use crate::place::Place;
use crate::problem::Problem;

/// Makes scripts.
#[derive(Clone, Debug)]
pub struct Bundler {
    helper: Helper,
    cache: Option<PathBuf>,
}

/// A program as one script.
#[derive(Debug)]
pub struct Bundle {
    /// The body of a CommonJS module: it sees `exports`, `require`, `module`, `__filename`
    /// and `__dirname`. `require` is asked for what the guest has, and for nothing else.
    pub script: String,
    /// What is odd about the source and stops nothing.
    pub warnings: Vec<Problem>,
    /// The files that it was made of, below the root, with the hash (BLAKE3) of what they
    /// said; sources, and what decided which ones they are.
    pub inputs: Vec<(String, [u8; 32])>,
    /// Whether it was made before.
    pub is_cached: bool,
    map_text: String,
    map: OnceLock<Map>,
}

/// Bundling that is under way. Dropped, it ends.
pub struct Begun<'a> {
    bundler: &'a Bundler,
    place: &'a Place,
    state: State,
}

enum State {
    Found(Box<Bundle>),
    Running(Running),
}

impl Bundler {
    /// Bundles are made by a process of their own: `program` is `capsule-bundle`. They are
    /// kept in the folder `cache`, which only this user may reach, if there is one.
    pub fn new(program: PathBuf, cache: Option<PathBuf>) -> Self {
        let allowance = Allowance::default();
        Self { helper: Helper { program, allowance }, cache }
    }

    /// Lets bundling a program take this much, instead of the default.
    #[must_use]
    pub fn within(mut self, allowance: Allowance) -> Self {
        self.helper.allowance = allowance;
        self
    }

    /// Bundles a program.
    ///
    /// # Errors
    /// [`BundleError`]
    pub fn bundle(&self, place: &Place) -> Result<Bundle, BundleError> {
        self.begin(place)?.finish()
    }

    /// Begins to bundle a program, beside what the caller does until it calls
    /// [`Begun::finish`], on the same thread: the process ends with the one that began it.
    ///
    /// # Errors
    /// [`BundleError`]
    pub fn begin<'a>(&'a self, place: &'a Place) -> Result<Begun<'a>, BundleError> {
        let root = open(place).map_err(BundleError::Folder)?;
        let state = match self.stored(place, &root) {
            Some(bundle) => State::Found(Box::new(bundle)),
            None => State::Running(self.helper.start(root, &place.entry, place.text.as_deref())?),
        };
        Ok(Begun { bundler: self, place, state })
    }

    fn stored(&self, place: &Place, root: &OwnedFd) -> Option<Bundle> {
        let cache = self.cache_of(place)?;
        let mut stored = cache.find(place)?;
        match stored.trace.check(root) {
            Holding::Broken => return None,
            Holding::Unchanged => {}
            // Noted, so that the next time nothing has to be read.
            Holding::Touched(trace) => {
                stored.trace = trace;
                cache.keep(place, &stored);
            }
        }
        Some(Bundle::of(stored, true))
    }

    /// Programs that are text come and go: they do not drive those of files out.
    fn cache_of(&self, place: &Place) -> Option<Cache> {
        let cache = self.cache.as_deref()?;
        match place.text {
            Some(_) => Cache::open(&cache.join("texts")).ok(),
            None => Cache::open(cache).ok(),
        }
    }
}

impl Begun<'_> {
    /// Waits for the script.
    ///
    /// # Errors
    /// [`BundleError`]
    pub fn finish(self) -> Result<Bundle, BundleError> {
        let running = match self.state {
            State::Found(bundle) => return Ok(*bundle),
            State::Running(running) => running,
        };
        match running.finish()? {
            Compiled::Done { script, map, warnings, trace } => {
                let warnings = warnings.into_iter().map(Problem::tamed).collect();
                let stored = Stored { script, map, warnings, trace };
                if let Some(cache) = self.bundler.cache_of(self.place) {
                    cache.keep(self.place, &stored);
                }
                Ok(Bundle::of(stored, false))
            }
            Compiled::Wrong { problems, more } => {
                let problems = problems.into_iter().map(Problem::tamed).collect();
                Err(BundleError::Source { problems, more })
            }
            Compiled::TooLarge { what, most } => {
                Err(BundleError::TooLarge { what: crate::problem::visible(&what, 200), most })
            }
        }
    }
}

impl Bundle {
    fn of(stored: Stored, is_cached: bool) -> Self {
        Self {
            inputs: stored.trace.files().collect(),
            script: stored.script,
            warnings: stored.warnings,
            is_cached,
            map_text: stored.map,
            map: OnceLock::new(),
        }
    }

    /// The script, and its source map in JSON.
    pub fn into_texts(self) -> (String, String) {
        (self.script, self.map_text)
    }

    /// Where the user wrote what is in the script; read when it is first asked for. One
    /// that cannot be read knows no place.
    pub fn map(&self) -> &Map {
        self.map.get_or_init(|| Map::parse(&self.map_text).unwrap_or_default())
    }
}

fn open(place: &Place) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(&place.root, flags, Mode::empty())?)
}
