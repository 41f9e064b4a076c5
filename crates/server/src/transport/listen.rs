//! Where connections come from.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{TcpListener, UnixListener};

use super::io::Socket;
use crate::guard::Peer;

/// A socket that listens.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Socketfile),
}

/// The name of a Unix socket; removed when the server stops.
#[derive(Debug)]
pub(crate) struct Socketfile(PathBuf);

impl Drop for Socketfile {
    fn drop(&mut self) {
        // Somebody else may have removed it, which is as well.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    pub(crate) async fn tcp(address: SocketAddr) -> io::Result<Self> {
        TcpListener::bind(address).await.map(Self::Tcp)
    }

    /// Listens under a name in the file system that nobody else may connect to.
    pub(crate) fn unix(path: &Path) -> io::Result<Self> {
        // What an earlier server left is in the way; what is no socket, or is in use, stays.
        if let Ok(found) = std::fs::symlink_metadata(path)
            && found.file_type().is_socket()
            && std::os::unix::net::UnixStream::connect(path).is_err()
        {
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let name = Socketfile(path.to_owned());
        // Between the two calls others may connect; the kernel says who they are.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self::Unix(listener, name))
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| "unknown".to_owned(), |address| format!("http://{address}")),
            Self::Unix(_, name) => format!("unix:{}", name.0.display()),
        }
    }
}

/// The next connection, and who is at its other end; none if it may not come in.
pub(super) async fn next(listener: &Listener) -> io::Result<Option<(Socket, Peer)>> {
    match listener {
        Listener::Tcp(listener) => {
            let (stream, _) = listener.accept().await?;
            // Answers are written whole; waiting for more to send only costs time.
            stream.set_nodelay(true)?;
            Ok(Some((Socket::Tcp(stream), Peer::Network)))
        }
        Listener::Unix(listener, _) => {
            let (stream, _) = listener.accept().await?;
            let user = stream.peer_cred()?.uid();
            let own = rustix::process::geteuid().as_raw();
            let may = user == own || user == 0;
            Ok(may.then_some((Socket::Unix(stream), Peer::SameUser)))
        }
    }
}

pub(crate) use super::connection::accept;
