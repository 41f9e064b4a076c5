//! Bytes, inodes, names and descriptors until something gives.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::{Guest, errno_name};
use crate::attack::stage::{Stage, describe, no_run, told};
use crate::attack::sys;

const FAMILY: Family = Family::Disk;
/// 1024 inodes go with so little.
const SMALL: Bounds = Bounds { disk_mib: 4, memory_mib: 192, ..Bounds::USUAL };

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "inode-flood",
        family: FAMILY,
        tries: "make empty files without end",
        bounds: SMALL,
        guest: |guest| {
            until_full(guest, "files", 20_000, |index| {
                File::create(format!("/tmp/{index}")).map(drop)
            });
        },
        outside: told,
    },
    Attempt {
        name: "directory-depth",
        family: FAMILY,
        tries: "nest directories without end, deeper than any path can name",
        bounds: SMALL,
        guest: |guest| {
            until_full(guest, "directories", 2_000, |_| {
                fs::create_dir("d")?;
                std::env::set_current_dir("d")
            });
        },
        outside: told,
    },
    Attempt {
        name: "link-flood",
        family: FAMILY,
        tries: "make hard links, long symbolic links and attributes, which are not bytes of files",
        bounds: SMALL,
        guest: |guest| {
            let _ = File::create("/tmp/file");
            until_full(guest, "hard links", 20_000, |index| {
                fs::hard_link("/tmp/file", format!("/tmp/{index:0>200}"))
            });
            let target = "x".repeat(4000);
            until_full(guest, "symbolic links", 20_000, |index| {
                std::os::unix::fs::symlink(&target, format!("/workspace/{index}"))
            });
        },
        outside: told,
    },
    Attempt {
        name: "disk-fill",
        family: FAMILY,
        tries: "write into every private place beyond the one limit they share",
        bounds: SMALL,
        guest: disk_fill,
        outside: told,
    },
    Attempt {
        name: "disk-reserve",
        family: FAMILY,
        tries: "reserve 100 MiB with fallocate",
        bounds: SMALL,
        guest: |guest| match File::create("/tmp/file") {
            Ok(file) => {
                let reserved = sys::call!(libc::SYS_fallocate, file.as_raw_fd(), 0, 0, 100 << 20);
                guest.refused_by("fallocate", reserved, &[libc::ENOSPC, libc::EFBIG]);
            }
            Err(error) => guest.unclear("create", error.to_string()),
        },
        outside: told,
    },
    Attempt {
        name: "hidden-files",
        family: FAMILY,
        tries: "fill the disk with files that have no name any more",
        bounds: SMALL,
        guest: |guest| {
            until_full(guest, "MiB without a name", 64, |_| {
                let mut file = File::create("/tmp/hidden")?;
                fs::remove_file("/tmp/hidden")?;
                file.write_all(&vec![1; 1 << 20])?;
                std::mem::forget(file);
                Ok(())
            });
        },
        outside: told,
    },
    Attempt {
        name: "giant-names",
        family: FAMILY,
        tries: "use names and paths longer than the kernel takes",
        bounds: SMALL,
        guest: |guest| {
            let long = [libc::ENAMETOOLONG];
            let name = File::create(format!("/tmp/{}", "n".repeat(256)));
            guest.refused_by("256 bytes of name", name, &long);
            let path = File::create(format!("/tmp/{}", "p/".repeat(1 << 19)));
            guest.refused_by("1 MiB of path", path, &long);
        },
        outside: told,
    },
    Attempt {
        name: "descriptor-flood",
        family: FAMILY,
        tries: "open descriptors without end, and raise the limit first",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let mut limit = [0u8; 16];
            limit[..8].copy_from_slice(&1_000_000u64.to_ne_bytes());
            limit[8..].copy_from_slice(&1_000_000u64.to_ne_bytes());
            let raised =
                sys::call!(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE as i32, &mut limit, 0);
            guest.refused("raise the limit", raised);
            until_full(guest, "descriptors", 20_000, |_| {
                std::mem::forget(File::open("/dev/null")?);
                Ok(())
            });
        },
        outside: told,
    },
    Attempt {
        name: "giant-arguments",
        family: FAMILY,
        tries: "execute a program with 8 MiB of arguments, and one argument of 1 MiB",
        bounds: Bounds::USUAL,
        guest: giant_arguments,
        outside: told,
    },
    Attempt {
        name: "giant-request",
        family: FAMILY,
        tries: "start a jail with an argument of 1 MiB",
        bounds: Bounds::USUAL,
        guest: |guest| guest.held("arguments", "taken"),
        outside: giant_request,
    },
    Attempt {
        name: "core-dump",
        family: FAMILY,
        tries: "crash, so that the host writes a core file or starts its crash handler",
        bounds: Bounds::USUAL,
        guest: core_dump,
        outside: told,
    },
];

/// Makes more until it is refused, but no more than a missing wall should cost.
fn until_full(guest: &Guest, what: &str, most: usize, more: impl Fn(usize) -> std::io::Result<()>) {
    for count in 0..most {
        if let Err(error) = more(count) {
            let number = error.raw_os_error().unwrap_or(0);
            let evidence = format!("{} after {count}", errno_name(number));
            let full = [libc::ENOSPC, libc::EMFILE, libc::EMLINK, libc::ENOMEM, libc::EDQUOT];
            return if full.contains(&number) {
                guest.held(what, evidence);
            } else {
                guest.unclear(what, evidence);
            };
        }
    }
    guest.through(what, format!("{most} were made"));
}

fn disk_fill(guest: &Guest) {
    let mut total = 0;
    for place in ["/tmp", "/workspace", "/dev/shm"] {
        let Ok(mut file) = File::create(format!("{place}/file")) else { continue };
        while total < 64 << 20 {
            match file.write(&[1; 64 << 10]) {
                Ok(length) => total += length,
                Err(_) => break,
            }
        }
    }
    let limit = (SMALL.disk_mib as usize) << 20;
    guest.expect(
        "bytes",
        total <= limit,
        format!("{} KiB written, limit {}", total >> 10, limit >> 10),
    );
}

fn giant_arguments(guest: &Guest) {
    let too_long = [libc::E2BIG];
    let run = |arguments: &[String]| {
        std::process::Command::new("/proc/self/exe").args(arguments).status()
    };
    guest.refused_by("one of 1 MiB", run(&["x".repeat(1 << 20)]), &too_long);
    let many: Vec<String> = (0..64).map(|_| "x".repeat(131_071)).collect();
    guest.refused_by("8 MiB", run(&many), &too_long);
}

/// It ends in an answer either way: a run, or an error of the command's own.
fn giant_request(stage: &Stage<'_>) -> Verdict {
    match stage.jail().role(&[&"x".repeat(1 << 20)]).run() {
        Err(error) => Verdict::Inconclusive(no_run(&error)),
        Ok(outcome) => Verdict::held_if(
            outcome.exit_code.is_none() && outcome.error.is_some(),
            describe(&outcome),
        ),
    }
}

fn core_dump(guest: &Guest) {
    // 0 would start a handler that the host pipes core files to; 1 is what keeps it asleep.
    for wish in [0u64, u64::MAX] {
        let mut limit = [0u8; 16];
        limit[..8].copy_from_slice(&wish.to_ne_bytes());
        limit[8..].copy_from_slice(&wish.to_ne_bytes());
        let _ = sys::call!(libc::SYS_prlimit64, 0, libc::RLIMIT_CORE as i32, &mut limit, 0);
        let mut now = [0u8; 16];
        let _ = sys::call!(libc::SYS_prlimit64, 0, libc::RLIMIT_CORE as i32, 0, &mut now);
        guest.expect("change the limit", now[0] == 1 && now[8] == 1, format!("it is {now:?}"));
    }
    match sys::fork() {
        Ok(None) => {
            let _ = sys::call!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0);
            // Not SIGSEGV: the language's runtime has a handler for it.
            let _ = sys::kill(std::process::id() as i32, libc::SIGQUIT);
            sys::sleep_ms(5_000);
            sys::exit(0);
        }
        Ok(Some(pid)) => match sys::wait(pid) {
            Ok(status) if libc::WIFSIGNALED(status) => {
                guest.expect("crash", !libc::WCOREDUMP(status), "the core flag of the wait status");
            }
            other => guest.unclear("crash", format!("{other:?}")),
        },
        Err(error) => guest.unclear("fork", error.to_string()),
    }
}
