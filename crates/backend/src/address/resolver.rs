//! From a name to addresses, by the host's own resolver: hosts file, then DNS.

use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::sys::{Families, resolve};

/// Asks for IPv6 only where it can be of use. Some name servers drop questions
/// for it; musl then waits for its whole timeout and gives up on IPv4 as well. So
/// after a timeout IPv4 is asked for alone, and if that works, from then on.
#[derive(Debug)]
pub struct Resolver {
    asks_v6: AtomicBool,
}

impl Resolver {
    /// For a host with these addresses: without one for IPv6 there is no use in it.
    #[must_use]
    pub fn new(own: &[IpAddr]) -> Self {
        let is_usable = |address: &IpAddr| match address {
            IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
            IpAddr::V4(_) => false,
        };
        let asks_v6 = AtomicBool::new(own.iter().any(is_usable));
        Self { asks_v6 }
    }

    /// The addresses of `name`, best first; the host's hosts file may know it, too.
    /// Blocks as long as resolv.conf allows.
    ///
    /// # Errors
    /// `TimedOut`, if a server did not answer, or `NotFound`; both without detail.
    pub fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        if self.asks_v6.load(Ordering::Relaxed) {
            match resolve(name, Families::Both) {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {}
                result => return result,
            }
            let found = resolve(name, Families::V4)?;
            self.asks_v6.store(false, Ordering::Relaxed);
            return Ok(found);
        }
        resolve(name, Families::V4)
    }
}
