//! The sessions of a worker, by the names that the caller gave them: their files, and
//! which process holds their memory.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use capsule_spec::{ErrorCode, Failure};

use super::place::{Key, Place};
use super::process::Runner;
use super::workspace::{Folder, Rooms, Workspace};
use crate::worker::request::{Request, needed};

#[derive(Default)]
pub(super) struct Sessions {
    known: Mutex<HashMap<String, Arc<Session>>>,
    /// Where the requests of each session wait for each other.
    lines: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// Made with the first session that has a name.
    folder: Mutex<Option<Arc<Folder>>>,
    /// The part of the folder that each process sees.
    rooms: Mutex<HashMap<Key, Arc<Rooms>>>,
}

/// A session: where it runs, and its files.
pub(super) struct Session {
    pub(super) place: Place,
    pub(super) workspace: Workspace,
    memory: Mutex<Memory>,
}

/// Which process holds the memory of a session.
enum Memory {
    Nowhere,
    In(Weak<Runner>),
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

/// A request's turn with its session; the next one comes when it is dropped.
pub(super) type Turn = tokio::sync::OwnedMutexGuard<()>;

impl Session {
    /// The process that holds its memory; none if it has none yet.
    ///
    /// # Errors
    /// When that process has ended.
    pub(super) fn runner(&self) -> Result<Option<Arc<Runner>>, Lost> {
        match &*self.memory.lock().unwrap_or_else(PoisonError::into_inner) {
            Memory::Nowhere => Ok(None),
            Memory::In(runner) => match runner.upgrade().filter(|runner| !runner.has_ended()) {
                Some(runner) => Ok(Some(runner)),
                None => Err(Lost),
            },
        }
    }

    /// From now on its memory is there.
    pub(super) fn settle(&self, runner: &Arc<Runner>) {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        if let Memory::Nowhere = *memory {
            runner.sessions.fetch_add(1, Ordering::Relaxed);
            *memory = Memory::In(Arc::downgrade(runner));
        }
    }

    /// Its memory is given up. The process that held it, if it still runs.
    pub(super) fn leave(&self) -> Option<Arc<Runner>> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        let Memory::In(runner) = std::mem::replace(&mut *memory, Memory::Nowhere) else {
            return None;
        };
        let runner = runner.upgrade()?;
        runner.sessions.fetch_sub(1, Ordering::Relaxed);
        Some(runner).filter(|runner| !runner.has_ended())
    }

    /// Does what concerns its files only.
    pub(super) fn work(&self, work: &Work) -> Result<(), Failure> {
        match work {
            Work::Import { from, to } => self.workspace.import(from, to),
            Work::Export { from, to } => self.workspace.export(from, to),
            Work::Delete { path } => self.workspace.delete(path),
            Work::Reset | Work::Close => Ok(()),
        }
    }
}

/// The process with a session's memory is gone.
pub(super) struct Lost;

impl Lost {
    pub(super) fn failure(self) -> Failure {
        Failure::new(ErrorCode::Crashed, "the session was lost with the process that ran it")
            .hint("reset it to begin anew; its files are there")
    }
}

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

    /// The session of that name, made for `place` if it is not there.
    pub(super) fn find(&self, name: &str, mut place: Place) -> Result<Arc<Session>, Failure> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = known.get(name) {
            if session.place.language() != place.language() {
                let message = "the session is one of another language";
                return Err(Failure::new(ErrorCode::ConflictingOptions, message)
                    .hint("a session has one language; make another one"));
            }
            return Ok(session.clone());
        }
        let rooms = self.rooms(&place.key)?;
        let workspace = rooms.workspace()?;
        // Not the process of those without sessions: it was not given their files.
        place.key = place.key.with_sessions();
        place.order.sessions = Some(rooms.path().to_owned());
        let memory = Mutex::new(Memory::Nowhere);
        let session = Arc::new(Session { place, workspace, memory });
        known.insert(name.to_owned(), session.clone());
        Ok(session)
    }

    /// Forgets it. Its files go with the last who uses it.
    pub(super) fn close(&self, name: &str) -> Option<Arc<Session>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(name)
    }

    /// Removes the files of all of them.
    pub(super) fn remove_all(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let folder = self.folder.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(folder) = folder {
            folder.remove();
        }
    }

    fn rooms(&self, key: &Key) -> Result<Arc<Rooms>, Failure> {
        let mut all = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rooms) = all.get(key) {
            return Ok(rooms.clone());
        }
        let rooms = Arc::new(self.folder()?.rooms()?);
        all.insert(key.clone(), rooms.clone());
        Ok(rooms)
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
