//! Attempts at answers that are not the task's.

use super::super::attempt::{Attempt, Expect};
use super::super::checks;
use super::program;

pub(super) const ATTEMPTS: &[Attempt] = &[
    program!(
        "printed-envelope",
        Output,
        "print an answer of its own to both streams, then fail",
        Expect::Shows(checks::raised)
    ),
    program!("output-flood", Output, "print 200 MB", Expect::Shows(checks::truncated)),
    program!(
        "odd-bytes",
        Output,
        "print NULs, escape sequences, half characters and no line end",
        Expect::Shows(checks::quick_success)
    ),
    program!(
        "broken-streams",
        Output,
        "replace the streams by objects that fail and never end",
        Expect::Fails(&["E3003", "E3008"])
    ),
    program!(
        "escape-sequences",
        Output,
        "put escape sequences into what Capsule itself tells a terminal",
        Expect::Plays(checks::escapes_stay_out)
    ),
    program!(
        "lines-in-a-value",
        Output,
        "return a value that is several lines, one of them an answer",
        Expect::Shows(checks::one_value)
    ),
    program!("no-value", Output, "answer with text that is no JSON", Expect::Fails(&["E3009"])),
    program!(
        "half-characters",
        Output,
        "return half a surrogate pair past the encoder",
        Expect::Fails(&["E3009"])
    ),
    program!(
        "deep-value",
        Output,
        "return a value nested 100,000 deep past the encoder",
        Expect::Fails(&["E3009"])
    ),
    program!("inexact-values", Output, "return what JSON cannot hold", Expect::Refused),
    program!(
        "lying-values",
        Output,
        "return values whose methods lie about what they are",
        Expect::Shows(checks::honest_values)
    ),
    program!(
        "hostile-exception",
        Output,
        "raise exceptions that lie, fail and never end when they are told",
        Expect::Refused
    ),
    program!(
        "false-frames",
        Output,
        "have the traceback show the lines of files that it may not read",
        Expect::Shows(checks::raised)
    ),
    program!(
        "forged-code",
        Output,
        "end with the words that Capsule has for limits",
        Expect::Refused
    ),
    program!(
        "forged-limit",
        Output,
        "claim to have met a limit that it did not meet",
        Expect::Shows(checks::raised)
    ),
    program!(
        "leave-exit",
        Output,
        "leave by SystemExit with the code of success",
        Expect::Shows(checks::failed)
    ),
    program!(
        "leave-interrupt",
        Output,
        "leave by KeyboardInterrupt",
        Expect::Shows(checks::failed)
    ),
    program!(
        "leave-process",
        Output,
        "leave by os._exit, with the code of success",
        Expect::Shows(checks::failed)
    ),
    program!("leave-abort", Output, "leave by abort", Expect::Shows(checks::failed)),
    program!(
        "leave-generator",
        Output,
        "leave by GeneratorExit and a base exception of its own",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "lying-results-ts",
        Output,
        "return getters, proxies and objects that lie about what they are",
        Expect::Shows(checks::honest_objects)
    ),
    program!(
        TypeScript,
        "hostile-errors-ts",
        Output,
        "throw errors and other things that lie, fail and never end when they are told",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "printed-envelope-ts",
        Output,
        "print an answer of its own to both streams, then fail",
        Expect::Shows(checks::raised)
    ),
    program!(
        TypeScript,
        "leave-exit-ts",
        Output,
        "leave by process.exit with the code of success",
        Expect::Shows(checks::failed)
    ),
    program!(
        TypeScript,
        "half-characters-ts",
        Output,
        "return half a surrogate pair past the encoder",
        Expect::Shows(checks::failed)
    ),
];
