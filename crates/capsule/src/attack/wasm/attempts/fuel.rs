//! Attempts at time without end.

use super::super::attempt::{Attempt, Expect};
use super::super::checks;
use super::program;

pub(super) const ATTEMPTS: &[Attempt] = &[
    program!("busy-loop", Fuel, "loop past its timeout", Expect::Shows(checks::timed_out)),
    program!(
        "loop-in-c",
        Fuel,
        "stay inside one long operation of the interpreter past its timeout",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        "regex-bomb",
        Fuel,
        "match a regular expression that takes for ever",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        "number-bomb",
        Fuel,
        "compute a power that takes for ever",
        Expect::Fails(&["E3003", "E4001", "E4004"])
    ),
    program!(
        "swallowed-timeout",
        Fuel,
        "catch whatever ends it, and go on",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        "swallowed-fuel",
        Fuel,
        "catch the end of its budget, and go on",
        Expect::Fails(&["E4004"])
    ),
    program!(
        "long-sleep",
        Fuel,
        "sleep for thirty years, and catch what ends that",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        "long-wait",
        Fuel,
        "ask the host to wait for ever for operations that do not exist",
        Expect::Shows(checks::timed_out)
    ),
    program!("long-select", Fuel, "wait a day in select", Expect::Fails(&["E3003", "E3008"])),
    program!(
        "long-await",
        Fuel,
        "await for ever in an async task that shields itself from being cancelled",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        "deadlock",
        Fuel,
        "wait for a lock that nobody will open",
        Expect::Fails(&["E3003", "E3008", "E3009"])
    ),
    program!(
        "endless-farewell",
        Fuel,
        "loop in the finaliser of its last object",
        Expect::Fails(&["E3003"])
    ),
    program!(
        "endless-message",
        Fuel,
        "raise an exception whose text never comes",
        Expect::Shows(checks::timed_out)
    ),
    program!("endless-result", Fuel, "return values that never end to be read", Expect::Refused),
    program!(
        "childrens-fuel",
        Fuel,
        "burn more than its budget in tasks that it calls",
        Expect::Fails(&["E4004"])
    ),
    program!(
        "many-small-children",
        Fuel,
        "burn more than its budget in many small tasks",
        Expect::Fails(&["E4004"])
    ),
    program!("calls-without-end", Fuel, "call itself without end", Expect::Refused),
    program!(
        "task-bomb",
        Fuel,
        "start two tasks in each task",
        Expect::Fails(&["E4004", "E4005", "E3003"])
    ),
    program!(
        "million-submissions",
        Fuel,
        "start a million tasks at once",
        Expect::Fails(&["E3008", "E4004", "E4005", "E3003"])
    ),
    program!(
        "load-loop",
        Fuel,
        "loop while it is loaded, before any limit is declared",
        Expect::Fails(&["E3003", "E4004"])
    ),
    program!("load-print", Fuel, "print a million times while it is loaded", Expect::Ends),
    program!(
        "costly-questions",
        Fuel,
        "keep the host busy with questions that cost the task nothing",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        "costly-waits",
        Fuel,
        "wait for a million operations at once, thousands of times",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        "clinging-children",
        Fuel,
        "leave tasks running when it ends",
        Expect::Shows(checks::quick_success)
    ),
    program!(
        "endless-retries",
        Fuel,
        "time out in every retry that it may have",
        Expect::Shows(checks::two_retries)
    ),
    program!("too-many-retries", Fuel, "ask for a billion retries", Expect::Fails(&["E1010"])),
    program!(
        TypeScript,
        "busy-loop-ts",
        Fuel,
        "loop past its timeout, in a finally that goes on",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        TypeScript,
        "regex-bomb-ts",
        Fuel,
        "match regular expressions that take for ever",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        TypeScript,
        "endless-microtasks-ts",
        Fuel,
        "queue microtasks without end, so that no step ever ends",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        TypeScript,
        "endless-timers-ts",
        Fuel,
        "wait for ever among timers of no time",
        Expect::Shows(checks::timed_out)
    ),
    program!(
        TypeScript,
        "endless-getters-ts",
        Fuel,
        "answer and fail with getters, proxies and promises that never end",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "task-bomb-ts",
        Fuel,
        "start two tasks in each task, and try each again",
        Expect::Fails(&["E3008", "E4004", "E4005", "E3003"])
    ),
    program!(
        Node,
        "node-loop",
        Fuel,
        "in Node, loop in threads and processes that take no signal",
        Expect::Fails(&["E3008"])
    ),
    program!(
        Node,
        "node-left-behind",
        Fuel,
        "in Node, leave processes behind, and never end",
        Expect::Shows(checks::quick_success)
    ),
];
