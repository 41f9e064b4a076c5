//! What a guest is told of a file.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use wasmtime_wasi::p2::bindings::clocks::wall_clock::Datetime;
use wasmtime_wasi::p2::bindings::filesystem::types::{
    DescriptorStat, DescriptorType, MetadataHashValue, NewTimestamp,
};

use super::error::{ErrorCode, Result};
use super::file::About;
use super::listing::{of_kind, of_type};
use super::memory::Facts;

/// A moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp(SystemTime);

impl Stamp {
    pub(super) fn now() -> Self {
        Self(SystemTime::now())
    }
}

impl About {
    pub(super) fn stat(&self) -> DescriptorStat {
        match self {
            Self::Memory(facts) => DescriptorStat {
                type_: of_kind(facts.kind),
                link_count: facts.links,
                size: facts.size,
                data_access_timestamp: moment(facts.times.accessed),
                data_modification_timestamp: moment(facts.times.modified),
                status_change_timestamp: moment(facts.times.changed),
            },
            Self::Host(stat) => DescriptorStat {
                type_: of_type(FileType::from_raw_mode(stat.st_mode)),
                // Its type differs between processors.
                #[allow(clippy::unnecessary_cast)]
                link_count: stat.st_nlink as u64,
                size: u64::try_from(stat.st_size).unwrap_or(0),
                data_access_timestamp: at(stat.st_atime, stat.st_atime_nsec),
                data_modification_timestamp: at(stat.st_mtime, stat.st_mtime_nsec),
                status_change_timestamp: at(stat.st_ctime, stat.st_ctime_nsec),
            },
            Self::Virtual(_, begun) => DescriptorStat {
                type_: DescriptorType::Directory,
                link_count: 1,
                size: 0,
                data_access_timestamp: moment(begun.0),
                data_modification_timestamp: moment(begun.0),
                status_change_timestamp: moment(begun.0),
            },
        }
    }

    /// Tells two files apart. The guest's libc makes the inode number of it.
    pub(super) fn identity(&self) -> MetadataHashValue {
        let (kind, upper, lower) = match self {
            Self::Memory(Facts { serial, .. }) => (0_u8, 0, *serial),
            Self::Host(stat) => (1, stat.st_dev, stat.st_ino),
            Self::Virtual(path, _) => (2, 0, hash(path)),
        };
        // Mixed, as one half alone has to tell files apart; the host's own numbers are
        // nobody's concern.
        MetadataHashValue { lower: hash(&(kind, upper, lower)), upper: hash(&(kind, upper)) }
    }
}

fn hash(thing: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    thing.hash(&mut hasher);
    hasher.finish()
}

fn moment(time: SystemTime) -> Option<Datetime> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    Some(Datetime { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() })
}

fn at(seconds: impl TryInto<u64>, nanoseconds: impl TryInto<u32>) -> Option<Datetime> {
    let nanoseconds = nanoseconds.try_into().ok().filter(|n| *n < 1_000_000_000)?;
    Some(Datetime { seconds: seconds.try_into().ok()?, nanoseconds })
}

/// New times, for the kernel.
pub(super) fn timestamps(accessed: NewTimestamp, modified: NewTimestamp) -> Result<Timestamps> {
    Ok(Timestamps { last_access: timespec(accessed)?, last_modification: timespec(modified)? })
}

fn timespec(time: NewTimestamp) -> Result<Timespec> {
    Ok(match time {
        NewTimestamp::NoChange => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        NewTimestamp::Now => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        NewTimestamp::Timestamp(Datetime { seconds, nanoseconds }) => {
            if nanoseconds >= 1_000_000_000 {
                return Err(ErrorCode::Invalid);
            }
            let tv_sec = i64::try_from(seconds).map_err(|_| ErrorCode::Overflow)?;
            Timespec { tv_sec, tv_nsec: nanoseconds.into() }
        }
    })
}
