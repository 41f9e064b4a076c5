//! Who wrote the programs of a project attacks through the calls between them: names of files
//! and of tasks, values of one language in the other, calls without end, more than was granted.

use capsule_tests::{Finished, Program};
use serde_json::{Value, json};

const SETTINGS: &str = "[programs]\nmain = \"main.py\"\nother = \"other.ts\"\n";

/// `main.py` and `other.ts`, which may call each other.
fn program(python: &str, typescript: &str) -> Program {
    let python = format!("from capsule import TaskError, task, task_of\n{python}");
    let typescript =
        format!("import {{ task, taskOf, TaskError }} from \"@capsule-run/sdk\";\n{typescript}");
    Program::new(&python).with("capsule.toml", SETTINGS).with("other.ts", typescript)
}

#[track_caller]
fn result(run: Finished) -> Value {
    run.ended_with(0).json()["result"].clone()
}

#[track_caller]
fn error(run: Finished) -> Value {
    run.ended_with(1).json()["error"].clone()
}

#[test]
fn no_file_outside_of_the_project_becomes_a_program() {
    let secret = Program::new("").with("secret.py", "from capsule import task\ntask(print)\n");
    let secret = secret.folder().at("secret.py");
    for (file, code) in [
        ("../other.ts", "E1007"),
        (secret.as_str(), "E1007"),
        ("link.py", "E5003"),
        ("folder/secret.py", "E5003"),
        ("/proc/self/environ", "E1007"),
        ("missing.ts", "E1009"),
        ("", "E1007"),
    ] {
        let program = program("def main(): pass\n", "");
        let folder = program.folder().path();
        std::os::unix::fs::symlink(&secret, folder.join("link.py")).unwrap();
        let above = std::path::Path::new(&secret).parent().unwrap();
        std::os::unix::fs::symlink(above, folder.join("folder")).unwrap();
        program.write("capsule.toml", format!("[programs]\nother = {}\n", json!(file)));
        let error = error(program.answer(&[]));
        assert_eq!(error["code"], code, "{file}: {error}");
        let told = error["message"].as_str().unwrap();
        assert!(told.starts_with("capsule.toml: programs.other: "), "{told}");
    }
}

#[test]
fn names_of_programs_with_a_meaning_are_refused() {
    for name in ["a:b", "..", "/etc", "a/b", "a b", "\u{0}", "é", ""] {
        let program = program("def main(): pass\n", "");
        program.write("capsule.toml", format!("[programs]\n{} = \"other.ts\"\n", json!(name)));
        let error = error(program.answer(&[]));
        assert_eq!(error["code"], "E1007", "{name:?}: {error}");
    }
}

/// The guest need not ask the SDK what it may call; and what it says is looked up again.
#[test]
fn a_forged_name_reaches_nothing() {
    let forged = "from wit_world.imports import host\nfrom guest import operations\n\
        def tell(name):\n    try:\n        \
        return operations.take(operations.begin(host.call, name, '{\"args\":[],\"kwargs\":{}}')).decode()\n    \
        except operations.HostFailure as failure:\n        return failure.detail.split(chr(10))[0]\n\
        @task\ndef main(names):\n    return [tell(name) for name in names]\n\
        @task(name='own:fine')\ndef own(): return 'own'\n";
    let program = program(forged, "export const page = task({ name: 'page' }, () => 'page');\n");
    let cases = [
        ("other:page", "\"page\""),
        ("own:fine", "\"own\""),
        ("other:", "E1011"),
        (":page", "E1011"),
        (":", "E1011"),
        ("other:other:page", "E1011"),
        ("other:page:", "E1011"),
        ("Other:page", "E1011"),
        ("../other:page", "E1011"),
        ("other.ts:page", "E1011"),
        ("/etc/passwd:main", "E1011"),
        ("undeclared:main", "E1011"),
        ("other:page\u{0}", "E1011"),
        ("other :page", "E1011"),
        ("", "E1011"),
        (&"x".repeat(2000), "E1011"),
        (&format!("other:{}", "x".repeat(2000)), "E1011"),
    ];
    let (names, expected): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    program.write("given.json", json!([names]).to_string());
    let run = program.run(&["--json", "--args-file", "given.json", "main.py"]).finish();
    assert_eq!(result(run), json!(expected));
}

#[test]
fn a_task_cannot_take_the_name_of_anothers() {
    for (python, typescript) in [
        (
            "@task(name='other:page')\ndef main(): pass\n",
            "export const page = task({ name: 'page' }, () => 1);\n",
        ),
        (
            "@task\ndef main(): pass\n",
            "export const page = task({ name: 'main:main' }, () => 1);\n",
        ),
    ] {
        let error = error(program(python, typescript).answer(&[]));
        assert_eq!(error["code"], "E1010", "{error}");
        assert!(error["message"].to_string().contains("means a task of the program"), "{error}");
    }
}

#[test]
fn values_are_the_same_in_the_other_language() {
    let python = "echo = task_of('other', 'echo')\n\
        @task\ndef main(*given):\n    there = [echo(value) for value in given]\n    \
        return [a == b and type(a) is type(b) for a, b in zip(given, there)] + there\n\
        @task\ndef back(value): return value\n";
    let typescript = "const back = taskOf<[unknown], unknown>('main', 'back');\n\
        export const echo = task({ name: 'echo' }, async (value: unknown) => back(value));\n\
        export const polluted = task({ name: 'polluted' }, async () => {\n  \
        const value = await back(JSON.parse('{\"__proto__\": {\"admin\": true}, \"constructor\": 1}'));\n  \
        return [({} as any).admin ?? null, Object.keys(value as object), (value as any).admin ?? null];\n});\n";
    let program = program(python, typescript);
    let given = r#"[123456789012345678901234567890, -9007199254740993, 9007199254740991, 0.1, 1e300,
        "\u0000\u2028\ud83d\ude00\"", {"__proto__": {"a": 1}, "constructor": null, "": [[]]}, [null, true], ""]"#;
    program.write("given.json", given);
    let run = program.run(&["--json", "--args-file", "given.json", "main.py"]).finish();
    let text = run.text().to_owned();
    let told = result(run);
    assert_eq!(&told.as_array().unwrap()[..9], vec![json!(true); 9], "{told}");
    // As text: a reader of JSON may round them.
    assert!(text.contains("123456789012345678901234567890,-9007199254740993,"), "{text}");
    assert!(text.contains("{\"__proto__\":{\"a\":1},\"constructor\":null,\"\":[[]]}"), "{text}");
    let run = program.run(&["--json", "--task", "polluted", "other.ts"]).finish();
    assert_eq!(result(run), json!([null, ["__proto__", "constructor"], null]));
}

#[test]
fn what_json_cannot_hold_is_refused_on_both_sides() {
    let python = "echo = task_of('other', 'echo')\ngive = task_of('other', 'give')\n\
        def told(call, value):\n    try:\n        return call(value)\n    \
        except Exception as error:\n        return getattr(error, 'error_type', type(error).__name__)\n\
        @task\ndef main():\n    deep = []\n    for _ in range(300): deep = [deep]\n    \
        odd = [float('nan'), float('inf'), '\\ud800', {1: 2}, b'x', {1}, deep]\n    \
        return [told(echo, value) for value in odd] + [told(give, n) for n in range(6)]\n";
    let typescript = "export const echo = task({ name: 'echo' }, (value: unknown) => value);\n\
        const loop: any = {}; loop.self = loop;\n\
        const odd = [NaN, -Infinity, '\\ud800', new Map(), Symbol('x'), loop];\n\
        export const give = task({ name: 'give' }, (n: number) => odd[n]);\n";
    let expected = vec![json!("NotExact"); 13];
    assert_eq!(result(program(python, typescript).answer(&[])), json!(expected));
}

/// A guest's own encoder is in its hands.
#[test]
fn an_answer_that_is_forged_ends_its_task_and_not_the_caller() {
    let python = "import guest.values\n@task\ndef lies(text):\n    \
        guest.values.encode = lambda value, what='': text\n    return 1\n@task\ndef main(): pass\n";
    let typescript = "const lies = taskOf<[text: string], unknown>('main', 'lies');\n\
        export const main = task({ name: 'main' }, async () => {\n  const told = [];\n  \
        for (const text of ['{', '1}', 'NaN', '\"\\\\ud800\"', '[1]\\n{\"x\":1}', '['.repeat(5000)]) {\n    \
        try { told.push(await lies(text)); } catch (error) { told.push((error as TaskError).errorType); }\n  }\n  \
        return told;\n});\n";
    let run = program(python, typescript).run(&["--json", "other.ts"]).finish();
    assert_eq!(result(run), json!(vec!["Crashed"; 6]));
}

#[test]
fn calls_between_languages_without_end_are_ended() {
    let python = "again = task_of('other', 'again')\n@task\ndef main(n=0): return again(n)\n";
    let typescript = "const main = taskOf<[n: number], number>('main', 'main');\n\
        export const again = task({ name: 'again' }, async (n: number) => main(n + 1));\n";
    let error = error(program(python, typescript).answer(&[]));
    let told = error["message"].as_str().unwrap();
    assert!(told.ends_with("LimitExceeded: tasks are nested more than 16 deep"), "{error}");
    assert_eq!(told.matches("failed: ").count(), 17, "{error}");
}

#[test]
fn the_called_burns_the_fuel_of_its_caller() {
    let python = "@task(name='main', compute=3_000_000_000)\ndef main(): return task_of('other', 'burn')()\n";
    let typescript =
        "export const burn = task({ name: 'burn', compute: 'HIGH' }, () => { for (;;); });\n";
    let run = program(python, typescript).answer(&[]).ended_with(1);
    let told = run.json();
    assert_eq!(told["error"]["code"], "E4004", "{told}");
    let burnt = told["execution"]["fuel_consumed"].as_u64().unwrap();
    assert!((3_000_000_000..4_000_000_000).contains(&burnt), "{told}");
}

#[test]
fn limits_of_the_called_are_its_own() {
    let python = "def told(name):\n    try:\n        return task_of('other', name)()\n    \
        except TaskError as error:\n        return [error.error_type, error.code]\n\
        @task\ndef main(): return [told('slow'), told('large')]\n";
    let typescript = "export const slow = task({ name: 'slow', timeout: '300ms' }, () => { for (;;); });\n\
        export const large = task({ name: 'large', ram: '64MB' }, () => \
        Array.from({ length: 1e9 }, (_, n) => 'x'.repeat(1e6) + n).length);\n";
    let expected = json!([["Timeout", "E3003"], ["MemoryError", "E4001"]]);
    assert_eq!(result(program(python, typescript).answer(&[])), expected);
}

#[test]
fn the_called_gets_what_it_declared_and_no_more() {
    let python = "@task(allowed_files=['data'], env_variables=['API_KEY'], allowed_hosts=['127.0.0.1'])\n\
        def main(): return task_of('other', 'look')()\n";
    let typescript = "import { existsSync } from 'node:fs';\n\
        export const look = task({ name: 'look' }, async () => [\n  \
        process.env.API_KEY ?? null, existsSync('/data/file'), existsSync('/main.py'),\n  \
        await fetch('http://127.0.0.1:1/').then(() => 'reached', (error) => error.name)]);\n";
    let program = program(python, typescript).with("data/file", "x");
    let run = program.run(&["--json", "main.py"]).variable("API_KEY", "sk-1").finish();
    assert_eq!(result(run), json!([null, false, false, "DeniedError"]));
    // What no task can be granted is no task's by way of another program.
    for (files, expected) in [("../x", "E1010"), ("/etc", "E1010"), ("link", "E5002")] {
        let typescript = format!(
            "export const look = task({{ name: 'look', allowedFiles: ['{files}'] }}, () => 1);\n"
        );
        let program =
            self::program("@task\ndef main(): return task_of('other', 'look')()\n", &typescript);
        std::os::unix::fs::symlink("/etc", program.folder().path().join("link")).unwrap();
        let error = error(program.answer(&[]));
        assert_eq!(error["code"], expected, "{files}: {error}");
    }
}

/// What all programs together may take to be loaded is bounded, and told of.
#[test]
fn a_program_that_cannot_be_loaded_ends_the_run_before_it_begins() {
    let program = program(
        "print('loaded')\n@task\ndef main(): pass\n",
        "const all = [];\nfor (;;) all.push(new Uint8Array(1e7).fill(1));\n",
    );
    let run = program.answer(&[]).ended_with(1);
    assert_eq!(run.json()["error"]["code"], "E4001", "{run}");
    assert!(!run.errors().contains("loaded"), "{run}");
}
