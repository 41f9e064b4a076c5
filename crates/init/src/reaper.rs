//! The life of PID 1.
//!
//! ```text
//! start the command ──failed──▶ report Failed, exit
//!        │
//!        ▼
//!   wait for a signal ◀──────────────┐
//!        │ child ended: reap          │
//!        │ from outside: pass it on ──┘
//!        │
//!        ▼ the command itself ended, or END_SIGNAL
//!   kill all, reap all, report Ended, exit
//! ```

use std::os::fd::RawFd;

use crate::command::StartStep;
use crate::sys::{self, Wakeup};
use crate::{Command, END_SIGNAL, Ended, Report};

/// Starts `command`, stays until its last descendant is gone, and exits.
///
/// `steps` are the step numbers that failures of clone, chdir, confinement and
/// execve are reported under. `io` is an open `/proc/self/io`, when there is one.
/// `seal` confines PID 1 itself, once the command is on its way.
pub fn run(
    command: &Command<'_>,
    control: RawFd,
    io: Option<RawFd>,
    steps: [u16; 4],
    seal: &dyn Fn(),
) -> ! {
    sys::block_signals();
    let started = sys::monotonic_nanoseconds();
    let pid = match sys::spawn(command) {
        Ok(pid) => pid,
        Err((at, errno)) => {
            let step = match at {
                StartStep::Clone => steps[0],
                StartStep::WorkingDirectory => steps[1],
                StartStep::Confine => steps[2],
                StartStep::Execute => steps[3],
            };
            sys::send(control, &Report::Failed { step, item: 0, errno }.encode());
            sys::exit();
        }
    };
    command.close_channel();
    seal();
    let wait_status = supervise(pid);
    sys::kill_all();
    while sys::reap_blocking().is_some() {}
    let ended = Ended {
        wait_status,
        started,
        ended: sys::monotonic_nanoseconds(),
        io: io.and_then(sys::io_counters),
    };
    sys::send(control, &Report::Ended(ended).encode());
    sys::exit();
}

/// Reaps and forwards until the command has ended; returns its wait status.
fn supervise(pid: i32) -> i32 {
    loop {
        while let Some((reaped, status)) = sys::reap() {
            if reaped == pid {
                return status;
            }
        }
        match sys::wait_for_signal() {
            Wakeup::Outside(END_SIGNAL) => {
                sys::kill_all();
                while let Some((reaped, status)) = sys::reap_blocking() {
                    if reaped == pid {
                        return status;
                    }
                }
                return libc::SIGKILL;
            }
            Wakeup::Outside(signal) => sys::kill(pid, signal),
            Wakeup::Other => {}
        }
    }
}
