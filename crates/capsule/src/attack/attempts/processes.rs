//! Processes that do not end, and processes that stay.

use std::time::{Duration, Instant};

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::{Stage, timed_out, told};
use crate::attack::sys;

const FAMILY: Family = Family::Processes;

pub(super) const ATTEMPTS: &[Attempt] = &[
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
                    let _ = sys::call!(
                        libc::SYS_kill,
                        sys::call!(libc::SYS_getpid).unwrap_or(0),
                        libc::SIGSTOP
                    );
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
pub(super) fn hold(ignoring: bool) -> ! {
    if ignoring {
        sys::ignore_signals();
    }
    sys::sleep_ms(30_000);
    sys::exit(0);
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
