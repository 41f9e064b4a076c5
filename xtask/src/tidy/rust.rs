//! Rules of a Rust file: it says what it owns, and unsafe has one place.

use super::{Problem, Source};

/// Files in which `unsafe` may stand.
const UNSAFE_FILE: &str = "sys.rs";

pub(super) fn check(source: &Source) -> Vec<Problem> {
    if source.extension() != "rs" {
        return Vec::new();
    }
    let mut problems = Vec::new();
    if !source.text.starts_with("//!") {
        let hint = "begin with //! and what the file owns";
        problems.push(Problem::new(&source.path, 1, "does not say what it is for", hint));
    }
    if source.name() != UNSAFE_FILE {
        let unsafe_lines = source.lines().filter(|(_, line)| is_unsafe(line));
        problems.extend(unsafe_lines.map(|(number, _)| {
            let hint = format!("move the call to a file named {UNSAFE_FILE}");
            Problem::new(&source.path, number, "unsafe code", hint)
        }));
    }
    problems
}

/// Whether a line holds the keyword where code follows, or lifts the lint on it.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    if code.contains(concat!("allow(", "unsafe_code)")) {
        return true;
    }
    code.match_indices("unsafe").any(|(at, word)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].trim_start();
        let starts = ["{", "(", "fn ", "impl", "extern", "trait "];
        let is_word = !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"');
        // A block may open on the next line.
        is_word && (starts.iter().any(|start| after.starts_with(start)) || after.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::sample;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        check(&sample(path, text)).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn a_file_without_a_purpose_is_found() {
        assert_eq!(found("a.rs", "use std::io;\n"), [1]);
        assert_eq!(found("a.rs", "// Not a module comment.\n"), [1]);
        assert!(found("a.rs", "//! Owns a.\n").is_empty());
        assert!(found("a.py", "import os\n").is_empty());
    }

    #[test]
    fn unsafe_outside_its_place_is_found() {
        // Put together, so that this file does not hold the word.
        let text = "//! A.\nlet x = WORD { call() };\n// WORD { }\nWORD fn f() {}\n\
                    #![allow(WORD_code)]\nlet WORD_code = \"WORD\";\n    WORD\n    {\n";
        let text = text.replace("WORD", concat!("un", "safe"));
        assert_eq!(found("a/b.rs", &text), [2, 4, 5, 7]);
        assert!(found("a/sys.rs", &text).is_empty());
    }
}
