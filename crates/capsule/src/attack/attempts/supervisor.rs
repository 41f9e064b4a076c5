//! The process outside: killing it, and what it might let in.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use capsule_jail::groups;
use capsule_spec::ExecutionId;

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::{Stage, told};
use crate::attack::{host, sys};

const FAMILY: Family = Family::Supervisor;
/// The part of the run that comes after one whose supervisor was killed.
const NEXT: &str = "next";
/// The groups of dying processes take a moment on a busy machine.
const SWEEPING: Duration = Duration::from_secs(15);

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "killed-supervisor",
        family: FAMILY,
        tries: "live on after the supervisor was killed with SIGKILL",
        bounds: Bounds::USUAL,
        guest: |guest| {
            if guest.role() == NEXT {
                return next(guest);
            }
            sys::ignore_signals();
            for _ in 0..3 {
                let _ = sys::fork();
            }
            let _ = sys::call!(libc::SYS_setsid);
            sys::sleep_ms(30_000);
        },
        outside: |stage| dies_with_supervisor(stage, 8),
    },
    Attempt {
        name: "killed-while-stopped",
        family: FAMILY,
        tries: "live on, stopped, after the supervisor was killed",
        bounds: Bounds::USUAL,
        guest: |guest| {
            if guest.role() == NEXT {
                return next(guest);
            }
            let _ = sys::fork();
            let _ = sys::kill(std::process::id() as i32, libc::SIGSTOP);
            sys::sleep_ms(30_000);
        },
        outside: |stage| dies_with_supervisor(stage, 2),
    },
    Attempt {
        name: "killed-early",
        family: FAMILY,
        tries: "survive a supervisor that is killed while it still builds the jail",
        bounds: Bounds::USUAL,
        guest: |guest| match guest.role() {
            NEXT => next(guest),
            _ => sys::sleep_ms(30_000),
        },
        outside: dies_early,
    },
    Attempt {
        name: "inherited-descriptors",
        family: FAMILY,
        tries: "use files that the caller left open without close-on-exec",
        bounds: Bounds::USUAL,
        guest: inherited_descriptors,
        outside: |stage| {
            let left_open = stage.secret("host").and_then(|(host, _)| {
                let file = File::open(host.join("secret"))?;
                let directory = File::open(host)?;
                sys::make_inheritable(file.as_fd())?;
                sys::make_inheritable(directory.as_fd())?;
                Ok((file, directory))
            });
            match left_open {
                Ok(_open) => told(stage),
                Err(error) => Verdict::Inconclusive(error.to_string()),
            }
        },
    },
    Attempt {
        name: "inherited-by-exec",
        family: FAMILY,
        tries: "use files that the caller of capsule exec left open",
        bounds: Bounds::USUAL,
        guest: inherited_descriptors,
        outside: |stage| {
            let opened = stage.secret("host").and_then(|(host, _)| {
                let file = File::open(host.join("secret"))?;
                sys::make_inheritable(file.as_fd())?;
                Ok(file)
            });
            match opened {
                Ok(_open) => exec_told(stage.exec(&[], &[])),
                Err(error) => Verdict::Inconclusive(error.to_string()),
            }
        },
    },
    Attempt {
        name: "environment-leak",
        family: FAMILY,
        tries: "find a secret of the caller's environment, in its own and in PID 1's",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let secret = std::env::var("CAPSULE_ATTACK_SECRET");
            guest.expect("environment", secret.is_err(), "has no such variable");
            let known = ["HOME", "LANG", "LOGNAME", "PATH", "TMPDIR", "USER", "PWD", "SHLVL", "_"];
            let strange: Vec<_> = std::env::vars_os()
                .filter_map(|(name, _)| name.into_string().ok())
                .filter(|name| !known.contains(&name.as_str()))
                .collect();
            guest.expect("names", strange.is_empty(), format!("beside the base: {strange:?}"));
            guest.unreachable(
                "/proc/1/environ",
                fs::read("/proc/1/environ").and_then(|bytes| {
                    if bytes.is_empty() {
                        Err(io::Error::from_raw_os_error(libc::EACCES))
                    } else {
                        Ok(())
                    }
                }),
            );
        },
        outside: |stage| {
            let mut exec = stage.exec(&[], &[]);
            exec.env("CAPSULE_ATTACK_SECRET", ExecutionId::random().to_string());
            exec_told(exec)
        },
    },
    Attempt {
        name: "caller-command-line",
        family: FAMILY,
        tries: "read the caller's command line, host paths in it, from PID 1",
        bounds: Bounds::USUAL,
        guest: |guest| {
            let line = fs::read("/proc/1/cmdline").unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let leaks = line.contains("--bind") || line.contains(&guest.marker);
            guest.expect("/proc/1/cmdline", !leaks, format!("{} bytes", line.len()));
        },
        outside: |stage| exec_told(stage.exec(&[], &[])),
    },
    Attempt {
        name: "stretched-run",
        family: FAMILY,
        tries: "keep capsule exec itself waiting with a grandchild that holds its streams",
        bounds: Bounds::USUAL,
        guest: |guest| {
            if let Ok(None) = sys::fork() {
                let _ = sys::call!(libc::SYS_setsid);
                sys::ignore_signals();
                sys::sleep_ms(30_000);
                sys::exit(0);
            }
            guest.held("exit", "the grandchild holds on");
        },
        outside: |stage| {
            let started = Instant::now();
            let verdict = exec_told(stage.exec(&[], &[]));
            let took = started.elapsed();
            let soon = took < Duration::from_millis(stage.attempt.bounds.timeout_ms);
            verdict.and(Verdict::held_if(soon, format!("ended after {} ms", took.as_millis())))
        },
    },
];

fn inherited_descriptors(guest: &Guest) {
    for descriptor in 3..1024 {
        let path = format!("/proc/self/fd/{descriptor}");
        if let Ok(target) = fs::read_link(&path) {
            guest.through(&path, target.display().to_string());
        }
    }
    for descriptor in 0..3 {
        let target = fs::read_link(format!("/proc/self/fd/{descriptor}"));
        let target = target.map(|target| target.display().to_string()).unwrap_or_default();
        let is_plain = target.starts_with("pipe:") || target == "/dev/null";
        guest.expect(&format!("stream {descriptor}"), is_plain, target);
    }
}

/// As [`told`], by way of `capsule exec`.
fn exec_told(mut exec: Command) -> Verdict {
    match exec.stdin(Stdio::null()).output() {
        Err(error) => Verdict::Inconclusive(error.to_string()),
        Ok(output) => crate::attack::stage::judge_text(&output.stdout, || {
            format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim())
        }),
    }
}

fn start(mut exec: Command) -> io::Result<Child> {
    exec.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

/// Kills the supervisor once `count` processes live inside; all must be gone within
/// a second, and their control groups after the next run.
fn dies_with_supervisor(stage: &Stage<'_>, count: usize) -> Verdict {
    let mut supervisor = match start(stage.exec(&[], &[])) {
        Ok(supervisor) => supervisor,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let came =
        stage.wait_for(Duration::from_secs(8), || host::guests_with(&stage.marker).len() >= count);
    // A version 1 group is joined a little later; where there are none, it is not.
    stage.wait_for(Duration::from_millis(500), || !groups::held_by(supervisor.id()).is_empty());
    let groups = groups::held_by(supervisor.id());
    let _ = supervisor.kill();
    let _ = supervisor.wait();
    let killed = Instant::now();
    let gone = stage.wait_for(Duration::from_secs(1), || stage.processes().is_empty());
    let took = killed.elapsed();
    if !came {
        return Verdict::Inconclusive("the guest never came up".to_owned());
    }
    let verdict = Verdict::held_if(
        gone,
        format!(
            "{count} processes, {} left {} ms after",
            stage.processes().len(),
            took.as_millis()
        ),
    );
    verdict.and(the_next_run_sweeps(stage, &groups))
}

/// The run that comes after: it lives long enough to make a group, and so to sweep.
fn next(guest: &Guest) {
    sys::sleep_ms(100);
    guest.held("run", "done");
}

fn the_next_run_sweeps(stage: &Stage<'_>, groups: &BTreeSet<PathBuf>) -> Verdict {
    // A group cannot be removed for a moment after its last process died; the run
    // after that does it.
    let swept = stage.wait_for(SWEEPING, || {
        let next = start(stage.exec(&[], &[NEXT])).and_then(|mut next| next.wait());
        next.is_ok_and(|status| status.success()) && !groups.iter().any(|group| group.exists())
    });
    Verdict::held_if(swept, format!("{} control groups, none after the next run", groups.len()))
}

/// The moment of the kill moves through the time in which a jail is built.
fn dies_early(stage: &Stage<'_>) -> Verdict {
    const TRIES: u32 = 40;
    const STEP: Duration = Duration::from_micros(200);
    let mut groups = BTreeSet::new();
    for index in 0..TRIES {
        let mut supervisor = match start(stage.exec(&[], &[])) {
            Ok(supervisor) => supervisor,
            Err(error) => return Verdict::Inconclusive(error.to_string()),
        };
        std::thread::sleep(STEP * index);
        groups.extend(groups::held_by(supervisor.id()));
        let _ = supervisor.kill();
        let _ = supervisor.wait();
    }
    let gone = stage.wait_for(Duration::from_secs(1), || stage.processes().is_empty());
    let verdict = Verdict::held_if(gone, format!("{TRIES} kills within the first 8 ms"));
    verdict.and(the_next_run_sweeps(stage, &groups))
}
