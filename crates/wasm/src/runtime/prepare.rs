//! Unpacks, strips and compiles a guest, once for a machine.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};
use std::path::Path;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::cache::{Cache, Entry};
use super::{Language, Threads, engine, strip, sys};
use crate::first;
use crate::memory::{self, Image, Pages};

/// A step of the work, for people who wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Unpacking what the binary carries.
    Unpack,
    /// Compiling it for this processor; takes seconds.
    Compile,
    /// Writing the result.
    Store,
}

/// Hears how far it is. Not called when the guest is ready already.
pub trait Progress: Sync {
    /// A step begins.
    fn stage(&self, stage: Stage);
}

/// Why a guest is not ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The binary was built without it.
    #[error("this binary was built without the {language} runtime")]
    NotCarried {
        /// Which one.
        language: &'static str,
    },
    /// What the binary carries is damaged.
    #[error("the {language} runtime in this binary is damaged")]
    Damaged {
        /// Which one.
        language: &'static str,
        /// How.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The cache cannot be used.
    #[error("the cache {path} cannot be used")]
    Cache {
        /// Where it is.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The compiler or loader failed.
    #[error("the {language} runtime could not be loaded")]
    Engine {
        /// Which one.
        language: &'static str,
        /// Why.
        #[source]
        source: wasmtime::Error,
    },
}

/// A guest whose code and memory are files, ready to be mapped.
pub struct Prepared {
    entry: Entry,
    /// With packages in its memory, where there are any.
    layer: Option<Layer>,
}

/// A memory that has imported packages.
struct Layer {
    entry: Entry,
    roots: u32,
}

const CODE: &str = "code.cwasm";
const IMAGE: &str = "memory.img";
const ROOTS: &str = "roots";
/// Pages that every guest writes.
const WRITTEN: &str = "written";
/// Another one for each change of what an entry holds.
const ENTRY: u32 = 2;

pub(super) fn prepare(
    language: Language,
    cache: &Path,
    progress: &dyn Progress,
) -> Result<Prepared, PrepareError> {
    let name = language.name();
    let (packed, hash) = language.carried();
    if packed.is_empty() {
        return Err(PrepareError::NotCarried { language: name });
    }
    let failed = |source| PrepareError::Cache { path: cache.display().to_string(), source };
    let engine = engine::compiler(Threads::All)
        .map_err(|source| PrepareError::Engine { language: name, source })?;
    let key = format!("{name}-{}-{:016x}", &hash[..16], compatibility(&engine));
    let cache = Cache::open(cache).map_err(failed)?;
    if let Ok(entry) = cache.entry(&key) {
        return Ok(Prepared { entry, layer: None });
    }
    progress.stage(Stage::Unpack);
    let damaged = |source| PrepareError::Damaged { language: name, source };
    let component = zstd::decode_all(packed).map_err(|error| damaged(error.into()))?;
    let stripped = strip::strip(&component).map_err(|error| damaged(error.into()))?;
    drop(component);
    progress.stage(Stage::Compile);
    let code = engine
        .precompile_component(&stripped.component)
        .map_err(|source| PrepareError::Engine { language: name, source })?;
    progress.stage(Stage::Store);
    let written = first::written(language, &code, &stripped.image).unwrap_or_default();
    let written = serde_json::to_vec(&written).unwrap_or_default();
    let files: [(&str, &[u8]); 3] = [(CODE, &code), (IMAGE, &stripped.image), (WRITTEN, &written)];
    let entry = cache.create(&key, &files).map_err(failed)?;
    Ok(Prepared { entry, layer: None })
}

impl Prepared {
    /// The memory image.
    pub(crate) fn image(&self) -> io::Result<Image> {
        let entry = self.layer.as_ref().map_or(&self.entry, |layer| &layer.entry);
        let file = entry.file(IMAGE)?;
        memory::read_large(&file);
        Ok(Image::new(file)?.with_written(self.written().unwrap_or_default()))
    }

    /// What was found out when the guest was compiled. It holds for layers, too: what they
    /// add lies behind.
    fn written(&self) -> Option<Vec<Pages>> {
        let mut text = String::new();
        self.entry.file(WRITTEN).ok()?.take(64 << 10).read_to_string(&mut text).ok()?;
        serde_json::from_str(&text).ok()
    }

    /// How many handles of the root the memory believes to hold.
    pub(crate) fn roots(&self) -> u32 {
        self.layer.as_ref().map_or(0, |layer| layer.roots)
    }

    /// The same guest with the memory that was stored as `key`, if there is one.
    pub(crate) fn with_layer(&self, cache: &Path, key: &str) -> io::Result<Option<Self>> {
        let cache = Cache::open(cache)?;
        let Ok(entry) = cache.entry(&format!("{}-{key}", self.key())) else { return Ok(None) };
        let mut roots = String::new();
        entry.file(ROOTS)?.take(16).read_to_string(&mut roots)?;
        let roots = roots.parse().map_err(io::Error::other)?;
        let own = Entry::again(&self.entry)?;
        Ok(Some(Self { entry: own, layer: Some(Layer { entry, roots }) }))
    }

    /// Stores a memory as `key`.
    pub(crate) fn store_layer(
        &self,
        cache: &Path,
        key: &str,
        memory: &[u8],
        roots: usize,
    ) -> io::Result<()> {
        let key = format!("{}-{key}", self.key());
        let roots = roots.to_string();
        Cache::open(cache)?.create(&key, &[(IMAGE, memory), (ROOTS, roots.as_bytes())])?;
        Ok(())
    }

    /// The code, mapped.
    pub(crate) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        if let Ok(code) = self.entry.file(CODE) {
            memory::read_large(&code);
        }
        sys::load(engine, &self.entry.path.join(CODE))
    }

    /// What names its code and its memory.
    pub(crate) fn name(&self) -> String {
        match &self.layer {
            Some(layer) => entry_name(&layer.entry),
            None => self.key(),
        }
    }

    /// What names it: another runtime or engine has another key.
    pub fn key(&self) -> String {
        entry_name(&self.entry)
    }
}

fn entry_name(entry: &Entry) -> String {
    entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Code that another version or setting of the engine compiled has another number.
pub(crate) fn compatibility(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    ENTRY.hash(&mut hasher);
    hasher.finish()
}
