//! A program in TypeScript or JavaScript, made into the one script that its guest runs.

use std::sync::Arc;

use capsule_bundle::{Bundle, BundleError, Place as Bounds};
use capsule_engine::{Language, Place, Positions, Project, Script};
use capsule_spec::{ErrorCode, Failure};

use crate::bundling;

/// Makes the script of a project that needs one, and does something else meanwhile.
pub(crate) fn beside<T>(
    project: &mut Project,
    meanwhile: impl FnOnce(&mut Project) -> Result<T, Failure>,
) -> Result<T, Failure> {
    if project.language() != Language::JavaScript || project.is_in_one_file() {
        return meanwhile(project);
    }
    let file = project.root().join(project.entry());
    let bounds = Bounds::find(project.root(), &file).ok_or_else(|| {
        let message = format!("{} cannot be bundled: its path is not UTF-8", project.entry());
        Failure::new(ErrorCode::ProgramNotFound, message)
    })?;
    let bundler = bundling::bundler();
    let begun = bundler.begin(&bounds).map_err(BundleError::into_failure)?;
    let done = meanwhile(project)?;
    let bundle = begun.finish().map_err(BundleError::into_failure)?;
    // What the user typed for the folder of the sources, where it is that of the project.
    let prefix = if bounds.root == project.root() { project.prefix() } else { "" };
    let text = Arc::new(bundle.script.clone().into_bytes());
    let positions = Sources { bundle, prefix: prefix.to_owned() };
    project.run_script(Script { text, positions: Some(Arc::new(positions)) });
    Ok(done)
}

/// The way back, by the source map of the bundle.
struct Sources {
    bundle: Bundle,
    prefix: String,
}

impl Positions for Sources {
    fn original(&self, line: u32, column: u32) -> Option<Place> {
        let origin = self.bundle.map().locate(line, column)?;
        let file = format!("{}{}", self.prefix, origin.file);
        Some(Place { file, line: origin.line, column: origin.column })
    }
}
