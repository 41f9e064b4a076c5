//! Every way to hold more memory than the limit.
//!
//! Each program takes three times its limit piece by piece, keeps it for a moment
//! (a supervisor that adds up from outside needs one), and says so if it lives.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use capsule_spec::{ErrorCode, Status, Wall};

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::{Guest, errno_name};
use crate::attack::stage::{Stage, admitted, describe, judge, no_run, told};
use crate::attack::sys;

const FAMILY: Family = Family::Memory;

/// The limit is 32 MiB, and disk is no smaller, so that memory is what is short.
const BOUNDS: Bounds = Bounds { memory_mib: 32, disk_mib: 256, pids: 48, ..Bounds::USUAL };
const PIECE: usize = 1 << 20;
const PIECES: usize = 96;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "memory-heap",
        family: FAMILY,
        tries: "touch private pages, three times the limit",
        bounds: BOUNDS,
        guest: |guest| take(guest, |_| touch(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)),
        outside: bounded,
    },
    Attempt {
        name: "memory-at-once",
        family: FAMILY,
        tries: "touch three times the limit before a control group can be joined",
        bounds: BOUNDS,
        guest: |guest| take_now(guest, |_| touch(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS)),
        outside: bounded,
    },
    Attempt {
        name: "memory-shared",
        family: FAMILY,
        tries: "touch shared anonymous pages",
        bounds: BOUNDS,
        guest: |guest| take(guest, |_| touch(libc::MAP_SHARED | libc::MAP_ANONYMOUS)),
        outside: bounded,
    },
    Attempt {
        name: "memory-many",
        family: FAMILY,
        tries: "spread the pages over many processes that are each small",
        bounds: BOUNDS,
        guest: memory_many,
        outside: bounded,
    },
    Attempt {
        name: "memory-tmp",
        family: FAMILY,
        tries: "fill files in /tmp, whose disk limit is larger than the memory limit",
        bounds: BOUNDS,
        guest: |guest| take(guest, |piece| fill(&format!("/tmp/{piece}"))),
        outside: bounded,
    },
    Attempt {
        name: "memory-shm-files",
        family: FAMILY,
        tries: "fill POSIX shared memory in /dev/shm",
        bounds: BOUNDS,
        guest: |guest| take(guest, |piece| fill(&format!("/dev/shm/{piece}"))),
        outside: bounded,
    },
    Attempt {
        name: "memory-page-cache",
        family: FAMILY,
        tries: "map private files of the working directory and dirty their page cache",
        bounds: BOUNDS,
        guest: |guest| take(guest, page_cache),
        outside: bounded,
    },
    Attempt {
        name: "memory-system-v",
        family: FAMILY,
        tries: "fill System V segments and detach from them",
        bounds: BOUNDS,
        guest: |guest| take(guest, |_| system_v()),
        outside: bounded,
    },
    Attempt {
        name: "memory-memfd",
        family: FAMILY,
        tries: "fill anonymous files that are mapped nowhere",
        bounds: BOUNDS,
        guest: |guest| take(guest, |_| memfd()),
        outside: bounded,
    },
    Attempt {
        name: "memory-pipes",
        family: FAMILY,
        tries: "fill pipes that nobody reads",
        bounds: BOUNDS,
        guest: |guest| flood(guest, pipes),
        outside: bounded,
    },
    Attempt {
        name: "memory-sockets",
        family: FAMILY,
        tries: "fill the buffers of unix sockets that nobody reads",
        bounds: BOUNDS,
        guest: |guest| flood(guest, sockets),
        outside: bounded,
    },
    Attempt {
        name: "memory-page-tables",
        family: FAMILY,
        tries: "make the kernel build page tables for a few bytes in each 2 MiB",
        bounds: BOUNDS,
        guest: page_tables,
        outside: bounded,
    },
    Attempt {
        name: "memory-locked",
        family: FAMILY,
        tries: "lock pages into memory, so that nothing can be taken back",
        bounds: BOUNDS,
        guest: |guest| {
            const MCL_BOTH: i32 = 3;
            let locked = sys::map(PIECE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
                .and_then(|memory| sys::call!(libc::SYS_mlock, memory.as_ptr() as usize, PIECE));
            guest.refused_by("mlock", locked, &[libc::ENOMEM, libc::EAGAIN]);
            let all = sys::call!(libc::SYS_mlockall, MCL_BOTH);
            guest.refused_by("mlockall", all, &[libc::ENOMEM, libc::EAGAIN]);
        },
        outside: told,
    },
    Attempt {
        name: "signal-queue",
        family: FAMILY,
        tries: "queue signals without end, which is memory of the kernel",
        bounds: Bounds::USUAL,
        guest: signal_queue,
        outside: told,
    },
    Attempt {
        name: "message-queues",
        family: FAMILY,
        tries: "make POSIX message queues, which is memory of the kernel",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let flags = libc::O_CREAT | libc::O_RDWR;
            let opened = sys::call!(libc::SYS_mq_open, c"queue", flags, 0o600, 0);
            guest.refused_by("mq_open", opened, &[libc::EMFILE, libc::ENOSPC, libc::ENOMEM]);
        },
        outside: told,
    },
];

/// A version 1 group is joined a few milliseconds after the start; all programs but
/// one wait for that, so that each way meets the kernel's own count.
fn settle() {
    sys::sleep_ms(60);
}

fn take(guest: &Guest, piece: fn(usize) -> io::Result<()>) {
    settle();
    take_now(guest, piece);
}

/// Takes pieces until one is refused; what lives after all of them is over the limit.
fn take_now(guest: &Guest, piece: fn(usize) -> io::Result<()>) {
    for index in 0..PIECES {
        if let Err(error) = piece(index) {
            let evidence = errno_name(error.raw_os_error().unwrap_or(0));
            return guest.held("memory", format!("{evidence} after {index} MiB"));
        }
    }
    sys::sleep_ms(200);
    guest.through("memory", format!("{PIECES} MiB held, the limit is {} MiB", BOUNDS.memory_mib));
}

fn touch(flags: i32) -> io::Result<()> {
    let memory = sys::map(PIECE, flags, -1)?;
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    Ok(())
}

fn fill(path: &str) -> io::Result<()> {
    File::create_new(path)?.write_all(&vec![1; PIECE])
}

fn page_cache(piece: usize) -> io::Result<()> {
    let file = File::options().read(true).write(true).create_new(true).open(format!("{piece}"))?;
    file.set_len(PIECE as u64)?;
    let memory = sys::map(PIECE, libc::MAP_SHARED, file.as_raw_fd())?;
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    Ok(())
}

fn system_v() -> io::Result<()> {
    let id = sys::call!(libc::SYS_shmget, libc::IPC_PRIVATE, PIECE, 0o600)?;
    let memory = sys::attach_segment(id as i32, PIECE)?;
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    sys::call!(libc::SYS_shmdt, memory.as_ptr() as usize).map(drop)
}

fn memfd() -> io::Result<()> {
    let mut file = File::from(sys::own(sys::call!(libc::SYS_memfd_create, c"piece", 0)?));
    file.write_all(&vec![1; PIECE])?;
    // It stays open for as long as the process lives.
    std::mem::forget(file);
    Ok(())
}

fn memory_many(guest: &Guest) {
    settle();
    for index in 0..24 {
        match sys::fork() {
            Ok(None) => {
                for _ in 0..4 {
                    let _ = touch(libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
                }
                sys::sleep_ms(5_000);
                sys::exit(0);
            }
            Ok(Some(_)) => {}
            Err(error) => return guest.unclear("fork", format!("{error} after {index}")),
        }
    }
    // With a kernel limit the children die one by one, on a busy machine slowly; count
    // who is left before they end by themselves.
    let most = BOUNDS.memory_mib as usize / 4;
    let mut lives: usize = 24;
    for _ in 0..80 {
        sys::sleep_ms(50);
        while sys::call!(libc::SYS_wait4, -1, 0, libc::WNOHANG, 0).is_ok_and(|pid| pid > 0) {
            lives -= 1;
        }
        if lives <= most {
            break;
        }
    }
    guest.expect(
        "children of 4 MiB",
        lives <= most,
        format!("{lives} of 24 live, room for {most}"),
    );
}

/// Lets children with few descriptors each fill one kind of buffer.
fn flood(guest: &Guest, fill: fn() -> usize) {
    settle();
    let Ok((mut count, report)) = UnixStream::pair() else {
        return guest.unclear("socketpair", "none");
    };
    for _ in 0..4 {
        if let Ok(None) = sys::fork() {
            let filled = fill();
            let _ = (&report).write_all(&(filled as u64).to_ne_bytes());
            sys::sleep_ms(5_000);
            sys::exit(0);
        }
    }
    drop(report);
    let mut total = 0;
    for _ in 0..4 {
        let mut bytes = [0; 8];
        let _ = count.set_read_timeout(Some(std::time::Duration::from_secs(4)));
        match io::Read::read_exact(&mut count, &mut bytes) {
            Ok(()) => total += u64::from_ne_bytes(bytes) as usize,
            Err(_) => break,
        }
    }
    sys::sleep_ms(200);
    let limit = (BOUNDS.memory_mib as usize) << 20;
    guest.expect(
        "buffers",
        total <= limit,
        format!("{} MiB held, limit {}", total >> 20, limit >> 20),
    );
}

fn pipes() -> usize {
    let mut filled = 0;
    let data = vec![1u8; 64 << 10];
    for _ in 0..480 {
        let mut ends = [0u8; 8];
        if sys::call!(libc::SYS_pipe2, &mut ends, libc::O_NONBLOCK).is_err() {
            break;
        }
        let write = i32::from_ne_bytes([ends[4], ends[5], ends[6], ends[7]]);
        let mut data = data.clone();
        filled += sys::call!(libc::SYS_write, write, &mut data[..], 64 << 10).unwrap_or(0) as usize;
    }
    filled
}

fn sockets() -> usize {
    let mut filled = 0;
    for _ in 0..240 {
        let Ok((mut one, other)) = UnixStream::pair() else { break };
        let _ = one.set_nonblocking(true);
        while let Ok(length) = one.write(&[1; 32 << 10]) {
            filled += length;
        }
        std::mem::forget((one, other));
    }
    filled
}

fn page_tables(guest: &Guest) {
    // A table page a 2 MiB: 96 MiB of tables would take 48 GiB of addresses, and as
    // many data pages; reading maps the shared zero page, so only tables are paid for.
    const STRIDE: usize = 2 << 20;
    const REGION: usize = 1 << 30;
    settle();
    for region in 0..24 {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        let memory = match sys::map(REGION, flags, -1) {
            Ok(memory) => memory,
            Err(error) => {
                let evidence = errno_name(error.raw_os_error().unwrap_or(0));
                return guest.held("mmap", format!("{evidence} after {region} GiB"));
            }
        };
        let start = memory.as_ptr() as usize;
        // Huge pages would do with one entry for all of it.
        let _ = sys::call!(libc::SYS_madvise, start, REGION, libc::MADV_NOHUGEPAGE);
        for byte in memory.iter().step_by(STRIDE) {
            std::hint::black_box(*byte);
        }
    }
    sys::sleep_ms(200);
    guest.through("page tables", "48 MiB of tables built, the limit is 32 MiB");
}

fn signal_queue(guest: &Guest) {
    const MANY: usize = 100_000;
    const SIGNAL: i32 = 50;
    let own = std::process::id();
    let mut set = [0u8; 8];
    set[(SIGNAL as usize - 1) / 8] = 1 << ((SIGNAL - 1) % 8);
    let _ = sys::call!(libc::SYS_rt_sigprocmask, libc::SIG_BLOCK, &mut set, 0, 8);
    for count in 0..MANY {
        let mut info = [0u8; 128];
        info[0..4].copy_from_slice(&SIGNAL.to_ne_bytes());
        info[8..12].copy_from_slice(&(-1i32).to_ne_bytes());
        if let Err(error) = sys::call!(libc::SYS_rt_sigqueueinfo, own, SIGNAL, &mut info) {
            let evidence = errno_name(error.raw_os_error().unwrap_or(0));
            return guest.held("rt_sigqueueinfo", format!("{evidence} after {count} signals"));
        }
    }
    guest.through("rt_sigqueueinfo", format!("{MANY} signals are queued"));
}

/// The kernel or the supervisor ended it for memory, or refused a piece.
fn bounded(stage: &Stage<'_>) -> Verdict {
    let result = stage.jail().run();
    let verdict = judge(&result);
    let outcome = match &result {
        Ok(outcome) => outcome,
        Err(error) => return Verdict::Inconclusive(no_run(error)),
    };
    let by_limit =
        outcome.error.as_ref().is_some_and(|failure| failure.code == ErrorCode::MemoryLimit);
    match verdict {
        Verdict::Inconclusive(_) if by_limit && outcome.status == Status::Killed => {
            let peak = outcome.metrics.max_memory >> 20;
            Verdict::Held(format!(
                "{}; peak {peak} MiB, limit {}",
                describe(outcome),
                BOUNDS.memory_mib
            ))
        }
        // A page of a file for which there is no room: the limit on files came first.
        Verdict::Inconclusive(_) if outcome.signal == Some(libc::SIGBUS) => {
            Verdict::Held(format!("no room for a page: {}", describe(outcome)))
        }
        // Capsule itself says that this wall is weak here; then it is no secret hole.
        Verdict::Escaped(evidence) => match admitted(outcome, Wall::Memory) {
            Some(why) => Verdict::Skipped(format!("{evidence}; {why}")),
            None => Verdict::Escaped(evidence),
        },
        other => other,
    }
}
