//! Packages in the memory of a guest.
//!
//! A package is imported once, in a sandbox without rights; the memory of that sandbox
//! is stored, and later sandboxes start with it. So an import costs nothing, and what
//! the import did is the same in each.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use capsule_backend::guest::{
    Channel, Grant, Granted, Guest, GuestError, Meter, Outside, Pending, Source,
};
use capsule_spec::{Access, ByteSize, Failure, Fuel};

use crate::guest::Runtime;
use crate::runtime::Prepared;

/// Where guests see their packages.
pub const PACKAGES: &str = "/packages";

/// Packages in a folder of the host, as pip lays them out.
#[derive(Clone, Debug, Default)]
pub struct Packages {
    /// The folder.
    pub folder: PathBuf,
    /// Modules to import.
    pub modules: Vec<String>,
    /// Modules that were native code, which is not in the folder: `lxml.etree`.
    pub native: Vec<String>,
}

/// A guest with packages, and those that could not be imported.
pub struct Layered {
    /// Ready for [`Runtime::new`].
    pub prepared: Prepared,
    /// Module and reason.
    pub failed: Vec<(String, String)>,
}

/// Why packages did not get into memory.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The sandbox could not be built.
    #[error("the sandbox for the packages could not be built")]
    Sandbox(#[source] wasmtime::Error),
    /// The sandbox refused.
    #[error("the packages could not be imported: {0}")]
    Refused(Failure),
    /// The import ended with something else than an exception of one package.
    #[error("the packages could not be imported: {0:?}")]
    Import(GuestError),
    /// Importing left files open, so memory is not all there is to it.
    #[error("importing the packages left files open")]
    NotQuiet,
    /// The cache cannot be used.
    #[error("the cache cannot be used")]
    Cache(#[source] std::io::Error),
}

impl Prepared {
    /// The guest with the packages of `folder` in its memory, as they were stored under
    /// `key` before; None if they were not.
    ///
    /// # Errors
    /// [`LayerError::Cache`]
    pub fn layer(&self, cache: &Path, key: &str) -> Result<Option<Self>, LayerError> {
        self.with_layer(cache, key).map_err(LayerError::Cache)
    }

    /// Compiles what lies in the folder, imports the modules, and stores the memory under
    /// `key`.
    ///
    /// # Errors
    /// [`LayerError`]; a module that cannot be imported is none.
    pub async fn make_layer(
        &self,
        cache: &Path,
        key: &str,
        packages: &Packages,
    ) -> Result<Layered, LayerError> {
        self.compile(&packages.folder).await?;
        let runtime = Runtime::new(self, 0).map_err(LayerError::Sandbox)?;
        let mut guest = runtime.guest(Arc::new(Nowhere)).map_err(LayerError::Refused)?;
        let grant = grant(&packages.folder, Access::ReadOnly);
        let failed = guest.absorb(packages, &grant).await.map_err(LayerError::Import)?;
        let roots = guest.roots_alone().ok_or(LayerError::NotQuiet)?;
        let memory = guest.memory().map_err(LayerError::Cache)?;
        drop(guest);
        self.store_layer(cache, key, &memory, roots).map_err(LayerError::Cache)?;
        let prepared = self.layer(cache, key)?;
        let prepared = prepared.ok_or(LayerError::Cache(std::io::ErrorKind::NotFound.into()))?;
        Ok(Layered { prepared, failed })
    }

    /// Byte code of the guest's own version, so that a module that is imported later is
    /// not compiled each time. A module that does not compile stays as it is.
    async fn compile(&self, folder: &Path) -> Result<(), LayerError> {
        const CODE: &str = "import compileall, py_compile\n\
            compileall.compile_dir('/packages', quiet=2, \
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)";
        let runtime = Runtime::new(self, 0).map_err(LayerError::Sandbox)?;
        let mut guest = runtime.guest(Arc::new(Nowhere)).map_err(LayerError::Refused)?;
        let grant = grant(folder, Access::ReadWrite);
        guest.evaluate(CODE, "<compile>", &grant).await.map_err(LayerError::Import)?;
        Ok(())
    }
}

fn grant(folder: &Path, access: Access) -> Grant {
    Grant {
        meter: Meter::new(Fuel::HIGH.units()),
        ram: ByteSize::from_mib(2048),
        disk: ByteSize::from_mib(64),
        files: vec![Granted {
            source: folder.to_owned(),
            destination: PACKAGES.to_owned(),
            access,
        }],
        hosts: Vec::new(),
        download: ByteSize::from_bytes(1),
        environment: Vec::new(),
    }
}

/// The way out of a sandbox that only imports: there is none.
struct Nowhere;

impl Outside for Nowhere {
    fn source(&self, _: &str) -> Option<Source> {
        None
    }

    fn output(&self, _: Channel, _: &[u8]) {}

    fn call(&self, _: &str, _: String) -> Pending<'static, Result<String, GuestError>> {
        Box::pin(std::future::ready(Err(GuestError::Crashed("nothing can be called".to_owned()))))
    }
}
