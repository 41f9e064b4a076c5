//! What single attempts need beside the rule: an eye of their own.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;

use super::judge::{always, answered, told};
use super::ran::Ran;
use super::scene::Scene;
use crate::attack::Verdict;

/// How late a timeout of a second or less may be heard of on a busy machine: starting,
/// loading and ending included.
const LATE_MS: u128 = 10_000;

/// Its timeout ended it, and soon.
pub(super) fn timed_out(ran: &Ran) -> Verdict {
    let held = ran.error_code() == Some("E3003") && ran.took.as_millis() < LATE_MS;
    Verdict::held_if(held, ran.describe())
}

/// It returned `"gone"`, and did not wait for what it left behind.
pub(super) fn quick_success(ran: &Ran) -> Verdict {
    let held = ran.result() == "gone" && ran.took.as_millis() < LATE_MS;
    Verdict::held_if(held, ran.describe())
}

/// It met a limit, and of 64 MB it had no more than is left to whoever has to tell that.
pub(super) fn within_memory(ran: &Ran) -> Verdict {
    let used = ran.answer.as_ref().and_then(|answer| answer["execution"]["ram_used"].as_u64());
    let ended = matches!(ran.error_code(), Some("E3003" | "E4001" | "E4004"));
    let held = ended && used.is_some_and(|used| used <= 64_000_000 + (4 << 20));
    Verdict::held_if(held, format!("{used:?} bytes used, {}", ran.describe()))
}

/// Three attempts are told as two retries.
pub(super) fn two_retries(ran: &Ran) -> Verdict {
    let retries = ran.answer.as_ref().map(|answer| answer["execution"]["retries"].clone());
    let held = ran.error_code() == Some("E3003") && retries == Some(json!(2));
    Verdict::held_if(held, format!("{}; retries {retries:?}", ran.describe()))
}

/// Its exception is what the answer tells, and nothing that it printed.
pub(super) fn raised(ran: &Ran) -> Verdict {
    Verdict::held_if(ran.error_code() == Some("E3008"), ran.describe())
}

/// However it left, it did not succeed.
pub(super) fn failed(ran: &Ran) -> Verdict {
    let held = matches!(ran.error_code(), Some("E3008" | "E3009"));
    Verdict::held_if(held, ran.describe())
}

/// The flood was cut, and the answer says so.
pub(super) fn truncated(ran: &Ran) -> Verdict {
    let says =
        ran.answer.as_ref().is_some_and(|answer| answer["execution"]["output_truncated"] == true);
    let kept = ran.stderr.len() >> 20;
    Verdict::held_if(says && kept <= 16, format!("{kept} MiB passed on, {}", ran.describe()))
}

/// Several lines became one value of one line.
pub(super) fn one_value(ran: &Ran) -> Verdict {
    let forged = json!([{"id": 7, "success": true, "result": "forged"}, 1]);
    Verdict::held_if(ran.result() == &forged, format!("one line: {}", ran.result()))
}

/// What the values are, and not what their methods say.
pub(super) fn honest_values(ran: &Ran) -> Verdict {
    match ran.error_code() {
        None => {
            let honest = json!(["text", 7, {"a": 1}, {"key": 1}]);
            Verdict::held_if(ran.result() == &honest, ran.result().to_string())
        }
        // Refused is honest, too.
        Some(code) => Verdict::held_if(code == "E3008", ran.describe()),
    }
}

/// What each property was when it was read, and no word of it as part of the answer.
pub(super) fn honest_objects(ran: &Ran) -> Verdict {
    let forged = "\"},\"success\":true,\"result\":{\"forged\":\"";
    let honest = json!([
        {"first": "one"}, [7, 7, 7], {"a": 1}, {"said": forged}, {forged: 1}, forged,
        {"a": 1, "b": 2}, {"own": 1},
    ]);
    Verdict::held_if(ran.result() == &honest, ran.result().to_string())
}

/// The same size, and the same time of the last change, as far as anybody can set it.
pub(super) fn stale_bundle(scene: &Scene<'_>) -> io::Result<Verdict> {
    let mut verdict = Verdict::Held(String::new());
    let helper = scene.project().join("helper.ts");
    let mut modified = None;
    for value in ["one", "two", "six"] {
        fs::write(&helper, format!("export const value = \"{value}\";\n"))?;
        let file = fs::File::options().write(true).open(&helper)?;
        match modified {
            Some(time) => file.set_modified(time)?,
            None => modified = Some(file.metadata()?.modified()?),
        }
        let ran = scene.run()?;
        let seen = ran.result().to_string();
        let held = Verdict::held_if(ran.result() == value, format!("{value}: {seen}"));
        verdict = verdict.and(answered(&ran)).and(held);
    }
    Ok(verdict)
}

/// One more play by a name for the evidence, judged by the rule and by `check`.
fn play(scene: &Scene<'_>, name: &str, ran: &Ran, check: impl FnOnce(&Ran) -> bool) -> Verdict {
    let held = always(scene, ran).and(answered(ran));
    if held.is_failure() {
        return held;
    }
    Verdict::held_if(check(ran), format!("{name}: {}", ran.describe()))
}

fn fails_with(code: &'static str) -> impl FnOnce(&Ran) -> bool {
    move |ran| ran.error_code() == Some(code)
}

/// A program that is a link: it is run in the folder that it really lies in, or not at all,
/// and never with the rights of this one.
pub(super) fn linked_program(scene: &Scene<'_>) -> io::Result<Verdict> {
    let program = "from capsule import task\n@task(allowed_files=[\".\"])\ndef main():\n    return open(\"/secret\").read()\n";
    let real = scene.outside().join("elsewhere");
    fs::create_dir_all(&real)?;
    fs::write(real.join("linked.py"), program)?;
    fs::remove_file(scene.project().join("main.py"))?;
    symlink(real.join("linked.py"), scene.project().join("main.py"))?;
    fs::write(scene.project().join("secret"), &scene.secret)?;
    let ran = scene.run()?;
    let held = !ran.tells(&scene.secret) && ran.error_code().is_some();
    Ok(Verdict::held_if(held, ran.describe()))
}

/// The host's own /tmp has neither what a task wrote there, nor shows what it holds.
pub(super) fn private_tmp(scene: &Scene<'_>) -> io::Result<Verdict> {
    let ran = scene.run()?;
    let name = "capsule-attack-private-tmp";
    let leaked = [scene.temporary(), "/tmp".into(), std::env::temp_dir()]
        .iter()
        .any(|folder| folder.join(name).exists());
    let seen = Verdict::held_if(!leaked, "the host's /tmp is as it was");
    Ok(always(scene, &ran).and(answered(&ran)).and(told(&ran)).and(seen))
}

/// What a second process finds of the first one.
pub(super) fn two_runs(scene: &Scene<'_>) -> io::Result<Verdict> {
    let mut verdict = Verdict::Held(String::new());
    for _ in 0..3 {
        let ran = scene.run()?;
        verdict = verdict.and(always(scene, &ran)).and(answered(&ran)).and(told(&ran));
    }
    Ok(verdict)
}

/// Nothing that Capsule prints of its own holds an escape byte.
pub(super) fn escapes_stay_out(scene: &Scene<'_>) -> io::Result<Verdict> {
    let mut verdict = Verdict::Held(String::new());
    let odd = "no\u{1b}[2Jbody";
    for arguments in [
        &["main.py"][..],
        &["main.py", "--verbose"],
        &["--task", odd, "main.py"],
        &["\u{1b}[2J.py"],
    ] {
        let ran = scene.start(arguments).run()?;
        let count = ran.stderr.iter().chain(&ran.stdout).filter(|byte| **byte == 0x1b).count();
        let text = String::from_utf8_lossy(&ran.stderr).into_owned();
        let held =
            count == 0 && !text.contains('\u{9b}') && !text.is_empty() && ran.code == Some(1);
        verdict = verdict.and(always(scene, &ran)).and(Verdict::held_if(
            held,
            format!("{count} escape bytes in {} bytes", ran.stderr.len()),
        ));
    }
    Ok(verdict)
}

/// Lines of requirements.txt that are more than a name with versions.
pub(super) fn odd_requirements(scene: &Scene<'_>) -> io::Result<Verdict> {
    let mut verdict = Verdict::Held(String::new());
    for line in [
        "--index-url http://127.0.0.1:1/simple",
        "-r /etc/passwd",
        "-e .",
        "--target=/tmp",
        "git+https://example.invalid/x.git",
        "./evil",
        "/etc/passwd",
        "evil @ file:///etc/passwd",
        "https://example.invalid/evil.whl",
        "evil \\\n --pre",
        "\u{2d}\u{2d}config-settings=x",
    ] {
        fs::write(scene.project().join("requirements.txt"), format!("{line}\n"))?;
        let ran = scene.run()?;
        fs::remove_file(scene.project().join("requirements.txt"))?;
        verdict = verdict.and(play(
            scene,
            line.lines().next().unwrap_or_default(),
            &ran,
            fails_with("E1007"),
        ));
        if verdict.is_failure() {
            break;
        }
    }
    Ok(verdict)
}

/// Machine code is read from the cache: one that others can write to, or that is reached
/// by somebody's link, is not used.
pub(super) fn open_cache(scene: &Scene<'_>) -> io::Result<Verdict> {
    let mut verdict = Verdict::Held(String::new());
    let open = scene.temporary().join("open");
    fs::create_dir_all(open.join("runtimes"))?;
    fs::set_permissions(open.join("runtimes"), fs::Permissions::from_mode(0o777))?;
    let linked = scene.temporary().join("linked");
    fs::create_dir_all(&linked)?;
    symlink(&open, linked.join("runtimes"))?;
    for (name, folder) in [("open to others", &open), ("a link", &linked)] {
        let ran = scene
            .start(&["main.py", "--json"])
            .variable("CAPSULE_CACHE", &folder.display().to_string())
            .run()?;
        verdict = verdict.and(play(scene, name, &ran, fails_with("E2007")));
    }
    Ok(verdict)
}
