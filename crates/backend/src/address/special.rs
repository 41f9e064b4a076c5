//! Which addresses are inside: of the host, of its networks, or of no single
//! host at all. A guest reaches such an address only if a rule spells it out.
//! Knows nothing of rules or names.
//!
//! The documentation ranges (192.0.2.0/24 and its like) are not on the list:
//! nothing sensitive lives there, and test networks route them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// Whether `address` is special by its range alone (IANA special-purpose
/// registries, RFC 6890 and its updates).
pub(super) fn is_special(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_special_v4(address),
        IpAddr::V6(address) => is_special_v6(address),
    }
}

fn is_special_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)            // this network, private, loopback
            | (100, 64..=127, _)        // carrier-grade NAT; 100.100.100.200 is a metadata service
            | (169, 254, _)             // link-local; 169.254.169.254 is a metadata service
            | (172, 16..=31, _)         // private
            | (192, 0, 0)               // protocol assignments
            | (192, 168, _)             // private
            | (198, 18..=19, _)         // benchmarking
            | (224.., _, _) // multicast, reserved, broadcast
    )
}

fn is_special_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = embedded_v4(address) {
        return is_special_v4(inner);
    }
    let [a, b, c, ..] = address.segments();
    match (a, b, c) {
        // Teredo: it embeds two addresses, and is nobody's only address.
        (0x2001, 0, _) => true,
        // NAT64 inside one network: what it leads to is that network's secret.
        (0x64, 0xff9b, 1) => true,
        // Discard-only.
        (0x100, 0, 0) => true,
        _ => matches!(
            a,
            0xfc00..=0xfdff         // unique-local; fd00:ec2::254 is a metadata service
                | 0xfe80..=0xfebf   // link-local
                | 0xfec0..=0xfeff   // site-local, withdrawn but still routed by some
                | 0xff00.. // multicast
        ),
    }
}

/// The IPv4 address that packets to this one can end up at: compatible (that
/// covers `::` and `::1` too), mapped, translated, NAT64, 6to4, ISATAP.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match s {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] => v4(high, low),
        [0, 0, 0, 0, 0xffff, 0, high, low] => v4(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        [0x2002, high, low, ..] => v4(high, low),
        [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => v4(high, low),
        _ => None,
    }
}

/// Whether packets to `address` would stay on this host, whose addresses at
/// start were `own`. A service that listens on the host's public address is as
/// sensitive as one on loopback.
pub(super) fn is_own(address: IpAddr, own: &[IpAddr]) -> bool {
    let inner = match address {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    own.contains(&address) || own.contains(&inner) || is_routed_to_self(address)
}

/// Asks the routing table, because addresses come and go after start: to reach
/// an address of its own, the kernel picks that address as the source. Connecting
/// a datagram socket sends nothing. If it cannot be asked, there is no route, and
/// the real connect will fail the same way.
fn is_routed_to_self(address: IpAddr) -> bool {
    let source = || {
        let any: IpAddr = match address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(SocketAddr::new(address, 9))?;
        socket.local_addr()
    };
    source().is_ok_and(|source| source.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_range_at_both_ends() {
        for text in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.255",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:0:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "feff::1",
            "fc00::",
            "fdff:ffff::1",
            "fd00:ec2::254",
            "ff02::1",
            "ff0e::1",
            "100::1",
            "2001:db8::5efe:10.0.0.1",
            "2001:db8::200:5efe:10.0.0.1",
        ] {
            assert!(is_special(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn neighbours_of_special_ranges_are_public() {
        for text in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.2.1",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.100.1",
            "203.0.113.80",
            "223.255.255.255",
            "2606:4700::1111",
            "2001:4860:4860::8888",
            "2001:db8::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "fe00::1",
            "fbff::1",
        ] {
            assert!(!is_special(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn own_addresses_are_found_in_the_list_and_in_the_routing_table() {
        let own: Vec<IpAddr> = vec!["198.51.100.7".parse().unwrap()];
        assert!(is_own("198.51.100.7".parse().unwrap(), &own));
        assert!(is_own("::ffff:198.51.100.7".parse().unwrap(), &own));
        assert!(is_own("2002:c633:6407::1".parse().unwrap(), &own));
        assert!(!is_own("198.51.100.8".parse().unwrap(), &own));
        assert!(is_own("127.0.0.1".parse().unwrap(), &[]), "by the route alone");
        for address in super::super::own_addresses().unwrap() {
            let link_local = matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
            assert!(link_local || is_routed_to_self(address), "{address}");
        }
    }
}
