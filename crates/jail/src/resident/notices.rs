//! Changes of files, told by inotify.
//!
//! The queue is made inside, so the kernel counts it and what is watched as the sandbox's;
//! directories are opened inside, as any process of it would, and read and watched out here.
//! What a guest does faster than anybody listens stays in the kernel's queue, which is
//! bounded, and is then told as lost.

use std::collections::{HashMap, HashSet};
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use capsule_backend::guest::Pending;
use capsule_backend::sandbox::{EntryKind, Notice, NoticeKind, Notices};
use capsule_init::resident::wire::Kind;
use capsule_spec::Failure;
use rustix::fs::inotify::{ReadFlags, Reader, WatchFlags, add_watch, remove_watch};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::connection::Connection;
use super::{errors, files, sys};

/// Most directories that are watched for one listener.
const MOST_DIRECTORIES: usize = 4_096;
/// Most entries of a directory that are looked at for directories below it.
const MOST_ENTRIES: usize = 100_000;
/// Bytes of the kernel's queue that are read at one time.
const BUFFER: usize = 64 << 10;

/// What is watched for one listener.
pub(super) struct Watching {
    connection: Arc<Connection>,
    queue: AsyncFd<OwnedFd>,
    recursive: bool,
    root: String,
    /// Paths of directories, by the numbers of their watches.
    directories: HashMap<i32, String>,
    ended: watch::Receiver<bool>,
}

/// What the kernel told, before anything is made of it.
struct Told {
    watch: i32,
    flags: ReadFlags,
    cookie: u32,
    name: Option<String>,
}

impl Watching {
    pub(super) async fn begin(
        connection: &Arc<Connection>,
        ended: watch::Receiver<bool>,
        path: &str,
        recursive: bool,
    ) -> Result<Self, Failure> {
        let mut answer = connection.ask(Kind::Notify, &[], &[], None).await?;
        let Some(queue) = answer.fds.pop() else {
            return Err(errors::file(path, answer.errno()));
        };
        let queue = sys::waitable(queue, Interest::READABLE)
            .map_err(|error| errors::system("watch files", error))?;
        let root = match path.trim_end_matches('/') {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        let (connection, directories) = (connection.clone(), HashMap::new());
        let mut watching =
            Self { connection, queue, recursive, root: root.clone(), directories, ended };
        let below = watching.watch(&root).await?;
        // What comes and goes meanwhile is told by the watch above it.
        let _ = watching.descend(below, None).await;
        Ok(watching)
    }

    /// Watches a directory; what it holds, if that matters.
    async fn watch(&mut self, path: &str) -> Result<Vec<(String, bool)>, Failure> {
        let directory = files::directory(&self.connection, path).await?;
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::ONLYDIR;
        let name = format!("/proc/self/fd/{}", directory.as_raw_fd());
        let number = add_watch(self.queue.get_ref(), name, flags)
            .map_err(|error| errors::file(path, error.raw_os_error()))?;
        self.directories.insert(number, path.to_owned());
        if !self.recursive {
            return Ok(Vec::new());
        }
        let above = path.to_owned();
        files::blocking(move || {
            let entries = files::entries(&directory, &above, MOST_ENTRIES)?;
            let entry = |entry: capsule_backend::sandbox::Entry| {
                (joined(&above, &entry.name), entry.kind == EntryKind::Directory)
            };
            Ok(entries.into_iter().map(entry).collect())
        })
        .await
    }

    /// Watches all directories below, and tells what is found there, if anybody wants to know.
    async fn descend(
        &mut self,
        found: Vec<(String, bool)>,
        mut tell: Option<&mut Vec<Notice>>,
    ) -> Result<(), Failure> {
        let mut waiting = found;
        let mut result = Ok(());
        while let Some((path, is_directory)) = waiting.pop() {
            if let Some(notices) = &mut tell {
                notices.push(file(NoticeKind::Created, path.clone(), is_directory));
            }
            if !is_directory || !self.recursive {
                continue;
            }
            if self.directories.len() >= MOST_DIRECTORIES || waiting.len() > MOST_ENTRIES {
                return Err(errors::file(&path, libc::ENOSPC));
            }
            match self.watch(&path).await {
                Ok(below) => waiting.extend(below),
                // Gone again, or not to be seen from inside.
                Err(failure) => result = Err(failure),
            }
        }
        result
    }

    /// Reads what is in the queue.
    fn read(&self) -> Result<Vec<Told>, Errno> {
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut reader = Reader::new(self.queue.get_ref(), &mut buffer);
        let mut told = Vec::new();
        loop {
            match reader.next() {
                Ok(event) => told.push(Told {
                    watch: event.wd(),
                    flags: event.events(),
                    cookie: event.cookie(),
                    name: event.file_name().map(|name| name.to_string_lossy().into_owned()),
                }),
                Err(Errno::AGAIN) if !told.is_empty() => return Ok(told),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
            // One buffer full; the rest waits in the kernel.
            if reader.is_buffer_empty() {
                return Ok(told);
            }
        }
    }

    async fn notices(&mut self, told: Vec<Told>) -> Vec<Notice> {
        let mut notices = Vec::new();
        let mut told = told.into_iter().peekable();
        while let Some(one) = told.next() {
            if one.flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                notices.push(Notice::Lost);
                // Directories may have come that nobody watches.
                let root = self.root.clone();
                if let Ok(below) = self.watch(&root).await {
                    let _ = self.descend(below, None).await;
                }
                continue;
            }
            if one.flags.contains(ReadFlags::IGNORED) {
                self.directories.remove(&one.watch);
                continue;
            }
            let (Some(above), Some(name)) = (self.directories.get(&one.watch), &one.name) else {
                continue;
            };
            let path = joined(above, name);
            let is_directory = one.flags.contains(ReadFlags::ISDIR);
            if one.flags.contains(ReadFlags::MOVED_FROM) {
                let pair = told.next_if(|next| {
                    next.flags.contains(ReadFlags::MOVED_TO) && next.cookie == one.cookie
                });
                let to = pair
                    .and_then(|pair| Some(joined(self.directories.get(&pair.watch)?, &pair.name?)));
                match to {
                    Some(to) => {
                        self.moved(&path, &to);
                        notices.push(file(NoticeKind::Moved(to), path, is_directory));
                    }
                    None => {
                        self.left(&path);
                        notices.push(file(NoticeKind::Removed, path, is_directory));
                    }
                }
            } else if one.flags.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                let found = vec![(path, is_directory)];
                if self.descend(found, Some(&mut notices)).await.is_err()
                    && self.directories.len() >= MOST_DIRECTORIES
                {
                    notices.push(Notice::Lost);
                }
            } else if one.flags.contains(ReadFlags::DELETE) {
                notices.push(file(NoticeKind::Removed, path, is_directory));
            } else {
                notices.push(file(NoticeKind::Modified, path, is_directory));
            }
        }
        once_each(notices)
    }

    /// A directory that is watched has another path, and so has all below it.
    fn moved(&mut self, from: &str, to: &str) {
        for path in self.directories.values_mut() {
            if let Some(rest) = path.strip_prefix(from)
                && (rest.is_empty() || rest.starts_with('/'))
            {
                *path = format!("{to}{rest}");
            }
        }
    }

    /// A directory has gone where nobody watches.
    fn left(&mut self, from: &str) {
        let is_below = |path: &String| {
            path.strip_prefix(from).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let gone = self.directories.extract_if(|_, path| is_below(path));
        for (number, _) in gone {
            let _ = remove_watch(self.queue.get_ref(), number);
        }
    }
}

impl Notices for Watching {
    fn next(&mut self) -> Pending<'_, Option<Vec<Notice>>> {
        Box::pin(async move {
            loop {
                if self.directories.is_empty() || *self.ended.borrow() {
                    return None;
                }
                match self.read() {
                    Ok(told) => {
                        let notices = self.notices(told).await;
                        if !notices.is_empty() {
                            return Some(notices);
                        }
                    }
                    Err(Errno::AGAIN) => self.wait().await?,
                    Err(_) => return None,
                }
            }
        })
    }
}

impl Watching {
    /// Until there may be something to read, or the sandbox has ended.
    async fn wait(&mut self) -> Option<()> {
        let mut ready = pin!(self.queue.readable());
        let mut ended = pin!(self.ended.changed());
        poll_fn(|context| {
            if let Poll::Ready(ready) = ready.as_mut().poll(context) {
                return Poll::Ready(ready.ok().map(|mut ready| ready.clear_ready()));
            }
            ended.as_mut().poll(context).map(|_| Some(()))
        })
        .await
    }
}

fn file(kind: NoticeKind, path: String, is_directory: bool) -> Notice {
    Notice::File { kind, path, is_directory }
}

fn joined(above: &str, name: &str) -> String {
    format!("{}/{name}", above.trim_end_matches('/'))
}

/// What is told several times, since it was seen by several ways or happened often, is told
/// once; in order.
fn once_each(notices: Vec<Notice>) -> Vec<Notice> {
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for notice in notices {
        // A file that is removed and comes again is another one.
        if matches!(&notice, Notice::File { kind: NoticeKind::Removed | NoticeKind::Moved(_), .. })
        {
            seen.clear();
        }
        if seen.insert(notice.clone()) {
            kept.push(notice);
        }
    }
    kept
}
