//! Intruders in a locked-down process: this program starts itself once for each attempt,
//! locked down and, to see that the wall is what held, once without.
//!
//! Every attempt is told how it must end in both cases. As root, all of it runs again as
//! a user without rights.
#![allow(clippy::print_stdout, reason = "this is its own test harness")]

mod attempts;
mod outside;
mod place;
mod sys;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitCode};

use attempts::{ATTEMPTS, Attempt};
use place::Place;

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It got what it wanted.
    Through,
    /// The kernel said so.
    Errno(i32),
    /// It was killed for it.
    Killed,
}

/// The child could not begin; above every errno.
const NOT_BEGUN: i32 = 250;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "attempt", name, mode, place] => intrude(name, mode, place),
        [_, "stay", how, folder] => outside::stay(how, folder),
        // What test runners ask for.
        [_, "--list", ..] => ExitCode::SUCCESS,
        _ => run_all(),
    }
}

fn intrude(name: &str, mode: &str, place: &str) -> ExitCode {
    let place = Place::at(place);
    let Some(attempt) = ATTEMPTS.iter().find(|attempt| attempt.name == name) else {
        return code(NOT_BEGUN);
    };
    // As one that was there before: what it may write is known only afterwards.
    let connect = mode == "connected" || mode == "narrowed";
    if mode != "free" {
        let lockdown = place.lockdown(connect);
        if let Err(failure) = lockdown.apply() {
            eprintln!("{failure}");
            return code(NOT_BEGUN);
        }
    }
    if mode == "narrowed" {
        match place.narrower().narrow() {
            Ok(report) if report.weaker.is_empty() => {}
            other => {
                eprintln!("{other:?}");
                return code(NOT_BEGUN);
            }
        }
    }
    code((attempt.play)(&place).err().unwrap_or(0))
}

fn code(number: i32) -> ExitCode {
    ExitCode::from(u8::try_from(number).unwrap_or(u8::MAX))
}

fn run_all() -> ExitCode {
    let landlock = sys::landlock_version();
    let users: &[Option<u32>] = if sys::is_root() { &[None, Some(65534)] } else { &[None] };
    let mut failed = 0;
    let mut passed = 0;
    let mut skipped = 0;
    for user in users {
        for attempt in ATTEMPTS {
            if attempt.landlock > landlock {
                skip(attempt, landlock);
                skipped += 1;
                continue;
            }
            let problems = problems(attempt, *user);
            let verdict = if problems.is_empty() { "ok" } else { "FAILED" };
            println!("test {}{} ... {verdict}", attempt.name, suffix(*user));
            problems.iter().for_each(|problem| println!("  {problem}"));
            match problems.is_empty() {
                true => passed += 1,
                false => failed += 1,
            }
        }
    }
    for (name, check) in outside::CHECKS {
        let result = std::panic::catch_unwind(check);
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        match result.is_ok() {
            true => passed += 1,
            false => failed += 1,
        }
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {skipped} ignored; \
         0 measured; 0 filtered out"
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn suffix(user: Option<u32>) -> &'static str {
    if user.is_some() { " as nobody" } else { "" }
}

/// Loudly: `scripts/test.sh` counts these.
fn skip(attempt: &Attempt, landlock: u32) {
    use std::io::Write;
    let reason = format!(
        "lockdown {}: needs Landlock ABI {}, this kernel has {landlock}",
        attempt.name, attempt.landlock
    );
    println!("skipped: {reason}");
    if let Some(log) = std::env::var_os("CAPSULE_SKIP_LOG")
        && let Ok(mut log) = std::fs::OpenOptions::new().append(true).open(log)
    {
        let _ = writeln!(log, "{reason}");
    }
}

fn problems(attempt: &Attempt, user: Option<u32>) -> Vec<String> {
    let mut problems = Vec::new();
    for (mode, expected) in attempt.ends {
        let place = Place::new(user);
        let end = play(attempt.name, mode, &place, user);
        if end != *expected {
            problems.push(format!("{mode}: expected {expected:?}, got {end:?}"));
        }
        if !place.is_untouched() && *mode != "free" {
            problems.push(format!("{mode}: what must not change has changed"));
        }
    }
    problems
}

fn play(name: &str, mode: &str, place: &Place, user: Option<u32>) -> End {
    let mut command = place.program();
    command.args(["attempt", name, mode, place.path()]);
    if let Some(user) = user {
        command.uid(user).gid(user);
    }
    end(command)
}

fn end(mut command: Command) -> End {
    let status = command.status().expect("this program can be started again");
    match (status.code(), status.signal()) {
        (Some(0), _) => End::Through,
        (Some(NOT_BEGUN), _) => panic!("the child could not begin"),
        (Some(number), _) => End::Errno(number),
        (None, Some(libc::SIGSYS)) => End::Killed,
        (_, signal) => panic!("the child ended by signal {signal:?}"),
    }
}
