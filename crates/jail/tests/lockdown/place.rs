//! What an intruder finds: a folder with what is granted to it and what is not.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use capsule_jail::lockdown::Lockdown;

use crate::sys;

pub(crate) const SECRET: &str = "a secret";

/// Somebody who listens.
enum Listener {
    Tcp { _socket: TcpListener },
    Unix { _socket: UnixListener },
}

/// ```text
/// secret          of somebody else's run
/// daemon          listens
/// granted/read    to be read
/// granted/write/  to be written
/// granted/write/narrow/  the same, also after the narrowing
/// ```
pub(crate) struct Place {
    root: PathBuf,
    /// Taken down at the end, by the process that made it.
    kept: Option<(tempfile::TempDir, File, [Listener; 2])>,
}

impl Place {
    pub(crate) fn new(user: Option<u32>) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let root = folder.path().canonicalize().expect("it was just made");
        for part in ["granted/write/narrow", "granted/read"] {
            fs::create_dir_all(root.join(part)).expect("the folder is ours");
        }
        let write = |path: &str, text: &str| fs::write(root.join(path), text).expect("ours too");
        write("secret", SECRET);
        write("granted/read/file", "to be read");
        write("granted/write/file", "to be written");
        write("granted/write/narrow/file", "to be written");
        let daemon = UnixListener::bind(root.join("daemon")).expect("the folder is ours");
        let mut all = vec![root.clone()];
        while let Some(path) = all.pop() {
            if path.is_dir() {
                all.extend(
                    fs::read_dir(&path).expect("ours").map(|entry| entry.expect("ours").path()),
                );
            }
            // What is not granted would be open to the user, but for the lock-down.
            let mode = if path.is_dir() { 0o777 } else { 0o666 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("ours");
            chown(&path, user, user).expect("only root names a user");
        }
        fs::copy(std::env::current_exe().expect("it runs"), root.join("program")).expect("ours");
        fs::set_permissions(root.join("program"), fs::Permissions::from_mode(0o755)).expect("ours");
        let inherited = File::open(&root).expect("ours");
        sys::let_it_be_inherited(&inherited);
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback is there");
        let port = listener.local_addr().expect("it is bound").port();
        fs::write(root.join("granted/read/port"), port.to_string()).expect("ours");
        Self {
            root,
            kept: Some((
                folder,
                inherited,
                [Listener::Tcp { _socket: listener }, Listener::Unix { _socket: daemon }],
            )),
        }
    }

    pub(crate) fn at(path: &str) -> Self {
        Self { root: PathBuf::from(path), kept: None }
    }

    pub(crate) fn path(&self) -> &str {
        self.root.to_str().expect("temporary folders have plain names")
    }

    pub(crate) fn join(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// This program, once more, with a folder that it inherits.
    pub(crate) fn program(&self) -> Command {
        let mut command = Command::new(self.join("program"));
        let (_, inherited, _) = self.kept.as_ref().expect("only the maker starts programs");
        command.env("INHERITED", sys::number(inherited).to_string());
        command
    }

    pub(crate) fn inherited(&self) -> i32 {
        let number = std::env::var("INHERITED").expect("the maker set it");
        number.parse().expect("it is a number")
    }

    pub(crate) fn port(&self) -> u16 {
        let text = fs::read_to_string(self.join("granted/read/port")).expect("it is granted");
        text.parse().expect("it is a number")
    }

    pub(crate) fn lockdown(&self, connect: bool) -> Lockdown {
        Lockdown {
            read: vec![self.join("granted/read"), self.join("not/there")],
            write: vec![self.join("granted/write")],
            connect,
        }
    }

    /// For what was locked down already.
    pub(crate) fn narrower(&self) -> Lockdown {
        Lockdown {
            // More than before, which must not be had.
            read: vec![self.root.clone()],
            write: vec![self.join("granted/write/narrow")],
            connect: false,
        }
    }

    /// Whether what nobody may write is as it was.
    pub(crate) fn is_untouched(&self) -> bool {
        let is =
            |path: &str, text: &str| fs::read_to_string(self.join(path)).is_ok_and(|is| is == text);
        let is_set_id = |path: &Path| {
            fs::metadata(path)
                .is_ok_and(|file| file.permissions().mode() & 0o6000 != 0 && file.len() > 0)
        };
        let names = fs::read_dir(&self.root).expect("ours").count();
        is("secret", SECRET)
            && is("granted/read/file", "to be read")
            && names == 4
            && !is_set_id(&self.join("granted/write/set-id"))
    }
}
