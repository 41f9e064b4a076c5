//! Attempts at the runtime's own parts.

use super::super::attempt::{Attempt, Expect};
use super::program;

pub(super) const ATTEMPTS: &[Attempt] = &[
    program!(
        "own-exports",
        Internals,
        "call the runtime's own entry points from inside a task",
        Expect::Refused
    ),
    program!(
        "strange-operations",
        Internals,
        "cancel, take and close the operations of others",
        Expect::Refused
    ),
    program!(
        "strange-values",
        Internals,
        "call the host's functions with values that no program has",
        Expect::Refused
    ),
    program!(
        "strange-arguments",
        Internals,
        "send arguments to a task that are not what the runtime would send",
        Expect::Refused
    ),
    program!(
        "runtime-calls",
        Internals,
        "call the binding's own functions with numbers out of range",
        Expect::Fails(&["E3008", "E3009"])
    ),
    program!(
        "many-handles",
        Internals,
        "take handles of the host without end",
        Expect::Fails(&["E3008", "E3009", "E4001", "E4004"])
    ),
    program!(
        "false-handles",
        Internals,
        "use handles of the host that it was never given",
        Expect::Refused
    ),
    program!(
        "woken-twice",
        Internals,
        "have the runtime wake with a million handles",
        Expect::Fails(&["E3008", "E3009", "E4001", "E3003"])
    ),
    program!(
        "false-progress",
        Internals,
        "hand itself answers to operations, and end an async call from inside",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "polluted-prototypes-ts",
        Internals,
        "break all that the code beside it stands on, to forge what the host hears",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "eval-and-function-ts",
        Internals,
        "make code by eval, Function and constructors that has more rights than its maker",
        Expect::Silent
    ),
    program!(
        TypeScript,
        "strange-operations-ts",
        Internals,
        "call the host's own interface with values that no program has",
        Expect::Silent
    ),
    program!(
        Node,
        "node-frames",
        Internals,
        "in Node, say to the host what no guest says",
        Expect::Refused
    ),
    program!(
        Node,
        "node-internals",
        Internals,
        "in Node, use bindings, debuggers, signals, privileges and programs of the system",
        Expect::Refused
    ),
];
