//! What a guest sees of the file system, and what it can change there.

use capsule_tests::{Caller, Run};

/// As root and as a stranger.
const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];

#[test]
fn the_root_holds_nothing_of_the_host_but_the_system() {
    for caller in CALLERS {
        let run = Run::new(&["--", "ls", "-1", "/"]).caller(caller).finish().ended_with(0);
        let system = ["bin", "lib", "lib32", "lib64", "libx32", "sbin"];
        let own: Vec<&str> = run.text().lines().filter(|name| !system.contains(name)).collect();
        assert_eq!(own, ["dev", "etc", "proc", "tmp", "usr", "workspace"]);
    }
}

#[test]
fn etc_is_minimal() {
    let allowed = [
        "alternatives",
        "group",
        "hosts",
        "ld.so.cache",
        "localtime",
        "mime.types",
        "nsswitch.conf",
        "passwd",
        "protocols",
        "services",
        "ssl",
    ];
    for caller in CALLERS {
        let run = Run::new(&["--", "ls", "-1A", "/etc"]).caller(caller).finish().ended_with(0);
        for name in run.text().lines() {
            assert!(allowed.contains(&name) || name.starts_with("java-"), "/etc/{name} is visible");
        }
        let hidden = "for file in shadow gshadow sudoers ssh hostname machine-id environment fstab \
            ssl/private resolv.conf; do [ -e /etc/$file ] && echo $file; done; true";
        assert_eq!(Run::shell(&[], hidden).caller(caller).finish().ended_with(0).text(), "");
        let users = Run::shell(&[], "cut -d: -f1,3 /etc/passwd; whoami").caller(caller).finish();
        assert_eq!(users.text(), "root:0\ncapsule:1000\nnobody:65534\ncapsule\n");
    }
}

#[test]
fn the_resolver_comes_with_the_network_only() {
    let look = "[ -e /etc/resolv.conf ] && echo there || echo absent";
    assert_eq!(Run::shell(&[], look).finish().text(), "absent\n");
    if std::path::Path::new("/etc/resolv.conf").exists() {
        assert_eq!(Run::shell(&["--network"], look).finish().text(), "there\n");
    }
}

#[test]
fn dev_is_minimal() {
    for caller in CALLERS {
        let run = Run::new(&["--", "ls", "-1A", "/dev"]).caller(caller).finish().ended_with(0);
        let names: Vec<&str> = run.text().lines().collect();
        assert_eq!(
            names,
            [
                "fd", "full", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout",
                "urandom", "zero"
            ]
        );
        let script = "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 4 \
            /dev/urandom | wc -c; \
                      echo x 2>/dev/null > /dev/full || echo full";
        let run = Run::shell(&[], script).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "4\n4\nfull\n");
        let pty = "import os\na, b = os.openpty()\nos.write(b, b'x\\n')\nprint(os.ttyname(b), \
            os.read(a, 9))";
        let run = Run::python(&[], pty).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "/dev/pts/0 b'x\\r\\n'\n");
    }
}

#[test]
fn the_dangerous_parts_of_proc_are_masked() {
    let script = "for file in cmdline kallsyms kcore key-users keys kmsg modules sysrq-trigger \
        timer_list; do \
        [ -s /proc/$file ] && echo $file; head -c 1 /proc/$file 2>/dev/null; done; true";
    for caller in CALLERS {
        let run = Run::shell(&[], script).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "");
        let absent =
            "ls /sys 2>/dev/null; ls /proc/1/root/ 2>/dev/null; ls /proc/1/cwd/ 2>/dev/null; true";
        assert_eq!(Run::shell(&[], absent).caller(caller).finish().ended_with(0).text(), "");
    }
}

#[test]
fn the_kernel_cannot_be_written_to() {
    let script = "for file in /proc/sys/kernel/core_pattern /proc/sys/vm/drop_caches \
        /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/hostname /proc/sysrq-trigger \
        /proc/sys/kernel/ns_last_pid /proc/1/oom_score_adj /proc/1/uid_map /proc/self/uid_map \
        /proc/acpi/wakeup /proc/irq/default_smp_affinity; do \
        (echo 1 > $file) 2>/dev/null && case $file in /proc/sysrq-trigger) ;; *) echo wrote \
        $file;; esac; done; true";
    for caller in CALLERS {
        for flags in [&[][..], &["--network"]] {
            let run = Run::shell(flags, script).caller(caller).finish().ended_with(0);
            assert_eq!(run.text(), "", "{flags:?}");
        }
    }
}

#[test]
fn the_system_is_read_only() {
    let script = "for place in / /usr /usr/bin /usr/local /etc /etc/ssl /etc/alternatives /dev \
        /proc /proc/sys; do \
        touch $place/new 2>/dev/null && echo wrote $place; done; \
        (echo x >> /etc/passwd) 2>/dev/null && echo wrote passwd; \
        rm /etc/passwd 2>/dev/null && echo removed passwd; \
        mv /usr/bin/env /usr/bin/env2 2>/dev/null && echo renamed; \
        chmod 777 /usr/bin/env 2>/dev/null && echo chmod; \
        mount -o remount,rw /usr 2>/dev/null && echo remounted; true";
    for caller in CALLERS {
        assert_eq!(Run::shell(&[], script).caller(caller).finish().ended_with(0).text(), "");
    }
}

/// The mount flags are a wall of their own, behind which Landlock is a second one.
#[test]
fn every_mount_but_the_private_ones_is_read_only() {
    let writable = ["/workspace", "/tmp", "/dev/pts", "/dev/shm", "/proc"];
    for caller in CALLERS {
        let run = Run::new(&["--", "cat", "/proc/mounts"]).caller(caller).finish().ended_with(0);
        assert!(run.text().lines().count() > 8, "{run}");
        for line in run.text().lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let flags: Vec<&str> = fields[3].split(',').collect();
            // A device node or its like in place of a file has nothing below it.
            let is_node = fields[2] == "devtmpfs" || fields[1].starts_with("/proc/");
            if writable.contains(&fields[1]) || is_node && fields[1] != "/proc/sys" {
                continue;
            }
            assert!(flags.contains(&"ro"), "{line}");
            assert!(flags.contains(&"nosuid") && flags.contains(&"nodev"), "{line}");
        }
    }
}

#[test]
fn nothing_of_a_setuid_file_is_honoured() {
    let script = "awk '$2 == \"/usr\" || $2 == \"/workspace\" || $2 == \"/tmp\" {print $4}' \
        /proc/mounts \
        | grep -vc nosuid; touch /tmp/x; chmod 4755 /tmp/x 2>/dev/null && echo chmod; \
        find /tmp/x -perm /6000; true";
    for caller in CALLERS {
        let run = Run::shell(&[], script).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "0\n");
    }
}

#[test]
fn the_private_places_are_writable_empty_and_forgotten() {
    let script = "for place in /tmp /workspace /dev/shm $HOME $TMPDIR; do \
        [ -z \"$(ls -A $place | grep -v '^left$')\" ] || echo not empty: $place; \
        echo x > $place/left && stat -c %U $place/left; done";
    for caller in CALLERS {
        for _ in 0..2 {
            let run = Run::shell(&[], script).caller(caller).finish().ended_with(0);
            assert_eq!(run.text(), "capsule\n".repeat(5));
        }
    }
}

#[test]
fn tmp_is_a_place_to_work() {
    let script = "cd /tmp && mkfifo p && ln -s a b && ln p q && mkdir -p a/b && mv a c && \
        printf '#!/bin/sh\necho ran\n' > s && chmod +x s && ./s && \
        python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/tmp/sock\")' && \
        stat -c %a /tmp /workspace /dev/shm";
    for caller in CALLERS {
        let run = Run::shell(&[], script).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "ran\n1777\n755\n1777\n");
    }
}

#[test]
fn the_callers_folder_and_home_are_not_visible() {
    for caller in CALLERS {
        let home = std::env::var("HOME").unwrap_or("/root".to_owned());
        let here = std::env::current_dir().unwrap();
        let script = format!(
            "ls {home} {} /home /root /var /opt /mnt /srv /boot /run 2>/dev/null",
            here.display()
        );
        let run = Run::shell(&[], &script).caller(caller).finish();
        assert_eq!(run.text(), "", "{run}");
    }
}

#[test]
fn the_mask_of_the_caller_does_not_matter() {
    let wrapper = ["sh", "-c", "umask 0777; exec \"$@\"", "sh"];
    let script = "umask; echo x > /workspace/f && stat -c %a /workspace/f /tmp /etc/passwd";
    let run = Run::shell(&[], script).through(&wrapper).finish().ended_with(0);
    assert_eq!(run.text(), "0022\n644\n1777\n644\n");
}
