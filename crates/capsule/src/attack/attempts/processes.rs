//! Too many processes, processes that do not end, processes that stay.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use capsule_spec::Wall;

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::{Guest, errno_name};
use crate::attack::stage::{Stage, admitted, describe, no_run, timed_out, told};
use crate::attack::{host, sys};

/// How many processes a bomb asks for at most, so that a missing wall does not
/// cost the host its life.
const BOMB: usize = 120;

/// How long the chain of processes runs.
const CHAIN: Duration = Duration::from_millis(300);

const FAMILY: Family = Family::Processes;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "fork-bomb",
        family: FAMILY,
        tries: "fork children that stay, far beyond the limit",
        bounds: Bounds::USUAL,
        guest: |guest| bomb(guest, |child| hold(child)),
        outside: told,
    },
    Attempt {
        name: "fork-bomb-sessions",
        family: FAMILY,
        tries: "fork children that each lead a session of their own",
        bounds: Bounds::USUAL,
        guest: |guest| {
            bomb(guest, |child| {
                let _ = sys::call!(libc::SYS_setsid);
                hold(child);
            });
        },
        outside: told,
    },
    Attempt {
        name: "fork-bomb-daemons",
        family: FAMILY,
        tries: "fork twice each time, so that the children belong to nobody",
        bounds: Bounds::USUAL,
        guest: daemon_bomb,
        outside: |stage| counted_outside(stage, Duration::from_millis(500)),
    },
    Attempt {
        name: "fork-bomb-recursive",
        family: FAMILY,
        tries: "let every child fork children that fork children, until the timeout",
        bounds: Bounds { timeout_ms: 600, ..Bounds::USUAL },
        guest: |_| recursive_bomb(4),
        outside: |stage| counted_outside(stage, Duration::from_millis(600)),
    },
    Attempt {
        name: "thread-bomb",
        family: FAMILY,
        tries: "start threads far beyond the limit on processes",
        bounds: Bounds::USUAL,
        guest: thread_bomb,
        outside: told,
    },
    Attempt {
        name: "zombie-flood",
        family: FAMILY,
        tries: "leave thousands of ended grandchildren for PID 1 to reap, and see whether forks run out",
        bounds: Bounds::USUAL,
        guest: zombie_flood,
        outside: told,
    },
    Attempt {
        name: "outrun-the-group",
        family: FAMILY,
        tries: "be a chain of short-lived processes, so that no control group can catch one",
        bounds: Bounds { timeout_ms: 5_000, ..Bounds::USUAL },
        guest: outrun,
        outside: all_in_group,
    },
    Attempt {
        name: "orphan-daemons",
        family: FAMILY,
        tries: "leave daemons with sessions and closed streams behind, and exit",
        bounds: Bounds::USUAL,
        guest: orphan_daemons,
        outside: told_and_soon,
    },
    Attempt {
        name: "pipe-holder",
        family: FAMILY,
        tries: "leave a grandchild that keeps the output open for half a minute",
        bounds: Bounds::USUAL,
        guest: |guest| {
            if let Ok(None) = sys::fork() {
                hold(true);
            }
            guest.held("exit", "the grandchild holds on");
        },
        outside: told_and_soon,
    },
    Attempt {
        name: "stopped-processes",
        family: FAMILY,
        tries: "leave children that stopped themselves, which no wait and no SIGTERM reaches",
        bounds: Bounds::USUAL,
        guest: |guest| {
            for _ in 0..4 {
                if let Ok(None) = sys::fork() {
                    let _ = sys::call!(libc::SYS_kill, sys::call!(libc::SYS_getpid).unwrap_or(0), libc::SIGSTOP);
                    hold(true);
                }
            }
            sys::sleep_ms(20);
            guest.held("exit", "four stopped children stay");
        },
        outside: told_and_soon,
    },
    Attempt {
        name: "stopped-at-timeout",
        family: FAMILY,
        tries: "stop itself and sleep through the timeout",
        bounds: Bounds::SHORT,
        guest: |_| {
            let _ = sys::kill(std::process::id() as i32, libc::SIGSTOP);
            hold(true);
        },
        outside: outlived,
    },
    Attempt {
        name: "ignored-signals",
        family: FAMILY,
        tries: "ignore every signal, with a grandchild that does the same, past the timeout",
        bounds: Bounds::SHORT,
        guest: |_| {
            sys::ignore_signals();
            let _ = sys::fork();
            hold(true);
        },
        outside: outlived,
    },
    Attempt {
        name: "spin-at-timeout",
        family: FAMILY,
        tries: "compute without a pause past the timeout, in several processes",
        bounds: Bounds::SHORT,
        guest: |_| {
            for _ in 0..3 {
                let _ = sys::fork();
            }
            loop {
                std::hint::spin_loop();
            }
        },
        outside: outlived,
    },
    Attempt {
        name: "kill-everybody",
        family: FAMILY,
        tries: "send SIGKILL to every process that can be named, and to each number on its own",
        bounds: Bounds::USUAL,
        guest: kill_everybody,
        outside: bystander_lives,
    },
];

/// Stays for half a minute, whatever comes.
fn hold(ignoring: bool) -> ! {
    if ignoring {
        sys::ignore_signals();
    }
    sys::sleep_ms(30_000);
    sys::exit(0);
}

fn bomb(guest: &Guest, child: fn(bool)) {
    for count in 0..BOMB {
        match sys::fork() {
            Ok(None) => {
                child(false);
                sys::exit(0);
            }
            Ok(Some(_)) => {}
            Err(error) => {
                let evidence = errno_name(error.raw_os_error().unwrap_or(0));
                return guest.held("fork", format!("{evidence} after {count} children"));
            }
        }
    }
    guest.through("fork", format!("{BOMB} children live, the limit is {}", Bounds::USUAL.pids));
}

/// Three children each, four generations: 120, and no more if nothing stops them.
fn recursive_bomb(generations: u32) {
    let mut children = 0;
    while children < 3 && generations > 0 {
        match sys::fork() {
            Ok(None) => return recursive_bomb(generations - 1),
            Ok(Some(_)) => children += 1,
            Err(_) => sys::sleep_ms(1),
        }
    }
    hold(true);
}

fn daemon_bomb(guest: &Guest) {
    for _ in 0..BOMB {
        match sys::fork() {
            Ok(None) => {
                let _ = sys::call!(libc::SYS_setsid);
                match sys::fork() {
                    Ok(None) => hold(true),
                    _ => sys::exit(0),
                }
            }
            Ok(Some(pid)) => drop(sys::wait(pid)),
            Err(_) => break,
        }
    }
    sys::sleep_ms(200);
    guest.held("exit", "the bomb is lit");
}

fn thread_bomb(guest: &Guest) {
    for count in 0..BOMB {
        let thread = std::thread::Builder::new().stack_size(32 << 10);
        if let Err(error) = thread.spawn(|| sys::sleep_ms(30_000)) {
            let evidence = errno_name(error.raw_os_error().unwrap_or(0));
            return guest.held("thread", format!("{evidence} after {count} threads"));
        }
    }
    guest.through("thread", format!("{BOMB} threads live, the limit is {}", Bounds::USUAL.pids));
}

fn zombie_flood(guest: &Guest) {
    const FLOOD: usize = 300;
    let mut refused = 0;
    for _ in 0..FLOOD {
        match sys::fork() {
            // Its child loses its parent and falls to PID 1.
            Ok(None) => match sys::fork() {
                Ok(None) => sys::exit(0),
                Ok(Some(_)) => sys::exit(0),
                Err(_) => sys::exit(1),
            },
            Ok(Some(pid)) => drop(sys::wait(pid)),
            Err(_) => {
                refused += 1;
                sys::sleep_ms(2);
            }
        }
    }
    sys::sleep_ms(50);
    let works = sys::fork().map(|side| match side {
        None => sys::exit(0),
        Some(pid) => sys::wait(pid),
    });
    guest.expect(
        "zombies",
        works.is_ok(),
        format!("{FLOOD} grandchildren reaped, {refused} forks had to wait"),
    );
}

fn orphan_daemons(guest: &Guest) {
    for _ in 0..4 {
        if let Ok(None) = sys::fork() {
            let _ = sys::call!(libc::SYS_setsid);
            match sys::fork() {
                Ok(None) => {
                    for descriptor in 0..3 {
                        let _ = sys::call!(libc::SYS_close, descriptor);
                    }
                    hold(true);
                }
                _ => sys::exit(0),
            }
        }
    }
    sys::sleep_ms(20);
    guest.held("exit", "four daemons stay");
}

fn outrun(guest: &Guest) {
    guest.keep_silent();
    if let Ok(None) = sys::fork() {
        let until = Instant::now() + CHAIN;
        while Instant::now() < until {
            // The parent ends at once; the child goes on.
            match sys::fork() {
                Ok(Some(_)) => sys::exit(0),
                Ok(None) => {}
                Err(_) => sys::sleep_ms(1),
            }
        }
        // The last link stays to be looked at.
        sys::sleep_ms(5_000);
        sys::exit(0);
    }
    for _ in 0..1_000 {
        if Path::new("/share/over").exists() {
            break;
        }
        sys::sleep_ms(5);
    }
}

fn kill_everybody(guest: &Guest) {
    if guest.role() == "bystander" {
        guest.keep_silent();
        return sys::sleep_ms(30_000);
    }
    let everybody = sys::kill(-1, libc::SIGKILL);
    guest.refused_by("kill(-1)", everybody, &[libc::ESRCH]);
    let target: i32 = guest.argument(1).parse().unwrap_or(0);
    guest.refused_by("kill(host pid)", sys::kill(target, libc::SIGKILL), &[libc::ESRCH]);
    let group = sys::kill(-target, libc::SIGKILL);
    guest.refused_by("kill(host process group)", group, &[libc::ESRCH]);
    let handle = sys::call!(libc::SYS_pidfd_open, target, 0);
    guest.refused_by("pidfd_open(host pid)", handle, &[libc::ESRCH, libc::EINVAL]);
}

/// Runs the main part, and counts its processes on the host meanwhile.
fn counted_outside(stage: &Stage<'_>, watch: Duration) -> Verdict {
    let bound = stage.attempt.bounds.pids as usize;
    let most = std::thread::scope(|scope| {
        let counter = scope.spawn(|| {
            let until = Instant::now() + watch;
            let mut most = 0;
            while Instant::now() < until {
                most = most.max(host::guests_with(&stage.marker).len());
                sys::sleep_ms(15);
            }
            most
        });
        let result = stage.jail().run();
        (counter.join().unwrap_or(0), result)
    });
    match most {
        (_, Err(error)) => Verdict::Inconclusive(no_run(&error)),
        (0, Ok(outcome)) => Verdict::Inconclusive(format!("none was seen: {}", describe(&outcome))),
        (most, Ok(outcome)) => Verdict::held_if(
            most <= bound,
            format!("at most {most} processes on the host, limit {bound}; {}", describe(&outcome)),
        ),
    }
}

/// Every process of the jail is in the group of the jail's first process.
fn all_in_group(stage: &Stage<'_>) -> Verdict {
    let share = match stage.directory("share") {
        Ok(share) => share,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let (seen, result) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            stage.wait_for(Duration::from_secs(3), || host::guests_with(&stage.marker).len() > 1);
            // The chain has come to its end; a process that is just ending is shown in
            // the root group of version 1, wherever it was.
            std::thread::sleep(CHAIN + Duration::from_millis(100));
            let group = |pid| fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
            let guests = host::guests_with(&stage.marker);
            let groups = guests.into_iter().filter_map(group).collect::<Vec<_>>();
            let _ = fs::write(share.join("over"), "");
            groups
        });
        let result = stage.jail().writable(&share, "/share").run();
        (watcher.join().unwrap_or_default(), result)
    });
    let outcome = match result {
        Ok(outcome) => outcome,
        Err(error) => return Verdict::Inconclusive(no_run(&error)),
    };
    let inside = seen.iter().filter(|groups| groups.contains("/capsule-")).count();
    if inside == 0 {
        if let Some(why) = admitted(&outcome, Wall::Memory) {
            return Verdict::Skipped(why);
        }
    }
    if seen.len() != 2 {
        return Verdict::Inconclusive(format!("{} processes were seen, not 2", seen.len()));
    }
    let evidence = format!("{inside} of {} processes are in the group", seen.len());
    Verdict::held_if(inside == seen.len(), evidence)
}

/// Whatever is left inside, the run ends with its command.
fn told_and_soon(stage: &Stage<'_>) -> Verdict {
    let started = Instant::now();
    let verdict = told(stage);
    let took = started.elapsed();
    // What is left inside would stay for 30 s, and the timeout is 10.
    let soon = took < Duration::from_millis(stage.attempt.bounds.timeout_ms);
    verdict.and(Verdict::held_if(soon, format!("ended after {} ms", took.as_millis())))
}

fn outlived(stage: &Stage<'_>) -> Verdict {
    let started = Instant::now();
    let result = stage.jail().run();
    timed_out(&result, started.elapsed())
}

fn bystander_lives(stage: &Stage<'_>) -> Verdict {
    let mut bystander = match stage.bystander("bystander").spawn() {
        Ok(bystander) => bystander,
        Err(error) => return Verdict::Inconclusive(format!("no bystander: {error}")),
    };
    let verdict = stage.jail().role(&["", &bystander.id().to_string()]).told();
    let lives = matches!(bystander.try_wait(), Ok(None));
    let _ = bystander.kill();
    let _ = bystander.wait();
    verdict.and(Verdict::held_if(lives, "the bystander on the host"))
}
