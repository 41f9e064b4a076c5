//! Attempts at memory without end.

use super::super::attempt::{Attempt, Expect};
use super::super::checks;
use super::program;

pub(super) const ATTEMPTS: &[Attempt] = &[
    program!("growing-array", Memory, "grow one array past its memory", Expect::Fails(&["E4001"])),
    program!(
        "string-bomb",
        Memory,
        "make strings, numbers and lists of gigabytes",
        Expect::Refused
    ),
    program!("small-objects", Memory, "hold millions of small objects", Expect::Fails(&["E4001"])),
    program!(
        "kept-reserve",
        Memory,
        "live on what a refusal of memory leaves it to tell of it",
        Expect::Shows(checks::within_memory)
    ),
    program!(
        "unheard-answers",
        Memory,
        "have the host write answers where there is no memory for them",
        Expect::Shows(checks::within_memory)
    ),
    program!(
        "caught-memory",
        Memory,
        "catch each refusal of memory, and try again for ever",
        Expect::Fails(&["E3003", "E4001", "E4004"])
    ),
    program!(
        "many-children",
        Memory,
        "have in many tasks at once what one task may not have",
        Expect::Refused
    ),
    program!(
        "held-arguments",
        Memory,
        "have the host hold large arguments of tasks that wait",
        Expect::Ends
    ),
    program!(
        "held-results",
        Memory,
        "have the host hold large results that it never takes",
        Expect::Ends
    ),
    program!("huge-answer", Memory, "answer with all of its memory", Expect::Ends),
    program!("deep-recursion", Memory, "recurse past the end of every stack", Expect::Refused),
    program!("falling-tower", Memory, "free a tower of five million nested objects", Expect::Ends),
    program!(
        TypeScript,
        "giant-strings-ts",
        Memory,
        "make strings, numbers and arrays of gigabytes",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "growing-array-ts",
        Memory,
        "grow one array past its memory",
        Expect::Fails(&["E4001"])
    ),
    program!(
        TypeScript,
        "caught-memory-ts",
        Memory,
        "catch each refusal of memory, and try again for ever",
        Expect::Shows(checks::within_memory)
    ),
    program!(
        Node,
        "node-memory",
        Memory,
        "in Node, hold memory outside of the heap, in threads that set limits of their own",
        Expect::Fails(&["E3008"])
    ),
];
