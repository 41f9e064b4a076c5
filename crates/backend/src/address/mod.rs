//! Whom a guest may reach: the one decision behind every way out, the jail's door
//! and the host functions of Wasm guests alike.
//!
//! Owns: what counts as a host, which addresses are inside, how rules and addresses
//! decide together, and the host's resolver. Refuses to know how a connection is
//! made: whoever makes one connects to an address that [`Reach::admit`] returned, and
//! looks no name up twice, so that an answer which changes in between changes nothing.

mod resolver;
mod special;
mod sys;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use capsule_spec::HostRule;
use capsule_spec::host_rule::canonical_name;

pub use resolver::Resolver;

/// More addresses than this are not tried: the list comes from outside.
const ADDRESSES_TRIED: usize = 8;

/// A host that may be shown to the resolver or the kernel: nothing else ever is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// Canonical; never something that a resolver could read as an address.
    Name(String),
    /// Written as one.
    Address(IpAddr),
}

impl Host {
    /// Reads a name, four decimal numbers, or IPv6 in brackets. `None` for all the
    /// rest: `2130706433`, `127.1`, `[fe80::1%eth0]`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(address.into()));
        }
        // std's parser takes four decimal numbers without leading zeroes, only.
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::Address(address.into()));
        }
        canonical_name(text).ok().map(Self::Name)
    }

    /// The text that rules are matched with.
    #[must_use]
    pub fn rule_text(&self) -> String {
        match self {
            Self::Name(name) => name.clone(),
            Self::Address(address) => address.to_string(),
        }
    }
}

impl fmt::Display for Host {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => out.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(out, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(out, "[{address}]"),
        }
    }
}

/// What a policy opens.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// Whom it names.
    pub rules: &'a [HostRule],
    /// The addresses of this machine, from [`own_addresses`].
    pub own: &'a [IpAddr],
}

impl Reach<'_> {
    /// Whether a rule covers the host as it was asked for.
    #[must_use]
    pub fn names(&self, host: &Host, port: u16) -> bool {
        self.may_name(&host.rule_text(), port)
    }

    /// The same for a text that is known to be a host.
    #[must_use]
    pub fn may_name(&self, host: &str, port: u16) -> bool {
        self.rules.iter().any(|rule| rule.matches_name(host, port))
    }

    /// Of the addresses that a covered host has, those that may be connected to, in
    /// their order. An inside address is among them only if a rule spells it out.
    #[must_use]
    pub fn admit(&self, found: &[IpAddr], port: u16) -> Vec<SocketAddr> {
        let tried = found.iter().take(ADDRESSES_TRIED);
        let open = tried.filter(|address| self.is_open(**address, port));
        open.map(|address| SocketAddr::new(*address, port)).collect()
    }

    /// Whether this very address may be connected to.
    #[must_use]
    pub fn is_open(&self, address: IpAddr, port: u16) -> bool {
        self.rules.iter().any(|rule| rule.names_address(address, port))
            || !(special::is_special(address) || special::is_own(address, self.own))
    }
}

/// The addresses of this machine's interfaces, whether they are up or not.
///
/// # Errors
/// The kernel does not tell; then they cannot be protected.
pub fn own_addresses() -> io::Result<Vec<IpAddr>> {
    sys::interface_addresses()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_hosts_are_hosts() {
        for text in [
            "2130706433",
            "0x7f.1",
            "127.1",
            "0177.0.0.1",
            "127.0.0.1.",
            "[::1%25lo]",
            "::1",
            "a b",
            "",
        ] {
            assert_eq!(Host::parse(text), None, "{text}");
        }
        for (text, printed) in
            [("A.Org.", "a.org"), ("10.1.2.3", "10.1.2.3"), ("[FD00::1]", "[fd00::1]")]
        {
            assert_eq!(Host::parse(text).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn an_inside_address_is_open_only_if_it_is_spelled_out() {
        let rules = ["*", "127.0.0.1:80"].map(|rule| rule.parse().unwrap());
        let own = ["198.51.100.7".parse().unwrap()];
        let reach = Reach { rules: &rules, own: &own };
        let found =
            ["198.51.100.7", "127.0.0.1", "203.0.113.1", "::ffff:127.0.0.1", "169.254.169.254"];
        let found = found.map(|text| text.parse().unwrap());
        let admitted =
            |port| reach.admit(&found, port).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(admitted(80), ["127.0.0.1:80", "203.0.113.1:80"]);
        assert_eq!(admitted(81), ["203.0.113.1:81"]);
    }

    #[test]
    fn a_long_list_of_addresses_is_cut() {
        let rules = ["*".parse().unwrap()];
        let found: Vec<IpAddr> = (0..100).map(|last| [203, 0, 113, last].into()).collect();
        assert_eq!(Reach { rules: &rules, own: &[] }.admit(&found, 80).len(), ADDRESSES_TRIED);
    }
}
