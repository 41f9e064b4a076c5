//! Bytes of snapshots: files in the data folder, named by the hash of what they hold.
//!
//! ```text
//!  snapshots/new-… ── complete, on the disk ──▶ snapshots/HASH ── remembered ──▶ a snapshot
//! ```
//!
//! A file that nobody remembers is removed, at the latest by the next server: what was cut
//! off is never found. Equal contents are one file.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use capsule_spec::{ErrorCode, Failure};
use tokio::sync::Mutex;

use super::{Quota, SnapshotRow, Store};
use crate::model::new_id;

const FOLDER: &str = "snapshots";
const INTERIM: &str = "new-";

/// The folder of all contents.
pub(crate) struct Contents {
    folder: PathBuf,
    /// Whoever gives a content its name or takes it away.
    turn: Mutex<()>,
}

/// A content that is being written. Dropped, nothing is left of it.
pub(crate) struct Writing {
    file: Arc<File>,
    path: PathBuf,
    hasher: blake3::Hasher,
    bytes: u64,
    most: u64,
}

fn failed(error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Failure::new(ErrorCode::StoreFailed, "the server's disk is full")
        }
        kind => Failure::new(ErrorCode::StoreFailed, "a snapshot could not be read or written")
            .detail("reason", kind),
    }
}

/// Work on files may wait for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    let gone = |_| Failure::new(ErrorCode::StoreFailed, "the server failed");
    done.map_err(gone)?.map_err(|error| failed(&error))
}

impl Contents {
    pub(crate) fn open(data: &Path) -> std::io::Result<Self> {
        let folder = data.join(FOLDER);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        Ok(Self { folder, turn: Mutex::new(()) })
    }

    /// Removes what no snapshot is made of. Says how many files there were.
    pub(crate) fn clear(&self, known: &HashSet<String>) -> std::io::Result<usize> {
        let mut removed = 0;
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let is_known = entry.file_name().to_str().is_some_and(|name| known.contains(name));
            // What is no file is none of ours.
            if !is_known && fs::remove_file(entry.path()).is_ok() {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// Begins a content of at most so many bytes.
    pub(crate) async fn begin(&self, most: u64) -> Result<Writing, Failure> {
        let path = self.folder.join(format!("{INTERIM}{}", new_id()));
        let name = path.clone();
        let file = blocking(move || {
            File::options().create_new(true).read(true).write(true).mode(0o600).open(name)
        });
        let file = Arc::new(file.await?);
        Ok(Writing { file, path, hasher: blake3::Hasher::new(), bytes: 0, most })
    }

    /// Keeps what was written, and remembers it; false if it is more than its owner may have.
    pub(crate) async fn keep(
        &self,
        writing: Writing,
        store: &Store,
        row: SnapshotRow,
        quota: Quota,
    ) -> Result<bool, Failure> {
        let file = Arc::clone(&writing.file);
        blocking(move || file.sync_all()).await?;
        let _turn = self.turn.lock().await;
        let (from, to) = (writing.path.clone(), self.folder.join(&row.content));
        // One that is there holds the same bytes.
        blocking(move || fs::rename(from, to)).await?;
        let content = row.content.clone();
        let kept = store.insert_snapshot(row, quota).await;
        if !matches!(kept, Ok(true)) {
            self.remove_unused(store, &content).await;
        }
        Ok(kept?)
    }

    /// A content that is read; it can be read to its end, whatever happens to its name.
    pub(crate) async fn read(&self, content: &str) -> Result<File, Failure> {
        let path = self.folder.join(content);
        blocking(move || File::open(path)).await
    }

    /// A snapshot was forgotten: its content goes, if it was the last of it.
    pub(crate) async fn forget(&self, store: &Store, content: &str) {
        let _turn = self.turn.lock().await;
        self.remove_unused(store, content).await;
    }

    async fn remove_unused(&self, store: &Store, content: &str) {
        // What cannot be found out now, the next server finds out.
        if store.contents().await.is_ok_and(|known| !known.contains(content)) {
            let path = self.folder.join(content);
            let _ = blocking(move || fs::remove_file(path)).await;
        }
    }
}

impl Writing {
    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), Failure> {
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > self.most {
            let message = "the snapshot is larger than what may still be kept";
            return Err(Failure::new(ErrorCode::ServerLimit, message)
                .hint("delete a snapshot, or files of the sandbox")
                .detail("limit", self.most));
        }
        self.hasher.update(&bytes);
        let file = Arc::clone(&self.file);
        blocking(move || (&*file).write_all(&bytes)).await
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn hash(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }

    /// What was written, to be read once; it never gets a name.
    pub(crate) async fn into_file(self) -> Result<File, Failure> {
        let file = self.file.try_clone().map_err(|error| failed(&error))?;
        blocking(move || {
            std::io::Seek::rewind(&mut &file)?;
            Ok(file)
        })
        .await
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        // After it was kept there is nothing of this name.
        let _ = fs::remove_file(&self.path);
    }
}

/// The next bytes of a content, and the file; none at the end.
pub(crate) async fn next_piece(file: File, most: usize) -> Result<(File, Bytes), Failure> {
    blocking(move || {
        let mut bytes = Vec::with_capacity(most);
        (&file).take(most as u64).read_to_end(&mut bytes)?;
        Ok((file, bytes.into()))
    })
    .await
}
