//! Programs in both languages behind a worker: what each process was made ready for, and what
//! is there when a request comes.

use std::collections::BTreeSet;

use capsule_tests::{Binary, Program, Run, Running, cache};
use serde_json::{Value, json};

const MAIN: &str = "from capsule import task, task_of\npage = task_of('render', 'page')\n\
    @task\ndef main(n):\n    return [page(n), page.map([n, n])]\n\
    @task\ndef half(n):\n    return n / 2\n";
const RENDER: &str = "import { task, taskOf } from '@capsule-run/sdk';\n\
    const half = taskOf<[n: number], number>('main', 'half');\n\
    export const page = task({ name: 'page' }, async (n: number) => `${await half(n)}`);\n\
    export const main = task({ name: 'main' }, async (n: number) => half(n));\n";
const SETTINGS: &str = "[programs]\nmain = \"main.py\"\nrender = \"render.ts\"\n";

fn program() -> Program {
    Program::new(MAIN).with("render.ts", RENDER).with("capsule.toml", SETTINGS)
}

struct Worker {
    running: Running,
    asked: u64,
}

impl Worker {
    fn start() -> Self {
        let run = Run::new(&["worker"]).binary(Binary::Capsule);
        Self { running: run.variable("CAPSULE_CACHE", &cache()).open_input().start(), asked: 0 }
    }

    /// Asks, without waiting: the number of the question.
    fn ask(&mut self, mut request: Value) -> u64 {
        self.asked += 1;
        request["id"] = json!(self.asked);
        request["op"] = json!("run");
        let text = request.to_string();
        let length = u32::try_from(text.len()).expect("it is short").to_be_bytes();
        self.running.write(&[&length, text.as_bytes()].concat());
        self.asked
    }

    /// The envelope of an answer.
    fn answer(&self, id: u64) -> Value {
        let begin = format!("{{\"id\":{id},\"envelope\":");
        let mut rest = String::new();
        // What has come so far may end within it.
        for _ in 0..1000 {
            let told = self.running.wait_for(&begin);
            rest = told[told.find(&begin).expect("it was waited for")..].to_owned();
            let mut values = serde_json::Deserializer::from_str(&rest).into_iter::<Value>();
            if let Some(Ok(answer)) = values.next() {
                return answer["envelope"].clone();
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("it never ends: {rest}")
    }

    fn run(&mut self, request: Value) -> Value {
        let id = self.ask(request);
        self.answer(id)
    }

    fn end(mut self) {
        self.running.close_input();
        self.running.finish();
    }
}

fn at(program: &Program, file: &str, n: u64) -> Value {
    json!({"file": file, "cwd": program.folder().text(), "args": [n]})
}

#[test]
fn runs_of_both_programs_at_once() {
    let program = program();
    let mut worker = Worker::start();
    let asked: Vec<_> = (0..12)
        .map(|n| {
            let file = if n % 2 == 0 { "main.py" } else { "render.ts" };
            (n, worker.ask(at(&program, file, n)))
        })
        .collect();
    for (n, id) in asked {
        let told = worker.answer(id);
        let half = n / 2;
        let expected = match n % 2 {
            // Python says 1.0 where JavaScript says 1.
            0 => json!([format!("{half}"), [format!("{half}"), format!("{half}")]]),
            _ => json!(n as f64 / 2.0),
        };
        assert_eq!(told["result"], expected, "{told}");
    }
    worker.end();
}

#[test]
fn an_edit_of_any_of_them_is_seen() {
    let program = program();
    let mut worker = Worker::start();
    let mut seen = BTreeSet::new();
    for round in 0..4 {
        program.write("render.ts", RENDER.replace("`${await", &format!("`{round}: ${{await")));
        seen.insert(worker.run(at(&program, "main.py", 2))["result"][0].to_string());
    }
    assert_eq!(seen.len(), 4, "{seen:?}");
    program.write("main.py", MAIN.replace("n / 2", "n * 2"));
    assert_eq!(worker.run(at(&program, "render.ts", 2))["result"], 4);
    // Another program under the same name, in another language.
    program.write("capsule.toml", "[programs]\nrender = \"second.py\"\n");
    program.write("second.py", "from capsule import task\n@task\ndef page(n): return 'second'\n");
    assert_eq!(worker.run(at(&program, "main.py", 2))["result"][0], "second");
    // And none at all.
    program.write("capsule.toml", "");
    let told = worker.run(at(&program, "main.py", 2));
    assert_eq!(told["error"]["code"], "E1011", "{told}");
    program.write("capsule.toml", SETTINGS);
    assert!(worker.run(at(&program, "main.py", 2))["success"] == true);
    worker.end();
}

#[test]
fn text_calls_no_program_of_the_folder_that_it_runs_in() {
    let program = program();
    let mut worker = Worker::start();
    for (language, source) in [
        ("python", "from capsule import task_of\ndef main(): return task_of('render', 'page')(1)"),
        (
            "typescript",
            "import { taskOf } from '@capsule-run/sdk';\nexport const main = () => taskOf('main', 'half')(1);",
        ),
    ] {
        let asked = json!({"source": source, "language": language, "cwd": program.folder().text()});
        let told = worker.run(asked);
        let error = &told["error"];
        assert_eq!((&error["error_type"], &error["code"]), (&json!("TaskError"), &json!("E3008")));
        assert!(error["message"].to_string().contains("capsule.toml names no program"), "{told}");
    }
    worker.end();
}

/// The process that runs it sees the folder of the program, and not the caller's, where the
/// `capsule.toml` is that names it.
#[test]
fn an_entry_point_may_lie_outside_of_the_callers_folder() {
    let place = Program::new("").with("project/app.py", "def main(): return 'python'\n");
    place.write("project/app.ts", "export const main = () => 'typescript';\n");
    let mut worker = Worker::start();
    for (folder, entry, result) in [
        ("one", "../project/app.py", "python"),
        ("two", "../project/./app.py", "python"),
        ("three", "../project/app.ts", "typescript"),
    ] {
        let settings = format!("[workflow]\nentrypoint = {}\n", json!(entry));
        place.write(&format!("{folder}/capsule.toml"), settings);
        let told = worker.run(json!({"cwd": place.folder().at(folder)}));
        assert_eq!(told["result"], result, "{told}");
    }
    let told = worker.run(json!({"cwd": place.folder().at("project")}));
    assert_eq!(told["error"]["code"], "E1009", "{told}");
    worker.end();
}
