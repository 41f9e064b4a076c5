//! How long a sandbox lives: until a point in time, and while it is used.

use std::time::{Duration, Instant};

/// The time a sandbox has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// When it expires, whatever happens.
    until: Instant,
    /// How long it may be unused.
    idle: Option<Duration>,
    /// When it was used last.
    used: Instant,
}

impl Lease {
    pub(crate) fn new(now: Instant, life: Duration, idle: Option<Duration>) -> Self {
        Self { until: now + life, idle, used: now }
    }

    /// It is being used.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.used = self.used.max(now);
    }

    /// Other times from now on; without an idle time, the old one holds.
    pub(crate) fn extend(&mut self, now: Instant, life: Duration, idle: Option<Duration>) {
        self.until = now + life;
        self.idle = idle.or(self.idle);
        self.touch(now);
    }

    /// When it runs out, if it is not used before; `in_use` is whether somebody uses it now.
    pub(crate) fn ends(&self, in_use: bool) -> Instant {
        match self.idle {
            Some(idle) if !in_use => self.until.min(self.used + idle),
            _ => self.until,
        }
    }

    pub(crate) fn idle(&self) -> Option<Duration> {
        self.idle
    }

    pub(crate) fn until(&self) -> Instant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn it_runs_out_at_the_first_of_two_times() {
        let start = Instant::now();
        let mut lease = Lease::new(start, 10 * SECOND, Some(3 * SECOND));
        assert_eq!(lease.ends(false), start + 3 * SECOND);
        assert_eq!(lease.ends(true), start + 10 * SECOND);
        lease.touch(start + 8 * SECOND);
        assert_eq!(lease.ends(false), start + 10 * SECOND);
        // A clock that was read earlier takes nothing back.
        lease.touch(start);
        assert_eq!(lease.ends(false), start + 10 * SECOND);
        lease.extend(start + 9 * SECOND, 20 * SECOND, None);
        assert_eq!(lease.ends(false), start + 12 * SECOND);
        assert_eq!(lease.ends(true), start + 29 * SECOND);
        let lease = Lease::new(start, 10 * SECOND, None);
        assert_eq!(lease.ends(false), start + 10 * SECOND);
    }
}
