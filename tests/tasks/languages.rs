//! Programs in both languages that call each other's tasks: one spec, one envelope, one set of
//! limits.

use capsule_tests::{Binary, Finished, Program, Run, cache, skip};
use serde_json::{Value, json};

const SETTINGS: &str = "[programs]\nmain = \"main.py\"\nrender = \"web/render.ts\"\n";

const MAIN: &str = r#"import asyncio

from capsule import TaskError, task, task_of

page = task_of("render", "page")
flaky = task_of("render", "flaky")
deep = task_of("render", "deep")


@task(compute="LOW")
def words(text: str) -> list:
    return text.split()


@task
def fails(reason: str):
    raise LookupError(f"no {reason}")


@task
def ways():
    one = page("a", {"n": 1})
    later = page.submit("b")
    return [one, page.map(["c", "d"]), later.result(), later.done(), page.name, repr(page)]


@task
async def waits():
    pages = await asyncio.gather(*(page.submit(name) for name in "xyz"))
    return [pages, task_of("render", "back")("one two")]


@task
def caught():
    try:
        return task_of("render", "refuse")("luck")
    except TaskError as error:
        return [error.task, error.error_type, error.code, error.traceback, error.retryable]


@task
def uncaught():
    return task_of("render", "refuse")("luck")


@task(allowed_files=["data"])
def tries():
    return flaky()


@task
def main(text="one two"):
    return {"words": words(text), "page": page(text), "deep": deep(text)}
"#;

const RENDER: &str = r#"import { task, taskOf, TaskError } from "@capsule-run/sdk";
import { readFileSync, writeFileSync, existsSync } from "node:fs";
import { title, refusal } from "./lib/title";

const words = taskOf<[text: string], string[]>("main", "words");
const fails = taskOf<[reason: string], never>("main", "fails");

const loud = task({ name: "loud" }, (text: string) => text.toUpperCase());

export const page = task({ name: "page", compute: "LOW", ram: "64MB" }, (text: string, options: object = {}) => ({
  html: `<h1>${title(text)}</h1>`,
  options,
}));

export const back = task({ name: "back" }, async (text: string) => words(text));

export const deep = task({ name: "deep" }, async (text: string) => {
  const found = await words(text);
  return (await loud.map(found)).join("-");
});

export const ways = task({ name: "ways" }, async () => {
  const later = words.submit("d");
  const controller = new AbortController();
  return [
    await words("a b"),
    await Promise.all([words("c"), later]),
    await words.map(["e f", "g"]),
    await words.with({ signal: controller.signal }).run("h"),
    words.name,
  ];
});

export const refuse = task({ name: "refuse" }, (reason: string) => refusal(reason));

export const flaky = task({ name: "flaky", maxRetries: 2, allowedFiles: ["data"] }, () => {
  const tries = existsSync("/data/tries") ? Number(readFileSync("/data/tries", "utf8")) : 0;
  writeFileSync("/data/tries", String(tries + 1));
  if (tries < 2) throw new Error("not yet");
  return tries;
});

export const caught = task({ name: "caught" }, async () => {
  try {
    return await fails("luck");
  } catch (error) {
    if (!(error instanceof TaskError)) throw error;
    return [error.task, error.errorType, error.code, error.traceback];
  }
});

export const main = task({ name: "main" }, async (text = "one two") => deep(text));
"#;

const TITLE: &str = r#"export const title = (text: string): string => text.trim();

export function refusal(reason: string): never {
  throw new RangeError(`no ${reason}`);
}
"#;

fn program() -> Program {
    let program = Program::new(MAIN)
        .with("capsule.toml", SETTINGS)
        .with("web/render.ts", RENDER)
        .with("web/lib/title.ts", TITLE);
    program.folder().directory("data");
    program
}

fn call(program: &Program, file: &str, task: &str) -> Finished {
    program.run(&["--json", "--task", task, file]).finish()
}

#[track_caller]
fn result(run: Finished) -> Value {
    run.ended_with(0).json()["result"].clone()
}

#[test]
fn python_calls_typescript_in_every_way() {
    let program = program();
    let page = |text: &str| json!({"html": format!("<h1>{text}</h1>"), "options": {}});
    assert_eq!(
        result(call(&program, "main.py", "ways")),
        json!([
            {"html": "<h1>a</h1>", "options": {"n": 1}},
            [page("c"), page("d")],
            page("b"),
            true,
            "render:page",
            "<task 'render:page'>",
        ])
    );
    let expected = json!([[page("x"), page("y"), page("z")], ["one", "two"]]);
    assert_eq!(result(call(&program, "main.py", "waits")), expected);
}

#[test]
fn typescript_calls_python_in_every_way() {
    let program = program();
    assert_eq!(
        result(call(&program, "web/render.ts", "ways")),
        json!([["a", "b"], [["c"], ["d"]], [["e", "f"], ["g"]], ["h"], "main:words"])
    );
    // The other program is loaded, too, and can be named from outside.
    assert_eq!(result(call(&program, "web/render.ts", "main:main"))["deep"], "ONE-TWO");
}

#[test]
fn calls_go_back_and_forth_and_are_told_by_their_programs() {
    let program = program();
    let expected = json!({
        "words": ["one", "two"],
        "page": {"html": "<h1>one two</h1>", "options": {}},
        "deep": "ONE-TWO",
    });
    let run = program.run(&["--json", "--verbose", "main.py"]).finish().ended_with(0);
    assert_eq!(run.json()["result"], expected);
    let execution = &run.json()["execution"];
    assert_eq!((&execution["task_name"], &execution["retries"]), (&json!("main"), &json!(0)));
    for line in [
        "capsule: main #1: called",
        "capsule: words #2: called by main #1",
        "capsule: render:page #3: called by main #1",
        "capsule: render:deep #4: called by main #1",
        "capsule: words #5: called by render:deep #4",
        "capsule: render:loud #6: called by render:deep #4",
    ] {
        assert!(run.errors().contains(&format!("{line}\n")), "{line}: {run}");
    }
    // What the called burnt counts for the caller.
    let fuel = |of: &str| {
        let line = run.errors().lines().find(|line| line.contains(&format!("{of}: done")));
        let told = line.and_then(|line| line.rsplit_once(", ")).unwrap_or_else(|| panic!("{run}"));
        told.1.split(' ').next().and_then(|units| units.parse::<u64>().ok()).unwrap()
    };
    assert_eq!(execution["fuel_consumed"].as_u64(), Some(fuel("main #1")));
    assert!(fuel("main #1") > fuel("render:page #3") + fuel("render:deep #4"), "{run}");
    assert!(fuel("render:deep #4") > fuel("words #5") + fuel("render:loud #6"), "{run}");
    let run = program.run(&["--json", "web/render.ts", "a b"]).finish();
    assert_eq!(result(run), json!("A-B"));
}

#[test]
fn errors_carry_the_lines_of_the_called() {
    let program = program();
    let caught = result(call(&program, "main.py", "caught"));
    assert_eq!(
        (&caught[0], &caught[1], &caught[2], &caught[4]),
        (&json!("render:refuse"), &json!("RangeError"), &json!("E3008"), &json!(true))
    );
    let traceback = caught[3].as_str().unwrap();
    for place in ["at refusal (web/lib/title.ts:4:", "at refuse (web/render.ts:"] {
        assert!(traceback.contains(place), "{place}: {traceback}");
    }
    let caught = result(call(&program, "web/render.ts", "caught"));
    assert_eq!(
        (&caught[0], &caught[1], &caught[2]),
        (&json!("main:fails"), &json!("LookupError"), &json!("E3008"))
    );
    assert!(
        caught[3].as_str().unwrap().contains("File \"main.py\", line 17, in fails"),
        "{caught}"
    );
    let told = call(&program, "main.py", "uncaught").ended_with(1).json();
    let error = &told["error"];
    assert_eq!((&error["error_type"], &error["code"]), (&json!("TaskError"), &json!("E3008")));
    let message = "task 'render:refuse' failed: RangeError: no luck";
    assert_eq!(error["message"], message);
}

#[test]
fn retries_are_those_that_the_called_declares() {
    let program = program();
    let run = program.run(&["--json", "-v", "--task", "tries", "main.py"]).finish();
    assert_eq!(run.errors().matches("render:flaky #2: attempt").count(), 3, "{run}");
    assert_eq!(result(run), json!(2));
}

/// Two names that are wrong, each before anything runs, with file, line and what may be meant.
#[test]
fn what_is_not_there_is_told_before_anything_runs() {
    for (call, hint) in [
        ("task_of('rendr', 'page')", "did you mean \"render\"?"),
        ("task_of('other', 'page')", "name it there, below [programs]: other = \"FILE\""),
        ("task_of('render', 'pages')", "did you mean \"page\"?"),
    ] {
        let program = program();
        let text = format!("print('loading')\n\n\nfrom capsule import task_of\n{call}\n");
        program.write("main.py", text);
        let error = program.answer(&[]).ended_with(1).json()["error"].clone();
        assert_eq!((&error["code"], &error["hint"]), (&json!("E1011"), &json!(hint)), "{error}");
        assert!(error["message"].as_str().unwrap().starts_with("main.py:5: "), "{error}");
    }
    let program = program();
    let text = RENDER.replace("(\"main\", \"fails\")", "(\"main\", \"fials\")");
    program.write("web/render.ts", format!("// One line more.\n{text}"));
    let error = program.answer(&[]).ended_with(1).json()["error"].clone();
    let message = "web/render.ts:7: the program has no task \"fials\"";
    assert_eq!((&error["code"], &error["message"]), (&json!("E1011"), &json!(message)));
}

#[test]
fn a_program_that_cannot_be_loaded_is_named_with_its_place() {
    let program = program();
    program.write("web/render.ts", "const a = ;\n");
    let error = program.answer(&[]).ended_with(1).json()["error"].clone();
    assert_eq!(error["code"], "E1013", "{error}");
    assert!(error["message"].as_str().unwrap().contains("web/render.ts:1:"), "{error}");
    program.write("web/render.ts", "throw new RangeError('top level');\n");
    let run = program.run(&["--json", "main.py"]).finish().ended_with(1);
    let error = &run.json()["error"];
    assert_eq!((&error["error_type"], &error["code"]), (&json!("RangeError"), &json!("E3008")));
    assert!(error["traceback"].as_str().unwrap().contains("web/render.ts:1:"), "{error}");
    assert!(error["hint"].as_str().unwrap().contains("\"render\" is one"), "{error}");
}

#[test]
fn an_exported_program_carries_the_others_with_it() {
    let elsewhere = program();
    for file in ["main.py", "web/render.ts"] {
        let program = program();
        let build = Run::new(&["build", "--export", file])
            .binary(Binary::Capsule)
            .directory(program.folder().path())
            .variable("CAPSULE_CACHE", &cache());
        build.finish().ended_with(0);
        let name = file.rsplit('/').next().unwrap().replace(".py", ".wasm").replace(".ts", ".wasm");
        let made = std::fs::read(program.folder().path().join(&name)).expect("it was written");
        let empty = Program::new("").with(&name, made);
        std::fs::remove_file(empty.folder().path().join("main.py")).expect("it is there");
        let run = Run::new(&["exec", &name, "--json"])
            .binary(Binary::Capsule)
            .directory(empty.folder().path())
            .variable("CAPSULE_CACHE", &cache());
        let before = result(elsewhere.run(&["--json", file]).finish());
        let told = run.finish();
        assert_eq!(told.ended_with(0).json()["result"], before, "{file}");
    }
}

#[test]
fn tasks_in_jails_call_and_are_called() {
    let program = program();
    program.write(
        "main.py",
        "from capsule import task, task_of\n@task(isolation='jail')\ndef native(n):\n    \
         return task_of('render', 'twice')(n)\n@task\ndef main():\n    \
         return [native(4), task_of('render', 'native')(5)]\n@task\ndef half(n):\n    return n // 2\n",
    );
    program.write(
        "web/render.ts",
        "import { task, taskOf } from '@capsule-run/sdk';\n\
         export const twice = task({ name: 'twice' }, (n: number) => 2 * n);\n\
         export const native = task({ name: 'native', isolation: 'jail' }, async (n: number) => \
         [await taskOf('main', 'half')(n), process.versions.capsule === undefined]);\n",
    );
    let run = program.answer(&[]);
    let code = run.json()["error"]["code"].clone();
    if code == "E2007" || code == "E2004" {
        return skip("tasks cannot run in jails here");
    }
    assert_eq!(result(run), json!([8, [2, true]]));
}
