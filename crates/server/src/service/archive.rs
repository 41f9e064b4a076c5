//! Directories as tar streams, by what a sandbox lets every caller do: nothing here sees
//! another file than a process inside would.

use bytes::Bytes;
use capsule_backend::sandbox::{Change, Entry, EntryKind, OpenMode, Sandbox, SandboxFile};
use capsule_spec::{ErrorCode, Failure};

use super::files::{PIECE, make_above};
use super::{Caller, Service};
use crate::live::InUse;
use crate::memory::Held;
use crate::request::{MOST_ENTRIES, absolute};
use crate::rpc::{Kind, Refusal};
use crate::tar::{END, Kind as Is, Member, Reader, Step, TarError, head, padding};

/// Most members of an archive, in either direction: a guest can add files as fast as they
/// are packed.
const MOST_MEMBERS: u64 = 1 << 20;
/// What an entry that waits costs beside its name.
const ENTRY_BYTES: usize = 160;

impl Service {
    /// Begins to pack a directory.
    pub(crate) async fn pack(
        &self,
        caller: &Caller,
        id: &str,
        path: &str,
    ) -> Result<Packing, Refusal> {
        let used = self.enter(caller, id, Kind::ReadFileFailed)?;
        let root = absolute(path).trim_end_matches('/').to_owned();
        Packing::of(used, self.memory.hold(), root).await.map_err(unpacked)
    }

    /// Begins to unpack into a directory, which is made.
    pub(crate) async fn unpack(
        &self,
        caller: &Caller,
        id: &str,
        path: &str,
    ) -> Result<Unpacking, Refusal> {
        let used = self.enter(caller, id, Kind::WriteFileFailed)?;
        let root = absolute(path).trim_end_matches('/').to_owned();
        if !root.is_empty() {
            let sandbox = used.sandbox().map_err(refused)?;
            sandbox.change(&Change::MakeDirectory(root.clone())).await.map_err(refused)?;
        }
        Ok(Unpacking::of(used, self.memory.hold(), root))
    }
}

fn unpacked(failure: Failure) -> Refusal {
    Refusal::of(Kind::ReadFileFailed, failure)
}

fn refused(failure: Failure) -> Refusal {
    Refusal::of(Kind::WriteFileFailed, failure)
}

fn too_many() -> Failure {
    let message = format!("the archive has more than {MOST_MEMBERS} members");
    Failure::new(ErrorCode::ServerLimit, message).detail("limit", MOST_MEMBERS)
}

fn no_memory() -> Failure {
    let message = "the server holds too many names of archives";
    Failure::new(ErrorCode::ServerLimit, message)
}

fn joined(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") }
}

/// A directory that is being packed.
pub(crate) struct Packing {
    used: InUse,
    held: Held,
    root: String,
    /// The directories from the root to where it is, and what is left of each.
    levels: Vec<Level>,
    /// The file that is read, what is left of it, and the zeroes behind it.
    file: Option<(Box<dyn SandboxFile>, u64, usize)>,
    members: u64,
    has_ended: bool,
}

struct Level {
    path: String,
    entries: std::vec::IntoIter<Entry>,
    bytes: usize,
}

impl Packing {
    /// Begins to pack a directory of a sandbox in whatever state it is.
    pub(super) async fn of(used: InUse, held: Held, root: String) -> Result<Self, Failure> {
        let (levels, file) = (Vec::new(), None);
        let mut packing = Self { held, used, root, levels, file, members: 0, has_ended: false };
        let level = packing.level(String::new()).await?;
        packing.levels.push(level);
        Ok(packing)
    }

    /// How many files, directories and links there were so far.
    pub(super) fn members(&self) -> u64 {
        self.members
    }

    /// The next bytes; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        let mut bytes = Vec::new();
        while bytes.len() < PIECE && !self.has_ended {
            self.step(&mut bytes).await.map_err(unpacked)?;
        }
        Ok((!bytes.is_empty()).then(|| bytes.into()))
    }

    async fn step(&mut self, bytes: &mut Vec<u8>) -> Result<(), Failure> {
        if let Some((file, left, pad)) = &mut self.file {
            if *left == 0 {
                bytes.resize(bytes.len() + *pad, 0);
                self.file = None;
                return Ok(());
            }
            let most = usize::try_from(*left).unwrap_or(PIECE).min(PIECE);
            let mut read = file.read(most).await?;
            if read.is_empty() {
                let message = "a file became shorter while it was packed";
                return Err(Failure::new(ErrorCode::SystemFailure, message));
            }
            read.truncate(most);
            *left -= read.len() as u64;
            bytes.append(&mut read);
            return Ok(());
        }
        let Some(level) = self.levels.last_mut() else {
            bytes.extend_from_slice(&END);
            self.has_ended = true;
            return Ok(());
        };
        let Some(entry) = level.entries.next() else {
            self.held.shrink(level.bytes);
            self.levels.pop();
            return Ok(());
        };
        let path = joined(&level.path, &entry.name);
        self.add(path, entry, bytes).await
    }

    async fn add(
        &mut self,
        path: String,
        entry: Entry,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        self.members += 1;
        if self.members > MOST_MEMBERS {
            return Err(too_many());
        }
        let modified = entry.modified.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let member = |kind, mode| {
            head(&Member { path: path.clone(), kind, mode, modified: modified.as_secs() })
        };
        match (entry.kind, entry.target) {
            (EntryKind::Directory, _) => {
                bytes.append(&mut member(Is::Directory, entry.mode));
                match self.level(path.clone()).await {
                    Ok(level) => self.levels.push(level),
                    // It was there a moment ago; now it is as if it had been empty.
                    Err(failure) if failure.code == ErrorCode::FileNotFound => {}
                    Err(failure) => return Err(failure),
                }
            }
            (EntryKind::File, _) => {
                let inside = format!("{}/{path}", self.root);
                match self.used.sandbox()?.open(&inside, OpenMode::Read).await {
                    Ok(file) => {
                        let entry = file.entry();
                        bytes.append(&mut member(Is::File(entry.size), entry.mode));
                        self.file = Some((file, entry.size, padding(entry.size)));
                    }
                    Err(failure) if failure.code == ErrorCode::FileNotFound => {
                        self.must_have_gone(&inside)?;
                    }
                    Err(failure) => return Err(failure),
                }
            }
            (EntryKind::Link, Some(target)) => {
                bytes.append(&mut member(Is::Link(target), entry.mode));
            }
            // Sockets and pipes are nobody's but those who have them open.
            (EntryKind::Link | EntryKind::Other, _) => {}
        }
        Ok(())
    }

    /// A name that could not be told as it is cannot be found again, which is no end of a file.
    fn must_have_gone(&self, path: &str) -> Result<(), Failure> {
        match path.contains('\u{fffd}') {
            true => Err(Failure::new(
                ErrorCode::InvalidPath,
                "a name in the directory is no UTF-8, and cannot be packed",
            )
            .detail("root", &self.root)),
            false => Ok(()),
        }
    }

    async fn level(&mut self, path: String) -> Result<Level, Failure> {
        let inside = format!("{}/{path}", self.root);
        let most = usize::try_from(MOST_ENTRIES).unwrap_or(usize::MAX);
        let mut entries = self.used.sandbox()?.list(&inside, most).await?;
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        let size = |entry: &Entry| {
            ENTRY_BYTES + entry.name.len() + entry.target.as_ref().map_or(0, String::len)
        };
        let bytes = path.len() + entries.iter().map(size).sum::<usize>();
        if !self.held.grow(bytes) {
            return Err(no_memory());
        }
        Ok(Level { path, entries: entries.into_iter(), bytes })
    }
}

/// An archive that is being unpacked. What was unpacked stays if the rest is refused.
pub(crate) struct Unpacking {
    used: InUse,
    root: String,
    reader: Reader,
    held: Held,
    file: Option<Box<dyn SandboxFile>>,
    /// Symbolic links and what they hold. They are made at the end: a member that comes
    /// after one could be written to wherever it leads.
    links: Vec<(String, String)>,
    members: u64,
}

impl Unpacking {
    /// Begins to unpack into a directory that is there.
    pub(super) fn of(used: InUse, held: Held, root: String) -> Self {
        let reader = Reader::new();
        Self { used, root, reader, held, file: None, links: Vec::new(), members: 0 }
    }

    /// Takes the next bytes.
    pub(crate) async fn write(&mut self, mut bytes: Bytes) -> Result<(), Refusal> {
        loop {
            match self.reader.next(&mut bytes).map_err(no_archive)? {
                Step::More => return Ok(()),
                Step::Member(member) => self.member(member).await.map_err(refused)?,
                Step::Other(_, what) => return Err(no_archive(TarError::Kind(what))),
                Step::Data(data) => {
                    if let Some(file) = &mut self.file {
                        file.write(&data).await.map_err(refused)?;
                    }
                }
                Step::Whole => {
                    if let Some(file) = self.file.take() {
                        file.finish().await.map_err(refused)?;
                    }
                }
            }
        }
    }

    /// The archive is complete; how many members it had.
    pub(crate) async fn finish(self) -> Result<u64, Refusal> {
        self.reader.finish().map_err(no_archive)?;
        let sandbox = self.used.sandbox().map_err(refused)?;
        for (path, target) in self.links {
            link(&**sandbox, path, target).await.map_err(refused)?;
        }
        Ok(self.members)
    }

    async fn member(&mut self, member: Member) -> Result<(), Failure> {
        self.members += 1;
        if self.members > MOST_MEMBERS {
            return Err(too_many());
        }
        let path = format!("{}/{}", self.root, member.path);
        let sandbox = self.used.sandbox()?;
        match member.kind {
            Is::Directory => {
                sandbox.change(&Change::MakeDirectory(path)).await?;
            }
            Is::File(_) => self.file = Some(create(&**sandbox, &path, member.mode).await?),
            Is::Link(target) => {
                if !self.held.grow(path.len() + target.len() + ENTRY_BYTES) {
                    return Err(no_memory());
                }
                self.links.push((path, target));
            }
            Is::Same(other) => {
                let other = format!("{}/{other}", self.root);
                let mut from = sandbox.open(&other, OpenMode::Read).await?;
                let mut file = create(&**sandbox, &path, from.entry().mode & 0o777).await?;
                loop {
                    let bytes = from.read(PIECE).await?;
                    if bytes.is_empty() {
                        break;
                    }
                    file.write(&bytes).await?;
                }
                file.finish().await?;
            }
        }
        Ok(())
    }
}

async fn create(
    sandbox: &dyn Sandbox,
    path: &str,
    mode: u32,
) -> Result<Box<dyn SandboxFile>, Failure> {
    let mode = OpenMode::Write { mode };
    match sandbox.open(path, mode).await {
        Err(failure) if failure.code == ErrorCode::FileNotFound => {
            make_above(sandbox, path).await?;
            sandbox.open(path, mode).await
        }
        opened => opened,
    }
}

/// A link in place of a file, a link or an empty directory that may be there.
async fn link(sandbox: &dyn Sandbox, path: String, target: String) -> Result<(), Failure> {
    let change = Change::Link { path: path.clone(), target };
    match sandbox.change(&change).await {
        Err(failure) if failure.code == ErrorCode::FileNotFound => {
            make_above(sandbox, &path).await?;
        }
        Err(failure) if failure.code == ErrorCode::FileInTheWay => {
            sandbox.change(&Change::Remove { path, recursive: false }).await?;
        }
        result => return result,
    }
    sandbox.change(&change).await
}

fn no_archive(error: TarError) -> Refusal {
    let refusal = Refusal::new(Kind::WriteFileFailed, ErrorCode::InvalidValue, error.to_string());
    match error {
        TarError::Compressed => refusal.hint("unpack it first: gzip -dc ARCHIVE"),
        _ => refusal,
    }
}
