//! What users write: arguments, files, modules, packages, retries, parallel tasks.

use std::time::{Duration, Instant};

use capsule_tests::{Finished, Program, skip};
use serde_json::{Value, json};

#[track_caller]
fn result(run: Finished) -> Value {
    run.ended_with(0).json()["result"].clone()
}

const ARGUMENTS: &str = "
from capsule import task


@task
def main(*args, **kwargs):
    return [args, kwargs]


@task
def child(a, b=2, *, c=3):
    return [a, b, c]


@task
def calls():
    return [child(1), child(1, 5), child(b=7, a=0), child(1, c=[None, {'x': 1.5}])]


@task
async def later(n: int) -> int:
    import asyncio
    await asyncio.sleep(0.01)
    return n * 2


@task
async def all_of_them():
    import asyncio
    return await asyncio.gather(*(later(n) for n in range(5)))
";

#[test]
fn arguments_come_as_text_or_from_a_file() {
    let program = Program::new(ARGUMENTS);
    assert_eq!(result(program.answer(&[])), json!([[], {}]));
    // What stands after the file is the program's, flags too.
    assert_eq!(
        result(program.answer(&["a", "1", "--json", "-x"])),
        json!([["a", "1", "--json", "-x"], {}])
    );
    for (text, expected) in [
        ("[1, [2], null]", json!([[1, [2], null], {}])),
        ("{\"args\": [1], \"kwargs\": {\"k\": 2.5}}", json!([[1], {"k": 2.5}])),
        ("{\"kwargs\": {\"only\": true}}", json!([[], {"only": true}])),
    ] {
        program.write("given.json", text);
        let run = program.run(&["--json", "--args-file", "given.json", "main.py"]).finish();
        assert_eq!(result(run), expected);
    }
}

#[test]
fn defaults_keywords_and_async_tasks() {
    let program = Program::new(ARGUMENTS);
    let task = |name: &str| result(program.run(&["--json", "--task", name, "main.py"]).finish());
    assert_eq!(task("calls"), json!([[1, 2, 3], [1, 5, 3], [0, 7, 3], [1, 2, [null, {"x": 1.5}]]]));
    assert_eq!(task("all_of_them"), json!([0, 2, 4, 6, 8]));
}

#[test]
fn the_entry_point_and_defaults_of_capsule_toml() {
    let program = Program::new("").with(
        "src/app.py",
        "import parts.one\nfrom capsule import task\n@task\ndef main():\n    return parts.one.NAME\n",
    );
    program.write("src/parts/__init__.py", "");
    program.write("src/parts/one.py", "NAME = 'one'\n");
    program.write(
        "capsule.toml",
        "[workflow]\nname = \"w\"\nversion = \"1\"\nentrypoint = \"src/app.py\"\n[tasks]\ndefault_timeout = \"5s\"\n",
    );
    assert_eq!(result(program.run(&["--json"]).finish()), json!("one"));
}

#[test]
fn mounts_are_seen_where_and_how_they_were_granted() {
    let program = Program::new(
        "from capsule import task\n@task\ndef main():\n\
         \x20   seen = open('/in/file').read()\n\
         \x20   open('/out/new', 'w').write(seen.upper())\n\
         \x20   try:\n        open('/in/file', 'w')\n    except OSError as error:\n\
         \x20       return [seen, type(error).__name__]\n",
    );
    program.write("given/file", "data");
    program.folder().directory("made");
    let run =
        program.run(&["--json", "--mount", "given::/in:ro", "--mount", "made::/out:rw", "main.py"]);
    let told = result(run.finish());
    assert_eq!(told[0], "data");
    assert!(told[1].as_str().is_some_and(|kind| kind.ends_with("Error")), "{told}");
    assert_eq!(
        (program.folder().read("given/file"), program.folder().read("made/new")),
        ("data".into(), "DATA".into())
    );
    let refused =
        program.run(&["--json", "--mount", "missing::/in", "main.py"]).finish().ended_with(1);
    assert_eq!(refused.json()["error"]["code"], "E1009");
}

#[test]
fn an_edit_of_a_module_is_seen_at_once() {
    let program = Program::new(
        "import helper\nfrom capsule import task\n@task\ndef main():\n    return helper.VALUE\n",
    );
    for round in 0..3 {
        program.write("helper.py", format!("VALUE = {round}\n"));
        let began = Instant::now();
        assert_eq!(result(program.answer(&[])), json!(round));
        // Nothing is built for it; what others build on a busy machine is allowed for.
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    }
}

#[test]
fn programs_of_one_name_never_mix() {
    let text = |name: &str| {
        format!(
            "import helper\nfrom capsule import task\n@task\ndef main():\n    return ['{name}', helper.VALUE]\n"
        )
    };
    let one = Program::new(&text("one")).with("helper.py", "VALUE = 1\n");
    let two = Program::new(&text("two")).with("helper.py", "VALUE = 2\n");
    for _ in 0..2 {
        assert_eq!(result(one.answer(&[])), json!(["one", 1]));
        assert_eq!(result(two.answer(&[])), json!(["two", 2]));
    }
}

const RETRIES: &str = "
from capsule import task


@task(max_retries=3, allowed_files=['state'])
def main():
    with open('/state/tries', 'a') as file:
        file.write('x')
    tries = len(open('/state/tries').read())
    if tries < 3:
        raise OSError(f'try {tries}')
    return tries


@task(max_retries=2)
def never():
    raise OSError('no')


@task(max_retries=2)
def at_once():
    return 1
";

#[test]
fn retries_are_counted_truthfully() {
    let program = Program::new(RETRIES);
    program.folder().directory("state");
    let told = |name: &str| {
        let answer = program.run(&["--json", "--task", name, "main.py"]).finish().json();
        (
            answer["result"].clone(),
            answer["error"]["code"].clone(),
            answer["execution"]["retries"].clone(),
        )
    };
    assert_eq!(told("main"), (json!(3), Value::Null, json!(2)));
    assert_eq!(told("never"), (Value::Null, json!("E3008"), json!(2)));
    assert_eq!(told("at_once"), (json!(1), Value::Null, json!(0)));
}

#[test]
fn the_same_work_takes_the_same_fuel() {
    let program = Program::new(
        "from capsule import task\n@task\ndef main():\n\
         \x20   return sum(hash(str(n)) % 7 for n in range(20000)) and 1\n",
    );
    let fuel = || {
        let answer = program.answer(&[]).ended_with(0).json();
        answer["execution"]["fuel_consumed"].as_u64().expect("fuel is counted")
    };
    let first = fuel();
    assert!(first > 1_000_000, "{first}");
    assert_eq!([fuel(), fuel()], [first, first]);
}

#[test]
fn tasks_run_side_by_side() {
    let program = Program::new(
        "import time\nfrom capsule import task\n\
         @task\ndef nap(n):\n    time.sleep(1)\n    return n\n\
         @task\ndef main():\n\
         \x20   begun = time.monotonic()\n    values = nap.map(range(20))\n\
         \x20   return [values, time.monotonic() - begun]\n",
    );
    let told = result(program.answer(&[]));
    assert_eq!(told[0], json!((0..20).collect::<Vec<_>>()));
    // One after the other they would take twenty.
    assert!(told[1].as_f64().is_some_and(|seconds| seconds < 12.0), "{told}");
}

#[test]
fn packages_are_installed_once_and_imported() {
    let program = Program::new(
        "import iniconfig\nfrom capsule import task\n@task\ndef main():\n\
         \x20   return [iniconfig.IniConfig('x', '[a]\\nb = c\\n')['a']['b'], iniconfig.__file__]\n",
    );
    program.write("requirements.txt", "iniconfig==2.1.0  # tiny, and pure\n");
    let run = program.answer(&[]);
    if run.json()["error"]["code"] == "E2008" {
        return skip("pip cannot reach a package index");
    }
    let told = result(run);
    assert_eq!(told[0], "c");
    assert!(told[1].as_str().is_some_and(|path| path.starts_with("/packages/")), "{told}");
    let again = program.answer(&[]).ended_with(0);
    assert_eq!(again.errors(), "", "nothing is installed twice");
}

/// A package with native code works as far as it has Python; the rest says what to do.
#[test]
fn native_code_of_packages_is_left_out() {
    let program = Program::new(
        "import yaml\nfrom capsule import task\n@task\ndef main():\n\
         \x20   told = [yaml.safe_load('a: [1, 2]'), yaml.__with_libyaml__]\n\
         \x20   try:\n        from yaml import _yaml\n    except ImportError as error:\n\
         \x20       return [*told, str(error)]\n",
    );
    program.write("requirements.txt", "pyyaml==6.0.3\n");
    let run = program.answer(&[]);
    if run.json()["error"]["code"] == "E2008" {
        return skip("pip cannot reach a package index");
    }
    let why = "yaml._yaml needs native code, which a Wasm sandbox does not run; \
        the task option isolation=\"jail\" runs it in CPython";
    assert_eq!(result(run), json!([{"a": [1, 2]}, false, why]));
}

/// A program is loaded once for all its sub-tasks; what differs from sandbox to sandbox
/// must not come from that load.
#[test]
fn chance_and_time_are_each_sandboxs_own() {
    const DRAWS: &str = "import random\nfrom capsule import task\n@task\ndef draw(n):\n    \
        return random.random()\n@task\ndef main():\n    return [draw(0), draw(1), random.random()]\n";
    let drawn = |text: &str| {
        let program = Program::new(text);
        let run = || program.answer(&[]).ended_with(0).json()["result"].clone();
        [run(), run()]
            .iter()
            .flat_map(|found| found.as_array().unwrap().clone())
            .collect::<Vec<_>>()
    };
    let mut numbers: Vec<String> = drawn(DRAWS).iter().map(ToString::to_string).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), 6, "{numbers:?}");
    // A program that seeds at its top level has the same numbers everywhere.
    let seeded = drawn(&format!("import random\nrandom.seed(5)\n{DRAWS}"));
    assert!(seeded.iter().all(|number| *number == seeded[0]), "{seeded:?}");
    let program = Program::new(
        "import time\nfrom capsule import task\nLOADED = time.monotonic_ns()\n@task\ndef loaded(n):\n    \
         return LOADED\n@task\ndef main():\n    time.sleep(0.01)\n    return time.monotonic_ns() - LOADED, loaded(0), loaded(1)\n",
    );
    program.answer(&[]).ended_with(0);
}
