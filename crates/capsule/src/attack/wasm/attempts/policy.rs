//! Attempts at wider rights than were declared.

use super::super::attempt::{Attempt, Expect};
use super::program;

pub(super) const ATTEMPTS: &[Attempt] = &[
    program!(
        "wider-child",
        Policy,
        "change a task's options after it was declared, then call it",
        Expect::Refused
    ),
    program!(
        "late-task",
        Policy,
        "declare a task with rights while a call runs, and call it",
        Expect::Refused
    ),
    program!(
        "policy-in-a-call",
        Policy,
        "put a policy of its own into the call of a task",
        Expect::Refused
    ),
    program!(
        "undeclared-names",
        Policy,
        "call tasks by names that nothing declares",
        Expect::Refused
    ),
    program!(
        "borrowed-code",
        Policy,
        "run the code of a task with rights in the sandbox of one without",
        Expect::Refused
    ),
    program!(
        "two-faces",
        Policy,
        "declare other rights when it is loaded for a call than it did at first",
        Expect::Refused
    ),
    program!(
        "grant-absolute",
        Policy,
        "grant itself an absolute path of the host",
        Expect::Fails(&["E1010"])
    ),
    program!(
        "grant-parent",
        Policy,
        "grant itself a folder above the project",
        Expect::Fails(&["E1010"])
    ),
    program!(
        "grant-link",
        Policy,
        "grant itself a link of the project that leads away",
        Expect::Fails(&["E5003"])
    ),
    program!(
        "grant-through-link",
        Policy,
        "grant itself a file behind a link that leads away",
        Expect::Fails(&["E5003"])
    ),
    program!(
        "grant-process",
        Policy,
        "grant itself the host's /proc by a link of its own making",
        Expect::Refused
    ),
    program!(
        "grant-any-variable",
        Policy,
        "ask for environment variables by patterns and odd names",
        Expect::Refused
    ),
    program!(
        "doubled-name",
        Policy,
        "declare one name twice, the second time with rights",
        Expect::Fails(&["E1010"])
    ),
    program!(
        "fickle-option",
        Policy,
        "declare with objects that are another value each time they are looked at",
        Expect::Refused
    ),
    program!(
        "endless-option",
        Policy,
        "declare with a list of options that never ends",
        Expect::Fails(&["E1010", "E3003", "E3008", "E4001", "E4004"])
    ),
    program!(
        "huge-declaration",
        Policy,
        "answer the question for its tasks with 150 MB",
        Expect::Fails(&["E1010", "E4001"])
    ),
    program!("too-many-tasks", Policy, "declare 20,000 tasks", Expect::Fails(&["E1010"])),
    program!(
        "odd-declaration",
        Policy,
        "answer the question for its tasks with another shape",
        Expect::Fails(&["E1010", "E3009"])
    ),
    program!(
        "unreadable-ram",
        Policy,
        "declare a memory limit that cannot be read, and go without one",
        Expect::Fails(&["E1010"])
    ),
    program!(
        "unreadable-timeout",
        Policy,
        "declare a timeout without a unit, and go without one",
        Expect::Fails(&["E1010"])
    ),
    program!(
        "computed-option",
        Policy,
        "lose its policy by computing one option when it is loaded",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "wider-child-ts",
        Policy,
        "change a task's options, and Object.prototype, after it was declared, then call it",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "late-task-ts",
        Policy,
        "declare a task with rights while a call runs, and call it",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "two-faces-ts",
        Policy,
        "declare other rights when it is loaded for a call than it did at first",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "fickle-option-ts",
        Policy,
        "declare with getters and proxies that answer otherwise each time",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "borrowed-code-ts",
        Policy,
        "run the code of a task with rights in the sandbox of one without",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "forged-calls-ts",
        Policy,
        "call tasks past the SDK, with a policy and under names that nothing declares",
        Expect::Refused
    ),
    program!(
        Node,
        "node-policy",
        Policy,
        "in Node, call tasks of both kinds with rights of its own making",
        Expect::Refused
    ),
];
