//! How failures of the network are told to a guest.

use std::io;

use super::super::interface::bindings::capsule::guest::types::Failure;

pub(super) fn failure(kind: &str, message: impl Into<String>) -> Failure {
    Failure { kind: kind.to_owned(), message: message.into(), detail: String::new() }
}

/// The connection is not there any more, or never was.
pub(super) fn gone() -> Failure {
    failure("Closed", "the connection is closed")
}

/// What the kernel said. Its own words only: no address of the host's is in them.
pub(super) fn from_io(error: &io::Error) -> Failure {
    use io::ErrorKind as Kind;
    let (kind, message) = match error.kind() {
        Kind::ConnectionRefused => ("ConnectionRefused", "the host refused the connection"),
        Kind::ConnectionReset => ("ConnectionReset", "the other side reset the connection"),
        Kind::ConnectionAborted => ("ConnectionReset", "the connection was aborted"),
        Kind::BrokenPipe => ("BrokenPipe", "the other side has closed the connection"),
        Kind::TimedOut => ("TimedOut", "the other side did not answer in time"),
        Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::AddrNotAvailable => {
            ("Unreachable", "the host cannot be reached")
        }
        _ => ("Network", "the connection failed"),
    };
    failure(kind, message)
}
