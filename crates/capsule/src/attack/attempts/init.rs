//! PID 1 of the jail: what it holds, and what it obeys.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;

use capsule_spec::Status;

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::{Stage, describe, no_run, told};
use crate::attack::sys;

/// What the supervisor sends to PID 1 to end a run (`capsule_init::END_SIGNAL`).
/// Written out: the suite asks what a stranger who read the source would ask.
const END_SIGNAL: i32 = 40;

const FAMILY: Family = Family::Init;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "kill-init",
        family: FAMILY,
        tries: "send every signal there is to PID 1",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for signal in 1..=64 {
                let _ = sys::kill(1, signal);
                let _ = sys::call!(libc::SYS_tkill, 1, signal);
            }
            still_here(guest);
        },
        outside: ends_well,
    },
    Attempt {
        name: "forge-end-signal",
        family: FAMILY,
        tries: "queue the supervisor's end signal with a forged sender",
        bounds: Bounds::USUAL,
        guest: forge_end_signal,
        outside: ends_well,
    },
    Attempt {
        name: "end-signal-by-kernel",
        family: FAMILY,
        tries: "have the kernel send the end signal to PID 1, as owner of a pipe",
        bounds: Bounds::USUAL,
        guest: end_signal_by_kernel,
        outside: ends_well,
    },
    Attempt {
        name: "init-memory",
        family: FAMILY,
        tries: "open the memory of PID 1 for reading and writing",
        bounds: Bounds::USUAL,
        guest: |guest| {
            guest.unreachable("/proc/1/mem", File::open("/proc/1/mem"));
            let writing = OpenOptions::new().write(true).open("/proc/1/mem");
            guest.unreachable("/proc/1/mem (write)", writing);
            guest.unreachable("/proc/1/task/1/mem", File::open("/proc/1/task/1/mem"));
        },
        outside: told,
    },
    Attempt {
        name: "init-secrets",
        family: FAMILY,
        tries: "read the environment, maps, descriptors and stack of PID 1",
        bounds: Bounds::USUAL,
        guest: init_secrets,
        outside: told,
    },
    Attempt {
        name: "init-ptrace",
        family: FAMILY,
        tries: "trace PID 1, read its memory and take its descriptors by system calls",
        bounds: Bounds::USUAL,
        guest: |guest| {
            const PTRACE_SEIZE: i32 = 0x4206;
            guest.refused("ptrace", sys::call!(libc::SYS_ptrace, PTRACE_SEIZE, 1, 0, 0));
            read_memory_of(guest, 1);
            take_descriptors_of(guest, 1);
        },
        outside: told,
    },
    Attempt {
        name: "init-limits",
        family: FAMILY,
        tries: "set limits on PID 1, and make it the first to die of memory",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let mut limit = [0u8; 16];
            let set = sys::call!(libc::SYS_prlimit64, 1, libc::RLIMIT_NOFILE as i32, &mut limit, 0);
            guest.refused("prlimit(1)", set);
            guest.refused("oom_score_adj", fs::write("/proc/1/oom_score_adj", "1000"));
            guest.refused("coredump_filter", fs::write("/proc/1/coredump_filter", "ff"));
        },
        outside: told,
    },
    Attempt {
        name: "sibling-ptrace",
        family: FAMILY,
        tries: "trace another process of the same jail and read its memory",
        bounds: Bounds::USUAL,
        guest: sibling_ptrace,
        outside: told,
    },
    Attempt {
        name: "child-for-init",
        family: FAMILY,
        tries: "clone with CLONE_PARENT, a child that PID 1 never asked for",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let flags = libc::CLONE_PARENT | libc::SIGCHLD;
            let cloned = sys::call!(libc::SYS_clone, flags, 0, 0, 0, 0);
            if let Ok(0) = cloned {
                sys::exit(0);
            }
            guest.refused("clone(CLONE_PARENT)", cloned);
        },
        outside: told,
    },
];

fn still_here(guest: &Guest) {
    // PID 1 would need a moment to kill everybody.
    sys::sleep_ms(30);
    guest.held("PID 1", "takes no orders from inside");
}

/// As told, and the run ended with the command's own success.
fn ends_well(stage: &Stage<'_>) -> Verdict {
    let result = stage.jail().run();
    let verdict = crate::attack::stage::judge(&result);
    match result {
        Err(error) => Verdict::Inconclusive(no_run(&error)),
        Ok(outcome) if outcome.status == Status::Success => verdict,
        Ok(outcome) => {
            Verdict::Escaped(format!("the guest ended its jail: {}", describe(&outcome)))
        }
    }
}

fn forge_end_signal(guest: &Guest) {
    // siginfo_t: signo, errno, code, padding, pid, uid. PID 0 is what kill(2) from
    // outside looks like.
    for code in [0, -1, -2, -3, -6, 1, 0x80] {
        let mut info = [0u8; 128];
        info[0..4].copy_from_slice(&END_SIGNAL.to_ne_bytes());
        info[8..12].copy_from_slice(&i32::to_ne_bytes(code));
        let _ = sys::call!(libc::SYS_rt_sigqueueinfo, 1, END_SIGNAL, &mut info);
        let _ = sys::call!(libc::SYS_rt_tgsigqueueinfo, 1, 1, END_SIGNAL, &mut info);
        if let Ok(handle) = sys::call!(libc::SYS_pidfd_open, 1, 0) {
            let _ = sys::call!(libc::SYS_pidfd_send_signal, handle, END_SIGNAL, &mut info, 0);
        }
    }
    still_here(guest);
}

fn end_signal_by_kernel(guest: &Guest) {
    const F_SETSIG: i32 = 10;
    let mut ends = [0u8; 8];
    if sys::call!(libc::SYS_pipe2, &mut ends, 0).is_err() {
        return guest.unclear("pipe", "none");
    }
    let end = |at: usize| i32::from_ne_bytes([ends[at], ends[at + 1], ends[at + 2], ends[at + 3]]);
    let (read, write) = (end(0), end(4));
    let _ = sys::call!(libc::SYS_fcntl, read, libc::F_SETOWN, 1);
    let _ = sys::call!(libc::SYS_fcntl, read, F_SETSIG, END_SIGNAL);
    let _ = sys::call!(libc::SYS_fcntl, read, libc::F_SETFL, libc::O_ASYNC | libc::O_NONBLOCK);
    let mut byte = [1u8];
    for _ in 0..64 {
        let _ = sys::call!(libc::SYS_write, write, &mut byte, 1);
    }
    still_here(guest);
}

fn init_secrets(guest: &Guest) {
    for name in ["environ", "maps", "auxv", "io", "stack", "syscall", "pagemap", "clear_refs"] {
        let path = format!("/proc/1/{name}");
        // Some open for anybody and answer nothing to strangers.
        match fs::read(&path) {
            Ok(bytes) if bytes.is_empty() => guest.held(&path, "empty"),
            other => guest.unreachable(&path, other.map(drop)),
        }
    }
    for name in ["fd", "fdinfo", "map_files"] {
        let path = format!("/proc/1/{name}");
        guest.unreachable(&path, fs::read_dir(&path));
    }
    for name in ["cwd", "root", "exe"] {
        let path = format!("/proc/1/{name}");
        guest.unreachable(&path, fs::read_link(&path));
    }
}

fn read_memory_of(guest: &Guest, pid: i32) {
    let mut target = [0u8; 64];
    let place = target.as_mut_ptr() as usize;
    let mut vector = [0u8; 16];
    vector[..8].copy_from_slice(&place.to_ne_bytes());
    vector[8..].copy_from_slice(&64usize.to_ne_bytes());
    let mut remote = vector;
    let read = sys::call!(libc::SYS_process_vm_readv, pid, &mut vector, 1, &mut remote, 1, 0);
    guest.refused("process_vm_readv", read);
}

fn take_descriptors_of(guest: &Guest, pid: i32) {
    match sys::call!(libc::SYS_pidfd_open, pid, 0) {
        Err(error) => guest.refused::<()>("pidfd_open", Err(error)),
        Ok(handle) => {
            for descriptor in 0..8 {
                let taken = sys::call!(libc::SYS_pidfd_getfd, handle, descriptor, 0);
                guest.refused("pidfd_getfd", taken);
            }
        }
    }
}

fn sibling_ptrace(guest: &Guest) {
    const PTRACE_ATTACH: i32 = 16;
    match sys::fork() {
        Ok(None) => {
            sys::sleep_ms(5_000);
            sys::exit(0);
        }
        Ok(Some(pid)) => {
            guest.refused("ptrace", sys::call!(libc::SYS_ptrace, PTRACE_ATTACH, pid, 0, 0));
            read_memory_of(guest, pid);
            if let Ok(handle) = sys::call!(libc::SYS_pidfd_open, pid, 0) {
                let stdout = std::io::stdout().as_raw_fd();
                let taken = sys::call!(libc::SYS_pidfd_getfd, handle, stdout, 0);
                guest.refused("pidfd_getfd", taken);
            }
            let _ = sys::kill(pid, libc::SIGKILL);
        }
        Err(error) => guest.unclear("fork", error.to_string()),
    }
}
