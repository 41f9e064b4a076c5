//! What intruders try.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::End::{self, Errno, Killed, Through};
use crate::place::{Place, SECRET};
use crate::sys::{Result, call, child, numbers, page, text};

/// One thing to try.
pub(crate) struct Attempt {
    pub(crate) name: &'static str,
    /// The least Landlock that holds it.
    pub(crate) landlock: u32,
    pub(crate) play: fn(&Place) -> Result,
    /// By mode: `free`, `alone`, `connected`, `narrowed`.
    pub(crate) ends: &'static [(&'static str, End)],
}

const EPERM: End = Errno(libc::EPERM);
const EACCES: End = Errno(libc::EACCES);
const ENOSYS: End = Errno(libc::ENOSYS);

macro_rules! attempts {
    ($($name:literal, $landlock:literal, [$($mode:ident: $end:expr),+], $play:expr;)*) => {
        pub(crate) const ATTEMPTS: &[Attempt] = &[$(Attempt {
            name: $name,
            landlock: $landlock,
            play: $play,
            ends: &[$((stringify!($mode), $end)),+],
        }),*];
    };
}

const EXEC: u64 = (libc::PROT_READ | libc::PROT_EXEC) as u64;
const PRIVATE: u64 = libc::MAP_PRIVATE as u64;
const ANONYMOUS: u64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as u64;
const SIGCHLD: u64 = libc::SIGCHLD as u64;
const HERE: u64 = libc::AT_FDCWD as u64;

attempts! {
    // ---- other programs and processes
    "execve", 0, [free: Through, alone: Killed, connected: Killed], |_| {
        let (program, none) = (text(Path::new("/bin/true")), [0u64; 1]);
        let list = [program.as_ptr() as u64, 0];
        numbers(libc::SYS_execve, &[list[0], list.as_ptr() as u64, none.as_ptr() as u64]).map(drop)
    };
    "execveat", 0, [free: Through, alone: Killed], |_| {
        let (program, none) = (text(Path::new("/bin/true")), [0u64; 1]);
        let list = [program.as_ptr() as u64, 0];
        let empty = none.as_ptr() as u64;
        numbers(libc::SYS_execveat, &[HERE, list[0], list.as_ptr() as u64, empty, 0]).map(drop)
    };
    "spawn", 0, [free: Through, alone: EPERM], |_| {
        Command::new("/bin/true").spawn().and_then(|mut child| child.wait()).map(drop).map_err(number)
    };
    "clone a process", 0, [free: Through, alone: EPERM, connected: EPERM], |_| {
        child(libc::SYS_clone, [SIGCHLD, 0, 0, 0, 0, 0])
    };
    "clone as a container does", 0, [alone: EPERM], |_| {
        child(libc::SYS_clone, [SIGCHLD | libc::CLONE_NEWUSER as u64, 0, 0, 0, 0, 0])
    };
    "clone3", 0, [free: Through, alone: ENOSYS], |_| {
        let arguments = [0, 0, 0, 0, SIGCHLD, 0, 0, 0u64];
        child(libc::SYS_clone3, [arguments.as_ptr() as u64, 64, 0, 0, 0, 0])
    };
    "start a thread", 0, [free: Through, alone: Through, connected: Through, narrowed: Through], |_| {
        std::thread::spawn(|| ()).join().map_err(|_| 1)
    };
    "ptrace", 0, [free: Through, alone: Killed], |_| numbers(libc::SYS_ptrace, &[0]).map(drop);
    "process_vm_readv", 0, [free: Through, alone: Killed], |_| {
        numbers(libc::SYS_process_vm_readv, &[u64::from(std::process::id())]).map(drop)
    };
    "process_vm_writev", 0, [free: Through, alone: Killed], |_| {
        numbers(libc::SYS_process_vm_writev, &[u64::from(std::process::id())]).map(drop)
    };
    "signal a process", 0, [free: Through, alone: EPERM, connected: EPERM], |_| {
        numbers(libc::SYS_kill, &[u64::from(std::process::id())]).map(drop)
    };
    "signal the first process", 0, [alone: EPERM], |_| numbers(libc::SYS_kill, &[1]).map(drop);
    "signal by thread", 0, [free: Through, alone: EPERM], |_| {
        numbers(libc::SYS_tkill, &[u64::from(std::process::id())]).map(drop)
    };
    "signal by descriptor", 0, [free: Through, alone: EPERM], |_| {
        numbers(libc::SYS_pidfd_open, &[u64::from(std::process::id())]).map(drop)
    };
    "signal by an owned descriptor", 0, [free: Through, alone: EPERM], |place| {
        let file = File::open(place.join("granted/read/file")).map_err(number)?;
        let parent = u64::from(std::process::id());
        let file = u64::try_from(crate::sys::number(&file)).map_err(|_| 1)?;
        numbers(libc::SYS_fcntl, &[file, libc::F_SETOWN as u64, parent]).map(drop)
    };
    // ---- the kernel's rarer parts
    "unshare", 0, [alone: Killed], |_| numbers(libc::SYS_unshare, &[libc::CLONE_NEWUSER as u64]).map(drop);
    "setns", 0, [alone: Killed], |_| numbers(libc::SYS_setns, &[0]).map(drop);
    "mount", 0, [alone: Killed], |_| numbers(libc::SYS_mount, &[]).map(drop);
    "chroot", 0, [alone: Killed], |_| numbers(libc::SYS_chroot, &[]).map(drop);
    "bpf", 0, [alone: Killed], |_| numbers(libc::SYS_bpf, &[]).map(drop);
    "perf_event_open", 0, [alone: Killed], |_| numbers(libc::SYS_perf_event_open, &[]).map(drop);
    "io_uring", 0, [alone: Killed, connected: Killed], |_| {
        let parameters = [0u8; 120];
        numbers(libc::SYS_io_uring_setup, &[1, parameters.as_ptr() as u64]).map(drop)
    };
    "userfaultfd", 0, [alone: Killed], |_| numbers(libc::SYS_userfaultfd, &[]).map(drop);
    "keyctl", 0, [alone: Killed], |_| numbers(libc::SYS_keyctl, &[]).map(drop);
    "open_by_handle_at", 0, [alone: Killed], |_| numbers(libc::SYS_open_by_handle_at, &[]).map(drop);
    "a number that no table has", 0, [alone: ENOSYS], |_| numbers(0x3fff, &[]).map(drop);
    "a listener on the own filter", 0, [alone: EPERM], |_| {
        let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        numbers(libc::SYS_seccomp, &[1, listener]).map(drop)
    };
    "dump the own memory", 0, [free: Through, alone: EPERM], |_| {
        numbers(libc::SYS_prctl, &[libc::PR_SET_DUMPABLE as u64, 1]).map(drop)
    };
    "raise a limit", 0, [free: Through, alone: EPERM], |_| {
        let limit = [1024u64, 1024];
        numbers(libc::SYS_prlimit64, &[0, libc::RLIMIT_NOFILE as u64, limit.as_ptr() as u64]).map(drop)
    };
    "type into the terminal", 0, [free: Errno(libc::EBADF), alone: EPERM], |_| {
        numbers(libc::SYS_ioctl, &[u64::MAX, u64::from(libc::TIOCSTI as u32)]).map(drop)
    };
    // ---- new machine code
    "map code", 0, [free: Through, alone: EPERM, connected: EPERM], |_| {
        call(libc::SYS_mmap, [0, 4096, EXEC, ANONYMOUS, u64::MAX, 0]).map(drop)
    };
    "make memory code", 0, [free: Through, alone: EPERM, connected: EPERM], |_| {
        numbers(libc::SYS_mprotect, &[page()?, 4096, EXEC]).map(drop)
    };
    "map a file as code", 0, [free: Through, alone: EPERM], |place| {
        let file = File::open(place.join("granted/read/file")).map_err(number)?;
        let file = u64::try_from(crate::sys::number(&file)).map_err(|_| 1)?;
        call(libc::SYS_mmap, [0, 4096, EXEC, PRIVATE, file, 0]).map(drop)
    };
    "make memory code by a key", 0, [alone: EPERM], |_| {
        numbers(libc::SYS_pkey_mprotect, &[page()?, 4096, EXEC, u64::MAX]).map(drop)
    };
    "shared memory as code", 0, [free: Through, alone: EPERM], |_| {
        let id = numbers(libc::SYS_shmget, &[0, 4096, 0o600])?.cast_unsigned();
        numbers(libc::SYS_shmctl, &[id, 0]).map(drop)
    };
    "all memory is code", 0, [free: Through, alone: EPERM], |_| {
        numbers(libc::SYS_personality, &[libc::READ_IMPLIES_EXEC as u64]).map(drop)
    };
    "a file in memory", 0, [free: Through, alone: EPERM], |_| {
        let name = text(Path::new("x"));
        numbers(libc::SYS_memfd_create, &[name.as_ptr() as u64]).map(drop)
    };
    "write over code by /proc", 1, [free: Through, alone: EACCES], |_| {
        OpenOptions::new().write(true).open("/proc/self/mem").map(drop).map_err(number)
    };
    // ---- files
    "read what is granted", 0, [alone: Through, narrowed: Through], |place| {
        read(&place.join("granted/read/file"), "to be read")?;
        read(&place.join("granted/write/file"), "to be written")?;
        fs::read_dir(place.join("granted/write")).map(drop).map_err(number)
    };
    "write what is granted", 0, [alone: Through, connected: Through], |place| {
        let folder = place.join("granted/write");
        fs::write(folder.join("new"), "x").map_err(number)?;
        OpenOptions::new().append(true).open(folder.join("file")).map(drop).map_err(number)?;
        rename(&folder.join("new"), &folder.join("renamed"))?;
        fs::File::create(folder.join("file")).and_then(|file| file.set_len(3)).map_err(number)
    };
    "read a secret", 1, [free: Through, alone: EACCES, connected: EACCES, narrowed: EACCES], |place| {
        read(&place.join("secret"), SECRET)
    };
    "read a secret from a thread", 1, [free: Through, alone: EACCES], |place| {
        let path = place.join("secret");
        std::thread::spawn(move || read(&path, SECRET)).join().map_err(|_| 1)?
    };
    "read the list of users", 1, [free: Through, alone: EACCES, connected: EACCES], |_| {
        File::open("/etc/passwd").map(drop).map_err(number)
    };
    "list the root", 1, [free: Through, alone: EACCES, connected: EACCES], |_| {
        fs::read_dir("/").map(drop).map_err(number)
    };
    "look at another process", 1, [free: Through, alone: EACCES], |_| {
        File::open("/proc/1/status").map(drop).map_err(number)
    };
    "read a secret through what is inherited", 0, [free: Through, alone: Errno(libc::EBADF)], |place| {
        let folder = u64::try_from(place.inherited()).map_err(|_| 1)?;
        let name = text(Path::new("secret"));
        numbers(libc::SYS_openat, &[folder, name.as_ptr() as u64, 0]).map(drop)
    };
    "read a secret through an own link", 1, [free: Through, alone: EACCES], |place| {
        let link = place.join("granted/write/link");
        link_to(&place.join("secret"), &link)?;
        read(&link, SECRET)
    };
    "read a secret through a hard link", 1, [free: Through, alone: Errno(libc::EXDEV)], |place| {
        let (from, to) = (text(&place.join("secret")), text(&place.join("granted/write/hard")));
        numbers(libc::SYS_linkat, &[HERE, from.as_ptr() as u64, HERE, to.as_ptr() as u64])?;
        read(&place.join("granted/write/hard"), SECRET)
    };
    "move a secret into reach", 1, [free: Through, alone: EACCES], |place| {
        rename(&place.join("secret"), &place.join("granted/write/moved"))
    };
    "move a file out of reach", 1, [free: Through, alone: EACCES], |place| {
        rename(&place.join("granted/write/file"), &place.join("moved"))
    };
    "write a secret", 1, [free: Through, alone: EACCES], |place| {
        OpenOptions::new().write(true).open(place.join("secret")).map(drop).map_err(number)
    };
    "empty a secret", 3, [free: Through, alone: EACCES], |place| {
        let path = text(&place.join("secret"));
        let flags = (libc::O_RDONLY | libc::O_TRUNC) as u64;
        numbers(libc::SYS_openat, &[HERE, path.as_ptr() as u64, flags]).map(drop)
    };
    "write what is to be read", 1, [free: Through, alone: EACCES], |place| {
        OpenOptions::new().write(true).open(place.join("granted/read/file")).map(drop).map_err(number)
    };
    "make a file beside", 1, [free: Through, alone: EACCES], |place| {
        File::create(place.join("new")).map(drop).map_err(number)
    };
    "make a folder beside", 1, [free: Through, alone: EACCES], |place| {
        let path = text(&place.join("new"));
        numbers(libc::SYS_mkdirat, &[HERE, path.as_ptr() as u64, 0o777]).map(drop)
    };
    "remove what is to be read", 1, [free: Through, alone: EACCES], |place| {
        let path = text(&place.join("granted/read/file"));
        numbers(libc::SYS_unlinkat, &[HERE, path.as_ptr() as u64]).map(drop)
    };
    "make a pipe", 0, [free: Through, alone: EPERM], |place| {
        let path = text(&place.join("granted/write/pipe"));
        numbers(libc::SYS_mknodat, &[HERE, path.as_ptr() as u64, u64::from(libc::S_IFIFO | 0o600)]).map(drop)
    };
    "make a file set-id", 0, [free: Through, alone: EPERM], |place| {
        let path = text(&place.join("granted/write/file"));
        numbers(libc::SYS_fchmodat, &[HERE, path.as_ptr() as u64, 0o4755]).map(drop)
    };
    "make a set-id file", 0, [free: Through, alone: EPERM], |place| {
        let path = place.join("granted/write/set-id");
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o4755).open(path);
        file.map(drop).map_err(number)
    };
    // Out of a filter's sight; that it does not last is seen from outside.
    "make a set-id file by openat2", 0, [alone: Through, connected: Through], |place| {
        let path = text(&place.join("granted/write/set-id"));
        let how = [(libc::O_CREAT | libc::O_RDWR) as u64, 0o6755, 0];
        let file = numbers(libc::SYS_openat2, &[HERE, path.as_ptr() as u64, how.as_ptr() as u64, 24])?;
        let bytes = [0u8; 4096];
        numbers(libc::SYS_write, &[file.cast_unsigned(), bytes.as_ptr() as u64, 4096]).map(drop)
    };
    "make a set-id file by a mapping", 0, [alone: Through], |place| {
        let path = text(&place.join("granted/write/set-id"));
        let how = [(libc::O_CREAT | libc::O_RDWR) as u64, 0o6755, 0];
        let file = numbers(libc::SYS_openat2, &[HERE, path.as_ptr() as u64, how.as_ptr() as u64, 24])?;
        let file = file.cast_unsigned();
        numbers(libc::SYS_ftruncate, &[file, 4096])?;
        let shared = libc::MAP_SHARED as u64;
        call(libc::SYS_mmap, [0, 4096, 3, shared, file, 0]).map(drop)
    };
    "make room in a set-id file", 0, [alone: Through], |place| {
        let path = text(&place.join("granted/write/set-id"));
        let how = [(libc::O_CREAT | libc::O_RDWR) as u64, 0o6755, 0];
        let file = numbers(libc::SYS_openat2, &[HERE, path.as_ptr() as u64, how.as_ptr() as u64, 24])?;
        numbers(libc::SYS_fallocate, &[file.cast_unsigned(), 0, 0, 4096]).map(drop)
    };
    // ---- after the narrowing
    "write what only the run was granted", 1, [connected: Through, narrowed: EACCES], |place| {
        OpenOptions::new().write(true).open(place.join("granted/write/file")).map(drop).map_err(number)
    };
    "write what a task was granted", 1, [connected: Through, narrowed: EACCES], |place| {
        // The narrower layer lets it; what it is in is not to be read from the narrower
        // layer alone: both hold.
        fs::write(place.join("granted/write/narrow/file"), "x").map_err(number)?;
        OpenOptions::new().write(true).open(place.join("granted/write/file")).map(drop).map_err(number)
    };
    // ---- hosts
    "a TCP socket", 0, [free: Through, connected: Through, alone: EACCES, narrowed: EACCES], |_| {
        socket(libc::AF_INET, libc::SOCK_STREAM, 0)
    };
    "a UDP socket", 0, [free: Through, connected: Through, alone: EACCES, narrowed: EACCES], |_| {
        socket(libc::AF_INET, libc::SOCK_DGRAM, 0)
    };
    "a unix socket", 0, [free: Through, connected: EACCES, alone: EACCES], |_| {
        socket(libc::AF_UNIX, libc::SOCK_STREAM, 0)
    };
    "a vsock", 0, [connected: EACCES, alone: EACCES], |_| socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0);
    "a packet socket", 0, [connected: EACCES, alone: EACCES], |_| socket(libc::AF_PACKET, libc::SOCK_RAW, 0);
    "a raw socket", 0, [connected: EACCES, alone: EACCES], |_| {
        socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)
    };
    "a socket of an odd protocol", 0, [connected: EACCES, alone: EACCES], |_| {
        socket(libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP)
    };
    "the kernel's own messages", 0, [free: Through, connected: EACCES, alone: EACCES], |_| {
        socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_KOBJECT_UEVENT)
    };
    "a pair of datagram sockets", 0, [free: Through, connected: EACCES, alone: EACCES], |_| {
        pair(libc::SOCK_DGRAM).map(drop)
    };
    // The one that is allowed speaks to its other end and to nobody else.
    "a daemon", 0, [free: Through, connected: EACCES, alone: EACCES], |place| {
        UnixStream::connect(place.join("daemon")).map(drop).map_err(number)
    };
    // The one that is allowed speaks to its other end and to nobody else.
    "a pair of streams to a daemon", 0, [
        free: Errno(libc::EISCONN), connected: Errno(libc::EISCONN), alone: EACCES
    ], |place| {
        let (end, address) = (pair(libc::SOCK_STREAM)?, address(&place.join("daemon")));
        numbers(libc::SYS_connect, &[end, address.as_ptr() as u64, 110]).map(drop)
    };
    "a message from a pair of streams", 0, [
        free: Errno(libc::EISCONN), connected: Errno(libc::EISCONN), alone: Errno(libc::EISCONN)
    ], |place| {
        let (end, address) = (pair(libc::SOCK_STREAM)?, address(&place.join("daemon")));
        let address = address.as_ptr() as u64;
        call(libc::SYS_sendto, [end, address, 1, 0, address, 110]).map(drop)
    };
    "reach a host", 0, [free: Through, connected: Through, alone: EACCES, narrowed: EACCES], |place| {
        TcpStream::connect(("127.0.0.1", place.port())).map(drop).map_err(number)
    };
    "serve others", 4, [free: Through, connected: EACCES, alone: EACCES], |_| {
        TcpListener::bind("127.0.0.1:0").map(drop).map_err(number)
    };
    "serve without a bind", 0, [free: Through, connected: EACCES], |_| {
        let kind = (libc::SOCK_STREAM) as u64;
        let socket = numbers(libc::SYS_socket, &[libc::AF_INET as u64, kind])?;
        numbers(libc::SYS_listen, &[socket.cast_unsigned(), 1]).map(drop)
    };
}

fn number(error: io::Error) -> i32 {
    error.raw_os_error().unwrap_or(248)
}

fn read(path: &Path, text: &str) -> Result {
    let mut found = String::new();
    File::open(path).and_then(|mut file| file.read_to_string(&mut found)).map_err(number)?;
    if found == text { Ok(()) } else { Err(247) }
}

fn rename(from: &Path, to: &Path) -> Result {
    let (from, to) = (text(from), text(to));
    numbers(libc::SYS_renameat, &[HERE, from.as_ptr() as u64, HERE, to.as_ptr() as u64]).map(drop)
}

fn link_to(target: &Path, link: &Path) -> Result {
    let (target, link) = (text(target), text(link));
    numbers(libc::SYS_symlinkat, &[target.as_ptr() as u64, HERE, link.as_ptr() as u64]).map(drop)
}

/// `struct sockaddr_un`.
fn address(path: &Path) -> [u8; 110] {
    let mut address = [0u8; 110];
    address[..2].copy_from_slice(&(libc::AF_UNIX as u16).to_ne_bytes());
    let path = path.as_os_str().as_bytes();
    address[2..2 + path.len()].copy_from_slice(path);
    address
}

fn pair(kind: i32) -> Result<u64> {
    let mut pair = [0i32; 2];
    numbers(libc::SYS_socketpair, &[1, kind as u64, 0, pair.as_mut_ptr() as u64])?;
    u64::try_from(pair[0]).map_err(|_| 1)
}

fn socket(family: i32, kind: i32, protocol: i32) -> Result {
    numbers(libc::SYS_socket, &[family as u64, kind as u64, protocol as u64]).map(drop)
}
