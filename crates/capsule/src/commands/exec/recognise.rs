//! Which of the two kinds of command it is.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use std::path::Path;

use capsule_engine::Project;
use clap::{Command, CommandFactory};

use super::arguments::Arguments;

/// Endings of files that are WebAssembly; only the first can be run, the others are
/// told so.
const ENDINGS: [&[u8]; 3] = [b".wasm", b".wat", b".cwasm"];

/// Whether the command that these words begin is a file of WebAssembly. The first of
/// them is the verb.
pub(super) fn is_wasm(words: &[OsString]) -> bool {
    first_that_is_no_option(words.get(1..).unwrap_or_default())
        .is_some_and(|word| ENDINGS.iter().any(|ending| word.as_bytes().ends_with(ending)))
}

/// Whether that file is a program of tasks.
pub(super) fn is_program(words: &[OsString]) -> bool {
    first_that_is_no_option(words.get(1..).unwrap_or_default()).is_some_and(|word| {
        word.as_bytes().ends_with(b".wasm") && Project::is_export(Path::new(word))
    })
}

fn first_that_is_no_option(words: &[OsString]) -> Option<&OsStr> {
    // Both kinds have to be known here: an option's value is no command.
    let kinds = [capsule_jail::cli::Arguments::command(), Arguments::command()];
    let takes_value = |is_it: &dyn Fn(&clap::Arg) -> bool| {
        kinds
            .iter()
            .flat_map(Command::get_arguments)
            .any(|argument| is_it(argument) && argument.get_action().takes_values())
    };
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let bytes = word.as_bytes();
        let value_follows = match bytes {
            b"--" => return None,
            [b'-', b'-', name @ ..] => {
                takes_value(&|argument| argument.get_long().map(str::as_bytes) == Some(name))
            }
            [b'-', letters @ .., last] => {
                let takes = |letter: u8| {
                    takes_value(&|argument| argument.get_short() == Some(char::from(letter)))
                };
                // In -vt5s the value of t is 5s.
                takes(*last) && !letters.iter().any(|letter| takes(*letter))
            }
            _ => return Some(word),
        };
        if value_follows {
            words.next();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_that_is_no_option_decides() {
        for (line, expected) in [
            ("tool.wasm", true),
            ("./a/tool.wasm --json -- x", true),
            ("--json tool.wasm", true),
            ("--timeout 5s tool.wasm", true),
            ("--timeout=5s tool.wasm", true),
            ("-t 5s tool.wasm", true),
            ("-t5s tool.wasm", true),
            ("-vt 5s tool.wasm", true),
            ("--ram 1G --mount .::/x.wasm tool.wasm", true),
            ("text.wat", true),
            ("code.cwasm", true),
            ("-- tool.wasm", false),
            ("cat tool.wasm", false),
            ("--env A=x.wasm -- ls", false),
            ("-e A=x.wasm ls", false),
            ("--readonly /x/a.wasm -- ls", false),
            ("--readonly /x/a.wasm cat", false),
            ("--json", false),
            ("", false),
            ("-", false),
            ("tool.wasm.sh", false),
        ] {
            let words: Vec<OsString> =
                ["exec"].into_iter().chain(line.split_whitespace()).map(OsString::from).collect();
            assert_eq!(is_wasm(&words), expected, "{line}");
        }
    }
}
