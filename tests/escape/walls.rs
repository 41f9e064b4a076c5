//! The walls as the kernel shows them: from inside, and from outside where the
//! guest cannot lie.

use std::fs;
use std::time::{Duration, Instant};

use capsule_tests::{Caller, Run, Running, Signal, own_user, skip};

/// As root and as a stranger.
const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];

/// The host's ids of the processes in a jail: of PID 1 and all below it.
fn members(run: &Running) -> Vec<u32> {
    let mut found = children(run.pid());
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        next += 1;
        found.extend(children(pid));
    }
    found
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn field(pid: u32, name: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let line = line.unwrap_or_else(|| panic!("no {name} of {pid}, which should live"));
    line.split_whitespace().map(str::to_owned).collect()
}

/// A jail that waits, with a child of its command.
fn waiting(flags: &[&str], caller: Caller) -> Running {
    let run = Run::shell(flags, "sleep 60 & echo ready; wait").caller(caller).start();
    run.wait_for("ready");
    run
}

fn end(run: Running) {
    run.signal(Signal::Terminate);
    run.finish();
}

#[test]
fn the_host_user_is_never_root() {
    for caller in CALLERS {
        let run = waiting(&[], caller);
        let members = members(&run);
        // PID 1, the shell, its child.
        assert_eq!(members.len(), 3);
        for pid in members {
            for name in ["Uid:", "Gid:"] {
                let ids = field(pid, name);
                assert!(ids.iter().all(|id| id != "0"), "{name} {ids:?}");
                assert!(ids.iter().all(|id| *id == ids[0]), "{name} {ids:?}");
            }
            if own_user() == 0 {
                assert_eq!(field(pid, "Groups:"), [""; 0], "the caller's groups are left");
            }
        }
        end(run);
    }
}

#[test]
fn no_map_holds_root() {
    for caller in CALLERS {
        let run = waiting(&[], caller);
        for pid in members(&run) {
            for map in ["uid_map", "gid_map"] {
                let map = fs::read_to_string(format!("/proc/{pid}/{map}")).unwrap();
                let fields: Vec<u32> =
                    map.split_whitespace().map(|number| number.parse().unwrap()).collect();
                let [inside, outside, count] = fields[..] else { panic!("more than one: {map}") };
                assert_eq!((inside, count), (1000, 1), "{map}");
                assert_ne!(outside, 0, "{map}");
            }
        }
        end(run);
    }
}

#[test]
fn two_jails_of_root_are_two_users() {
    if own_user() != 0 {
        return skip("only root gives each jail a user of its own");
    }
    let (first, second) = (waiting(&[], Caller::Current), waiting(&[], Caller::Current));
    let user = |run: &Running| field(members(run)[0], "Uid:")[0].clone();
    assert_ne!(user(&first), user(&second));
    end(first);
    end(second);
}

#[test]
fn every_process_is_without_privileges() {
    for caller in CALLERS {
        let run = waiting(&[], caller);
        for pid in members(&run) {
            for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
                assert_eq!(field(pid, set), ["0000000000000000"], "{set}");
            }
            assert_eq!(field(pid, "NoNewPrivs:"), ["1"]);
            // PID 1 puts on its own filter when the command is on its way.
            let deadline = Instant::now() + Duration::from_secs(10);
            while field(pid, "Seccomp:") != ["2"] {
                assert!(Instant::now() < deadline, "no filter on {:?}", field(pid, "Name:"));
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        end(run);
    }
}

const NAMESPACES: [&str; 8] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];

/// The host's own, by kind.
fn host_namespace(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}")).unwrap_or_default().display().to_string()
}

/// Those of a command, as it sees them itself: the numbers are the kernel's.
fn guest_namespaces(flags: &[&str], caller: Caller) -> Vec<String> {
    let script = NAMESPACES.map(|kind| format!("readlink /proc/self/ns/{kind}")).join(" && ");
    let run = Run::shell(flags, &script).caller(caller).finish().ended_with(0);
    run.text().lines().map(str::to_owned).collect()
}

#[test]
fn every_namespace_is_its_own() {
    for caller in CALLERS {
        let (first, second) = (guest_namespaces(&[], caller), guest_namespaces(&[], caller));
        assert_eq!(first.len(), NAMESPACES.len());
        for ((kind, first), second) in NAMESPACES.into_iter().zip(first).zip(second) {
            assert_ne!(first, host_namespace(kind), "{kind} is the host's");
            assert!(first.starts_with(kind) && second.starts_with(kind), "{first} {second}");
        }
    }
}

#[test]
fn two_jails_share_no_namespace() {
    let (first, second) = (waiting(&[], Caller::Current), waiting(&[], Caller::Current));
    if own_user() != 0 {
        skip("only root may look at the namespaces of a jail from outside");
    } else {
        for kind in NAMESPACES {
            let of = |run: &Running| {
                members(run).into_iter().map(move |pid| {
                    fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap().display().to_string()
                })
            };
            for link in of(&first) {
                assert_ne!(link, host_namespace(kind));
                assert!(of(&second).all(|other| other != link), "{kind} is shared");
            }
        }
    }
    end(first);
    end(second);
}

#[test]
fn an_open_network_shares_nothing_but_the_network() {
    for caller in CALLERS {
        let found = guest_namespaces(&["--network"], caller);
        for (kind, found) in NAMESPACES.into_iter().zip(found) {
            assert_eq!(found == host_namespace(kind), kind == "net", "{kind}");
        }
    }
}

#[test]
fn the_guest_sees_itself_alone() {
    let script = "ls /proc | grep -c '^[0-9]'; hostname; \
        ipcs -mq 2>/dev/null | grep -c 0x; echo $$";
    for caller in CALLERS {
        let run = Run::shell(&[], script).caller(caller).finish().ended_with(0);
        let lines: Vec<&str> = run.text().lines().collect();
        // PID 1 where it shows, the shell, ls and grep.
        assert!(lines[0].parse::<u32>().unwrap() <= 4, "{run}");
        assert_eq!(&lines[1..3], ["capsule", "0"], "{run}");
        assert!(lines[3].parse::<u32>().unwrap() < 10, "{run}");
    }
}

/// Also once the run has lived long enough to have joined its own, of which it may see
/// the random name on version 1.
#[test]
fn control_groups_of_the_host_do_not_show() {
    let says_nothing = |path: &str| match path.strip_prefix("/capsule-") {
        Some(id) => id.len() == 36 && id.split('-').count() == 5,
        None => path == "/",
    };
    let script = "cut -d: -f3 /proc/self/cgroup; sleep 0.3; cut -d: -f3 /proc/self/cgroup";
    for caller in CALLERS {
        let run = Run::shell(&[], script).caller(caller).finish().ended_with(0);
        assert!(run.text().lines().all(says_nothing), "{run}");
    }
}

#[test]
fn processes_of_the_host_cannot_be_signalled() {
    let own = std::process::id();
    let script = format!("kill -0 {own} 2>&1; kill -9 -1; echo alive");
    for caller in CALLERS {
        // kill(-1) spares the caller and PID 1 and finds nobody else.
        let run = Run::shell(&[], &script).caller(caller).finish().ended_with(0);
        assert!(run.text().contains("No such process") && run.text().ends_with("alive\n"), "{run}");
    }
}

#[test]
fn the_guest_cannot_end_pid_1() {
    for caller in CALLERS {
        let script = "for s in TERM INT HUP QUIT KILL USR1 USR2 40; do kill -$s 1; done \
            2>/dev/null; \
                      sleep 0.3; echo alive";
        let run = Run::shell(&[], script).caller(caller).finish().ended_with(0);
        assert_eq!(run.text(), "alive\n");
        let run = Run::python(&[], "open('/proc/1/mem', 'r+b')").caller(caller).finish();
        assert!(run.ended_with(1).errors().contains("PermissionError"));
    }
}

#[test]
fn pid_1_reaps_orphans() {
    let script = "import os, time\n\
        for _ in range(30):\n\
        \x20   if os.fork() == 0:\n\
        \x20       if os.fork() == 0: time.sleep(0.2)\n\
        \x20       os._exit(0)\n\
        \x20   os.wait()\n\
        time.sleep(1.5)\n\
        states = []\n\
        for pid in filter(str.isdigit, os.listdir('/proc')):\n\
        \x20   with open(f'/proc/{pid}/stat') as f: \
        states.append(f.read().rpartition(')')[2].split()[0])\n\
        print(len(states), states.count('Z'))";
    for caller in CALLERS {
        let run = Run::python(&[], script).caller(caller).finish().ended_with(0);
        let (seen, zombies) = run.text().trim().split_once(' ').unwrap();
        assert!(seen.parse::<u32>().unwrap() <= 2 && zombies == "0", "{run}");
    }
}

#[test]
fn the_session_is_its_own() {
    let script = "import os\nprint(os.getsid(0) == os.getpid() == os.getpgrp())\n\
        try: open('/dev/tty')\n\
        except OSError as error: print(error.errno)\n";
    for caller in CALLERS {
        let run = Run::python(&[], script).caller(caller).finish().ended_with(0);
        let (own, tty) = run.text().trim().split_once('\n').unwrap();
        assert_eq!(own, "True");
        // ENOENT or ENXIO: there is no terminal to push characters into.
        assert!(["2", "6"].contains(&tty), "{run}");
    }
}

#[test]
fn no_descriptor_is_inherited() {
    let script = "import os\nprint(sorted(int(fd) for fd in os.listdir('/proc/self/fd'))[:-1])\n\
        print([os.readlink(f'/proc/self/fd/{fd}').split(':')[0] for fd in range(3)])";
    for caller in CALLERS {
        for number in [3, 7, 200] {
            let run = Run::python(&[], script).caller(caller).with_descriptor(number).finish();
            assert_eq!(run.ended_with(0).text(), "[0, 1, 2]\n['/dev/null', 'pipe', 'pipe']\n");
        }
    }
}

#[test]
fn pid_1_and_the_door_keep_no_descriptor_either() {
    let run = Run::shell(&["--allow-host", "192.0.2.1"], "echo ready; sleep 60");
    let run = run.with_descriptor(9).start();
    run.wait_for("ready");
    let holders = || {
        let holds = |pid: &u32| {
            let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            let mut targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
            targets.any(|target| target.ends_with("etc/passwd"))
        };
        members(&run).into_iter().filter(holds).collect::<Vec<_>>()
    };
    // The door may just be starting.
    let deadline = Instant::now() + Duration::from_secs(10);
    // PID 1, the door, the shell and its child.
    while members(&run).len() < 4 || !holders().is_empty() {
        assert!(Instant::now() < deadline, "{:?} of {:?}", holders(), members(&run));
        std::thread::sleep(Duration::from_millis(10));
    }
    end(run);
}

#[test]
fn the_environment_is_clean() {
    let script = "import os\nprint(sorted(os.environ))";
    for caller in CALLERS {
        let run = Run::python(&[], script).caller(caller).variable("SECRET_TOKEN", "s3cret");
        let run = run.variable("LD_PRELOAD_X", "x").finish().ended_with(0);
        assert_eq!(run.text(), "['HOME', 'LANG', 'LOGNAME', 'PATH', 'TMPDIR', 'USER']\n");
        let run =
            Run::shell(&[], "cat /proc/1/environ /proc/*/environ 2>/dev/null | tr '\\0' '\\n'");
        let run = run.caller(caller).variable("SECRET_TOKEN", "s3cret").finish();
        assert!(!run.text().contains("s3cret"), "the caller's environment shows: {run}");
    }
}

#[test]
fn the_callers_command_line_is_hidden() {
    // PID 1 is a clone of the supervisor: its arguments name host paths.
    let run =
        Run::shell(&["-e", "A=s3cret-argument"], "unset A; cat /proc/1/cmdline | tr '\\0' ' '");
    let run = run.finish();
    assert!(!run.text().contains("s3cret-argument"), "{run}");
}

/// Each attempt prints the errno that it met, or that it got through.
const ATTEMPTS: &str = r"
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def attempt(name, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(*(ctypes.c_long(a) if isinstance(a, int) else a for a in arguments))
    got = errno.errorcode.get(ctypes.get_errno(), '?') if result == -1 else 'THROUGH'
    print(name, got)
attempt('unshare', 272, 0x10000000)
attempt('setns', 308, 0, 0)
attempt('mount', 165, b'none', b'/tmp', b'tmpfs', 0, 0)
attempt('umount2', 166, b'/usr', 2)
attempt('pivot_root', 155, b'/', b'/')
attempt('chroot', 161, b'/tmp')
attempt('mknod', 133, b'/tmp/null', 0o20666, 259)
attempt('setuid', 105, 0)
attempt('sethostname', 170, b'x', 1)
attempt('bpf', 321, 0, 0, 0)
attempt('io_uring_setup', 425, 1, 0)
attempt('userfaultfd', 323, 0)
attempt('keyctl', 250, 0, 0)
attempt('perf_event_open', 298, 0, 0, -1, -1, 0)
attempt('init_module', 175, 0, 0, 0)
attempt('reboot', 169, 0, 0, 0, 0)
attempt('open_by_handle_at', 304, -1, 0, 0)
attempt('clock_settime', 227, 0, b'\0' * 16)
attempt('clone_newuser', 56, 0x10000011, 0, 0, 0, 0)
attempt('ptrace_init', 101, 16, 1, 0, 0)
attempt('chmod_setuid', 90, b'/tmp', 0o4777)
";

#[test]
#[cfg(target_arch = "x86_64")]
fn system_calls_that_no_guest_needs_are_refused() {
    for caller in CALLERS {
        let run = Run::python(&[], ATTEMPTS).caller(caller).finish().ended_with(0);
        let met: Vec<_> = run.text().lines().collect();
        assert_eq!(met.len(), 21, "{run}");
        for line in met {
            let (name, got) = line.split_once(' ').unwrap();
            // User 0 does not exist in the map, so there is nothing to permit.
            let refused = got == "EPERM" || (name, got) == ("setuid", "EINVAL");
            assert!(refused, "{name}: {got}\n{run}");
        }
    }
}
