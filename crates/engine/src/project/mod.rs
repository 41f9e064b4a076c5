//! A program and the folder that it lies in.
//!
//! Everything below the folder is resolved with openat2 and never leaves it, whatever
//! links the folder holds.

mod bundle;
mod language;
mod programs;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use capsule_backend::guest::{Granted, Source};
use capsule_spec::{Access, ErrorCode, Failure, Function};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use bundle::Bundle;

pub use bundle::BundleError;
pub use language::Language;

use crate::script::{self, Place, Script};
use crate::settings::{self, Settings};

/// A program in its folder.
pub struct Project {
    /// What paths of the caller are relative to; empty for the current folder.
    place: PathBuf,
    root: PathBuf,
    /// None for a program that is text only.
    folder: Option<OwnedFd>,
    /// Where its sources are, if not in the folder.
    bundle: Option<Arc<Bundle>>,
    /// Below the root.
    entry: String,
    language: Language,
    /// What runs in place of the entry's own text.
    script: Option<Script>,
    /// From what the user typed to the root, for paths in tracebacks: `examples/`.
    prefix: String,
    mounts: Vec<Granted>,
    packages: Option<Granted>,
    /// Programs that may call each other, by the names of `capsule.toml`: files below the root.
    programs: BTreeMap<String, String>,
    /// From `capsule.toml`, or the defaults.
    pub settings: Settings,
}

/// Why there is no project.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// There is no such file.
    #[error("{path} cannot be opened")]
    Open {
        /// As the user named it.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no program that can be run.
    #[error("{path} is not a program in Python, TypeScript or JavaScript")]
    Kind {
        /// As the user named it.
        path: String,
    },
    /// Neither a file was named nor an entry point is set.
    #[error("no file was given, and there is no capsule.toml with an entrypoint here")]
    NoEntry,
    /// `capsule.toml` cannot be used.
    #[error("{0}")]
    Settings(Failure),
    /// The file that should hold a program holds none.
    #[error("{path} cannot be run: {source}")]
    Bundle {
        /// As the user named it.
        path: String,
        /// Why.
        source: BundleError,
    },
}

impl ProjectError {
    /// The error as an outsider sees it.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Open { path, source } => Failure::new(
                ErrorCode::ProgramNotFound,
                format!("{path} cannot be opened: {source}"),
            ),
            Self::Kind { ref path } => {
                let hint = format!(
                    "programs end in .py, .ts or .js; to run {path} as a command: capsule exec -- {path}"
                );
                Failure::new(ErrorCode::ProgramNotFound, self.to_string()).hint(hint)
            }
            Self::NoEntry => Failure::new(ErrorCode::ProgramNotFound, self.to_string())
                .hint("name one: capsule run main.py"),
            Self::Settings(failure) => failure,
            Self::Bundle { .. } => Failure::new(ErrorCode::ProgramNotFound, self.to_string()),
        }
    }
}

/// `--mount HOST[::GUEST][:ro|:rw]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountOption {
    /// On the host, as the user named it.
    pub source: String,
    /// Inside; absolute.
    pub destination: String,
    /// Default read-write, as a task's own files are.
    pub access: Access,
}

impl std::str::FromStr for MountOption {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, access) = match (text.strip_suffix(":ro"), text.strip_suffix(":rw")) {
            (Some(rest), _) => (rest, Access::ReadOnly),
            (_, Some(rest)) => (rest, Access::ReadWrite),
            _ => (text, Access::ReadWrite),
        };
        let (source, destination) = rest.split_once("::").unwrap_or((rest, rest));
        if source.is_empty() || destination.is_empty() || text.contains('\0') {
            return Err(format!("{text:?} is not HOST[::GUEST][:ro|:rw]"));
        }
        let destination = normal(destination)
            .ok_or_else(|| format!("{destination:?} leaves the sandbox's root"))?;
        if destination == "/" || destination == "/tmp" {
            return Err(format!("{destination:?} belongs to the sandbox"));
        }
        Ok(Self { source: source.to_owned(), destination, access })
    }
}

/// Absolute, without `.`, `..` and empty parts; None if it climbs over the root.
fn normal(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(format!("/{}", parts.join("/")))
}

/// The folder of the nearest `capsule.toml`, at `own` or above.
///
/// Whoever can put one above somebody else's program, in `/tmp` say, would choose what the
/// program may be granted. So above `own` only what belongs to the caller, to root or to
/// the program's owner counts, and the search ends where another file system begins.
fn folder_of_settings(own: &Path) -> Option<&Path> {
    use std::os::unix::fs::MetadataExt;

    let is_here = |folder: &Path| folder.join(settings::FILE).is_file();
    if is_here(own) {
        return Some(own);
    }
    let start = own.metadata().ok()?;
    let caller = rustix::process::geteuid().as_raw();
    let is_trusted = |path: &Path| {
        path.metadata().is_ok_and(|found| {
            found.dev() == start.dev() && [caller, 0, start.uid()].contains(&found.uid())
        })
    };
    own.ancestors()
        .skip(1)
        .take_while(|folder| is_trusted(folder))
        .find(|folder| is_here(folder) && is_trusted(&folder.join(settings::FILE)))
}

/// Source files are smaller than this.
const MOST_SOURCE: u64 = 16 << 20;

impl Project {
    /// Opens the program `file`, or the entry point of `capsule.toml` in the current
    /// folder. The project's folder is the one of the nearest `capsule.toml` at or above
    /// the program (above it: on the same file system, and not somebody else's), or else
    /// the program's own.
    ///
    /// # Errors
    /// [`ProjectError`]
    pub fn open(file: Option<&str>) -> Result<Self, ProjectError> {
        Self::open_in(Path::new(""), file)
    }

    /// As [`Project::open`], for a caller whose current folder is `place`.
    ///
    /// # Errors
    /// [`ProjectError`]
    pub fn open_in(place: &Path, file: Option<&str>) -> Result<Self, ProjectError> {
        let named = match file {
            Some(file) => file.to_owned(),
            None => Self::entrypoint(place)?,
        };
        let failed = |source| ProjectError::Open { path: named.clone(), source };
        let path = std::fs::canonicalize(place.join(&named)).map_err(failed)?;
        let Some(language) = Language::of(&path).filter(|_| path.is_file()) else {
            return Err(ProjectError::Kind { path: named });
        };
        let own = path.parent().unwrap_or(Path::new("/"));
        let root = folder_of_settings(own).unwrap_or(own).to_owned();
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder =
            rustix::fs::open(&root, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let entry = path.strip_prefix(&root).unwrap_or(&path).to_str();
        let entry = entry.ok_or_else(|| failed(io::ErrorKind::InvalidFilename.into()))?.to_owned();
        let prefix = named.strip_suffix(&entry).unwrap_or_default().to_owned();
        let project = Self {
            place: place.to_owned(),
            root,
            folder: Some(folder),
            bundle: None,
            entry,
            language,
            script: None,
            prefix,
            mounts: Vec::new(),
            packages: None,
            programs: BTreeMap::new(),
            settings: Settings::default(),
        };
        project.with_settings()
    }

    /// The entry point that the `capsule.toml` in a folder names.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn entrypoint(place: &Path) -> Result<String, ProjectError> {
        let text = std::fs::read_to_string(place.join(settings::FILE))
            .map_err(|_| ProjectError::NoEntry)?;
        let settings = Settings::parse(&text).map_err(ProjectError::Settings)?;
        settings.entrypoint.ok_or(ProjectError::NoEntry)
    }

    /// Opens a program that `capsule build --export` made. Files that its tasks may use are
    /// those of the caller's current folder, `place` (empty: this process's).
    ///
    /// # Errors
    /// [`ProjectError`]
    pub fn open_export(place: &Path, file: &str) -> Result<Self, ProjectError> {
        let failed = |source| ProjectError::Open { path: file.to_owned(), source };
        let bytes = std::fs::read(place.join(file)).map_err(failed)?;
        let bundle = Bundle::from_bytes(&bytes)
            .map_err(|source| ProjectError::Bundle { path: file.to_owned(), source })?;
        let language = Language::of(Path::new(&bundle.entry))
            .ok_or_else(|| ProjectError::Kind { path: file.to_owned() })?;
        let here = if place.as_os_str().is_empty() { Path::new(".") } else { place };
        let root = std::fs::canonicalize(here).map_err(failed)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(&root, flags, Mode::empty());
        let project = Self {
            place: place.to_owned(),
            root,
            folder: Some(folder.map_err(|error| failed(error.into()))?),
            entry: bundle.entry.clone(),
            language,
            script: None,
            bundle: Some(Arc::new(bundle)),
            prefix: String::new(),
            mounts: Vec::new(),
            packages: None,
            programs: BTreeMap::new(),
            settings: Settings::default(),
        };
        project.with_settings()
    }

    /// Whether `file` looks like a program that `capsule build --export` made.
    pub fn is_export(file: &Path) -> bool {
        Bundle::is_likely(file)
    }

    /// The program, those of `others` and their settings as one file: what
    /// [`Project::open_export`] opens.
    ///
    /// # Errors
    /// The folder cannot be read, or holds too much.
    pub fn export(&self, others: &[&Self]) -> Result<Vec<u8>, Failure> {
        let all = || std::iter::once(&self).chain(others);
        let mut bundle = if all().any(|project| project.language == Language::Python) {
            self.export_folder()?
        } else {
            let mut files = BTreeMap::new();
            if let Some(text) = self.text(settings::FILE)? {
                files.insert(settings::FILE.to_owned(), text.into_bytes());
            }
            Bundle { entry: self.entry.clone(), files }
        };
        // All that a program in JavaScript is made of stands in its script.
        for project in all().filter(|project| project.language == Language::JavaScript) {
            let missing = || Failure::new(ErrorCode::ProgramNotFound, "the program cannot be read");
            let script = project.source("").ok_or_else(missing)?;
            bundle.files.insert(project.entry.clone(), script.bytes);
        }
        Ok(bundle.to_bytes())
    }

    fn export_folder(&self) -> Result<Bundle, Failure> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Some(folder) = &self.folder else {
            return Err(Failure::new(
                ErrorCode::ProgramNotFound,
                "a program without a file has no folder",
            ));
        };
        rustix::fs::openat(folder, ".", flags, Mode::empty())
            .map_err(|error| BundleError::Folder(error.into()))
            .and_then(|folder| Bundle::of_folder(&folder, &self.entry))
            .map_err(|error| Failure::new(ErrorCode::ProgramNotFound, error.to_string()))
    }

    fn with_settings(mut self) -> Result<Self, ProjectError> {
        if let Some(text) = self.text(settings::FILE).map_err(ProjectError::Settings)? {
            self.settings = Settings::parse(&text).map_err(ProjectError::Settings)?;
        }
        self.programs = programs::find(&self).map_err(ProjectError::Settings)?;
        Ok(self)
    }

    /// A program that is text only, called `name` in tracebacks: it has no folder, so no
    /// modules and no files of its own.
    pub fn of_text(place: &Path, name: &str, language: Language, text: Vec<u8>) -> Self {
        let files = [(name.to_owned(), text)].into();
        Self {
            place: place.to_owned(),
            root: PathBuf::new(),
            folder: None,
            bundle: Some(Arc::new(Bundle { entry: name.to_owned(), files })),
            entry: name.to_owned(),
            language,
            script: None,
            prefix: String::new(),
            mounts: Vec::new(),
            packages: None,
            programs: BTreeMap::new(),
            settings: Settings::default(),
        }
    }

    /// Grants every task of the run a file or folder of the host.
    ///
    /// # Errors
    /// When it is not there.
    pub fn mount(&mut self, mount: &MountOption) -> Result<(), ProjectError> {
        let failed = |source| ProjectError::Open { path: mount.source.clone(), source };
        let source = std::fs::canonicalize(self.place.join(&mount.source)).map_err(failed)?;
        let (destination, access) = (mount.destination.clone(), mount.access);
        self.mounts.push(Granted { source, destination, access });
        Ok(())
    }

    /// Lets every task, and the program while it is loaded, see a folder of packages.
    pub fn packages(&mut self, folder: PathBuf, destination: &str) {
        let destination = destination.to_owned();
        self.packages = Some(Granted { source: folder, destination, access: Access::ReadOnly });
    }

    /// The packages that it asks for, as pip names them: those of `capsule.toml`, and of
    /// a `requirements.txt` beside it.
    ///
    /// # Errors
    /// A line that is more than a name with versions: it could name a folder, another
    /// index, or code to be run.
    pub fn requirements(&self) -> Result<Vec<String>, Failure> {
        if self.language != Language::Python {
            return Ok(Vec::new());
        }
        let text = self.text("requirements.txt")?.unwrap_or_default();
        let lines = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim());
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut found: Vec<String> = Vec::new();
        for line in self.settings.python.iter().map(String::as_str).chain(lines) {
            let starts_well = line.starts_with(|c: char| c.is_ascii_alphanumeric());
            if !starts_well || line.contains(['/', '\\', '@', '\n']) || line.len() > 500 {
                let message =
                    format!("{line:?} is not a package with versions, such as \"attrs>=25\"");
                return Err(Failure::new(ErrorCode::InvalidConfig, message)
                    .hint("options, addresses and paths of pip are not taken"));
            }
            found.push(line.to_owned());
        }
        found.sort();
        found.dedup();
        Ok(found)
    }

    /// What every sandbox of the program sees, while it is loaded too.
    pub fn always(&self) -> Vec<Granted> {
        self.packages.iter().cloned().collect()
    }

    /// The project's folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The program's file, below the project's folder.
    pub fn entry(&self) -> &str {
        &self.entry
    }

    /// What the user typed before the path below the folder: `examples/`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// What it is written in.
    pub fn language(&self) -> Language {
        self.language
    }

    /// Whether its files lie in one file, or nowhere: then there is nothing beside them.
    pub fn is_in_one_file(&self) -> bool {
        self.bundle.is_some()
    }

    /// The program itself, if it is text only.
    pub fn text_only(&self) -> Option<&[u8]> {
        let bundle = self.bundle.as_ref().filter(|_| self.folder.is_none())?;
        bundle.files.get(&self.entry).map(Vec::as_slice)
    }

    /// The current folder of whoever runs it; empty for this process's.
    pub fn caller(&self) -> &Path {
        &self.place
    }

    /// Runs a script that was made of the program in the place of its entry.
    pub fn run_script(&mut self, script: Script) {
        self.script = Some(script);
    }

    /// A guest's traceback, with the user's places.
    pub(crate) fn trace(&self, text: String) -> String {
        match self.script.as_ref().and_then(|script| script.positions.as_deref()) {
            Some(positions) => script::trace(&text, &self.path(&self.entry), positions),
            None => text,
        }
    }

    /// Where the user wrote what stands at this place of the program.
    pub(crate) fn place(&self, file: &str, line: u32, column: u32) -> Option<Place> {
        let positions = self.script.as_ref()?.positions.as_deref()?;
        positions.original(line, column).filter(|_| file == self.path(&self.entry))
    }

    /// Whether the program's own file or the settings hold a word.
    pub fn mentions(&self, word: &str) -> bool {
        let holds = |path| {
            let bytes = self.read(path).ok().flatten().unwrap_or_default();
            bytes.windows(word.len()).any(|part| part == word.as_bytes())
        };
        holds(&self.entry) || holds(settings::FILE)
    }

    /// What every task of the run sees.
    pub fn mounts(&self) -> &[Granted] {
        &self.mounts
    }

    /// The folder in which the program's own imports are looked for: that of the entry file.
    fn base(&self) -> &str {
        self.entry.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// The source of a module, by its dotted name; the empty name is the entry.
    pub fn source(&self, module: &str) -> Option<Source> {
        if module.is_empty() {
            let bytes = match &self.script {
                Some(script) => script.text.to_vec(),
                None => self.read(&self.entry).ok().flatten()?,
            };
            return Some(self.found(&self.entry, false, bytes));
        }
        if self.language != Language::Python {
            return None;
        }
        let is_name = |part: &str| !part.is_empty() && !part.contains(['/', '\0']) && part != "..";
        if module.len() > 1000 || !module.split('.').all(is_name) {
            return None;
        }
        let path = module.replace('.', "/");
        // Beside the program first, as Python has it; then from the project's folder.
        let base = self.base();
        let bases = if base.is_empty() { vec![""] } else { vec![base, ""] };
        for base in bases {
            let path = if base.is_empty() { path.clone() } else { format!("{base}/{path}") };
            for (file, is_package) in
                [(format!("{path}/__init__.py"), true), (format!("{path}.py"), false)]
            {
                if let Ok(Some(bytes)) = self.read(&file) {
                    return Some(self.found(&file, is_package, bytes));
                }
            }
        }
        None
    }

    fn found(&self, path: &str, is_package: bool, bytes: Vec<u8>) -> Source {
        Source { path: self.path(path), is_package, bytes }
    }

    /// A file of the program as the user names it.
    pub(crate) fn path(&self, file: &str) -> String {
        format!("{}{file}", self.prefix)
    }

    /// A file that the user wrote for Capsule; None if there is none. One that is there and
    /// cannot be read is an error: what it says would be ignored.
    fn text(&self, path: &str) -> Result<Option<String>, Failure> {
        let unusable = |why: &str| {
            Failure::new(ErrorCode::InvalidConfig, format!("{path} cannot be used: {why}"))
        };
        match self.read(path) {
            Ok(Some(bytes)) => {
                String::from_utf8(bytes).map(Some).map_err(|_| unusable("it is not UTF-8"))
            }
            Ok(None) if self.bundle.is_none() && self.root.join(path).exists() => {
                Err(unusable("it is no file, or too large"))
            }
            Ok(None) => Ok(None),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::XDEV.raw_os_error()) => {
                Err(unusable("it is a link that leaves the project's folder"))
            }
            Err(error) => Err(unusable(&error.to_string())),
        }
    }

    /// A file of the program; None if there is none.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        match (&self.bundle, &self.folder) {
            (Some(bundle), _) => Ok(bundle.files.get(path).cloned()),
            (None, Some(folder)) => read(folder, path),
            (None, None) => Ok(None),
        }
    }

    /// The files of the host that `function` may use: its own, and the run's mounts.
    ///
    /// # Errors
    /// When a declared one is not there, or leaves the project through a link.
    pub(crate) fn files(&self, function: &Function) -> Result<Vec<Granted>, Failure> {
        let mut granted = self.always();
        granted.extend(self.mounts.iter().cloned());
        for file in &function.files {
            let path = if file.path.is_empty() { "." } else { &file.path };
            let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let Some(folder) = &self.folder else {
                let message = format!(
                    "task {:?}: allowed_files: {path:?}: a program without a file has no folder",
                    function.name
                );
                return Err(Failure::new(ErrorCode::ProgramNotFound, message)
                    .hint("mount it into the run: HOST::GUEST:ro"));
            };
            if file.path == "tmp" || file.path.starts_with("tmp/") {
                let message = format!(
                    "task {:?}: allowed_files: {path:?} would be in /tmp, which is the sandbox's own",
                    function.name
                );
                return Err(Failure::new(ErrorCode::InvalidPath, message)
                    .hint("use another folder of the project, or mount it: --mount tmp::/input"));
            }
            let opened = rustix::fs::openat2(folder, path, flags, Mode::empty(), beneath);
            let opened = opened.map_err(|error| {
                let failure = |code, what: &str| {
                    Failure::new(
                        code,
                        format!("task {:?}: allowed_files: {path:?} {what}", function.name),
                    )
                };
                match error {
                    rustix::io::Errno::XDEV => {
                        failure(ErrorCode::UnsafePath, "leaves the project's folder through a link")
                    }
                    rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR => {
                        failure(ErrorCode::ProgramNotFound, "does not exist")
                            .hint("create it before the run")
                    }
                    _ => failure(ErrorCode::ProgramNotFound, "cannot be opened"),
                }
            })?;
            // Where it is once every link is followed: who opens it later follows none,
            // so a link that is put there meanwhile leads nowhere.
            let source = std::fs::read_link(format!("/proc/self/fd/{}", opened.as_raw_fd()));
            granted.push(Granted {
                source: source.unwrap_or_else(|_| self.root.join(&file.path)),
                destination: format!("/{}", file.path),
                access: file.access,
            });
        }
        Ok(granted)
    }
}

/// A regular file below a folder; None if there is none, or it is too large.
fn read(folder: &OwnedFd, path: &str) -> io::Result<Option<Vec<u8>>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let file = match rustix::fs::openat2(folder, path, flags, Mode::empty(), beneath) {
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        other => File::from(other?),
    };
    let meta = file.metadata()?;
    if !meta.is_file() || meta.len() > MOST_SOURCE {
        return Ok(None);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or_default());
    file.take(MOST_SOURCE + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MOST_SOURCE).then_some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn project() -> (tempfile::TempDir, Project) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("src/pack")).unwrap();
        fs::write(root.join("capsule.toml"), "[workflow]\nname = \"x\"\n").unwrap();
        fs::write(root.join("src/main.py"), "1").unwrap();
        fs::write(root.join("src/pack/__init__.py"), "2").unwrap();
        fs::write(root.join("src/pack/part.py"), "3").unwrap();
        fs::write(root.join("top.py"), "4").unwrap();
        symlink("/etc/passwd", root.join("leak.py")).unwrap();
        symlink("../../../../etc/passwd", root.join("src/up.py")).unwrap();
        let project = Project::open(Some(root.join("src/main.py").to_str().unwrap())).unwrap();
        (folder, project)
    }

    #[test]
    fn modules_are_found_beside_the_program_and_in_the_folder() {
        let (_folder, project) = project();
        assert_eq!(project.settings.name.as_deref(), Some("x"));
        for (module, bytes, is_package) in
            [("", "1", false), ("pack", "2", true), ("pack.part", "3", false), ("top", "4", false)]
        {
            let source = project.source(module).unwrap();
            assert_eq!(
                (source.bytes.as_slice(), source.is_package),
                (bytes.as_bytes(), is_package)
            );
        }
    }

    #[test]
    fn no_module_name_leaves_the_folder() {
        let (_folder, project) = project();
        for module in [
            "leak",
            "up",
            "..etc",
            ".",
            "a..b",
            "/etc/passwd",
            "../x",
            "pack/part",
            "\0",
            "missing",
        ] {
            assert_eq!(project.source(module), None, "{module:?}");
        }
    }

    #[test]
    fn settings_that_cannot_be_read_are_not_ignored() {
        let (folder, project) = project();
        let elsewhere = tempfile::tempdir().unwrap();
        fs::write(elsewhere.path().join("x"), "[tasks]\ndefault_ram = \"32MB\"\n").unwrap();
        for name in ["requirements.txt", "capsule.toml"] {
            let path = folder.path().join(name);
            let _ = fs::remove_file(&path);
            symlink(elsewhere.path().join("x"), &path).unwrap();
        }
        assert_eq!(project.requirements().unwrap_err().code, ErrorCode::InvalidConfig);
        let main = folder.path().join("src/main.py");
        let error = Project::open(main.to_str()).err().unwrap();
        let told = error.into_failure();
        assert_eq!(told.code, ErrorCode::InvalidConfig);
        assert!(told.message.contains("leaves the project"), "{}", told.message);
    }

    #[test]
    fn settings_above_count_unless_they_are_somebody_elses() {
        let folder = tempfile::tempdir().unwrap();
        let upper = fs::canonicalize(folder.path()).unwrap();
        let lower = upper.join("lower");
        fs::create_dir(&lower).unwrap();
        fs::write(upper.join("capsule.toml"), "").unwrap();
        fs::write(lower.join("main.py"), "1").unwrap();
        let root = || {
            let main = lower.join("main.py");
            Project::open(main.to_str()).unwrap().root().to_owned()
        };
        assert_eq!(root(), upper);
        let stranger = Some(12_345);
        let given = |path: &Path, owner| std::os::unix::fs::chown(path, owner, None).is_ok();
        if !rustix::process::geteuid().is_root() {
            assert!(!given(&upper, stranger));
            println!("skipped: giving files away needs root");
            return;
        }
        for path in [upper.clone(), upper.join("capsule.toml")] {
            assert!(given(&path, stranger));
            assert_eq!(root(), lower, "{}", path.display());
            assert!(given(&path, Some(0)));
        }
        // Who owns the program owns what lies above it, too.
        for path in [&lower, &upper, &upper.join("capsule.toml")] {
            assert!(given(path, stranger));
        }
        assert_eq!(root(), upper);
        fs::write(lower.join("capsule.toml"), "").unwrap();
        assert_eq!(root(), lower);
    }

    #[test]
    fn mounts_are_read() {
        let mount = |text: &str| text.parse::<MountOption>();
        let parsed = mount("/a::/b/../c:ro").unwrap();
        assert_eq!((parsed.source.as_str(), parsed.destination.as_str()), ("/a", "/c"));
        assert_eq!(parsed.access, Access::ReadOnly);
        assert_eq!(mount("./data").unwrap().destination, "/data");
        for text in ["", "::", "a::", "a::/", "a::..", "a::/tmp"] {
            assert!(mount(text).is_err(), "{text}");
        }
    }
}
