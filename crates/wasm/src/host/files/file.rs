//! An open file: in memory or on the host, the same to its guest.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use rustix::fs::{Stat, Timestamps, fdatasync, fstat, fsync, ftruncate, futimens};
use rustix::io::{Errno, IoSlice, ReadWriteFlags, pread, pwrite, pwritev2};

use super::error::{self, ErrorCode, Result};
use super::folder::Use;
use super::handle::Handle;
use super::memory::{Held, Times};
use super::mount::Mount;
use super::stat::Stamp;

/// Bytes that one call of the guest may have the host copy.
pub(super) const MOST_COPIED: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct File {
    body: Body,
    how: Use,
}

#[derive(Debug)]
enum Body {
    Memory(Held),
    Host {
        handle: Handle,
        mount: Arc<Mount>,
        /// Up to here writing leaves no hole.
        size: AtomicU64,
    },
}

/// What a guest may know of a file.
pub(super) enum About {
    Memory(super::memory::Facts),
    Host(Stat),
    /// A directory on the way to a mount: its path, and when it came to be.
    Virtual(Box<str>, Stamp),
}

/// How much of a file is to reach the disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sync {
    Content,
    All,
}

impl File {
    pub(super) fn memory(held: Held, how: Use) -> Self {
        Self { body: Body::Memory(held), how }
    }

    pub(super) fn host((handle, stat): (Handle, Stat), mount: Arc<Mount>, how: Use) -> Self {
        let size = AtomicU64::new(size(&stat));
        Self { body: Body::Host { handle, mount, size }, how }
    }

    pub(super) fn how(&self) -> Use {
        self.how
    }

    /// Whether it may be read now.
    pub(super) fn check_read(&self) -> Result<()> {
        match &self.body {
            _ if !self.how.read => Err(ErrorCode::BadDescriptor),
            Body::Host { mount, .. } => mount.readable(),
            Body::Memory(_) => Ok(()),
        }
    }

    /// Whether one byte could be written at `offset`, or at the end.
    pub(super) fn check_write(&self, offset: Option<u64>) -> Result<()> {
        match &self.body {
            _ if !self.how.write => Err(ErrorCode::BadDescriptor),
            Body::Memory(held) => held.tree().check_write(held.number(), offset),
            Body::Host { handle, mount, size } => {
                mount.writable()?;
                let hole = match offset {
                    Some(offset) => hole_before(offset, 1, handle, size)?,
                    None => 0,
                };
                mount.budget.spend(hole + 1)?;
                mount.budget.refund(hole + 1);
                Ok(())
            }
        }
    }

    /// Some bytes from `offset` on; none at the end.
    pub(super) fn read(&self, offset: u64, most: usize) -> Result<Vec<u8>> {
        self.check_read()?;
        let most = most.min(MOST_COPIED);
        match &self.body {
            Body::Memory(held) => held.tree().read(held.number(), offset, most),
            Body::Host { handle, .. } => {
                let left = size(&fstat(handle).map_err(error::of)?).saturating_sub(offset);
                // One more, as the file may grow meanwhile.
                let most = most.min(usize::try_from(left).unwrap_or(usize::MAX).max(4096));
                let mut bytes = Vec::with_capacity(most);
                retry(|| pread(handle, rustix::buffer::spare_capacity(&mut bytes), offset))?;
                Ok(bytes)
            }
        }
    }

    /// Writes at `offset`, or at the end: how much, and where that ended.
    pub(super) fn write(&self, offset: Option<u64>, bytes: &[u8]) -> Result<(usize, u64)> {
        if !self.how.write {
            return Err(ErrorCode::BadDescriptor);
        }
        let bytes = &bytes[..bytes.len().min(MOST_COPIED)];
        match &self.body {
            Body::Memory(held) => held.tree().write(held.number(), offset, bytes),
            Body::Host { handle, mount, size } => {
                mount.writable()?;
                let length = bytes.len() as u64;
                let hole = match offset {
                    Some(offset) => hole_before(offset, length, handle, size)?,
                    None => 0,
                };
                mount.budget.spend(hole + length)?;
                let written = match offset {
                    Some(offset) => retry(|| pwrite(handle, bytes, offset)),
                    None => retry(|| {
                        pwritev2(handle, &[IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND)
                    }),
                };
                match written {
                    Ok(written) => {
                        mount.budget.refund(length - written as u64);
                        let end = offset.unwrap_or(0) + written as u64;
                        if offset.is_some() {
                            size.fetch_max(end, Ordering::Relaxed);
                        }
                        Ok((written, end))
                    }
                    Err(error) => {
                        mount.budget.refund(hole + length);
                        Err(error)
                    }
                }
            }
        }
    }

    pub(super) fn resize(&self, new: u64) -> Result<()> {
        if !self.how.write {
            return Err(ErrorCode::Invalid);
        }
        match &self.body {
            Body::Memory(held) => held.tree().resize(held.number(), new),
            Body::Host { handle, mount, size } => {
                mount.writable()?;
                if i64::try_from(new).is_err() {
                    return Err(ErrorCode::FileTooLarge);
                }
                let old = self::size(&fstat(handle).map_err(error::of)?);
                mount.budget.spend(new.saturating_sub(old))?;
                retry(|| ftruncate(handle, new))
                    .inspect_err(|_| mount.budget.refund(new.saturating_sub(old)))?;
                size.store(new, Ordering::Relaxed);
                Ok(())
            }
        }
    }

    /// Whether its content survives this process only once it is synchronised.
    pub(super) fn is_durable(&self) -> bool {
        matches!(self.body, Body::Host { .. })
    }

    /// May take as long as a disk does.
    pub(super) fn sync(&self, how: Sync) -> Result<()> {
        match &self.body {
            Body::Memory(_) => Ok(()),
            Body::Host { handle, mount, .. } => {
                mount.readable()?;
                synchronise(handle, how)
            }
        }
    }

    pub(super) fn about(&self) -> Result<About> {
        Ok(match &self.body {
            Body::Memory(held) => About::Memory(held.facts()),
            Body::Host { handle, mount, .. } => {
                mount.readable()?;
                About::Host(fstat(handle).map_err(error::of)?)
            }
        })
    }

    pub(super) fn set_times(&self, times: &Timestamps) -> Result<()> {
        match &self.body {
            Body::Memory(held) => {
                held.tree().set_times(held.number(), |all| change_times(all, times));
                Ok(())
            }
            Body::Host { handle, mount, .. } => {
                mount.writable()?;
                futimens(handle, times).map_err(error::of)
            }
        }
    }
}

pub(super) fn synchronise(handle: impl AsFd, how: Sync) -> Result<()> {
    retry(|| match how {
        Sync::Content => fdatasync(&handle),
        Sync::All => fsync(&handle),
    })
}

/// The hole that writing at `offset` would leave, which counts as written: it can be
/// filled later without making the file longer.
fn hole_before(offset: u64, length: u64, handle: &Handle, known: &AtomicU64) -> Result<u64> {
    if offset.checked_add(length).is_none_or(|end| i64::try_from(end).is_err()) {
        return Err(ErrorCode::FileTooLarge);
    }
    if offset <= known.load(Ordering::Relaxed) {
        return Ok(0);
    }
    let size = size(&fstat(handle).map_err(error::of)?);
    known.store(size, Ordering::Relaxed);
    Ok(offset.saturating_sub(size))
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or(0)
}

fn retry<T>(call: impl FnMut() -> rustix::io::Result<T>) -> Result<T> {
    rustix::io::retry_on_intr(call).map_err(|errno| match errno {
        // The offset is not one.
        Errno::INVAL => ErrorCode::Invalid,
        other => error::of(other),
    })
}

/// Does to times in memory what utimensat(2) does on a disk.
pub(super) fn change_times(times: &mut Times, new: &Timestamps) {
    use rustix::fs::{UTIME_NOW, UTIME_OMIT};
    let set = |time: &mut SystemTime, new: &rustix::fs::Timespec| match new.tv_nsec {
        UTIME_OMIT => {}
        UTIME_NOW => *time = SystemTime::now(),
        nanoseconds => {
            let since = u64::try_from(new.tv_sec).unwrap_or(0);
            let nanoseconds = u32::try_from(nanoseconds).unwrap_or(0);
            let since = std::time::Duration::new(since, nanoseconds);
            *time = SystemTime::UNIX_EPOCH.checked_add(since).unwrap_or(*time);
        }
    };
    set(&mut times.accessed, &new.last_access);
    set(&mut times.modified, &new.last_modification);
}
