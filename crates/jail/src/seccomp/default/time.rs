//! Default profile: clocks and timers.

use crate::seccomp::rule::{ALLOW, DENY, Group, rule};

pub(super) const GROUP: Group = Group {
    title: "clocks and timers",
    rules: &[
        rule!(
            ALLOW,
            "reading clocks, sleeping and timers"
            => [
                SYS_clock_gettime, SYS_clock_getres, SYS_clock_nanosleep, SYS_nanosleep,
                SYS_gettimeofday, SYS_getitimer, SYS_setitimer, SYS_timer_create,
                SYS_timer_settime, SYS_timer_gettime, SYS_timer_getoverrun, SYS_timer_delete,
                SYS_timerfd_create, SYS_timerfd_settime, SYS_timerfd_gettime,
            ]
        ),
        rule!(
            DENY,
            "the clock is the host's, even for reading its adjustment"
            => [SYS_settimeofday, SYS_clock_settime, SYS_adjtimex, SYS_clock_adjtime]
        ),
    ],
};
