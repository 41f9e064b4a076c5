//! What every run must show, and what its program told.

use serde_json::Value;

use super::attempt::Expect;
use super::ran::Ran;
use super::scene::Scene;
use crate::attack::Verdict;

/// The host's memory that any run may take, in MiB: what all its sandboxes and values may
/// hold together (`RunLimits::memory`), and the runtime.
const MOST_MIB: u64 = 4096 + 500;
/// The time that any run may take, on a busy machine too, in seconds.
const MOST_SECONDS: u64 = 60;

/// What holds for every run, whatever it tried.
pub(super) fn always(scene: &Scene<'_>, ran: &Ran) -> Verdict {
    let told = ran.describe();
    if ran.hung {
        return Verdict::Escaped(format!("nothing ended it: {told}"));
    }
    if ran.tells(&scene.secret) {
        return Verdict::Escaped(format!("the secret came out: {told}"));
    }
    let changes = scene.changes();
    if !changes.is_empty() {
        return Verdict::Escaped(format!("changed: {}", changes.join(", ")));
    }
    if ran.tells("panicked at") {
        return Verdict::Escaped(format!("Capsule panicked: {told}"));
    }
    if ran.code.is_none() {
        return Verdict::Escaped(format!("a signal ended Capsule: {told}"));
    }
    if ran.peak_mib > MOST_MIB || ran.took.as_secs() > MOST_SECONDS {
        return Verdict::Escaped(format!("it cost the host too much: {told}"));
    }
    Verdict::Held(String::new())
}

/// The answer is one line of JSON, and agrees with the exit code.
pub(super) fn answered(ran: &Ran) -> Verdict {
    let Some(answer) = &ran.answer else {
        let start = String::from_utf8_lossy(&ran.stdout[..ran.stdout.len().min(200)]).into_owned();
        return Verdict::Escaped(format!("standard output is not one line of JSON: {start:?}"));
    };
    let success = answer["success"] == true;
    let agrees = success == (ran.code == Some(0)) && success == answer["error"].is_null();
    Verdict::held_if(
        agrees,
        if agrees { String::new() } else { format!("exit code {:?}: {answer}", ran.code) },
    )
}

/// What is expected of this one, beside that.
pub(super) fn expected(expect: &Expect, ran: &Ran) -> Verdict {
    match expect {
        Expect::Refused | Expect::Staged(_) | Expect::Silent => told(ran),
        Expect::Fails(codes) | Expect::StagedFails(_, codes) => {
            let held = ran.error_code().is_some_and(|code| codes.contains(&code));
            Verdict::held_if(held, ran.describe())
        }
        Expect::Ends => Verdict::Held(ran.describe()),
        Expect::Shows(check) => check(ran),
        Expect::Plays(_) => Verdict::Held(String::new()),
    }
}

/// The list that `probe` keeps: `[what, "held" | "through" | "control", evidence]`.
pub(super) fn told(ran: &Ran) -> Verdict {
    let Some(lines) = ran.result()["log"].as_array().filter(|_| ran.result()["end"] == true) else {
        let error = ran.answer.as_ref().map(|answer| answer["error"].to_string());
        return Verdict::Inconclusive(format!(
            "it did not come to its end: {}",
            error.unwrap_or_else(|| ran.describe())
        ));
    };
    let field = |line: &Value, at: usize| line[at].as_str().unwrap_or_default().to_owned();
    let of = |kind: &str| {
        let told = lines.iter().filter(move |line| line[1] == kind);
        told.map(|line| format!("{}: {}", field(line, 0), field(line, 2))).collect::<Vec<_>>()
    };
    let (held, through, missed) = (of("held"), of("through"), of("missed"));
    if !through.is_empty() {
        return Verdict::Escaped(through.join("; "));
    }
    if !missed.is_empty() {
        // What must work for the attempt to mean something did not.
        return Verdict::Inconclusive(missed.join("; "));
    }
    match held.as_slice() {
        [] => Verdict::Inconclusive("it tried nothing".to_owned()),
        [first, rest @ ..] => {
            let first: String = first.chars().take(160).collect();
            Verdict::Held(format!("{first} (and {} more)", rest.len()))
        }
    }
}
