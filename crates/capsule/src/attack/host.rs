//! What the host shows: processes, mounts, settings, and ears on its network. What it
//! shows of control groups, `capsule_jail::groups` knows.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};

/// Processes other than this one that carry `marker` in their arguments or, where
/// the caller may read it, in their environment.
pub(super) fn processes_with(marker: &str) -> Vec<i32> {
    let own = std::process::id() as i32;
    let holds = |pid: i32, file: &str| {
        let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
    };
    all_processes()
        .filter(|pid| *pid != own && (holds(*pid, "cmdline") || holds(*pid, "environ")))
        .collect()
}

/// Of those, the ones that run as a jail's command.
pub(super) fn guests_with(marker: &str) -> Vec<i32> {
    let is_guest = |pid: &i32| {
        fs::read(format!("/proc/{pid}/cmdline"))
            .is_ok_and(|bytes| bytes.starts_with(super::stage::BINARY.as_bytes()))
    };
    processes_with(marker).into_iter().filter(is_guest).collect()
}

fn all_processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Children of this process that live or were not reaped.
pub(super) fn children() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks
        .flat_map(|task| {
            let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            text.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// A field of `/proc/PID/status`.
pub(super) fn status_field(pid: i32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

/// The mounts of this mount namespace, without their numbers.
pub(super) fn mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let place = |line: &str| line.split(' ').skip(3).take(2).collect::<Vec<_>>().join(" ");
    let mut mounts: Vec<_> = text.lines().map(place).collect();
    mounts.sort();
    mounts
}

/// Settings that attempts try to change.
pub(super) fn settings() -> BTreeMap<String, String> {
    [
        "kernel/core_pattern",
        "kernel/hostname",
        "kernel/modprobe",
        "kernel/randomize_va_space",
        "kernel/sysrq",
        "net/ipv4/ip_forward",
        "vm/overcommit_memory",
    ]
    .into_iter()
    .filter_map(|name| {
        let value = fs::read_to_string(format!("/proc/sys/{name}")).ok()?;
        Some((name.to_owned(), value.trim().to_owned()))
    })
    .collect()
}

/// Listens on the host's loopback, over TCP and UDP, and on the same port number
/// for both where it is free.
pub(super) struct Ear {
    tcp: TcpListener,
    udp: UdpSocket,
}

impl Ear {
    pub(super) fn open() -> std::io::Result<Self> {
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        tcp.set_nonblocking(true)?;
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        udp.set_nonblocking(true)?;
        Ok(Self { tcp, udp })
    }

    pub(super) fn tcp_port(&self) -> std::io::Result<u16> {
        Ok(self.tcp.local_addr()?.port())
    }

    pub(super) fn udp_port(&self) -> std::io::Result<u16> {
        Ok(self.udp.local_addr()?.port())
    }

    /// What came in so far.
    pub(super) fn heard(&self) -> Vec<String> {
        let mut heard = Vec::new();
        while let Ok((mut stream, _)) = self.tcp.accept() {
            let mut bytes = [0; 64];
            let _ = stream.set_nonblocking(true);
            let length = stream.read(&mut bytes).unwrap_or(0);
            heard.push(format!("TCP {:?}", String::from_utf8_lossy(&bytes[..length])));
        }
        let mut bytes = [0; 64];
        while let Ok(length) = self.udp.recv(&mut bytes) {
            heard.push(format!("UDP {:?}", String::from_utf8_lossy(&bytes[..length])));
        }
        heard
    }
}

/// For evidence.
pub(super) fn heard_text(heard: &[String]) -> String {
    match heard {
        [] => "the host heard nothing".to_owned(),
        heard => format!("the host heard {}", heard.join(", ")),
    }
}
