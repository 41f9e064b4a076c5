//! The table of hostile programs. Each lies in `programs/`, under its own name.

use super::attempt::{Attempt, Expect};
use super::checks;
use crate::attack::Family;

macro_rules! program {
    ($name:literal, $family:ident, $tries:literal, $expect:expr) => {
        Attempt {
            name: $name,
            family: Family::$family,
            tries: $tries,
            program: include_str!(concat!("programs/", $name, ".py")),
            expect: $expect,
        }
    };
}

/// Every attempt, family by family.
pub(crate) const ATTEMPTS: &[Attempt] = &[
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
        "unlocked-paths",
        Paths,
        "open the host's files by every name they may have",
        Expect::Refused
    ),
    program!(
        "long-paths",
        Paths,
        "open paths of a hundred thousand and of ten million characters",
        Expect::Refused
    ),
    program!("no-grant", Paths, "find a file of the project without any grant", Expect::Refused),
    program!(
        "own-links",
        Paths,
        "make links that lead away in a granted folder, and let a task follow them",
        Expect::Refused
    ),
    program!(
        "swapped-folders",
        Paths,
        "swap a folder for a link while another task opens files in it",
        Expect::Refused
    ),
    program!(
        "read-only",
        Paths,
        "change what is granted for reading only, in every way",
        Expect::Staged(checks::read_only)
    ),
    program!(
        "special-files",
        Paths,
        "open pipes, sockets and devices that lie in a granted folder",
        Expect::Staged(checks::special_files)
    ),
    program!("import-outside", Paths, "import what lies outside of the project", Expect::Refused),
    program!(
        "linked-module",
        Paths,
        "ship its program as a link to a file outside",
        Expect::Plays(checks::linked_program)
    ),
    program!(
        "full-disk",
        Paths,
        "fill the host's disk and memory through its private files",
        Expect::Refused
    ),
    program!(
        "private-tmp",
        Paths,
        "leave a file in the host's /tmp, or find one there",
        Expect::Plays(checks::private_tmp)
    ),
    program!(
        "no-network",
        Network,
        "reach the host's loopback without any allowed host",
        Expect::Silent
    ),
    program!("other-port", Network, "reach another port of an allowed host", Expect::Silent),
    program!(
        "redirect-away",
        Network,
        "be sent from an allowed host to one that is not",
        Expect::Silent
    ),
    program!(
        "other-host-header",
        Network,
        "name a host that is not allowed inside a request to one that is",
        Expect::Silent
    ),
    program!(
        "metadata",
        Network,
        "reach the metadata services of clouds with every host allowed",
        Expect::Silent
    ),
    program!(
        "other-sockets",
        Network,
        "listen, send datagrams, and use sockets of other families",
        Expect::Silent
    ),
    program!(
        "strange-connections",
        Network,
        "speak through connections that it never made",
        Expect::Silent
    ),
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
        "shipped-cache",
        Cache,
        "ship a cache folder, byte code and settings that point at them",
        Expect::Staged(checks::shipped_cache)
    ),
    program!(
        "settings-for-caches",
        Cache,
        "name a cache folder in capsule.toml",
        Expect::StagedFails(checks::settings_for_caches, &["E1007"])
    ),
    program!(
        "linked-settings",
        Cache,
        "have capsule.toml be a link, so that it is left out",
        Expect::StagedFails(checks::linked_settings, &["E1007"])
    ),
    program!(
        "pip-in-the-project",
        Cache,
        "ship modules that pip would import when it runs on the host",
        Expect::StagedFails(checks::pip_in_the_project, &["E2008"])
    ),
    program!(
        "requirements-with-options",
        Cache,
        "ask pip for other indexes, folders, files and options",
        Expect::Plays(checks::odd_requirements)
    ),
    program!(
        "shadowed-library",
        Cache,
        "ship modules named like those of the library and of Capsule",
        Expect::Staged(checks::shadows)
    ),
    program!(
        "open-cache",
        Cache,
        "have the cache be a folder that others can write, or a link",
        Expect::Plays(checks::open_cache)
    ),
    program!(
        "marks",
        Leaks,
        "leave marks wherever the interpreter has room, and look for them in the next tasks",
        Expect::Refused
    ),
    program!(
        "fresh-memory",
        Leaks,
        "look for another task's bytes in memory that was never written",
        Expect::Refused
    ),
    program!("raw-memory", Leaks, "read and write memory by address", Expect::Refused),
    program!(
        "bent-code",
        Leaks,
        "run byte code that reads outside of its own frame, and look what is left for others",
        Expect::Refused
    ),
    program!("same-chance", Leaks, "have two tasks draw the same random numbers", Expect::Refused),
    program!("siblings", Leaks, "meet a task that runs at the same time", Expect::Refused),
    program!(
        "two-runs",
        Leaks,
        "find in a second run what the first one left",
        Expect::Plays(checks::two_runs)
    ),
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
];
