//! Files of a sandbox, in one piece or streamed.

use base64_simd::STANDARD;
use capsule_backend::sandbox::{Change, Entry, EntryKind, OpenMode, Sandbox, SandboxFile};
use capsule_spec::{ErrorCode, Failure};

use super::{Caller, Service};
use crate::live::InUse;
use crate::model::rfc3339;
use crate::request::{
    Done, FileEntry, ListDir, ListDirAnswer, Listed, MakeDirectory, Move, ReadFile, Remove, Stat,
    WriteFile, absolute, decoded,
};
use crate::rpc::{Kind, Refusal};

/// Largest file that is answered in one piece.
const LARGEST_READ: u64 = 12 << 20;
/// Bytes that are read or written at one time.
pub(crate) const PIECE: usize = 256 << 10;

impl Service {
    pub(super) async fn write_file(
        &self,
        caller: &Caller,
        write: WriteFile,
    ) -> Result<Done, Refusal> {
        let content = decoded("content", &write.content)
            .map_err(|failure| Refusal::of(Kind::InvalidParams, failure))?;
        let mut upload = self.upload(caller, &write.id, &write.path, write.mode).await?;
        drop(write);
        for piece in content.chunks(PIECE) {
            upload.write(piece).await?;
        }
        upload.finish().await
    }

    /// Begins to write a file.
    pub(crate) async fn upload(
        &self,
        caller: &Caller,
        id: &str,
        path: &str,
        mode: u32,
    ) -> Result<Upload, Refusal> {
        let used = self.enter(caller, id, Kind::WriteFileFailed)?;
        let failed = |failure| Refusal::of(Kind::WriteFileFailed, failure);
        let sandbox = used.sandbox().map_err(failed)?;
        let path = absolute(path);
        let mode = OpenMode::Write { mode };
        let file = match sandbox.open(&path, mode).await {
            Err(failure) if failure.code == ErrorCode::FileNotFound => {
                make_above(&**sandbox, &path).await.map_err(failed)?;
                sandbox.open(&path, mode).await
            }
            opened => opened,
        };
        let file = file.map_err(failed)?;
        Ok(Upload { _used: used, file })
    }

    /// Begins to read a file.
    pub(crate) async fn download(
        &self,
        caller: &Caller,
        id: &str,
        path: &str,
    ) -> Result<Download, Refusal> {
        let used = self.enter(caller, id, Kind::ReadFileFailed)?;
        let failed = |failure| Refusal::of(Kind::ReadFileFailed, failure);
        let opened = used.sandbox().map_err(failed)?.open(&absolute(path), OpenMode::Read).await;
        let file = opened.map_err(failed)?;
        Ok(Download { size: file.entry().size, _used: used, file })
    }

    /// The answer as JSON text: it is written once, in place.
    pub(super) async fn read_file(
        &self,
        caller: &Caller,
        read: ReadFile,
    ) -> Result<String, Refusal> {
        let mut download = self.download(caller, &read.id, &read.path).await?;
        let too_large = |size: u64| {
            let message = format!("the file has {size} bytes or more; {LARGEST_READ} can be read");
            Refusal::new(Kind::ReadFileFailed, ErrorCode::InvalidValue, message)
                .hint("download it: GET /sandbox/{id}/files?path=")
        };
        if download.size > LARGEST_READ {
            return Err(too_large(download.size));
        }
        let mut text = String::from("{\"content\":\"");
        let mut held = self.memory.hold();
        // Base64 goes by threes, and a read ends where it wants.
        let mut rest: Vec<u8> = Vec::new();
        let mut total = 0;
        loop {
            let bytes = download.read().await?;
            if bytes.is_empty() {
                break;
            }
            total += bytes.len() as u64;
            // It may grow while it is read.
            if total > LARGEST_READ {
                return Err(too_large(total));
            }
            if !held.grow(bytes.len()) {
                let message = "the server holds too many large answers";
                return Err(Refusal::new(Kind::LimitReached, ErrorCode::ServerLimit, message));
            }
            rest.extend_from_slice(&bytes);
            let whole = rest.len() / 3 * 3;
            // It grows by what it is given, and no more.
            text.reserve(whole / 3 * 4);
            STANDARD.encode_append(&rest[..whole], &mut text);
            rest.drain(..whole);
        }
        STANDARD.encode_append(&rest, &mut text);
        text.push_str("\"}");
        Ok(text)
    }

    pub(super) async fn list_dir(
        &self,
        caller: &Caller,
        list: ListDir,
    ) -> Result<ListDirAnswer, Refusal> {
        let used = self.enter(caller, &list.id, Kind::ListDirFailed)?;
        let failed = |failure| Refusal::of(Kind::ListDirFailed, failure);
        let path = absolute(&list.path);
        let limit = usize::try_from(list.limit).unwrap_or(usize::MAX);
        let found = used.sandbox().map_err(failed)?.list(&path, limit).await;
        let mut entries = found.map_err(failed)?;
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let folder = path.trim_end_matches('/');
        let listed = |entry: Entry| Listed {
            path: format!("{folder}/{}", entry.name),
            name: entry.name,
            is_dir: entry.kind == EntryKind::Directory,
            size: entry.size,
        };
        Ok(ListDirAnswer { files: entries.into_iter().map(listed).collect() })
    }

    pub(super) async fn stat(&self, caller: &Caller, stat: &Stat) -> Result<FileEntry, Refusal> {
        let used = self.enter(caller, &stat.id, Kind::FileFailed)?;
        let failed = |failure| Refusal::of(Kind::FileFailed, failure);
        let path = absolute(&stat.path);
        let entry = used.sandbox().map_err(failed)?.stat(&path).await.map_err(failed)?;
        Ok(FileEntry {
            name: entry.name,
            path,
            kind: kind(entry.kind).to_owned(),
            is_dir: entry.kind == EntryKind::Directory,
            size: entry.size,
            mode: entry.mode,
            modified_at: rfc3339(entry.modified),
            target: entry.target,
        })
    }

    pub(super) async fn make_directory(
        &self,
        caller: &Caller,
        make: MakeDirectory,
    ) -> Result<Done, Refusal> {
        let change = Change::MakeDirectory(absolute(&make.path));
        self.change(caller, &make.id, change).await
    }

    pub(super) async fn rename(&self, caller: &Caller, one: Move) -> Result<Done, Refusal> {
        let change = Change::Move { from: absolute(&one.from), to: absolute(&one.to) };
        self.change(caller, &one.id, change).await
    }

    pub(super) async fn remove(&self, caller: &Caller, one: Remove) -> Result<Done, Refusal> {
        let change = Change::Remove { path: absolute(&one.path), recursive: one.recursive };
        self.change(caller, &one.id, change).await
    }

    async fn change(&self, caller: &Caller, id: &str, change: Change) -> Result<Done, Refusal> {
        let used = self.enter(caller, id, Kind::FileFailed)?;
        let failed = |failure| Refusal::of(Kind::FileFailed, failure);
        used.sandbox().map_err(failed)?.change(&change).await.map_err(failed)?;
        Ok(Done::OK)
    }
}

pub(super) async fn make_above(sandbox: &dyn Sandbox, path: &str) -> Result<(), Failure> {
    match path.trim_end_matches('/').rsplit_once('/') {
        Some((above, _)) if !above.is_empty() => {
            sandbox.change(&Change::MakeDirectory(above.to_owned())).await
        }
        _ => Ok(()),
    }
}

fn kind(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Directory => "directory",
        EntryKind::Link => "link",
        EntryKind::Other => "other",
    }
}

/// A file that is being written. Until it is finished, it may or may not be there.
pub(crate) struct Upload {
    _used: InUse,
    file: Box<dyn SandboxFile>,
}

impl Upload {
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Result<(), Refusal> {
        let written = self.file.write(bytes).await;
        written.map_err(|failure| Refusal::of(Kind::WriteFileFailed, failure))
    }

    pub(crate) async fn finish(self) -> Result<Done, Refusal> {
        let finished = self.file.finish().await;
        finished.map_err(|failure| Refusal::of(Kind::WriteFileFailed, failure))?;
        Ok(Done::OK)
    }
}

/// A file that is being read.
pub(crate) struct Download {
    /// Bytes when it was opened.
    pub(crate) size: u64,
    _used: InUse,
    file: Box<dyn SandboxFile>,
}

impl Download {
    /// Passes over the next bytes.
    pub(crate) async fn skip(&mut self, bytes: u64) -> Result<(), Refusal> {
        let skipped = self.file.skip(bytes).await;
        skipped.map_err(|failure| Refusal::of(Kind::ReadFileFailed, failure))
    }

    /// The next bytes; none at the end.
    pub(crate) async fn read(&mut self) -> Result<Vec<u8>, Refusal> {
        let read = self.file.read(PIECE).await;
        read.map_err(|failure| Refusal::of(Kind::ReadFileFailed, failure))
    }
}
