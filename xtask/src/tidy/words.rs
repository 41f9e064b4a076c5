//! Words that no file may hold: promises to do it later, silenced checks, and
//! paths that exist on one machine only.

use super::{Problem, Source};

/// A word, where it is looked for, and what to do instead. Split, so that this file
/// does not hold them.
const WORDS: &[Word] = &[
    Word { text: concat!("TO", "DO"), kinds: CODE, hint: "do it, or open an issue" },
    Word { text: concat!("FIX", "ME"), kinds: CODE, hint: "do it, or open an issue" },
    Word { text: concat!("allow(", "dead_code"), kinds: CODE, hint: "remove what nothing reads" },
    Word {
        text: concat!("#[ig", "nore"),
        kinds: CODE,
        hint: "a test that cannot run here says so: see CAPSULE_SKIP_LOG in scripts/test.sh",
    },
];

/// The beginnings of absolute paths that are somebody's own.
const PATHS: &[&str] = &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/")];

/// Files in which a word may stand, each with its reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[(
    "crates/spec/src/path.rs",
    concat!("/ro", "ot/"),
    "its test takes the directory that careless prefix checks let through",
)];

const CODE: &[&str] = &["rs", "py", "ts", "js", "sh", "awk", "toml", ""];

struct Word {
    text: &'static str,
    /// Extensions of files.
    kinds: &'static [&'static str],
    hint: &'static str,
}

pub(super) fn check(source: &Source) -> Vec<Problem> {
    let is_allowed = |word: &str| {
        EXCEPTIONS.iter().any(|(path, excepted, _)| *path == source.path && *excepted == word)
    };
    let words = WORDS.iter().filter(|word| word.kinds.contains(&source.extension()));
    let mut problems = Vec::new();
    for word in words.filter(|word| !is_allowed(word.text)) {
        let lines = source.lines().filter(|(_, line)| line.contains(word.text));
        problems.extend(lines.map(|(number, _)| {
            Problem::new(&source.path, number, format!("holds {:?}", word.text), word.hint)
        }));
    }
    for path in PATHS.iter().filter(|path| !is_allowed(path)) {
        let lines = source.lines().filter(|(_, line)| begins_a_path(line, path));
        problems.extend(lines.map(|(number, _)| {
            let hint = "name a path that exists everywhere, or a variable";
            Problem::new(&source.path, number, format!("holds a path below {path}"), hint)
        }));
    }
    problems
}

/// Whether `start` stands where an absolute path begins, not in the middle of one.
fn begins_a_path(line: &str, start: &str) -> bool {
    line.match_indices(start).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || "/}$_.-*>)]".contains(c))
    })
}

pub(super) fn check_exceptions(sources: &[Source]) -> Vec<Problem> {
    let is_needed = |path: &str, word: &str| {
        sources.iter().any(|source| source.path == path && source.text.contains(word))
    };
    EXCEPTIONS
        .iter()
        .filter(|(path, word, _)| !is_needed(path, word))
        .map(|(path, word, _)| {
            let what = format!("is allowed to hold {word:?} and does not");
            Problem::new(*path, 1, what, "remove the exception")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::files::sample;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<usize> {
        check(&sample(path, text)).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn every_forbidden_word_is_found() {
        for word in WORDS {
            let text = format!("fine\n// {}: later\n", word.text);
            assert_eq!(found("a.rs", &text), [2], "{}", word.text);
            assert!(found("a.md", &text).is_empty(), "{}", word.text);
        }
    }

    #[test]
    fn own_paths_are_found_where_they_begin() {
        for path in PATHS {
            assert_eq!(found("a.md", &format!("see {path}x\n")), [1]);
            assert_eq!(found("a.rs", &format!("open(\"{path}x\")\n")), [1]);
            assert!(found("a.rs", &format!("format!(\"/proc/{{pid}}{path}x\")\n")).is_empty());
            assert!(found("a.sh", &format!("\"$system{path}x\"\n")).is_empty());
        }
        assert!(found("a.rs", concat!("\"/wo", "rkspace/x\"\n")).is_empty());
    }
}
