//! A program in TypeScript or JavaScript, made into the one script that its guest runs.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use capsule_bundle::{BundleError, Map, Place as Bounds};
use capsule_engine::{Language, Place, Positions, Project, Script};
use capsule_spec::{ErrorCode, Failure};
use serde::{Deserialize, Serialize};

use crate::bundling;

/// Makes the script of a project that needs one, and does something else meanwhile.
pub(crate) fn beside<T>(
    project: &mut Project,
    meanwhile: impl FnOnce(&mut Project) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let (done, bundled) = made_beside(project, meanwhile)?;
    if let Some(bundled) = bundled {
        bundled.attach(project);
    }
    Ok(done)
}

/// As [`beside`], for a project that another process runs.
pub(crate) fn made_beside<T>(
    project: &mut Project,
    meanwhile: impl FnOnce(&mut Project) -> Result<T, Failure>,
) -> Result<(T, Option<Bundled>), Failure> {
    // No text at all is a script as it is.
    let is_text = project.text_only().is_some_and(|text| !text.is_empty());
    if project.language() != Language::JavaScript || project.is_in_one_file() && !is_text {
        return Ok((meanwhile(project)?, None));
    }
    let bounds = bounds(project)?;
    let bundler = bundling::bundler()?;
    let begun = bundler.begin(&bounds).map_err(BundleError::into_failure)?;
    let done = meanwhile(project)?;
    let named = |error: BundleError| match is_text {
        true => error.naming(&bounds.entry, project.entry()).into_failure(),
        false => error.into_failure(),
    };
    let (script, map) = begun.finish().map_err(named)?.into_texts();
    // What the user typed for the folder of the sources, where it is that of the project.
    let prefix = if bounds.root == project.root() { project.prefix() } else { "" };
    let renamed = is_text.then(|| (bounds.entry.clone(), project.entry().to_owned()));
    Ok((done, Some(Bundled { script, map, prefix: prefix.to_owned(), renamed })))
}

/// A script that was made, and the way back to what the user wrote.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bundled {
    script: String,
    /// A source map, in JSON.
    map: String,
    prefix: String,
    /// What a program that is text is called in the map, and what by its user.
    renamed: Option<(String, String)>,
}

impl Bundled {
    /// Lets the project run it.
    pub(crate) fn attach(self, project: &mut Project) {
        let Self { script, map, prefix, renamed } = self;
        let positions = Sources { text: map, map: OnceLock::new(), prefix, renamed };
        let text = Arc::new(script.into_bytes());
        project.run_script(Script { text, positions: Some(Arc::new(positions)) });
    }
}

fn bounds(project: &Project) -> Result<Bounds, Failure> {
    let entry = project.entry();
    let Some(text) = project.text_only() else {
        let file = project.root().join(entry);
        return Bounds::find(project.root(), &file).ok_or_else(|| {
            let message = format!("{entry} cannot be bundled: its path is not UTF-8");
            Failure::new(ErrorCode::ProgramNotFound, message)
        });
    };
    let text = String::from_utf8(text.to_vec()).map_err(|_| {
        Failure::new(ErrorCode::InvalidSource, format!("{entry} is not text in UTF-8"))
    })?;
    let caller = project.caller();
    let here = if caller.as_os_str().is_empty() { Path::new(".") } else { caller };
    let folder = std::fs::canonicalize(here).map_err(|error| {
        let message = format!("the folder that {entry} is run in cannot be opened: {error}");
        Failure::new(ErrorCode::ProgramNotFound, message)
    })?;
    Bounds::of_text(&folder, entry, text).ok_or_else(|| {
        let message = format!("{entry:?} is no name of a program, or its folder has none");
        Failure::new(ErrorCode::InvalidValue, message).hint("call it main.ts")
    })
}

/// The way back, by the source map of the bundle.
struct Sources {
    text: String,
    /// Read when it is first asked for. One that cannot be read knows no place.
    map: OnceLock<Map>,
    prefix: String,
    renamed: Option<(String, String)>,
}

impl Positions for Sources {
    fn original(&self, line: u32, column: u32) -> Option<Place> {
        let map = self.map.get_or_init(|| Map::parse(&self.text).unwrap_or_default());
        let origin = map.locate(line, column)?;
        let file = match &self.renamed {
            Some((from, to)) if *from == origin.file => to.clone(),
            _ => format!("{}{}", self.prefix, origin.file),
        };
        Some(Place { file, line: origin.line, column: origin.column })
    }
}
