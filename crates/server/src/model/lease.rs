//! How long a sandbox lives: until a point in time, and while it is used. One that is kept
//! beyond that has a time of its own, which nobody's use makes shorter.

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
    /// What it was given last.
    life: Duration,
    /// Its time is over, and `until` is how long it is kept.
    is_kept: bool,
}

impl Lease {
    pub(crate) fn new(now: Instant, life: Duration, idle: Option<Duration>) -> Self {
        Self { until: now + life, idle, used: now, life, is_kept: false }
    }

    /// As an earlier server left it: `left` of what it was given, or of being kept.
    pub(crate) fn again(
        now: Instant,
        left: Duration,
        idle: Option<Duration>,
        (life, is_kept): (Duration, bool),
    ) -> Self {
        Self { until: now + left, idle, used: now, life, is_kept }
    }

    /// Its time is over; it is kept for another time.
    pub(crate) fn keep(&mut self, now: Instant, time: Duration) {
        self.until = now + time;
        self.is_kept = true;
    }

    /// One that was kept is used again: it has what it was given last.
    pub(crate) fn take_up(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_kept) {
            self.until = now + self.life;
            self.touch(now);
        }
    }

    /// What should happen at its end could not; it is tried again after a time.
    pub(crate) fn put_off(&mut self, now: Instant, time: Duration) {
        self.until = now + time;
        self.touch(now);
    }

    pub(crate) fn life(&self) -> Duration {
        self.life
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.is_kept
    }

    /// It is being used.
    pub(crate) fn touch(&mut self, now: Instant) {
        self.used = self.used.max(now);
    }

    /// Other times from now on; without an idle time, the old one holds.
    pub(crate) fn extend(&mut self, now: Instant, life: Duration, idle: Option<Duration>) {
        (self.until, self.life, self.is_kept) = (now + life, life, false);
        self.idle = idle.or(self.idle);
        self.touch(now);
    }

    /// When it runs out, if it is not used before; `in_use` is whether somebody uses it now.
    pub(crate) fn ends(&self, in_use: bool) -> Instant {
        match self.idle {
            Some(idle) if !in_use && !self.is_kept => self.until.min(self.used + idle),
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

    #[test]
    fn one_that_is_kept_has_its_time_again_when_it_is_taken_up() {
        let start = Instant::now();
        let mut lease = Lease::new(start, 10 * SECOND, Some(SECOND));
        lease.keep(start + 10 * SECOND, 100 * SECOND);
        assert_eq!(lease.ends(false), start + 110 * SECOND, "idle or not");
        lease.take_up(start + 50 * SECOND);
        assert_eq!(lease.ends(true), start + 60 * SECOND);
        assert_eq!(lease.ends(false), start + 51 * SECOND);
        lease.take_up(start + 55 * SECOND);
        assert_eq!(lease.ends(true), start + 60 * SECOND, "once");
        lease.keep(start + 60 * SECOND, SECOND);
        lease.extend(start + 61 * SECOND, 20 * SECOND, None);
        assert_eq!((lease.is_kept(), lease.life()), (false, 20 * SECOND));
        assert_eq!(lease.ends(true), start + 81 * SECOND);
        let mut lease = Lease::again(start, SECOND, None, (7 * SECOND, true));
        assert_eq!(lease.ends(false), start + SECOND);
        lease.take_up(start);
        assert_eq!(lease.ends(false), start + 7 * SECOND);
    }
}
