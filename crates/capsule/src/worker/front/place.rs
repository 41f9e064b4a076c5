//! Which process a request's guests run in: requests that may be granted the same things
//! share one.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use capsule_engine::{Answer, Language, Project};
use capsule_spec::{Access, ErrorCode, Failure};

use crate::program;
use crate::script;
use crate::worker::between::{Made, Order, Program, mounts};
use crate::worker::language::Written;
use crate::worker::request::Request;

/// What tells places apart. A file that was replaced is another one: the wall of a process
/// stands round what was there when it was built.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    language: Language,
    requirements: Vec<String>,
    has_native: bool,
    has_sessions: bool,
    root: Option<Spot>,
    /// A program in one file, which may lie elsewhere; or where its own place counts.
    file: Option<Spot>,
    mounts: Vec<(Spot, bool)>,
    /// The other programs that it may call.
    others: Vec<Other>,
}

/// Another program, as far as it decides what a process is made ready with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Other {
    name: String,
    entry: String,
    requirements: Vec<String>,
    has_native: bool,
}

impl Key {
    /// The place beside this one, where sessions are.
    pub(super) fn with_sessions(&self) -> Self {
        Self { has_sessions: true, ..self.clone() }
    }
}

/// A file or folder, and which one it is now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Spot {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Spot {
    fn of(path: &Path) -> Result<Self, Failure> {
        let found = |meta: Metadata| (meta.dev(), meta.ino());
        let (device, inode) = std::fs::metadata(path).map(found).map_err(|error: io::Error| {
            let message = format!("{} cannot be opened: {error}", path.display());
            Failure::new(ErrorCode::ProgramNotFound, message)
        })?;
        Ok(Self { path: path.to_owned(), device, inode })
    }
}

/// Where a request runs, and what it runs.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) key: Key,
    pub(super) order: Order,
    pub(super) made: Made,
}

/// What a `run` wants to be run, not looked at yet.
pub(super) struct Wanted {
    caller: PathBuf,
    file: Option<String>,
    source: Option<String>,
    written: Written,
    mounts: Vec<String>,
}

impl Wanted {
    pub(super) fn of(request: &Request<'_>) -> Result<Self, Failure> {
        mounts(&request.mounts)?;
        Ok(Self {
            caller: caller(request),
            file: request.file.clone(),
            source: request.source.clone(),
            written: Written::of_source(request)?,
            mounts: request.mounts.clone(),
        })
    }

    /// Whether nothing has to be looked up: text in Python without anything.
    pub(super) fn is_plain(&self) -> bool {
        let is_python = self.written.language == Language::Python;
        let text = self.source.as_deref().filter(|text| !text.contains("jail"));
        is_python && text.is_some() && self.file.is_none() && self.mounts.is_empty()
    }

    /// Finds out. May take seconds: the script of a program is made here.
    pub(super) fn settle(&self) -> Result<Place, Failure> {
        let file = match (&self.source, &self.file) {
            (None, None) => {
                let file = Project::entrypoint(&self.caller);
                Some(file.map_err(|error| error.into_failure())?)
            }
            (_, file) => file.clone(),
        };
        let mut project = self.open(file.as_deref())?;
        let mut others = project.others()?;
        let mut bundles = BTreeMap::new();
        for (name, other) in &mut others {
            let ((), bundle) = script::made_beside(other, |_| Ok(()))?;
            bundles.extend(bundle.map(|bundle| (name.clone(), bundle)));
        }
        let place = |project: &mut Project| self.place(project, file.clone(), &others);
        let (mut place, bundle) = script::made_beside(&mut project, place)?;
        bundles.extend(bundle.map(|bundle| (String::new(), bundle)));
        let file = file.filter(|_| self.file.is_none());
        place.made = Made { file, bundles, workspace: None };
        Ok(place)
    }

    /// The answer, with what can be said of the text.
    pub(super) fn explain(&self, answer: Answer) -> Answer {
        match &self.source {
            Some(source) => self.written.explain(source, answer),
            None => answer,
        }
    }

    fn open(&self, file: Option<&str>) -> Result<Project, Failure> {
        let mounts = mounts(&self.mounts)?;
        match &self.source {
            Some(_) if self.file.is_some() => {
                let message = "a run has a file or a source, not both";
                Err(Failure::new(ErrorCode::ConflictingOptions, message))
            }
            Some(source) => {
                let Written { language, name } = &self.written;
                let text = source.clone().into_bytes();
                program::mounted(Project::of_text(&self.caller, name, *language, text), &mounts)
            }
            None => program::open(&self.caller, file, &mounts),
        }
    }

    fn place(
        &self,
        project: &Project,
        file: Option<String>,
        others: &[(String, Project)],
    ) -> Result<Place, Failure> {
        let has_native = project.mentions("jail");
        let program = match (&self.source, project.language()) {
            (None, _) => Program::File(file.clone()),
            (Some(_), Language::Python) => Program::Python,
            (Some(_), Language::JavaScript) => Program::JavaScript,
        };
        let is_text = self.source.is_some();
        // In Node, it depends on the file which packages a program sees.
        let is_node = has_native && project.language() == Language::JavaScript;
        let is_one_file = project.is_in_one_file();
        let file = file.filter(|_| !is_text && (is_one_file || is_node));
        let mut mounts = Vec::new();
        for mount in project.mounts() {
            mounts.push((Spot::of(&mount.source)?, mount.access == Access::ReadWrite));
        }
        let other = |(name, project): &(String, Project)| {
            Ok(Other {
                name: name.clone(),
                entry: project.entry().to_owned(),
                requirements: project.requirements()?,
                has_native: project.mentions("jail"),
            })
        };
        let others = others.iter().map(other).collect::<Result<Vec<_>, Failure>>()?;
        let native = |other: &Other| (other.name.clone(), other.has_native);
        let order = Order {
            caller: self.caller.clone(),
            program,
            mounts: self.mounts.clone(),
            has_native,
            others: others.iter().map(native).collect(),
            sessions: None,
        };
        let key = Key {
            language: project.language(),
            requirements: project.requirements()?,
            has_native,
            has_sessions: false,
            root: (!is_text).then(|| Spot::of(project.root())).transpose()?,
            file: file.map(|file| Spot::of(&self.caller.join(file))).transpose()?,
            mounts: sorted(mounts),
            others,
        };
        Ok(Place { key, order, made: Made::default() })
    }
}

fn sorted(mut mounts: Vec<(Spot, bool)>) -> Vec<(Spot, bool)> {
    mounts.sort();
    mounts.dedup();
    mounts
}

impl Place {
    /// Where text runs that is granted nothing.
    pub(super) fn plain(language: Language) -> Self {
        let key = Key {
            language,
            requirements: Vec::new(),
            has_native: false,
            has_sessions: false,
            root: None,
            file: None,
            mounts: Vec::new(),
            others: Vec::new(),
        };
        let program = match language {
            Language::Python => Program::Python,
            Language::JavaScript => Program::JavaScript,
        };
        let order = Order {
            caller: PathBuf::new(),
            program,
            mounts: Vec::new(),
            has_native: false,
            others: BTreeMap::new(),
            sessions: None,
        };
        Self { key, order, made: Made::default() }
    }

    /// Where code runs that is evaluated.
    pub(super) fn of_code(request: &Request<'_>) -> Result<Self, Failure> {
        let mut place = Self::plain(Written::of_code(request)?.language);
        let caller = caller(request);
        let mut spots = Vec::new();
        for mount in mounts(&request.mounts)? {
            let failed = |error| {
                let message = format!("{} cannot be opened: {error}", mount.source);
                Failure::new(ErrorCode::ProgramNotFound, message)
            };
            let source = std::fs::canonicalize(caller.join(&mount.source)).map_err(failed)?;
            spots.push((Spot::of(&source)?, mount.access == Access::ReadWrite));
        }
        place.key.mounts = sorted(spots);
        place.order.caller = caller;
        place.order.mounts = request.mounts.clone();
        Ok(place)
    }

    pub(super) fn language(&self) -> Language {
        self.key.language
    }
}

fn caller(request: &Request<'_>) -> PathBuf {
    PathBuf::from(request.cwd.as_deref().unwrap_or_default())
}
