//! The life of a worker: one look-up or change of files, done as any process of the
//! sandbox would do it, in its root, with its rights. So no path that a guest has made,
//! whatever links are in it, means anything else than inside.
//!
//! A worker may be slow, stopped or killed; PID 1 is not, and answers for it.
//!
//! Never handed out: what is not a regular file or directory, which could block whoever
//! reads it; anything of /proc, where this process would show what it is a copy of, and
//! the program that it runs, to which /proc leads (Landlock forbids that, too).

use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering::SeqCst;

use super::sys::{self, AT_FDCWD, Errno};
use super::table::{Area, Job};
use super::wire::{Head, Kind, PATH_BYTES};
use super::{remove, shared};

/// Permission bits that a file may get; set-id bits are not among them.
const PERMISSIONS: u32 = 0o1777;

/// Starts the worker of a job, on the stack of its area.
pub(super) fn start(job: &Job, area: Area) -> Result<i32, Errno> {
    sys::start(work, area.keeper_stack(), std::ptr::from_ref(job) as usize, false)
}

extern "C" fn work(job: *mut c_void) -> c_int {
    let job: &Job = sys::shared(job);
    let connection = shared().map_or(-1, |shared| shared.table.connection.load(SeqCst));
    let given = job.fd.load(SeqCst);
    sys::close_all_but(connection, given);
    let area = Area(job.area.load(SeqCst));
    let message = sys::bytes(area.message(), job.message_bytes.load(SeqCst));
    if let Some((head, rest)) = message.as_deref().and_then(Head::decode) {
        let answer = perform(&head, rest, area, given);
        let (errno, word, fd) = match answer {
            Ok(Answer { word, fd }) => (0, word, fd),
            Err(errno) => (errno, 0, None),
        };
        let answer = Head::new(Kind::Done, head.serial, &[errno as u64, word]);
        // Said before it is sent: a worker that is killed in between has a server that
        // waits for an answer, and a deadline for that.
        job.answered.store(1, SeqCst);
        let fds = fd.as_slice();
        let _ = sys::send(connection, &answer.encode(), fds, true);
    }
    sys::exit(0)
}

struct Answer {
    word: u64,
    fd: Option<i32>,
}

const DONE: Answer = Answer { word: 0, fd: None };

fn opened(fd: i32) -> Answer {
    Answer { word: 0, fd: Some(fd) }
}

fn perform(head: &Head, rest: &[u8], area: Area, given: i32) -> Result<Answer, Errno> {
    let [option, ..] = head.words;
    if head.kind == Kind::Link {
        return symlink(rest).map(|()| DONE);
    }
    let (first, second) = paths(rest)?;
    match head.kind {
        Kind::Look => look(first, option == 1).map(opened),
        Kind::Read => read(first).map(opened),
        Kind::Write => write(first, option as u32 & PERMISSIONS, area),
        Kind::Place => place(given, first, area).map(|()| DONE),
        Kind::MakeDirectory => make_directories(first, area).map(|()| DONE),
        Kind::Move => rename(first, second.ok_or(libc::EINVAL)?, area).map(|()| DONE),
        Kind::Remove => remove::remove(first, option == 1, area).map(|()| DONE),
        _ => Err(libc::EINVAL),
    }
}

type Paths<'a> = (&'a [u8], Option<&'a [u8]>);

/// One or two absolute paths, each with its NUL.
fn paths(rest: &[u8]) -> Result<Paths<'_>, Errno> {
    let mut parts = rest.split_inclusive(|byte| *byte == 0);
    let mut next = || -> Result<Option<&[u8]>, Errno> {
        match parts.next() {
            None => Ok(None),
            Some(path) if path.len() > PATH_BYTES => Err(libc::ENAMETOOLONG),
            Some(path) if path.starts_with(b"/") && path.ends_with(&[0]) => Ok(Some(path)),
            Some(_) => Err(libc::EINVAL),
        }
    };
    let first = next()?.ok_or(libc::EINVAL)?;
    let second = next()?;
    if next()?.is_some() { Err(libc::EINVAL) } else { Ok((first, second)) }
}

fn own_program() -> [u64; 2] {
    shared().map(|shared| shared.own_program).unwrap_or_default()
}

/// Refuses what must not be handed out.
fn checked(fd: i32, wanted: u32) -> Result<i32, Errno> {
    let check = || {
        let stat = sys::stat(fd, &[0], false)?;
        let [device, inode] = own_program();
        if sys::is_of_kernel(fd)? || stat.identity == (device, inode) {
            return Err(libc::EACCES);
        }
        match stat.mode & libc::S_IFMT {
            kind if wanted == 0 || kind == wanted => Ok(fd),
            libc::S_IFDIR => Err(libc::EISDIR),
            _ => Err(libc::ENXIO),
        }
    };
    let checked = check();
    if checked.is_err() {
        sys::close(fd);
    }
    checked
}

/// What a name stands for: not followed, if it is a link; and not opened.
fn look(path: &[u8], to_list: bool) -> Result<i32, Errno> {
    let flags = libc::O_CLOEXEC
        | if to_list {
            libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NONBLOCK
        } else {
            libc::O_PATH | libc::O_NOFOLLOW
        };
    let fd = sys::open(path, flags, 0)?;
    checked(fd, if to_list { libc::S_IFDIR } else { 0 })
}

fn read(path: &[u8]) -> Result<i32, Errno> {
    is_regular(path)?;
    let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    checked(sys::open(path, flags, 0)?, libc::S_IFREG)
}

/// Opening some files does something, so what is not regular is refused before. Between
/// this look and the opening a guest may change it: then it is refused after.
fn is_regular(path: &[u8]) -> Result<(), Errno> {
    let fd = sys::open(path, libc::O_PATH | libc::O_CLOEXEC, 0)?;
    sys::close(checked(fd, libc::S_IFREG)?);
    Ok(())
}

/// A file without a name where it can be had: it gets its name when it is complete
/// ([`place`]), and if the server dies before, nothing of it is left.
fn write(path: &[u8], mode: u32, area: Area) -> Result<Answer, Errno> {
    let in_place = || write_in_place(path, mode);
    let mode = match sys::stat(AT_FDCWD, path, false) {
        Err(libc::ENOENT) => mode,
        Err(errno) => return Err(errno),
        Ok(old) => match old.mode & libc::S_IFMT {
            // Its own directory entry cannot be replaced.
            _ if old.is_mount => return in_place(),
            libc::S_IFREG => {
                let flags = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_CLOEXEC;
                let fd = sys::open(path, flags, 0)?;
                sys::close(checked(fd, libc::S_IFREG)?);
                old.mode & PERMISSIONS
            }
            // What it points to is written, and the link stays.
            libc::S_IFLNK => return in_place(),
            libc::S_IFDIR => return Err(libc::EISDIR),
            _ => return Err(libc::ENXIO),
        },
    };
    match nameless(path, mode, area) {
        Ok(fd) => Ok(Answer { word: 1, fd: Some(fd) }),
        // A file system that has no such files, or a directory that cannot be changed.
        Err(libc::EOPNOTSUPP | libc::EISDIR | libc::EACCES | libc::EPERM | libc::EROFS) => {
            in_place()
        }
        Err(errno) => Err(errno),
    }
}

fn write_in_place(path: &[u8], mode: u32) -> Result<Answer, Errno> {
    match is_regular(path) {
        Ok(()) | Err(libc::ENOENT) => {}
        Err(errno) => return Err(errno),
    }
    let flags = libc::O_WRONLY
        | libc::O_CREAT
        | libc::O_TRUNC
        | libc::O_NONBLOCK
        | libc::O_NOCTTY
        | libc::O_CLOEXEC;
    checked(sys::open(path, flags, mode)?, libc::S_IFREG).map(opened)
}

/// A file without a name in the directory of `path`.
fn nameless(path: &[u8], mode: u32, area: Area) -> Result<i32, Errno> {
    let parent = parent(path, b".", area)?;
    let flags = libc::O_TMPFILE | libc::O_WRONLY | libc::O_CLOEXEC;
    let fd = checked(sys::open(parent, flags, mode)?, libc::S_IFREG)?;
    // The mask took some bits.
    sys::change_mode(fd, mode)?;
    Ok(fd)
}

/// The directory of `path` with another name behind it.
fn parent<'a>(path: &[u8], name: &[u8], area: Area) -> Result<&'a [u8], Errno> {
    let end = path.iter().rposition(|byte| *byte == b'/').ok_or(libc::EINVAL)? + 1;
    let directory = path.get(..end).unwrap_or_default();
    let (scratch, _) = area.scratch();
    let buffer = sys::bytes(scratch, 2 * PATH_BYTES).ok_or(libc::ENOMEM)?;
    let length = directory.len() + name.len() + 1;
    let text = buffer.get_mut(..length).ok_or(libc::ENAMETOOLONG)?;
    for (place, byte) in text.iter_mut().zip(directory.iter().chain(name).chain(&[0])) {
        *place = *byte;
    }
    if length > PATH_BYTES { Err(libc::ENAMETOOLONG) } else { Ok(text) }
}

/// Gives a file of [`nameless`] its name, in place of one that may have it.
fn place(fd: i32, path: &[u8], area: Area) -> Result<(), Errno> {
    if fd < 0 {
        return Err(libc::EINVAL);
    }
    let mut source = *b"/proc/thread-self/fd/\0\0\0\0\0\0\0\0\0\0\0\0";
    decimal(fd as u64, source.get_mut(21..).unwrap_or_default());
    match sys::link(&source, path) {
        Err(libc::EEXIST) => {}
        result => return result,
    }
    match sys::stat(AT_FDCWD, path, false) {
        Ok(old) if old.mode & libc::S_IFMT == libc::S_IFDIR => return Err(libc::EISDIR),
        _ => {}
    }
    let mut name = *b".capsule-00000000000000000000";
    hexadecimal(sys::now(), name.get_mut(9..25).unwrap_or_default());
    let interim = parent(path, &name, area)?;
    sys::link(&source, interim)?;
    let placed = sys::rename(interim, path);
    if placed.is_err() {
        let _ = sys::unlink(AT_FDCWD, interim, false);
    }
    placed
}

fn decimal(mut number: u64, place: &mut [u8]) {
    let mut digits = [0u8; 20];
    let mut count = 0;
    loop {
        if let Some(digit) = digits.get_mut(count) {
            *digit = b'0' + (number % 10) as u8;
        }
        count += 1;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    let digits = digits.get(..count).unwrap_or_default();
    for (place, digit) in place.iter_mut().zip(digits.iter().rev()) {
        *place = *digit;
    }
}

/// A number between two texts, and NULs to the end.
pub(super) fn numbered(before: &[u8], number: u64, behind: &[u8], place: &mut [u8]) {
    let mut digits = [0u8; 20];
    decimal(number, &mut digits);
    let length = digits.iter().position(|byte| *byte == 0).unwrap_or(digits.len());
    let digits = digits.get(..length).unwrap_or_default();
    let text = before.iter().chain(digits).chain(behind);
    let last = place.len().saturating_sub(1);
    for (place, byte) in place.iter_mut().take(last).zip(text) {
        *place = *byte;
    }
}

fn hexadecimal(number: u64, place: &mut [u8]) {
    for (index, place) in place.iter_mut().rev().enumerate() {
        let digit = (number >> (4 * index.min(15))) as u8 & 0xf;
        *place = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
    }
}

/// Makes a directory and those above it.
fn make_directories(path: &[u8], area: Area) -> Result<(), Errno> {
    let (scratch, _) = area.scratch();
    let copy = sys::bytes(scratch, PATH_BYTES).ok_or(libc::ENOMEM)?;
    let text = path.strip_suffix(&[0]).unwrap_or(path);
    let mut made = Ok(());
    for end in 1..=text.len() {
        let is_end = text.get(end).is_none_or(|byte| *byte == b'/');
        if !is_end {
            continue;
        }
        let part = copy.get_mut(..=end).ok_or(libc::ENAMETOOLONG)?;
        for (place, byte) in part.iter_mut().zip(text.get(..end).into_iter().flatten().chain(&[0]))
        {
            *place = *byte;
        }
        made = sys::make_directory(part, 0o755);
        match made {
            // One that is there is passed, if it can be.
            Ok(()) | Err(libc::EEXIST | libc::EROFS | libc::EACCES | libc::EISDIR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let is_directory = |stat: sys::Stat| stat.mode & libc::S_IFMT == libc::S_IFDIR;
    match (made, sys::stat(AT_FDCWD, path, true)) {
        (_, Ok(there)) if is_directory(there) => Ok(()),
        (Err(errno), Err(_)) => Err(errno),
        (_, Err(errno)) => Err(errno),
        (_, Ok(_)) => Err(libc::EEXIST),
    }
}

/// A symbolic link; what it holds is no path of ours to check.
fn symlink(rest: &[u8]) -> Result<(), Errno> {
    let end = rest.iter().position(|byte| *byte == 0).ok_or(libc::EINVAL)? + 1;
    let (path, target) = rest.split_at_checked(end).ok_or(libc::EINVAL)?;
    let (path, _) = paths(path)?;
    let is_one = target.len() > 1
        && target.len() <= PATH_BYTES
        && target.iter().position(|byte| *byte == 0) == Some(target.len() - 1);
    if is_one { sys::symlink(target, path) } else { Err(libc::EINVAL) }
}

/// Another name; on another mount, a regular file is copied and then removed.
fn rename(from: &[u8], to: &[u8], area: Area) -> Result<(), Errno> {
    let source = sys::stat(AT_FDCWD, from, false)?;
    let is_directory = |mode: u32| mode & libc::S_IFMT == libc::S_IFDIR;
    match sys::stat(AT_FDCWD, to, false) {
        // An empty directory would be replaced, which nobody expects.
        Ok(old) if is_directory(old.mode) && old.identity != source.identity => {
            return Err(libc::EEXIST);
        }
        _ => {}
    }
    match sys::rename(from, to) {
        Err(libc::EXDEV) if source.mode & libc::S_IFMT == libc::S_IFREG => {}
        result => return result,
    }
    let input = read(from)?;
    let mode = source.mode & PERMISSIONS;
    let (output, is_nameless) = match nameless(to, mode, area) {
        // A kernel that has no such files (gVisor).
        Err(libc::EOPNOTSUPP) => (write_in_place(to, mode)?.fd.ok_or(libc::EIO)?, false),
        output => (output?, true),
    };
    let mut left = source.size;
    while left > 0 {
        const MOST: u64 = 1 << 30;
        match sys::copy(input, output, left.min(MOST) as usize)? {
            0 => break,
            copied => left -= copied as u64,
        }
    }
    if is_nameless {
        place(output, to, area)?;
    }
    sys::unlink(AT_FDCWD, from, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_absolute_and_bounded() {
        assert_eq!(paths(b"/a\0"), Ok((&b"/a\0"[..], None)));
        assert_eq!(paths(b"/a\0/b c\n\0"), Ok((&b"/a\0"[..], Some(&b"/b c\n\0"[..]))));
        for wrong in [&b""[..], b"a\0", b"/a", b"/a\0b\0", b"/a\0/b\0/c\0", b"\0"] {
            assert_eq!(paths(wrong), Err(libc::EINVAL), "{wrong:?}");
        }
        let mut long = vec![b'/'; 1 << 20];
        long.push(0);
        assert_eq!(paths(&long), Err(libc::ENAMETOOLONG));
    }

    #[test]
    fn links_are_one_path_and_one_text() {
        for wrong in [&b""[..], b"/a\0", b"/a\0\0", b"a\0b\0", b"/a\0b", b"/a\0b\0c\0", b"\0b\0"] {
            assert_eq!(symlink(wrong), Err(libc::EINVAL), "{wrong:?}");
        }
        // As far as the kernel, which knows no such directory.
        assert_eq!(symlink(b"/nowhere/a\0../b\0"), Err(libc::ENOENT));
    }

    #[test]
    fn numbers_are_written() {
        let mut text = [b'.'; 6];
        decimal(1203, &mut text);
        assert_eq!(&text, b"1203..");
        hexadecimal(0xbeef, &mut text);
        assert_eq!(&text, b"00beef");
        let mut path = [0u8; 16];
        numbered(b"/proc/", 42, b"/stat", &mut path);
        assert_eq!(&path, b"/proc/42/stat\0\0\0");
        let mut short = [0u8; 6];
        numbered(b"/dev/pts/", 0, b"", &mut short);
        assert_eq!(&short, b"/dev/\0");
    }
}
