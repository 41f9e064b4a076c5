//! Too many processes: bombs, and a chain that runs from its control group.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use capsule_spec::Wall;

use super::processes::hold;
use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::{Guest, errno_name};
use crate::attack::stage::{Stage, admitted, describe, no_run, told};
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
];

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
    if let (0, Some(why)) = (inside, admitted(&outcome, Wall::Memory)) {
        return Verdict::Skipped(why);
    }
    if seen.len() != 2 {
        return Verdict::Inconclusive(format!("{} processes were seen, not 2", seen.len()));
    }
    let evidence = format!("{inside} of {} processes are in the group", seen.len());
    Verdict::held_if(inside == seen.len(), evidence)
}
