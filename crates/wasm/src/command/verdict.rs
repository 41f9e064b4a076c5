//! From what was seen to what is said. As with the jail: a run that was ended, or
//! reached a limit, is never a success, whatever its exit code.

use std::time::{Duration, SystemTime};

use capsule_spec::{Captured, ErrorCode, ExecutionId, Failure, Fuel, Metrics, Outcome, Status};
use rustix::io::Errno;

use super::CommandLimits;
use super::guest::{End, How};
use super::program::{bounded, invalid};
use super::state::Peak;
use super::usage::Usage;
use super::watch::Watched;

/// Everything that was seen of a run.
pub(super) struct Seen<'a> {
    pub(super) id: ExecutionId,
    pub(super) limits: &'a CommandLimits,
    pub(super) watched: Watched<End>,
    pub(super) stdout: Captured,
    pub(super) stderr: Captured,
    pub(super) lost: Option<Errno>,
    pub(super) memory: Peak,
    pub(super) used: Usage,
    pub(super) wall: Duration,
    pub(super) started: SystemTime,
}

pub(super) fn outcome(seen: Seen<'_>) -> Outcome {
    let (status, exit_code, error) = judge(&seen);
    let fuel = match &seen.watched {
        Watched::Done(end) => Some(end.fuel),
        _ => None,
    };
    Outcome {
        id: seen.id,
        status,
        exit_code,
        signal: None,
        stdout: seen.stdout,
        stderr: seen.stderr,
        metrics: Metrics {
            wall: seen.wall,
            user: seen.used.user,
            kernel: seen.used.kernel,
            max_memory: seen.memory.bytes,
            io_read: seen.used.read,
            io_written: seen.used.written,
            fuel,
        },
        started: seen.started,
        completed: SystemTime::now(),
        error,
        weaker: Vec::new(),
        notes: Vec::new(),
    }
}

fn judge(seen: &Seen<'_>) -> (Status, Option<i32>, Option<Failure>) {
    let end = match &seen.watched {
        Watched::Done(end) => &end.how,
        Watched::OutOfTime => &How::OutOfTime,
        Watched::OutOfMemory => return (Status::Killed, None, Some(memory_limit(seen))),
        Watched::Died => {
            let failure = Failure::new(ErrorCode::SystemFailure, "the sandbox failed");
            return (Status::Killed, None, Some(failure));
        }
    };
    let code = match end {
        How::OutOfTime => return (Status::Timeout, None, Some(timed_out(seen))),
        How::OutOfFuel => return (Status::Killed, None, Some(out_of_fuel(seen))),
        How::Crashed(_) if seen.memory.is_denied => {
            return (Status::Killed, None, Some(memory_limit(seen)));
        }
        How::Crashed(why) => {
            let message = format!("the program was ended by a trap: {}", bounded(why));
            return (Status::Killed, None, Some(Failure::new(ErrorCode::Crashed, message)));
        }
        How::Unfit(_) if seen.memory.is_denied => {
            return (Status::Error, None, Some(memory_limit(seen)));
        }
        How::Unfit(why) => {
            let message = format!("the program cannot be run: {}", bounded(why));
            return (Status::Error, None, Some(invalid(message)));
        }
        How::Exited(code) => *code,
    };
    if let Some(errno) = seen.lost {
        return (Status::Error, Some(code), Some(output_lost(errno)));
    }
    if seen.stdout.truncated || seen.stderr.truncated {
        return (Status::Error, Some(code), Some(output_limit(seen, code)));
    }
    if code == 0 {
        return (Status::Success, Some(0), None);
    }
    let failure = Failure::new(ErrorCode::NonZeroExit, format!("the command exited with {code}"))
        .detail("exit_code", code);
    let failure = match seen.memory.is_denied {
        true => failure.hint(format!(
            "it asked for more memory than {}; raise it with --ram",
            seen.limits.memory
        )),
        false => failure,
    };
    (Status::Error, Some(code), Some(failure))
}

fn timed_out(seen: &Seen<'_>) -> Failure {
    let limit = seen.limits.timeout;
    Failure::new(ErrorCode::TimedOut, format!("the command ran longer than {limit:?}"))
        .hint("raise it with --timeout, such as --timeout 2m")
        .detail("limit_ms", limit.as_millis())
}

fn memory_limit(seen: &Seen<'_>) -> Failure {
    let limit = seen.limits.memory;
    Failure::new(ErrorCode::MemoryLimit, format!("the command wanted more memory than {limit}"))
        .hint("raise it with --ram, such as --ram 1GiB")
        .detail("limit_bytes", limit.bytes())
        .detail("used_bytes", seen.memory.bytes)
}

fn out_of_fuel(seen: &Seen<'_>) -> Failure {
    let limit = seen.limits.fuel.map_or(u64::MAX, Fuel::units);
    Failure::new(
        ErrorCode::FuelExhausted,
        format!("the command used up its compute budget of {limit} units"),
    )
    .hint("raise it with --compute, or leave it out: the timeout bounds the work too")
    .detail("limit", limit)
}

fn output_limit(seen: &Seen<'_>, code: i32) -> Failure {
    let limit = seen.limits.max_output;
    Failure::new(
        ErrorCode::OutputLimit,
        format!("the command wrote more than {limit} of output; the rest was dropped"),
    )
    .hint("raise it with --max-output, such as --max-output 16M")
    .detail("limit_bytes", limit.bytes())
    .detail("exit_code", code)
}

fn output_lost(errno: Errno) -> Failure {
    let message = match errno {
        Errno::PIPE => "the reader of the output went away",
        Errno::TIMEDOUT => "the reader of the output did not take all of it in time",
        Errno::NOSPC | Errno::DQUOT => "there is no space left for the output",
        _ => "the output could not be written",
    };
    Failure::new(ErrorCode::OutputClosed, message).detail("errno", errno.raw_os_error())
}
