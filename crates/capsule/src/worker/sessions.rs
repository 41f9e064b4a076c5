//! The sessions of a worker, by the names that the caller gave them.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use capsule_backend::guest::Granted;
use capsule_engine::{Answer, Backends, Language, MountOption, Output, Session};
use capsule_spec::{Access, ErrorCode, Failure};
use serde_json::{Map, Value};

use super::request::{Request, needed};
use super::workspace::{Folder, Workspace};

#[derive(Default)]
pub(super) struct Sessions {
    places: Mutex<HashMap<String, Arc<Place>>>,
    /// Where the requests of each session wait for each other.
    lines: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Made with the first session that has a name.
    folder: Mutex<Option<Arc<Folder>>>,
}

/// A session and its files.
pub(super) struct Place {
    language: Language,
    session: tokio::sync::Mutex<Session>,
    /// None for code that runs once.
    workspace: Option<Workspace>,
}

/// What a session that is not there yet shall be.
pub(super) struct Wanted<'a> {
    pub(super) language: Language,
    pub(super) options: &'a Map<String, Value>,
    pub(super) mounts: &'a [MountOption],
    pub(super) place: &'a Path,
    pub(super) environment: &'a BTreeMap<String, String>,
}

/// What is done to a session.
pub(super) enum Work {
    Reset,
    Close,
    Import { from: PathBuf, to: String },
    Export { from: String, to: PathBuf },
    Delete { path: String },
}

impl Work {
    pub(super) fn of(request: &Request<'_>) -> Result<Self, Failure> {
        let place = PathBuf::from(request.cwd.as_deref().unwrap_or_default());
        let from = || needed(&request.from, "from");
        let to = || needed(&request.to, "to");
        Ok(match &*request.op {
            "reset" => Self::Reset,
            "import" => Self::Import { from: place.join(from()?), to: to()? },
            "export" => Self::Export { from: from()?, to: place.join(to()?) },
            "delete" => Self::Delete { path: needed(&request.path, "path")? },
            _ => Self::Close,
        })
    }
}

impl Place {
    pub(super) async fn evaluate(&self, code: &str, name: &str, output: Output) -> Answer {
        self.session.lock().await.evaluate(code, name, output).await
    }
}

/// A request's turn with its session; the next one comes when it is dropped.
pub(super) type Turn = tokio::sync::OwnedMutexGuard<()>;

impl Sessions {
    /// Takes a place in the session's line, at once: requests are served in the order in
    /// which they came, not in that in which their tasks happen to start.
    pub(super) fn line_up(&self, name: &str) -> impl Future<Output = Turn> + Send + use<> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.entry(name.to_owned()).or_default().clone();
        let mut turn = Box::pin(line.lock_owned());
        // The first poll is what enters the queue.
        let first = turn.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        async move {
            match first {
                Poll::Ready(turn) => turn,
                Poll::Pending => turn.await,
            }
        }
    }

    /// The session of that name, made if it is not there; without a name a new one.
    pub(super) fn find(
        &self,
        name: Option<&str>,
        backends: &Backends,
        wanted: &Wanted<'_>,
    ) -> Result<Arc<Place>, Failure> {
        let Some(name) = name else { return Ok(Arc::new(make(None, backends, wanted)?)) };
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(name) {
            if place.language != wanted.language {
                let message = "the session is one of another language";
                return Err(Failure::new(ErrorCode::ConflictingOptions, message)
                    .hint("a session has one language; make another one"));
            }
            return Ok(place.clone());
        }
        let workspace = self.folder()?.workspace()?;
        let place = Arc::new(make(Some(workspace), backends, wanted)?);
        places.insert(name.to_owned(), place.clone());
        Ok(place)
    }

    pub(super) async fn keep(
        &self,
        name: &str,
        work: Work,
        backends: &Backends,
        wanted: &Wanted<'_>,
    ) -> Result<(), Failure> {
        if matches!(work, Work::Close) {
            // Its sandbox and its files go with the last who uses it.
            self.places.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
            return Ok(());
        }
        let place = self.find(Some(name), backends, wanted)?;
        if matches!(work, Work::Reset) {
            place.session.lock().await.reset();
            return Ok(());
        }
        let moved = tokio::task::spawn_blocking(move || {
            let workspace = place.workspace.as_ref().expect("a session with a name has one");
            match work {
                Work::Import { from, to } => workspace.import(&from, &to),
                Work::Export { from, to } => workspace.export(&from, &to),
                Work::Delete { path } => workspace.delete(&path),
                Work::Reset | Work::Close => Ok(()),
            }
        });
        let gone = |_| Failure::new(ErrorCode::SystemFailure, "the file could not be moved");
        moved.await.map_err(gone)?
    }

    /// Ends all of them.
    pub(super) fn remove_all(&self) {
        self.places.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(folder) = folder {
            folder.remove();
        }
    }

    fn folder(&self) -> Result<Arc<Folder>, Failure> {
        let mut place = self.folder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(folder) = &*place {
            return Ok(folder.clone());
        }
        let made = Folder::make().map_err(|error| {
            let message = format!("no folder for the files of sessions: {error}");
            Failure::new(ErrorCode::SystemFailure, message).hint("TMPDIR names where it is made")
        });
        Ok(place.insert(Arc::new(made?)).clone())
    }
}

fn make(
    workspace: Option<Workspace>,
    backends: &Backends,
    wanted: &Wanted<'_>,
) -> Result<Place, Failure> {
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
    files.extend(workspace.as_ref().map(|workspace| Granted {
        source: workspace.path().to_owned(),
        destination: "/workspace".to_owned(),
        access: Access::ReadWrite,
    }));
    let session = Session::new(backends, wanted.options, files, wanted.environment)?
        .with_language(wanted.language);
    Ok(Place { language: wanted.language, session: tokio::sync::Mutex::new(session), workspace })
}
