//! The memories of sessions, by the names that the caller gave them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use capsule_backend::guest::Granted;
use capsule_engine::{Backends, Language, MountOption, Session};
use capsule_spec::{Access, ErrorCode, Failure};
use serde_json::{Map, Value};

/// A session, whose requests wait for each other.
type Place = Arc<tokio::sync::Mutex<Session>>;

#[derive(Default)]
pub(super) struct Sessions {
    places: Mutex<HashMap<String, Place>>,
}

/// What a session that is not there yet shall be.
pub(super) struct Wanted<'a> {
    pub(super) language: Language,
    pub(super) options: &'a Map<String, Value>,
    pub(super) mounts: &'a [MountOption],
    pub(super) place: &'a Path,
    /// None for code that runs once.
    pub(super) workspace: Option<PathBuf>,
    pub(super) environment: &'a BTreeMap<String, String>,
}

impl Sessions {
    /// The session of that name, made if it is not there; without a name a new one.
    pub(super) fn find(
        &self,
        name: Option<&str>,
        backends: &Backends,
        wanted: &Wanted<'_>,
    ) -> Result<Place, Failure> {
        let Some(name) = name else { return make(backends, wanted) };
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(name) {
            return Ok(place.clone());
        }
        let place = make(backends, wanted)?;
        places.insert(name.to_owned(), place.clone());
        Ok(place)
    }

    /// Gives its memory up. It goes with the last who uses it.
    pub(super) fn remove(&self, name: &str) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

fn make(backends: &Backends, wanted: &Wanted<'_>) -> Result<Place, Failure> {
    let mut files = Vec::new();
    for mount in wanted.mounts {
        let source = std::fs::canonicalize(wanted.place.join(&mount.source)).map_err(|error| {
            let message = format!("{} cannot be opened: {error}", mount.source);
            Failure::new(ErrorCode::ProgramNotFound, message)
        })?;
        files.push(Granted {
            source,
            destination: mount.destination.clone(),
            access: mount.access,
        });
    }
    files.extend(wanted.workspace.as_ref().map(|workspace| Granted {
        source: workspace.clone(),
        destination: "/workspace".to_owned(),
        access: Access::ReadWrite,
    }));
    let session = Session::new(backends, wanted.options, files, wanted.environment)?
        .with_language(wanted.language);
    Ok(Arc::new(tokio::sync::Mutex::new(session)))
}
