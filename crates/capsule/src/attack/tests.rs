//! The table of attempts is sound. That all of them hold is checked with the real
//! binary, in `tests/`.

use std::collections::BTreeSet;

use super::attempt::{Family, Verdict};
use super::{all, find, report, serve, wasm};

#[test]
fn names_are_unique_and_can_be_typed() {
    let jail: Vec<_> = all().map(|attempt| attempt.name).collect();
    let tasks: Vec<_> = wasm::all().map(|attempt| attempt.name).collect();
    let server: Vec<_> = serve::all().map(|attempt| attempt.name).collect();
    for names in [&jail, &tasks, &server] {
        let unique: BTreeSet<_> = names.iter().collect();
        assert_eq!(names.len(), unique.len());
    }
    for name in jail.into_iter().chain(tasks).chain(server) {
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.chars().all(is_plain), "{name}");
        let others = wasm::all().map(|one| one.name).chain(serve::all().map(|one| one.name));
        assert!(find(name).is_some() || others.into_iter().any(|one| one == name));
    }
}

#[test]
fn there_are_many_and_every_family_has_some() {
    assert!(all().count() >= 60 && wasm::all().count() >= 150 && serve::all().count() >= 35);
    let families = || {
        let tasks = wasm::all().map(|attempt| attempt.family);
        let server = serve::all().map(|attempt| attempt.family);
        all().map(|attempt| attempt.family).chain(tasks).chain(server)
    };
    for family in Family::ALL {
        assert!(families().any(|one| one == family), "{family:?} has none");
    }
}

#[test]
fn sentences_are_sentences() {
    let tasks = wasm::all().map(|attempt| attempt.tries);
    let server = serve::all().map(|attempt| attempt.tries);
    for tries in all().map(|attempt| attempt.tries).chain(tasks).chain(server) {
        assert!(tries.starts_with(char::is_lowercase) || tries.starts_with("CONNECT"), "{tries}");
        assert!(!tries.ends_with('.') && !tries.contains('\n'), "{tries}");
    }
}

#[test]
fn the_worse_of_two_verdicts_stands() {
    let held = || Verdict::Held("a".to_owned());
    let skipped = || Verdict::Skipped("b".to_owned());
    let unclear = || Verdict::Inconclusive("c".to_owned());
    let escaped = || Verdict::Escaped("d".to_owned());
    assert_eq!(held().and(skipped()), skipped());
    assert_eq!(unclear().and(skipped()), unclear());
    assert_eq!(unclear().and(escaped()), escaped());
    assert_eq!(held().and(held()), Verdict::Held("a; a".to_owned()));
}

#[test]
fn what_a_guest_printed_cannot_speak_to_the_terminal() {
    assert_eq!(report::printable("a\u{1b}[2Jb\u{9b}"), "a\u{fffd}[2Jb\u{fffd}");
}
