//! `wasi:filesystem`, as `wasmtime-wasi` binds it. Its resources are only numbers here:
//! the tables behind them are ours.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::TrappableError;
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, FsError, FsResult};

use super::error::{ErrorCode, Result};
use super::file::{self, About, Sync};
use super::folder::Use;
use super::listing::Listing;
use super::stat::timestamps;
use super::streams::{Reader, Writer};
use super::walk::{Directory, Last};
use super::{Descriptor, Files, operations};
use crate::host::State;

/// How often a guest may ask for its root; its libraries do so once each.
pub(crate) const MOST_ROOTS: usize = 64;

/// Puts the files of `State` in the place of those of `wasmtime-wasi`.
pub(crate) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    types::add_to_linker::<_, Host>(linker, State::files)?;
    preopens::add_to_linker::<_, Host>(linker, State::files)?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Host;

impl HasData for Host {
    type Data<'a> = View<'a>;
}

/// A guest's files, and its table of streams.
pub(crate) struct View<'a> {
    pub(crate) files: &'a mut Files,
    pub(crate) table: &'a mut ResourceTable,
}

type Fd = Resource<types::Descriptor>;
type Names = Resource<types::DirectoryEntryStream>;

impl View<'_> {
    async fn perform<T>(&mut self, work: impl FnOnce(&mut Files) -> Result<T>) -> FsResult<T> {
        let begun = Instant::now();
        let result = work(self.files);
        self.files.pace.spend(begun.elapsed());
        self.files.pace.rest().await;
        Ok(result?)
    }

    async fn synchronise(&mut self, fd: &Fd, how: Sync) -> FsResult<()> {
        enum Slow {
            File(Arc<file::File>),
            Folder(super::handle::Handle),
        }
        let slow = match self.files.open.get(fd.rep())? {
            Descriptor::File(file) if file.is_durable() => Slow::File(file.clone()),
            Descriptor::Directory(Directory::Host(folder)) => Slow::Folder(folder.reopen()?),
            _ => return Ok(()),
        };
        // A disk may take long, and other guests run on this thread.
        let task = tokio::task::spawn_blocking(move || match slow {
            Slow::File(file) => file.sync(how),
            Slow::Folder(handle) => file::synchronise(handle, how),
        });
        Ok(self.files.pace.wait(task).await.map_err(FsError::trap)??)
    }
}

impl preopens::Host for View<'_> {
    fn get_directories(&mut self) -> wasmtime::Result<Vec<(Fd, String)>> {
        self.files.roots_given += 1;
        wasmtime::ensure!(self.files.roots_given <= MOST_ROOTS, "the root was asked for too often");
        Ok(vec![(Resource::new_own(0), "/".to_owned())])
    }
}

impl types::Host for View<'_> {
    fn convert_error_code(&mut self, error: FsError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn filesystem_error_code(
        &mut self,
        error: Resource<wasmtime::Error>,
    ) -> wasmtime::Result<Option<ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref::<ErrorCode>().copied())
    }
}

impl types::HostDescriptor for View<'_> {
    async fn advise(&mut self, fd: Fd, _: u64, _: u64, _: types::Advice) -> FsResult<()> {
        self.files.file(fd.rep())?;
        Ok(())
    }

    async fn sync_data(&mut self, fd: Fd) -> FsResult<()> {
        self.synchronise(&fd, Sync::Content).await
    }

    async fn sync(&mut self, fd: Fd) -> FsResult<()> {
        self.synchronise(&fd, Sync::All).await
    }

    async fn get_flags(&mut self, fd: Fd) -> FsResult<types::DescriptorFlags> {
        use types::DescriptorFlags as Flags;
        Ok(match self.files.open.get(fd.rep())? {
            Descriptor::File(file) => match file.how() {
                Use { read: true, write: true } => Flags::READ | Flags::WRITE,
                Use { write: true, .. } => Flags::WRITE,
                Use { .. } => Flags::READ,
            },
            _ => Flags::READ | Flags::MUTATE_DIRECTORY,
        })
    }

    async fn get_type(&mut self, fd: Fd) -> FsResult<types::DescriptorType> {
        Ok(match self.files.open.get(fd.rep())? {
            Descriptor::File(_) => types::DescriptorType::RegularFile,
            _ => types::DescriptorType::Directory,
        })
    }

    async fn set_size(&mut self, fd: Fd, size: u64) -> FsResult<()> {
        self.perform(|files| files.file(fd.rep())?.resize(size)).await
    }

    async fn set_times(
        &mut self,
        fd: Fd,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        self.perform(|files| {
            let times = timestamps(accessed, modified)?;
            match files.open.get(fd.rep())? {
                Descriptor::File(file) => file.set_times(&times),
                _ => operations::set_times(&files.directory(fd.rep())?, &times),
            }
        })
        .await
    }

    async fn read(&mut self, fd: Fd, length: u64, offset: u64) -> FsResult<(Vec<u8>, bool)> {
        self.perform(|files| {
            let most = usize::try_from(length).unwrap_or(usize::MAX);
            let bytes = files.file(fd.rep())?.read(offset, most)?;
            let is_end = bytes.is_empty() && most > 0;
            Ok((bytes, is_end))
        })
        .await
    }

    async fn write(&mut self, fd: Fd, bytes: Vec<u8>, offset: u64) -> FsResult<u64> {
        self.perform(|files| Ok(files.file(fd.rep())?.write(Some(offset), &bytes)?.0 as u64)).await
    }

    async fn read_directory(&mut self, fd: Fd) -> FsResult<Names> {
        let number = self
            .perform(|files| {
                let directory = files.directory(fd.rep())?;
                // More names appear in it with a grant.
                files.looked |= matches!(directory, Directory::Virtual(_));
                let listing = Listing::new(&directory, &files.mounts)?;
                files.listings.insert(listing)
            })
            .await?;
        Ok(Resource::new_own(number))
    }

    async fn create_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.perform(|files| files.create_directory_at(fd.rep(), &path)).await
    }

    async fn stat(&mut self, fd: Fd) -> FsResult<types::DescriptorStat> {
        self.perform(|files| Ok(about(files, &fd)?.stat())).await
    }

    async fn stat_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::DescriptorStat> {
        self.perform(|files| Ok(files.stat_at(fd.rep(), &path, last(flags))?.stat())).await
    }

    async fn set_times_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
        accessed: types::NewTimestamp,
        modified: types::NewTimestamp,
    ) -> FsResult<()> {
        self.perform(|files| {
            let times = timestamps(accessed, modified)?;
            files.set_times_at(fd.rep(), &path, last(flags), &times)
        })
        .await
    }

    async fn link_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        self.perform(|files| {
            files.link_at((fd.rep(), &path, last(flags)), (new_fd.rep(), &new_path))
        })
        .await
    }

    async fn open_at(
        &mut self,
        fd: Fd,
        path_flags: types::PathFlags,
        path: String,
        open_flags: types::OpenFlags,
        flags: types::DescriptorFlags,
    ) -> FsResult<Fd> {
        let write = flags.contains(types::DescriptorFlags::WRITE);
        let how = Use { read: flags.contains(types::DescriptorFlags::READ) || !write, write };
        let number = self
            .perform(|files| files.open_at(fd.rep(), &path, last(path_flags), open_flags, how))
            .await?;
        Ok(Resource::new_own(number))
    }

    async fn readlink_at(&mut self, fd: Fd, path: String) -> FsResult<String> {
        self.perform(|files| files.read_link_at(fd.rep(), &path)).await
    }

    async fn remove_directory_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.perform(|files| files.remove_directory_at(fd.rep(), &path)).await
    }

    async fn rename_at(
        &mut self,
        fd: Fd,
        path: String,
        new_fd: Fd,
        new_path: String,
    ) -> FsResult<()> {
        self.perform(|files| files.rename_at((fd.rep(), &path), (new_fd.rep(), &new_path))).await
    }

    async fn symlink_at(&mut self, fd: Fd, target: String, path: String) -> FsResult<()> {
        self.perform(|files| files.symlink_at(&target, fd.rep(), &path)).await
    }

    async fn unlink_file_at(&mut self, fd: Fd, path: String) -> FsResult<()> {
        self.perform(|files| files.unlink_at(fd.rep(), &path)).await
    }

    async fn is_same_object(&mut self, fd: Fd, other: Fd) -> wasmtime::Result<bool> {
        let identity = |fd: &Fd| about(self.files, fd).map(|about| about.identity()).ok();
        Ok(match (identity(&fd), identity(&other)) {
            (Some(one), Some(two)) => (one.lower, one.upper) == (two.lower, two.upper),
            _ => false,
        })
    }

    async fn metadata_hash(&mut self, fd: Fd) -> FsResult<types::MetadataHashValue> {
        self.perform(|files| Ok(about(files, &fd)?.identity())).await
    }

    async fn metadata_hash_at(
        &mut self,
        fd: Fd,
        flags: types::PathFlags,
        path: String,
    ) -> FsResult<types::MetadataHashValue> {
        self.perform(|files| Ok(files.stat_at(fd.rep(), &path, last(flags))?.identity())).await
    }

    fn read_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynInputStream>> {
        let (file, pace) = (self.files.file(fd.rep())?.clone(), self.files.pace.clone());
        file.check_read()?;
        self.push(Box::new(Reader { file, position: offset, pace }) as DynInputStream)
    }

    fn write_via_stream(&mut self, fd: Fd, offset: u64) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, Some(offset))
    }

    fn append_via_stream(&mut self, fd: Fd) -> FsResult<Resource<DynOutputStream>> {
        self.writer(&fd, None)
    }

    fn drop(&mut self, fd: Fd) -> wasmtime::Result<()> {
        // Everybody who asked for the root has it under this number.
        if fd.rep() != 0 {
            self.files.open.remove(fd.rep());
        }
        Ok(())
    }
}

impl types::HostDirectoryEntryStream for View<'_> {
    async fn read_directory_entry(
        &mut self,
        names: Names,
    ) -> FsResult<Option<types::DirectoryEntry>> {
        self.perform(|files| files.listings.get_mut(names.rep())?.next()).await
    }

    fn drop(&mut self, names: Names) -> wasmtime::Result<()> {
        self.files.listings.remove(names.rep());
        Ok(())
    }
}

impl View<'_> {
    fn writer(&mut self, fd: &Fd, position: Option<u64>) -> FsResult<Resource<DynOutputStream>> {
        let (file, pace) = (self.files.file(fd.rep())?.clone(), self.files.pace.clone());
        file.check_write(position)?;
        self.push(Box::new(Writer { file, position, pace }) as DynOutputStream)
    }

    /// A guest that hoards streams traps here.
    fn push<T: Send + 'static>(&mut self, stream: T) -> FsResult<Resource<T>> {
        self.table.push(stream).map_err(TrappableError::trap)
    }
}

fn about(files: &Files, fd: &Fd) -> Result<About> {
    match files.open.get(fd.rep())? {
        Descriptor::File(file) => file.about(),
        _ => files.about(&files.directory(fd.rep())?),
    }
}

fn last(flags: types::PathFlags) -> Last {
    match flags.contains(types::PathFlags::SYMLINK_FOLLOW) {
        true => Last::Follow,
        false => Last::Keep,
    }
}
