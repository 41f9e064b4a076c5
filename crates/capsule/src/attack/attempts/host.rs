//! Settings, devices and facts of the machine.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::told;
use crate::attack::{host, sys};

const FAMILY: Family = Family::Host;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "kernel-settings",
        family: FAMILY,
        tries: "open settings below /proc/sys for writing, the one for crash handlers among them",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for name in [
                "kernel/core_pattern",
                "kernel/modprobe",
                "kernel/hotplug",
                "kernel/sysrq",
                "kernel/hostname",
                "kernel/domainname",
                "kernel/shmmax",
                "kernel/msgmax",
                "kernel/randomize_va_space",
                "kernel/yama/ptrace_scope",
                "kernel/panic",
                "kernel/ns_last_pid",
                "kernel/unprivileged_bpf_disabled",
                "vm/drop_caches",
                "vm/overcommit_memory",
                "vm/panic_on_oom",
                "fs/file-max",
                "fs/suid_dumpable",
                "fs/binfmt_misc/register",
                "fs/mqueue/msg_max",
                "net/ipv4/ip_forward",
                "net/ipv4/ping_group_range",
                "net/core/somaxconn",
                "user/max_user_namespaces",
            ] {
                let path = format!("/proc/sys/{name}");
                guest.unreachable(&path, OpenOptions::new().write(true).open(&path));
            }
        },
        outside: |stage| {
            let before = host::settings();
            let verdict = told(stage);
            verdict.and(Verdict::held_if(before == host::settings(), "unchanged on the host"))
        },
    },
    Attempt {
        name: "sysrq",
        family: FAMILY,
        tries: "ask the kernel by /proc/sysrq-trigger for a help text",
        bounds: Bounds::USUAL,
        // "h" is the one letter that does no harm if it gets through.
        guest: |guest| masked_write(guest, "/proc/sysrq-trigger", "h"),
        outside: told,
    },
    Attempt {
        name: "kernel-facts",
        family: FAMILY,
        tries: "read the kernel's memory, symbols, log, command line, keys and modules",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for name in [
                "cmdline",
                "kallsyms",
                "kcore",
                "kmsg",
                "keys",
                "key-users",
                "modules",
                "timer_list",
                "sched_debug",
                "kpagecount",
                "kpageflags",
                "vmallocinfo",
                "slabinfo",
                "iomem",
                "ioports",
                "config.gz",
            ] {
                let path = format!("/proc/{name}");
                let read = File::open(&path).and_then(|mut file| {
                    let mut start = [0; 64];
                    std::io::Read::read(&mut file, &mut start)
                });
                match read {
                    Ok(0) => guest.held(&path, "empty"),
                    // Addresses are zeros for those who may not know them, and the build
                    // configuration is public.
                    Ok(_) if name == "config.gz" => guest.held(&path, "public"),
                    Ok(_) if all_zero_addresses(&path) => guest.held(&path, "zeros"),
                    other => guest.unreachable(&path, other),
                }
            }
        },
        outside: told,
    },
    Attempt {
        name: "host-processes",
        family: FAMILY,
        tries: "list and read processes of the host",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let own = std::process::id();
            let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
            let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
            let others: Vec<_> = pids.filter(|pid| *pid != 1 && *pid != own).collect();
            guest.expect("/proc", others.is_empty(), format!("{} strangers", others.len()));
            let path = format!("/proc/{}/cmdline", guest.argument(1));
            guest.unreachable("cmdline of the supervisor", fs::read(&path));
        },
        outside: |stage| {
            // A number that the jail's few processes cannot have.
            let own = std::process::id().max(100).to_string();
            stage.jail().role(&["", &own]).told()
        },
    },
    Attempt {
        name: "identity-maps",
        family: FAMILY,
        tries: "rewrite the user and group maps of the jail",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for (name, text) in [("uid_map", "0 0 1"), ("gid_map", "0 0 1"), ("setgroups", "allow")]
            {
                for owner in ["self", "1"] {
                    let path = format!("/proc/{owner}/{name}");
                    guest.unreachable(&path, fs::write(&path, text));
                }
            }
        },
        outside: told,
    },
    Attempt {
        name: "oom-score",
        family: FAMILY,
        tries: "become the last that the kernel kills for memory, and the first that it runs",
        bounds: Bounds::USUAL,
        guest: |guest| {
            guest.refused("oom_score_adj", fs::write("/proc/self/oom_score_adj", "-1000"));
            guest.refused("setpriority", sys::call!(libc::SYS_setpriority, 0, 0, -20));
            let mut parameter = 1i32.to_ne_bytes();
            let real_time =
                sys::call!(libc::SYS_sched_setscheduler, 0, libc::SCHED_FIFO, &mut parameter);
            guest.refused("sched_setscheduler", real_time);
            const REAL_TIME_CLASS: i32 = 1 << 13;
            guest.refused("ioprio_set", sys::call!(libc::SYS_ioprio_set, 1, 0, REAL_TIME_CLASS));
        },
        outside: told,
    },
    Attempt {
        name: "sysfs-and-groups",
        family: FAMILY,
        tries: "find or mount /sys, the control groups, debugfs, securityfs and binfmt_misc",
        bounds: Bounds::USUAL,
        guest: |guest| {
            guest.unreachable("/sys", fs::read_dir("/sys"));
            for kind in [
                c"sysfs",
                c"cgroup",
                c"cgroup2",
                c"debugfs",
                c"tracefs",
                c"securityfs",
                c"bpf",
                c"binfmt_misc",
                c"devtmpfs",
                c"mqueue",
                c"overlay",
                c"tmpfs",
                c"ramfs",
                c"fuse",
            ] {
                let what = kind.to_string_lossy().into_owned();
                guest.refused(&what, sys::call!(libc::SYS_mount, c"none", c"/tmp", kind, 0, 0));
                guest.refused(&what, sys::call!(libc::SYS_fsopen, kind, 0));
            }
        },
        outside: told,
    },
    Attempt {
        name: "device-nodes",
        family: FAMILY,
        tries: "make nodes of disks, memory and terminals, in every writable place",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let nodes = [
                (libc::S_IFBLK, 8, 0),
                (libc::S_IFBLK, 254, 0),
                (libc::S_IFCHR, 1, 1),
                (libc::S_IFCHR, 4, 1),
            ];
            for place in ["/tmp", "/workspace", "/dev/shm", "/share"] {
                for (kind, major, minor) in nodes {
                    let path = format!("{place}/node-{kind}-{major}");
                    let Ok(path) = CString::new(path) else { continue };
                    let number = libc::makedev(major, minor);
                    let made = sys::call!(
                        libc::SYS_mknodat,
                        libc::AT_FDCWD,
                        path.as_c_str(),
                        kind | 0o666,
                        number
                    );
                    guest.refused(&path.to_string_lossy(), made);
                }
            }
        },
        outside: |stage| match stage.directory("share") {
            Ok(share) => stage.jail().writable(&share, "/share").told(),
            Err(error) => Verdict::Inconclusive(error.to_string()),
        },
    },
    Attempt {
        name: "host-devices",
        family: FAMILY,
        tries: "open disks, memory, the kernel's log, KVM, terminals and FUSE",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for name in [
                "kmsg",
                "mem",
                "kmem",
                "port",
                "kvm",
                "vda",
                "sda",
                "nvme0n1",
                "loop0",
                "loop-control",
                "fuse",
                "net/tun",
                "vsock",
                "vhost-net",
                "vhost-vsock",
                "tty",
                "tty0",
                "tty1",
                "console",
                "ttyS0",
                "mapper/control",
                "input",
                "uinput",
                "rtc0",
                "hpet",
                "dri",
                "snd",
                "userfaultfd",
                "watchdog",
                "cpu_dma_latency",
                "log",
                "hugepages",
            ] {
                let path = format!("/dev/{name}");
                guest.unreachable(&path, OpenOptions::new().read(true).write(true).open(&path));
                guest.unreachable(&path, File::open(&path));
            }
        },
        outside: told,
    },
    Attempt {
        name: "name-and-clock",
        family: FAMILY,
        tries: "set the host's name, domain and clock",
        bounds: Bounds::USUAL,
        guest: |guest| {
            // All with values that change nothing if they get through.
            guest.refused("sethostname", sys::call!(libc::SYS_sethostname, c"capsule", 7));
            guest.refused("setdomainname", sys::call!(libc::SYS_setdomainname, c"(none)", 6));
            guest.refused("settimeofday", sys::call!(libc::SYS_settimeofday, 0, 0));
            let mut now = [0u8; 16];
            let _ = sys::call!(libc::SYS_clock_gettime, libc::CLOCK_REALTIME, &mut now);
            let set = sys::call!(libc::SYS_clock_settime, libc::CLOCK_REALTIME, &mut now);
            guest.refused("clock_settime", set);
            let mut adjustment = [0u8; 208];
            guest.refused("adjtimex", sys::call!(libc::SYS_adjtimex, &mut adjustment));
        },
        outside: told,
    },
];

fn masked_write(guest: &Guest, path: &str, text: &str) {
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    match fs::metadata(path) {
        // The null device lies over it.
        Ok(data) if data.file_type().is_char_device() && data.rdev() == libc::makedev(1, 3) => {
            guest.held(path, "masked");
        }
        _ => guest.unreachable(path, fs::write(path, text)),
    }
}

/// `iomem` and `ioports` show only zeros to the unprivileged (since Linux 4.6).
fn all_zero_addresses(path: &str) -> bool {
    let text = fs::read_to_string(path).unwrap_or_default();
    let addresses = text.lines().filter_map(|line| line.split(" : ").next());
    (path.ends_with("iomem") || path.ends_with("ioports"))
        && addresses.flat_map(|range| range.trim().split('-')).all(|n| n.bytes().all(|b| b == b'0'))
}
