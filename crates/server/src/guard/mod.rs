//! Who may ask, and how much.
//!
//! Owns: the checks that come before anything of a request is read: no web page drives a
//! server on loopback, a key is known, nobody asks too often. Refuses to know: requests.
//!
//! A server without keys trusts whoever can connect to it: everybody on this machine, for
//! loopback; one user, for a Unix socket. What it must not trust is a page in a browser on
//! this machine, which can connect, too. It gives itself away by three things that it
//! cannot leave out or forge: `Origin`, `Host` and `Sec-Fetch-Site`.

mod bucket;
mod identity;
mod page;

pub(crate) use identity::Identities;
pub(crate) use page::Pages;

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Somebody on the network or on loopback.
    Network,
    /// The user who runs the server, or root; the kernel says so.
    SameUser,
}
