//! Parts of the kernel that no guest needs: each is refused before any of its
//! code runs, whether or not it would refuse by itself.

use std::fs::File;
use std::os::fd::AsRawFd;

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::{Stage, describe, no_run, told};
use crate::attack::sys;

const FAMILY: Family = Family::Calls;

/// libc lacks it on aarch64.
#[cfg(target_arch = "x86_64")]
const KEXEC_FILE_LOAD: i64 = libc::SYS_kexec_file_load;
#[cfg(not(target_arch = "x86_64"))]
const KEXEC_FILE_LOAD: i64 = 294;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "io-uring",
        family: FAMILY,
        tries: "set up an io_uring, which opens and connects past any filter",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let mut parameters = [0u8; 120];
            guest.refused("setup", sys::call!(libc::SYS_io_uring_setup, 4, &mut parameters));
            guest.refused("enter", sys::call!(libc::SYS_io_uring_enter, 0, 1, 0, 0, 0, 0));
            guest.refused("register", sys::call!(libc::SYS_io_uring_register, 0, 0, 0, 0));
        },
        outside: told,
    },
    Attempt {
        name: "bpf-and-perf",
        family: FAMILY,
        tries: "load programs into the kernel, and measure it",
        bounds: Bounds::USUAL,
        guest: |guest| {
            const MAP_CREATE: i32 = 0;
            // An array of one entry.
            let mut map = [0u8; 128];
            map[0] = 2;
            map[4] = 4;
            map[8] = 4;
            map[12] = 1;
            guest.refused("bpf", sys::call!(libc::SYS_bpf, MAP_CREATE, &mut map, 128));
            let mut event = [0u8; 128];
            // Software event, CPU clock, user mode only.
            event[0] = 1;
            event[4] = 128;
            event[40] = 0b0110_0000;
            let opened = sys::call!(libc::SYS_perf_event_open, &mut event, 0, -1, -1, 0);
            guest.refused("perf_event_open", opened);
        },
        outside: told,
    },
    Attempt {
        name: "userfaultfd",
        family: FAMILY,
        tries: "stop the kernel in the middle of a copy",
        bounds: Bounds::USUAL,
        guest: |guest| {
            guest.refused("kernel faults", sys::call!(libc::SYS_userfaultfd, 0));
            guest.refused("user faults", sys::call!(libc::SYS_userfaultfd, 1));
        },
        outside: told,
    },
    Attempt {
        name: "keyrings",
        family: FAMILY,
        tries: "read, make and ask for keys of the kernel's keyrings",
        bounds: Bounds::USUAL,
        guest: |guest| {
            const SESSION: i32 = -3;
            const USER: i32 = -4;
            let mut payload = *b"secret";
            let added = sys::call!(libc::SYS_add_key, c"user", c"capsule", &mut payload, 6, USER);
            guest.refused("add_key", added);
            let asked = sys::call!(libc::SYS_request_key, c"user", c"capsule", c"", USER);
            guest.refused("request_key", asked);
            const DESCRIBE: i32 = 6;
            let mut text = [0u8; 128];
            for (name, ring) in [("session keyring", SESSION), ("user keyring", USER)] {
                let described = sys::call!(libc::SYS_keyctl, DESCRIBE, ring, &mut text, 128, 0);
                guest.refused(name, described);
            }
        },
        outside: told,
    },
    Attempt {
        name: "replace-the-kernel",
        family: FAMILY,
        tries: "load a kernel, load and remove modules, and reach for the power switch",
        bounds: Bounds::USUAL,
        guest: |guest| {
            // Every argument is chosen to do nothing if the call should get through.
            guest.refused("kexec_load", sys::call!(libc::SYS_kexec_load, 0, 0, 0, 0));
            guest.refused("kexec_file_load", sys::call!(KEXEC_FILE_LOAD, -1, -1, 0, 0, 0));
            let mut module = [0u8; 64];
            guest.refused("init_module", sys::call!(libc::SYS_init_module, &mut module, 64, c""));
            guest.refused("finit_module", sys::call!(libc::SYS_finit_module, -1, c"", 0));
            guest.refused("delete_module", sys::call!(libc::SYS_delete_module, c"capsule-none", 0));
            let off = sys::call!(
                libc::SYS_reboot,
                libc::LINUX_REBOOT_MAGIC1,
                libc::LINUX_REBOOT_MAGIC2,
                libc::LINUX_REBOOT_CMD_CAD_OFF,
                0
            );
            guest.refused("reboot (ctrl-alt-del off)", off);
        },
        outside: told,
    },
    Attempt {
        name: "administer-the-host",
        family: FAMILY,
        tries: "read the kernel's log, set quotas, swap, accounting and hang up terminals",
        bounds: Bounds::USUAL,
        guest: |guest| {
            const READ_ALL: i32 = 3;
            let mut text = [0u8; 256];
            guest.refused("syslog", sys::call!(libc::SYS_syslog, READ_ALL, &mut text, 256));
            guest.refused("swapon", sys::call!(libc::SYS_swapon, c"/tmp/none", 0));
            guest.refused("swapoff", sys::call!(libc::SYS_swapoff, c"/tmp/none"));
            guest.refused("acct", sys::call!(libc::SYS_acct, c"/tmp/none"));
            // Q_GETINFO of user quotas.
            let quota =
                sys::call!(libc::SYS_quotactl, 0x0080_0005u32 << 8, c"/dev/vda", 0, &mut text);
            guest.refused("quotactl", quota);
            guest.refused("vhangup", sys::call!(libc::SYS_vhangup));
        },
        outside: told,
    },
    Attempt {
        name: "seccomp-listener",
        family: FAMILY,
        tries: "install a filter whose listener answers system calls in the supervisor's place",
        bounds: Bounds::USUAL,
        guest: |guest| {
            // One instruction: return ALLOW.
            let mut code = [0x06u8, 0, 0, 0, 0, 0, 0xff, 0x7f];
            let mut program = [0u8; 16];
            program[0] = 1;
            let place = code.as_mut_ptr() as usize;
            program[8..].copy_from_slice(&place.to_ne_bytes());
            let flag = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
            let listener =
                sys::call!(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flag, &mut program);
            guest.refused("listener", listener);
        },
        outside: told,
    },
    Attempt {
        name: "terminal-input",
        family: FAMILY,
        tries: "type into a terminal with TIOCSTI and TIOCLINUX, with and without noise in the high half",
        bounds: Bounds::USUAL,
        guest: terminal_input,
        outside: told,
    },
    Attempt {
        name: "rewrite-itself",
        family: FAMILY,
        tries: "forge what /proc tells of the process, and map the page at address 0",
        bounds: Bounds::USUAL,
        guest: |guest| {
            const SET_MM_ARG_START: i32 = 8;
            let mut text = [0u8; 64];
            let place = text.as_mut_ptr() as usize;
            let forged =
                sys::call!(libc::SYS_prctl, libc::PR_SET_MM, SET_MM_ARG_START, place, 0, 0);
            guest.refused("PR_SET_MM", forged);
            const READ_IMPLIES_EXEC: i32 = 0x0040_0000;
            const MMAP_PAGE_ZERO: i32 = 0x0010_0000;
            guest
                .refused("READ_IMPLIES_EXEC", sys::call!(libc::SYS_personality, READ_IMPLIES_EXEC));
            guest.refused("MMAP_PAGE_ZERO", sys::call!(libc::SYS_personality, MMAP_PAGE_ZERO));
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
            guest.refused("mmap(0)", sys::call!(libc::SYS_mmap, 0, 4096, 3, flags, -1, 0));
        },
        outside: told,
    },
    Attempt {
        name: "rare-calls",
        family: FAMILY,
        tries: "use secret memory, page moves, page gifts, kernel comparison and calls of the future",
        bounds: Bounds::USUAL,
        guest: |guest| {
            guest.refused("memfd_secret", sys::call!(libc::SYS_memfd_secret, 0));
            guest.refused("move_pages", sys::call!(libc::SYS_move_pages, 0, 0, 0, 0, 0, 0));
            guest.refused("migrate_pages", sys::call!(libc::SYS_migrate_pages, 0, 0, 0, 0));
            guest.refused("vmsplice", sys::call!(libc::SYS_vmsplice, 1, 0, 0, 0));
            let own = std::process::id();
            guest.refused("kcmp", sys::call!(libc::SYS_kcmp, own, own, 0, 0, 0));
            guest.refused("lookup_dcookie", sys::call!(libc::SYS_lookup_dcookie, 0, 0, 0));
            const CACHESTAT: i64 = 451;
            guest.refused("cachestat", sys::call!(CACHESTAT, 0, 0, 0, 0));
            guest.refused("number 900", sys::call!(900i64));
        },
        outside: told,
    },
    #[cfg(target_arch = "x86_64")]
    Attempt {
        name: "machine-segments",
        family: FAMILY,
        tries: "reach the machine's ports, and install a segment of its own",
        bounds: Bounds::USUAL,
        guest: |guest| {
            guest.refused("iopl", sys::call!(libc::SYS_iopl, 3));
            guest.refused("ioperm", sys::call!(libc::SYS_ioperm, 0x80, 1, 1));
            let mut table = [0u8; 64];
            guest.refused("modify_ldt", sys::call!(libc::SYS_modify_ldt, 0, &mut table, 64));
        },
        outside: told,
    },
    #[cfg(target_arch = "x86_64")]
    Attempt {
        name: "calls-of-32-bit",
        family: FAMILY,
        tries: "make a 32-bit call by int 0x80, which numbers calls differently",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let answer = sys::call_32_bit();
            guest.through("int 0x80", format!("answered {answer}"));
        },
        outside: dies_by_sigsys,
    },
    #[cfg(target_arch = "x86_64")]
    Attempt {
        name: "calls-of-x32",
        family: FAMILY,
        tries: "make a call with the x32 bit, another table behind the same instruction",
        bounds: Bounds::USUAL,
        guest: |guest| {
            const X32: i64 = 0x4000_0000;
            let answer = sys::call!(X32 | libc::SYS_getpid);
            guest.through("x32 getpid", format!("{answer:?}"));
        },
        outside: dies_by_sigsys,
    },
];

fn terminal_input(guest: &Guest) {
    let terminal = File::options().read(true).write(true).open("/dev/ptmx");
    let terminal = match terminal {
        Ok(terminal) => terminal,
        Err(error) => return guest.absent("/dev/ptmx", error.to_string()),
    };
    let mut unlocked = [0u8; 4];
    let _ = sys::call!(libc::SYS_ioctl, terminal.as_raw_fd(), libc::TIOCSPTLCK, &mut unlocked);
    let mut number = [0u8; 4];
    let _ = sys::call!(libc::SYS_ioctl, terminal.as_raw_fd(), libc::TIOCGPTN, &mut number);
    let path = format!("/dev/pts/{}", u32::from_ne_bytes(number));
    let slave = match File::options().read(true).write(true).open(&path) {
        Ok(slave) => slave,
        Err(error) => return guest.unclear(&path, error.to_string()),
    };
    // The jail's command leads a session; the terminal becomes its own, and hangs up
    // when the other end is closed.
    sys::ignore_signals();
    let _ = sys::call!(libc::SYS_ioctl, slave.as_raw_fd(), libc::TIOCSCTTY, 0);
    const NOISE: i64 = 0x1_0000_0000;
    for (name, request) in [
        ("TIOCSTI", libc::TIOCSTI as i64),
        ("TIOCSTI with noise", libc::TIOCSTI as i64 | NOISE),
        ("TIOCLINUX", libc::TIOCLINUX as i64),
        ("TIOCSETD", libc::TIOCSETD as i64),
        ("TIOCCONS", libc::TIOCCONS as i64),
    ] {
        let mut byte = [b'x', 0, 0, 0];
        let typed = sys::call!(libc::SYS_ioctl, slave.as_raw_fd(), request, &mut byte);
        // EIO: the kernel's own switch against TIOCSTI (dev.tty.legacy_tiocsti).
        guest.refused_by(name, typed, &[libc::EIO]);
    }
}

#[cfg(target_arch = "x86_64")]
fn dies_by_sigsys(stage: &Stage<'_>) -> Verdict {
    match stage.jail().run() {
        Err(error) => Verdict::Inconclusive(no_run(&error)),
        Ok(outcome) if outcome.signal == Some(libc::SIGSYS) => Verdict::Held(describe(&outcome)),
        // A kernel without that table kills as well, by SIGSEGV: nothing was called.
        Ok(outcome) if outcome.signal == Some(libc::SIGSEGV) => {
            Verdict::Skipped(format!("this kernel has no such calls: {}", describe(&outcome)))
        }
        Ok(outcome) => Verdict::Escaped(format!("the call was made: {}", describe(&outcome))),
    }
}
