//! What a file says of where the files of a template come from.

use std::path::{Path, PathBuf};

use capsule_spec::{ByteSize, ErrorCode, Failure};
use serde::Deserialize;

use super::{Size, invalid};
use crate::request::{Manager, check_packages};
use crate::roots::{Bounds, Files, Packages};

/// Most packages of a manager.
const MOST_PACKAGES: usize = 64;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenPackages {
    #[serde(default)]
    pip: Vec<String>,
    #[serde(default)]
    npm: Vec<String>,
    /// Known, so that it is refused with the reason.
    #[serde(default)]
    apt: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GivenBounds {
    max_bytes: Option<Size>,
    max_names: Option<u64>,
}

/// The real path of what a root is, as it is now: no sandbox is made of another one later. What
/// is to be unpacked first is told beside it.
pub(super) fn files(path: &Path) -> Result<(PathBuf, Option<Files>), Failure> {
    let shown = path.display();
    let failed =
        |why: &str| Failure::new(ErrorCode::InvalidPath, format!("the root {shown} {why}"));
    let path = path.canonicalize().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => failed("is not there"),
        _ => failed("cannot be read"),
    })?;
    if path.parent().is_none() {
        return Err(failed("is the host's own").hint("for the host's system directories: base"));
    }
    if path.is_file() {
        return Ok((path.clone(), Some(Files::Archive(path))));
    }
    match (path.is_dir(), path.join("oci-layout").is_file()) {
        (true, true) => Ok((path.clone(), Some(Files::Layout(path)))),
        (true, false) => Ok((path, None)),
        (false, _) => Err(failed("is no directory, archive or image layout")),
    }
}

pub(super) fn dockerfile(path: &Path) -> Result<PathBuf, Failure> {
    let shown = path.display();
    let failed =
        |why: &str| Failure::new(ErrorCode::InvalidPath, format!("the Dockerfile {shown} {why}"));
    let path = path.canonicalize().map_err(|_| failed("is not there"))?;
    match path.is_file() && path.file_name().is_some_and(|name| name.to_str().is_some()) {
        true => Ok(path),
        false => Err(failed("is no file").hint("name the file, not its folder")),
    }
}

impl GivenPackages {
    pub(super) fn packages(self) -> Result<Packages, Failure> {
        if !self.apt.is_empty() {
            let message = "packages of apt cannot be added here: apt changes a whole root, as root";
            return Err(Failure::new(ErrorCode::ConflictingOptions, message).hint(
                "dockerfile = \"Dockerfile\", with RUN apt-get install in it; or install \
                       them in the directory that root names",
            ));
        }
        for (manager, packages) in [(Manager::Pip, &self.pip), (Manager::Npm, &self.npm)] {
            if packages.len() > MOST_PACKAGES {
                let (count, name) = (packages.len(), manager.name());
                let message = format!("{count} packages of {name}; at most {MOST_PACKAGES}");
                return Err(invalid(message));
            }
            check_packages(manager, packages).map_err(|failure| {
                failure.hint("a name and, if wanted, a version, such as \"numpy==2.1.0\"")
            })?;
        }
        Ok(Packages { pip: self.pip, npm: self.npm })
    }
}

impl GivenBounds {
    pub(super) fn bounds(self) -> Result<Bounds, Failure> {
        let usual = Bounds::default();
        let bytes = self.max_bytes.map(|size| size.bytes("max_bytes", 1)).transpose()?;
        let names = self.max_names.unwrap_or(usual.names);
        if !(1..=100_000_000).contains(&names) {
            return Err(invalid(format!("max_names is {names}; it can be 1 to 100000000")));
        }
        Ok(Bounds { bytes: bytes.map_or(usual.bytes, ByteSize::bytes), names })
    }
}
