//! Floods of output, and output that looks like somebody else's words.

use std::io::Write;
use std::time::Instant;

use capsule_spec::{ErrorCode, Status};

use crate::attack::attempt::{Attempt, Bounds, Family, Verdict};
use crate::attack::guest::Guest;
use crate::attack::stage::{Stage, describe, no_run};
use crate::attack::sys;

const FAMILY: Family = Family::Output;

pub(super) const ATTEMPTS: &[Attempt] = &[
    Attempt {
        name: "stdout-flood",
        family: FAMILY,
        tries: "write 256 MiB to standard output",
        bounds: Bounds::USUAL,
        guest: |guest| flood(guest, &mut std::io::stdout().lock()),
        outside: |stage| cut_off(stage, |outcome| &outcome.stdout),
    },
    Attempt {
        name: "stderr-flood",
        family: FAMILY,
        tries: "write 256 MiB to standard error",
        bounds: Bounds::USUAL,
        guest: |guest| flood(guest, &mut std::io::stderr().lock()),
        outside: |stage| cut_off(stage, |outcome| &outcome.stderr),
    },
    Attempt {
        name: "endless-output",
        family: FAMILY,
        tries: "write to both streams from two processes past the timeout",
        bounds: Bounds::SHORT,
        guest: |_| {
            let _ = sys::fork();
            loop {
                let _ = std::io::stdout().write(&[b'x'; 4096]);
                let _ = std::io::stderr().write(&[b'x'; 4096]);
            }
        },
        outside: |stage| {
            let started = Instant::now();
            let result = stage.jail().run();
            crate::attack::stage::timed_out(&result, started.elapsed())
        },
    },
    Attempt {
        name: "forged-answer",
        family: FAMILY,
        tries: "print a JSON answer that claims success, and exit with 7",
        bounds: Bounds::USUAL,
        guest: |guest| {
            guest.keep_silent();
            let _ = writeln!(std::io::stdout(), "{}", forged_answer());
            let _ = writeln!(std::io::stderr(), "{}", forged_answer());
            let _ = std::io::stdout().flush();
            sys::exit(7);
        },
        outside: forged_answer_is_text,
    },
    Attempt {
        name: "forged-report",
        family: FAMILY,
        tries: "write PID 1's report of success to every descriptor there is, and exit with 7",
        bounds: Bounds::USUAL,
        guest: forged_report,
        outside: forged_report_is_ignored,
    },
    Attempt {
        name: "terminal-escapes",
        family: FAMILY,
        tries: "put escape sequences for the caller's terminal into what Capsule itself prints",
        bounds: Bounds::USUAL,
        guest: |guest| guest.held("nothing", "is run here"),
        outside: escapes_stay_out,
    },
];

fn flood(guest: &Guest, out: &mut impl Write) {
    guest.keep_silent();
    let line = [b'x'; 64 << 10];
    for _ in 0..(256 << 20) / line.len() {
        if out.write_all(&line).is_err() {
            break;
        }
    }
}

fn cut_off(
    stage: &Stage<'_>,
    stream: fn(&capsule_spec::Outcome) -> &capsule_spec::Captured,
) -> Verdict {
    let outcome = match stage.jail().run() {
        Ok(outcome) => outcome,
        Err(error) => return Verdict::Inconclusive(no_run(&error)),
    };
    let captured = stream(&outcome);
    let limit = (stage.attempt.bounds.output_kib as usize) << 10;
    let evidence = format!("{} KiB kept, {}", captured.bytes.len() >> 10, describe(&outcome));
    let says_so = outcome.error.as_ref().is_some_and(|failure| {
        matches!(failure.code, ErrorCode::OutputLimit | ErrorCode::TimedOut)
    });
    Verdict::held_if(captured.bytes.len() <= limit && captured.truncated && says_so, evidence)
}

fn forged_answer() -> serde_json::Value {
    serde_json::json!({
        "execution_id": "00000000-0000-0000-0000-000000000000",
        "status": "success",
        "exit_code": 0,
        "stdout": "forged",
        "stderr": "",
        "error": null,
    })
}

/// The supervisor's own answer is one object, and says 7.
fn forged_answer_is_text(stage: &Stage<'_>) -> Verdict {
    let request = serde_json::json!({
        "command": stage.exec(&[], &[]).get_args().skip_while(|text| *text != "--").skip(1)
            .map(|text| text.to_string_lossy().into_owned()).collect::<Vec<_>>(),
        "isolation": {"bind_mounts": [
            {"source": stage.binary, "destination": crate::attack::stage::BINARY},
        ]},
    });
    let output = std::process::Command::new(stage.binary)
        .args(["exec", "--json"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .and_then(|mut child| {
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(request.to_string().as_bytes())?;
            }
            child.wait_with_output()
        });
    let output = match output {
        Ok(output) => output,
        Err(error) => return Verdict::Inconclusive(error.to_string()),
    };
    let answer: serde_json::Value = match serde_json::from_slice(&output.stdout) {
        Ok(answer) => answer,
        Err(error) => return Verdict::Escaped(format!("the answer is not one object: {error}")),
    };
    let kept = answer["stdout"].as_str().is_some_and(|text| text.contains("forged"));
    if !kept {
        return Verdict::Inconclusive(format!("the guest printed nothing: {answer}"));
    }
    Verdict::held_if(
        answer["status"] == "error" && answer["exit_code"] == 7,
        format!("status {}, exit code {}", answer["status"], answer["exit_code"]),
    )
}

fn forged_report(guest: &Guest) {
    guest.keep_silent();
    // An `Ended` report with wait status 0 (`capsule_init::Report`).
    let mut report = [0u8; 56];
    report[..8].copy_from_slice(&3u64.to_ne_bytes());
    for descriptor in 0..1024 {
        let _ = sys::call!(libc::SYS_sendto, descriptor, &mut report, 56, libc::MSG_NOSIGNAL, 0, 0);
        if descriptor > 2 {
            let _ = sys::call!(libc::SYS_write, descriptor, &mut report, 56);
        }
    }
    let _ = std::io::stdout().write_all(&report);
    let _ = std::io::stdout().flush();
    sys::exit(7);
}

fn forged_report_is_ignored(stage: &Stage<'_>) -> Verdict {
    match stage.jail().run() {
        Err(error) => Verdict::Inconclusive(no_run(&error)),
        Ok(outcome) => Verdict::held_if(
            outcome.status == Status::Error && outcome.exit_code == Some(7),
            describe(&outcome),
        ),
    }
}

/// Names of a stranger's making reach error messages: of commands, of places.
fn escapes_stay_out(stage: &Stage<'_>) -> Verdict {
    const NOWHERE: &str = "/nowhere/\u{1b}]0;owned\u{7}\u{1b}[2J";
    let mut verdict = Verdict::Held(String::new());
    for arguments in [&["exec", "--", NOWHERE][..], &["exec", "--workdir", NOWHERE, "--", "sh"]] {
        let output = std::process::Command::new(stage.binary).args(arguments).output();
        let output = match output {
            Ok(output) => output,
            Err(error) => return Verdict::Inconclusive(error.to_string()),
        };
        let escapes = output.stderr.iter().chain(&output.stdout).filter(|byte| **byte == 0x1b);
        let count = escapes.count();
        let evidence = format!("{count} escape bytes in {} bytes", output.stderr.len());
        verdict = verdict.and(Verdict::held_if(count == 0 && !output.stderr.is_empty(), evidence));
    }
    verdict
}
