//! What the plan needs to know of this host. Read once, nothing is tried.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use capsule_spec::Mount;

use crate::cgroup::Layout;
use crate::sys;

/// Facts of this host and of the caller.
#[derive(Clone, Debug)]
pub struct Host {
    /// The caller's effective user.
    pub uid: u32,
    /// The caller's effective group.
    pub gid: u32,
    /// This process; makes the jail's host user unique among living jails.
    pub pid: u32,
    /// Counts the jails of this process.
    pub serial: u32,
    /// Whether the caller may map users other than itself.
    pub may_map_any_user: bool,
    /// Whether the caller is root of a user namespace that may map nobody else.
    pub is_lone_root: bool,
    /// The kernel's major and minor version.
    pub kernel: (u32, u32),
    /// The Landlock ABI version; 0 when there is none.
    pub landlock: u32,
    /// System directories that exist.
    pub system: Vec<Entry>,
    /// What a jail may see of `/etc`.
    pub etc: Vec<Entry>,
    /// A directory that these two are looked up in, in place of the host's root.
    pub base: Option<Mount>,
    /// Which control groups can be used.
    pub cgroups: Layout,
    /// The resolver configuration, for tasks that share the network.
    pub resolv_conf: Option<Vec<u8>>,
}

/// A file of the host that a jail sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the directory that it was looked up in.
    pub name: String,
    /// What it is.
    pub kind: Kind,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file, or something that mounts like one.
    File,
    /// A symbolic link, and what it holds.
    Link(String),
}

/// System directories of the host, in the order in which they are mounted.
const SYSTEM: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// What programs need of `/etc`. Everything that could hold a secret stays out:
/// shadow, ssh, sudoers, private keys, package manager credentials.
const ETC: [&str; 7] = [
    "alternatives",
    "ld.so.cache",
    "localtime",
    "protocols",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
];

impl Host {
    /// Reads the facts, and the resolver configuration for a task that shares the network.
    pub fn read(shares_network: bool) -> Self {
        let uid = sys::effective_user();
        let may_map_any_user = uid == 0 && maps_every_user();
        let is_lone_root = uid == 0 && !may_map_any_user;
        Self {
            uid,
            gid: sys::effective_group(),
            pid: std::process::id(),
            serial: next_serial(),
            may_map_any_user,
            is_lone_root,
            kernel: sys::kernel_version(),
            landlock: sys::landlock_version(),
            system: SYSTEM.iter().filter_map(|name| entry("/", name)).collect(),
            etc: etc(),
            base: None,
            cgroups: Layout::find(),
            resolv_conf: shares_network.then(|| fs::read("/etc/resolv.conf").ok()).flatten(),
        }
    }
}

fn next_serial() -> u32 {
    static SERIAL: AtomicU32 = AtomicU32::new(0);
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

/// Root of a nested user namespace (rootless containers) maps only a part.
fn maps_every_user() -> bool {
    let mut map = [0u8; 64];
    sys::read_small(c"/proc/self/uid_map", &mut map)
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

fn entry(directory: &str, name: &str) -> Option<Entry> {
    let path = Path::new(directory).join(name);
    let kind = fs::symlink_metadata(&path).ok()?.file_type();
    let kind = if kind.is_symlink() {
        Kind::Link(fs::read_link(path).ok()?.into_os_string().into_string().ok()?)
    } else if kind.is_dir() {
        Kind::Directory
    } else {
        Kind::File
    };
    Some(Entry { name: name.to_owned(), kind })
}

fn etc() -> Vec<Entry> {
    let java = java();
    let names = ETC.into_iter().chain(java.iter().map(String::as_str));
    names.filter_map(|name| entry("/etc", name)).collect()
}

/// Debian keeps Java's configuration in `/etc/java-17-openjdk` and the like, one
/// directory for each `/usr/lib/jvm/java-17-openjdk-amd64`.
///
/// Not by std's directory reader: what it allocates, from the C library's own heap,
/// costs more than the reading.
fn java() -> Vec<String> {
    use rustix::fs::{CWD, Mode, OFlags, RawDir, openat};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let Ok(directory) = openat(CWD, c"/usr/lib/jvm", flags, Mode::empty()) else {
        return Vec::new();
    };
    let mut buffer = [std::mem::MaybeUninit::uninit(); 1024];
    let mut installed = RawDir::new(directory, &mut buffer);
    let mut names = Vec::new();
    while let Some(Ok(entry)) = installed.next() {
        names.extend(entry.file_name().to_str().ok().and_then(java_configuration));
    }
    names
}

fn java_configuration(installed: &str) -> Option<String> {
    let end = installed.find("-openjdk")? + "-openjdk".len();
    (installed.starts_with("java-") && !installed.starts_with("java-1."))
        .then(|| installed[..end].to_owned())
}
