//! From what was seen to what is said: status, error, hint.
//!
//! The status tells the truth: a run that was killed, ran out of time or reached
//! a limit is never a success, whatever its exit code.

use std::time::SystemTime;

use capsule_backend::{BackendError, Observer};
use capsule_spec::{ErrorCode, Event, Failure, Metrics, Mount, Outcome, Status, WallState};
use rustix::io::Errno;

use super::ending::Reason;
use super::sources;
use super::watch::End;
use crate::apply::{START_STEPS, STEPS, step_of};
use crate::cgroup::Counts;
use crate::plan::Plan;

pub(super) fn outcome(
    plan: &Plan,
    end: End,
    counts: Counts,
    started: SystemTime,
    observer: &mut dyn Observer,
) -> Result<Outcome, BackendError> {
    let metrics = Metrics {
        wall: end.wall,
        user: end.usage.user,
        kernel: end.usage.kernel,
        max_memory: peak_memory(plan, &end, counts),
        io_read: end.io.map_or(0, |io| io.0),
        io_written: end.io.map_or(0, |io| io.1),
        fuel: None,
    };
    let (status, exit_code, signal, error) = match end.failed {
        Some(failed) => {
            let failure = not_started(plan, failed)?;
            (Status::Error, None, None, Some(failure))
        }
        None => {
            let judged = judge(plan, &end, counts);
            let (exit_code, signal) =
                end.ended.map_or((None, None), |ended| wait_status(ended.wait_status));
            // A command that we killed did not exit by itself.
            let exit_code = if judged.0 == Status::Timeout { None } else { exit_code };
            (judged.0, exit_code, signal, judged.1)
        }
    };
    if let Some(failure) = &error
        && matches!(failure.code, ErrorCode::ProcessLimit | ErrorCode::OutputLimit)
    {
        observer.observe(Event::LimitReached { code: failure.code });
    }
    observer.observe(Event::Ended { after: metrics.wall });
    Ok(Outcome {
        id: plan.execution_id,
        status,
        exit_code,
        signal,
        stdout: end.stdout,
        stderr: end.stderr,
        metrics,
        started,
        completed: SystemTime::now(),
        error,
        weaker: plan
            .walls
            .iter()
            .filter(|status| !matches!(status.state, WallState::Full))
            .cloned()
            .collect(),
        notes: end.notes,
    })
}

/// The largest process that was waited for may be PID 1, which is a copy of its
/// supervisor: a small program's is smaller than any command, a server's is not.
fn peak_memory(plan: &Plan, end: &End, counts: Counts) -> u64 {
    let seen = counts.peak_memory.unwrap_or(0).max(end.peak_seen);
    if plan.has_channel && seen > 0 { seen } else { seen.max(end.usage.max_memory) }
}

/// Exit code and signal of a wait status (wait(2)).
fn wait_status(status: i32) -> (Option<i32>, Option<i32>) {
    if libc::WIFEXITED(status) {
        (Some(libc::WEXITSTATUS(status)), None)
    } else {
        (None, Some(libc::WTERMSIG(status)))
    }
}

fn judge(plan: &Plan, end: &End, counts: Counts) -> (Status, Option<Failure>) {
    let (exit_code, signal) =
        end.ended.map_or((None, Some(libc::SIGKILL)), |ended| wait_status(ended.wait_status));
    let killed_or = |status| if signal.is_some() { Status::Killed } else { status };
    if end.reason == Some(Reason::Deadline) {
        return (Status::Timeout, Some(timed_out(plan)));
    }
    let over = match end.reason {
        Some(Reason::Memory(used)) => Some(Some(used)),
        _ if counts.memory_kills > 0 => Some(None),
        _ => None,
    };
    if let Some(used) = over {
        return (killed_or(Status::Error), Some(memory_limit(plan, used)));
    }
    match end.reason {
        Some(Reason::Interrupted(number)) => {
            let failure =
                Failure::new(ErrorCode::Interrupted, "the run was interrupted by a signal")
                    .detail("signal", number);
            return (killed_or(Status::Error), Some(failure));
        }
        Some(Reason::Stopped | Reason::Processor) => {
            let failure = Failure::new(ErrorCode::Interrupted, "the run was ended by its caller");
            return (Status::Killed, Some(failure));
        }
        Some(Reason::Processes) => {
            return (Status::Killed, Some(process_limit(plan)));
        }
        _ => {}
    }
    if let Some(errno) = end.lost {
        return (Status::Error, Some(output_lost(errno)));
    }
    if end.ended.is_none() {
        let failure = Failure::new(ErrorCode::SystemFailure, "the jail ended without a report");
        return (Status::Killed, Some(failure));
    }
    if let Some(number) = signal {
        return (Status::Killed, Some(killed(plan, number)));
    }
    let code = exit_code.unwrap_or_default();
    if end.door_died {
        let failure =
            Failure::new(ErrorCode::DoorFailed, "the network door ended before the command")
                .detail("exit_code", code);
        return (Status::Error, Some(failure));
    }
    if counts.refused_forks > 0 {
        let failure = process_limit(plan).detail("exit_code", code);
        return (Status::Error, Some(failure.detail("refused_forks", counts.refused_forks)));
    }
    if end.stdout.truncated || end.stderr.truncated {
        return (Status::Error, Some(output_limit(plan, code)));
    }
    if code == 0 {
        return (Status::Success, None);
    }
    (Status::Error, Some(denied_host(end, code).unwrap_or_else(|| non_zero(code))))
}

/// Output that the command made and the caller did not get.
fn output_lost(errno: Errno) -> Failure {
    let message = match errno {
        Errno::PIPE => "the reader of the output went away",
        Errno::TIMEDOUT => "the reader of the output did not take all of it in time",
        Errno::NOSPC | Errno::DQUOT => "there is no space left for the output",
        _ => "the output could not be written",
    };
    Failure::new(ErrorCode::OutputClosed, message).detail("errno", errno.raw_os_error())
}

fn timed_out(plan: &Plan) -> Failure {
    let limit = plan.limits.timeout;
    Failure::new(ErrorCode::TimedOut, format!("the command ran longer than {limit:?}"))
        .hint("raise it with --timeout, such as --timeout 2m")
        .detail("limit_ms", limit.as_millis())
}

fn memory_limit(plan: &Plan, used: Option<u64>) -> Failure {
    let limit = plan.limits.memory;
    let failure =
        Failure::new(ErrorCode::MemoryLimit, format!("the command used more memory than {limit}"))
            .hint("raise it with --memory, such as --memory 1G; files in /tmp and /workspace count")
            .detail("limit_bytes", limit.bytes());
    match used {
        Some(used) => failure.detail("used_bytes", used),
        None => failure,
    }
}

fn process_limit(plan: &Plan) -> Failure {
    let limit = plan.limits.max_pids;
    Failure::new(
        ErrorCode::ProcessLimit,
        format!("the command tried to have more than {limit} processes"),
    )
    .hint("raise it with --max-pids; threads count")
    .detail("limit", limit)
}

fn output_limit(plan: &Plan, code: i32) -> Failure {
    let limit = plan.limits.max_output;
    Failure::new(
        ErrorCode::OutputLimit,
        format!("the command wrote more than {limit} of output; the rest was dropped"),
    )
    .hint("raise it with --max-output, such as --max-output 16M")
    .detail("limit_bytes", limit.bytes())
    .detail("exit_code", code)
}

fn killed(plan: &Plan, number: i32) -> Failure {
    if number == libc::SIGSYS {
        let failure = Failure::new(
            ErrorCode::ForbiddenSystemCall,
            "the command made a system call that its seccomp profile forbids, and was killed",
        )
        .detail("signal", number);
        return match plan.seccomp {
            capsule_spec::SeccompProfile::Strict => failure.hint("try --seccomp default"),
            capsule_spec::SeccompProfile::Default => failure,
        };
    }
    let name = signal_name(number);
    Failure::new(ErrorCode::Killed, format!("the command was ended by {name}"))
        .detail("signal", number)
}

fn signal_name(number: i32) -> String {
    let name = match number {
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGHUP => "SIGHUP",
        libc::SIGILL => "SIGILL",
        libc::SIGINT => "SIGINT",
        libc::SIGKILL => "SIGKILL",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGTERM => "SIGTERM",
        libc::SIGTRAP => "SIGTRAP",
        _ => return format!("signal {number}"),
    };
    name.to_owned()
}

fn non_zero(code: i32) -> Failure {
    Failure::new(ErrorCode::NonZeroExit, format!("the command exited with {code}"))
        .detail("exit_code", code)
}

/// A command that failed after the door refused it something most likely failed for that.
fn denied_host(end: &End, code: i32) -> Option<Failure> {
    let visit = end.visits.first.iter().find(|visit| visit.verdict.is_denial())?;
    let target = format!("{}:{}", visit.host, visit.port);
    let failure = Failure::new(
        ErrorCode::DeniedHost,
        format!("the command exited with {code} after it was refused a connection to {target}"),
    )
    .detail("exit_code", code)
    .detail("host", &target)
    .detail("denials", end.visits.denials);
    Some(failure.hint(format!("allow it with --allow-host {target}")))
}

/// A run that never reached the command's first instruction.
pub(crate) fn not_started(
    plan: &Plan,
    (step, item, errno): (u16, u16, i32),
) -> Result<Failure, BackendError> {
    let error = std::io::Error::from_raw_os_error(errno);
    let Some(known) = step_of(step) else {
        return Err(super::system_error("build the jail", &error));
    };
    let name = &plan.command[0];
    let is_start = usize::from(step) >= STEPS.len();
    if is_start && known.name == START_STEPS[1].name {
        let directory = &plan.working_directory;
        return Ok(Failure::new(
            ErrorCode::WorkdirMissing,
            format!("the working directory {directory} cannot be entered inside the jail"),
        )
        .hint(format!("mount it with --bind HOST_PATH:{directory}")));
    }
    if is_start && known.name == START_STEPS[3].name {
        return Ok(not_executed(name, errno));
    }
    if known.code == ErrorCode::MountFailed
        && let Some(mount) = match item {
            // The other root stands behind all mounts.
            u16::MAX => plan.base.as_ref(),
            item => plan.mounts.get(usize::from(item)),
        }
    {
        let refused = sources::refused(mount, &error);
        // Where the source was opened before, the trouble is at the destination.
        if known.name == "mount the caller's files" {
            return Err(BackendError { failure: misplaced(mount, errno), ..refused });
        }
        return Err(refused);
    }
    let internal = format!("step {:?}, item {item}: {error}", known.name);
    if matches!(errno, libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EAGAIN | libc::ENOSPC) {
        return Err(BackendError { internal, ..super::system_error(known.name, &error) });
    }
    let failure =
        Failure::new(known.code, format!("the jail could not be built: cannot {}", known.name))
            .hint("run \"capsule doctor\" to see what this host allows")
            .detail("step", known.name)
            .detail("errno", errno);
    Err(BackendError { failure, internal })
}

/// A destination that cannot be mounted at.
fn misplaced(mount: &Mount, errno: i32) -> Failure {
    let destination = &mount.destination;
    let failure = match errno {
        libc::ENOENT => Failure::new(
            ErrorCode::MountFailed,
            format!("there is no {destination} inside another mount to mount at"),
        )
        .hint("make it on the host first; Capsule creates nothing there"),
        libc::ELOOP => Failure::new(
            ErrorCode::MountFailed,
            format!("the destination {destination} goes through a symbolic link"),
        )
        .hint("name a place of its own, such as one below /workspace"),
        _ => Failure::new(
            ErrorCode::MountFailed,
            format!("{} cannot be mounted at {destination}", mount.source),
        )
        .hint("a folder is mounted at a folder, and a file at a file"),
    };
    failure.detail("source", &mount.source).detail("destination", destination)
}

pub(crate) fn not_executed(name: &str, errno: i32) -> Failure {
    match errno {
        libc::ENOENT | libc::ENOTDIR if name.contains('/') => {
            Failure::new(ErrorCode::CommandNotFound, format!("there is no {name} inside the jail"))
                .hint("mount it, such as --readonly PATH; a script also needs its interpreter")
        }
        libc::ENOENT | libc::ENOTDIR => {
            Failure::new(ErrorCode::CommandNotFound, format!("there is no command {name:?} inside the jail"))
                .hint("the jail sees /usr, /bin and /lib; mount other tools with --readonly PATH and set PATH with -e")
        }
        libc::EACCES | libc::EPERM => Failure::new(
            ErrorCode::CommandNotExecutable,
            format!("{name} is not executable for the jail's user"),
        )
        .hint("chmod +x it, or run it by its interpreter"),
        libc::ENOEXEC => Failure::new(
            ErrorCode::CommandNotExecutable,
            format!("{name} is neither a program for this machine nor a script that names its interpreter"),
        )
        .hint("start the script with a line such as #!/bin/sh"),
        libc::E2BIG => Failure::new(
            ErrorCode::CommandNotExecutable,
            "the arguments and variables are longer than the kernel accepts",
        )
        .hint("pass large data through a file or standard input"),
        _ => Failure::new(ErrorCode::CommandNotExecutable, format!("{name} cannot be executed"))
            .detail("errno", errno),
    }
}
