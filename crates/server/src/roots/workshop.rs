//! Makes templates ready: what is missing is made, what is there is used.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use capsule_backend::sandbox::{Root, Sandboxes};
use capsule_spec::{Access, ErrorCode, Failure, GuestPath, HostPath, Mount};

use super::cache::{About, Cache, PACKAGES, ROOTS, Turn, stamp};
use super::context::pack;
use super::error::RootError;
use super::image::Image;
use super::layout::{Archive, Layout};
use super::stream::{decompressed, is_compressed};
use super::unpack::{Bounds, Layer, Unpacker};
use super::{Engine, Files, Progress, install};
use crate::Template;
use crate::request::Manager;
use crate::service::PackageIndexes;

/// Variables of an image that are the sandbox's own.
const OWN_VARIABLES: [&str; 6] = ["HOME", "LOGNAME", "PWD", "SHELL", "TMPDIR", "USER"];
/// The repository of images that engines build here.
const REPOSITORY: &str = "capsule-template";

/// Opens what makes sandboxes, with its state in a folder.
pub type OpenSandboxes<'a> = dyn Fn(&Path) -> Result<Arc<dyn Sandboxes>, Failure> + 'a;

/// What is needed to make templates ready.
pub struct Workshop<'a> {
    /// Where it all is kept.
    pub cache: Cache,
    /// Hears how far it is.
    pub progress: &'a dyn Progress,
    /// What builds Dockerfiles, asked for when there is one.
    pub engine: &'a dyn Fn() -> Result<Box<dyn Engine>, Failure>,
    /// What makes the sandboxes in which packages are installed.
    pub sandboxes: &'a OpenSandboxes<'a>,
    /// Whether sandboxes are containers, whose root is an image.
    pub takes_images: bool,
    /// Where packages come from.
    pub indexes: &'a PackageIndexes,
}

/// How far a template is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Sandboxes of it can be made.
    Ready,
    /// Something has to be made first.
    Missing,
}

/// Whether what is missing may be made.
enum Aim<'a> {
    Look,
    Make(&'a Turn),
}

impl Workshop<'_> {
    /// Whether anything of a template is missing.
    ///
    /// # Errors
    /// When what it names cannot be read.
    pub async fn state(&self, template: &Template) -> Result<State, Failure> {
        let mut template = template.clone();
        let state = self.work(&mut template, &Aim::Look).await;
        state.map(|needs| if needs.is_some() { State::Ready } else { State::Missing })
    }

    /// Makes what is missing of a template, and tells the template where it is.
    ///
    /// # Errors
    /// What it names cannot be read, unpacked, built or installed. Nothing of it is left then.
    pub async fn prepare(&self, template: &mut Template) -> Result<(), Failure> {
        if !template.origin.is_made() {
            return Ok(());
        }
        let waiting = || self.progress.say("waiting for somebody else who makes templates ready");
        let turn = self.cache.turn(&waiting)?;
        let needs = self.work(template, &Aim::Make(&turn)).await?.unwrap_or_default();
        self.cache.note(&template.name, &needs)?;
        template.origin.ready = true;
        Ok(())
    }

    /// What a template needs of the cache; none if something is missing.
    async fn work(
        &self,
        template: &mut Template,
        aim: &Aim<'_>,
    ) -> Result<Option<Vec<String>>, Failure> {
        let name = template.name.clone();
        let of_template = |mut failure: Failure| {
            failure.message = format!("template {name:?}: {}", failure.message);
            failure
        };
        let mut needs = Vec::new();
        let root = match self.files(template, aim).map_err(&of_template)? {
            Some(root) => root,
            None => return Ok(None),
        };
        needs.extend(root.need.clone());
        for manager in [Manager::Pip, Manager::Npm] {
            let done = self.packages(template, manager, &root.identity, aim).await;
            match done.map_err(&of_template)? {
                Some(need) => needs.extend(need),
                None => return Ok(None),
            }
        }
        Ok(Some(needs))
    }

    fn files(&self, template: &mut Template, aim: &Aim<'_>) -> Result<Option<Found>, Failure> {
        let bounds = template.origin.bounds;
        let found = match template.origin.files.clone() {
            None => return Ok(Some(Found::as_it_is(&template.recipe.root))),
            Some(Files::Dockerfile(path)) if self.takes_images => {
                let Some(image) = self.image(&path, aim)? else { return Ok(None) };
                template.recipe.root = Root::Image(image.clone());
                return Ok(Some(Found { need: None, identity: image }));
            }
            Some(Files::Archive(_) | Files::Layout(_)) if self.takes_images => {
                let what = "a container's root is an image, not an archive";
                return Err(Failure::new(ErrorCode::ConflictingOptions, what).hint(
                    "dockerfile = \"Dockerfile\", with ADD ARCHIVE / in it; or --backend jail",
                ));
            }
            Some(Files::Archive(path)) => self.archive(&path, bounds, aim)?,
            Some(Files::Layout(path)) => self.layout(&path, bounds, aim)?,
            Some(Files::Dockerfile(path)) => self.dockerfile(&path, bounds, aim)?,
        };
        let Some(key) = found else { return Ok(None) };
        let Some(about) = self.cache.about(ROOTS, &key) else { return Ok(None) };
        template.recipe.root = Root::Directory(self.cache.place(ROOTS, &key));
        let variables = &mut template.recipe.policy.environment;
        for (name, value) in about.environment {
            if !OWN_VARIABLES.contains(&name.as_str()) {
                variables.entry(name).or_insert(value);
            }
        }
        Ok(Some(Found { need: Some(format!("{ROOTS}/{key}")), identity: key }))
    }

    // ---- Roots ----

    fn archive(
        &self,
        path: &Path,
        bounds: Bounds,
        aim: &Aim<'_>,
    ) -> Result<Option<String>, Failure> {
        let shown = path.display().to_string();
        let failed = |error: RootError| error.failure(&shown);
        let file = File::open(path).map_err(RootError::Read).map_err(failed)?;
        let before = stamp(&file).map_err(RootError::Read).map_err(failed)?;
        let key = match self.cache.remembered(path, &before) {
            Some(key) => key,
            None => Cache::key("archive", &[&hash(&file).map_err(failed)?]),
        };
        let is_missing = self.cache.about(ROOTS, &key).is_none();
        if is_missing {
            let Aim::Make(turn) = aim else { return Ok(None) };
            self.progress.say(&format!("unpacking {shown}"));
            self.unpack(&file, bounds, &key, turn).map_err(failed)?;
        }
        let after = stamp(&file).map_err(RootError::Read).map_err(failed)?;
        if before != after {
            if is_missing {
                // What was unpacked is not what the key was made of.
                self.cache.forget(ROOTS, &key);
            }
            return Err(failed(RootError::Changed));
        }
        self.cache.remember(path, before, &key);
        Ok(Some(key))
    }

    /// Unpacks an archive of whatever kind.
    fn unpack(&self, file: &File, bounds: Bounds, key: &str, turn: &Turn) -> Result<(), RootError> {
        let mut head = [0; 4];
        let read = std::os::unix::fs::FileExt::read_at(file, &mut head, 0);
        let spool;
        let file = match is_compressed(&head[..read.map_err(RootError::Read)?]) {
            true => {
                spool = self.decompress(file, bounds)?;
                &spool
            }
            false => file,
        };
        let archive = Archive::index(file, bounds.names)?;
        let draft = self.cache.draft(turn)?;
        let mut unpacker = Unpacker::new(&draft.root(), bounds)?;
        let environment = if archive.is_image() {
            let layout = Layout::Archive(archive);
            let image = Image::find(&layout)?;
            image.unpack(&layout, &mut unpacker, &mut |bytes| self.progress.at(bytes))?;
            image.environment
        } else {
            let mut file = file;
            file.rewind().map_err(RootError::Read)?;
            unpacker.layer(&mut file, Layer::Whole, &mut |bytes| self.progress.at(bytes))?;
            BTreeMap::new()
        };
        let (bytes, names) = unpacker.count();
        self.cache.keep(draft, ROOTS, key, &About { environment, bytes, names })
    }

    /// What a compressed archive holds: whether it is an image is seen from all of it.
    fn decompress(&self, file: &File, bounds: Bounds) -> Result<File, RootError> {
        let mut plain = self.cache.spool()?;
        let mut from = file;
        from.rewind().map_err(RootError::Read)?;
        let mut input = decompressed(from)?;
        let (mut buffer, mut bytes) = (vec![0; 256 << 10], 0);
        loop {
            let read = input.read(&mut buffer).map_err(RootError::Read)?;
            if read == 0 {
                return Ok(plain);
            }
            bytes += read as u64;
            if bytes > bounds.bytes {
                let member = "what it is compressed from".to_owned();
                return Err(RootError::TooLarge { member, most: bounds.bytes });
            }
            plain.write_all(&buffer[..read]).map_err(RootError::Cache)?;
            self.progress.at(bytes);
        }
    }

    fn layout(
        &self,
        path: &Path,
        bounds: Bounds,
        aim: &Aim<'_>,
    ) -> Result<Option<String>, Failure> {
        let shown = path.display().to_string();
        let found = Layout::folder(path).and_then(|layout| {
            let image = Image::find(&layout)?;
            let key = Cache::key("layout", &[image.digest.hex()]);
            if self.cache.about(ROOTS, &key).is_some() {
                return Ok(Some(key));
            }
            let Aim::Make(turn) = aim else { return Ok(None) };
            self.progress.say(&format!("unpacking {shown}"));
            let draft = self.cache.draft(turn)?;
            let mut unpacker = Unpacker::new(&draft.root(), bounds)?;
            image.unpack(&layout, &mut unpacker, &mut |bytes| self.progress.at(bytes))?;
            let (bytes, names) = unpacker.count();
            let about = About { environment: image.environment, bytes, names };
            self.cache.keep(draft, ROOTS, &key, &about).map(|()| Some(key))
        });
        found.map_err(|error| error.failure(&shown))
    }

    // ---- Dockerfiles ----

    /// What is built from a Dockerfile, and the key of it.
    fn context(&self, path: &Path) -> Result<Build, Failure> {
        let context = self.cache.spool().map_err(|error| error.failure("templates"))?;
        let packed = pack(path, &context)?;
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let key = Cache::key("dockerfile", &[&name, &packed.hash]);
        let image = format!("{REPOSITORY}:{key}");
        let shown = path.display().to_string();
        Ok(Build { shown, name, image, key, context, length: packed.length })
    }

    fn build(&self, engine: &dyn Engine, build: &Build) -> Result<(), Failure> {
        self.progress.say(&format!("building {}", build.shown));
        let context = (&build.context, build.length);
        engine.build(&build.image, &build.name, context, self.progress)
    }

    /// The image of a Dockerfile, by its name.
    fn image(&self, path: &Path, aim: &Aim<'_>) -> Result<Option<String>, Failure> {
        let build = self.context(path)?;
        let engine = (self.engine)()?;
        if !engine.has(&build.image)? {
            let Aim::Make(_) = aim else { return Ok(None) };
            self.build(&*engine, &build)?;
        }
        Ok(Some(build.image))
    }

    /// The root that an engine builds, unpacked. The engine keeps no image of it.
    fn dockerfile(
        &self,
        path: &Path,
        bounds: Bounds,
        aim: &Aim<'_>,
    ) -> Result<Option<String>, Failure> {
        let build = self.context(path)?;
        if self.cache.about(ROOTS, &build.key).is_some() {
            return Ok(Some(build.key));
        }
        let Aim::Make(turn) = aim else { return Ok(None) };
        let engine = (self.engine)()?;
        let failed = |error: RootError| error.failure(&format!("the image of {}", build.shown));
        let built = self.build(&*engine, &build).and_then(|()| {
            self.progress.say(&format!("unpacking the image of {}", build.shown));
            let file = self.cache.spool().map_err(failed)?;
            engine.save(&build.image, &file, bounds.bytes)?;
            self.unpack(&file, bounds, &build.key, turn).map_err(failed)
        });
        // Also after a failure: a name of ours would stay for ever.
        let removed = engine.remove(&build.image);
        built.and(removed).map(|()| Some(build.key))
    }

    // ---- Packages ----

    async fn packages(
        &self,
        template: &mut Template,
        manager: Manager,
        identity: &str,
        aim: &Aim<'_>,
    ) -> Result<Option<Option<String>>, Failure> {
        let wanted = template.origin.packages.of(manager).to_vec();
        if wanted.is_empty() {
            return Ok(Some(None));
        }
        let mut parts = vec![identity, manager.name()];
        parts.extend(wanted.iter().map(String::as_str));
        let key = Cache::key("packages", &parts);
        if self.cache.about(PACKAGES, &key).is_none() {
            let Aim::Make(turn) = aim else { return Ok(None) };
            let list = wanted.join(", ");
            self.progress.say(&format!("installing {list} with {}", manager.name()));
            let draft = self.cache.draft(turn).map_err(|error| error.failure("templates"))?;
            let sandboxes = (self.sandboxes)(&self.cache.workplace())?;
            let job = install::Job { template, manager, packages: &wanted, indexes: self.indexes };
            let about = install::install(&*sandboxes, &job, &draft.root(), self.progress).await?;
            let kept = self.cache.keep(draft, PACKAGES, &key, &about);
            kept.map_err(|error| error.failure("templates"))?;
        }
        give(template, manager, &self.cache.place(PACKAGES, &key))?;
        Ok(Some(Some(format!("{PACKAGES}/{key}"))))
    }
}

/// What an engine builds from.
struct Build {
    shown: String,
    /// Of the Dockerfile, in the context.
    name: String,
    image: String,
    key: String,
    context: File,
    length: u64,
}

/// A root that is there.
struct Found {
    /// What of the cache it is.
    need: Option<String>,
    /// What tells it from other roots, for packages that are made for it.
    identity: String,
}

impl Found {
    fn as_it_is(root: &Root) -> Self {
        let identity = match root {
            Root::Host => format!("host {}", interpreters(Path::new("/"))),
            Root::Directory(path) => format!("{} {}", path.display(), interpreters(path)),
            Root::Image(name) => name.clone(),
        };
        Self { need: None, identity }
    }
}

/// Which interpreters are there, so that packages of another one are not used with them. Links
/// are told as they are: a new version is mostly another link.
fn interpreters(root: &Path) -> String {
    let mut all = Vec::new();
    for folder in ["usr/local/bin", "usr/bin", "bin"] {
        for name in ["python3", "node"] {
            let path = root.join(folder).join(name);
            let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
            let target = fs::read_link(&path).unwrap_or_default();
            let is_link = metadata.is_symlink();
            let size = if is_link { 0 } else { metadata.len() };
            all.push(format!("{folder}/{name}:{size}:{}", target.display()));
        }
    }
    all.join(" ")
}

/// Mounts packages into a template's sandboxes, and tells interpreters where they are.
fn give(template: &mut Template, manager: Manager, place: &Path) -> Result<(), Failure> {
    let policy = &mut template.recipe.policy;
    let mut mount = |from: &Path, to: &str| -> Result<(), Failure> {
        let source = from.to_str().and_then(|text| HostPath::new(text).ok());
        let destination = GuestPath::new(to).ok();
        let (Some(source), Some(destination)) = (source, destination) else {
            let what = format!("{} cannot be mounted: it is no path in UTF-8", from.display());
            return Err(Failure::new(ErrorCode::InvalidPath, what));
        };
        policy.files.push(Mount { source, destination, access: Access::ReadOnly });
        Ok(())
    };
    let variables = match manager {
        Manager::Pip => {
            mount(place, install::PYTHON)?;
            [
                ("PYTHONPATH", install::PYTHON.to_owned()),
                ("PATH", format!("{}/bin", install::PYTHON)),
            ]
        }
        Manager::Npm => {
            // Modules are looked for in every directory above a program's, up to this one.
            mount(&place.join("node_modules"), install::NODE)?;
            [("NODE_PATH", install::NODE.to_owned()), ("PATH", format!("{}/.bin", install::NODE))]
        }
    };
    for (name, first) in variables {
        let usual = if name == "PATH" { Some(install::USUAL_PATH) } else { None };
        let before = policy.environment.get(name).map(String::as_str).or(usual);
        let value = match before {
            Some(before) if !before.is_empty() => format!("{first}:{before}"),
            _ => first,
        };
        policy.environment.insert(name.to_owned(), value);
    }
    Ok(())
}

/// Of all bytes of a file.
fn hash(file: &File) -> Result<String, RootError> {
    let mut file = file;
    file.rewind().map_err(RootError::Read)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).map_err(RootError::Read)?;
        if read == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update(&buffer[..read]);
    }
}
