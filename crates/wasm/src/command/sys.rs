//! The one call of the kernel here that has no safe wrapper.
#![allow(unsafe_code)]

use std::time::Duration;

/// Processor time of this process: in user mode, in the kernel.
pub(super) fn process_times() -> (Duration, Duration) {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is a writable `rusage` on this stack frame.
    let status = unsafe { libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr()) };
    if status != 0 {
        return (Duration::ZERO, Duration::ZERO);
    }
    // SAFETY: it was zeroed above, which is a valid `rusage`, and then filled by the call.
    let usage = unsafe { usage.assume_init() };
    (duration(usage.ru_utime), duration(usage.ru_stime))
}

fn duration(time: libc::timeval) -> Duration {
    Duration::from_secs(time.tv_sec.unsigned_abs())
        + Duration::from_micros(time.tv_usec.unsigned_abs())
}
