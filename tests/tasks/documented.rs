//! What the documents of the earlier task runtime tell its users to write, as it is written
//! there or, where they only tell of it, as they tell. The programs of its first pages are
//! also run through the SDKs: sdk/python/tests/test_snippets.py, tests/npm/snippets.

use capsule_tests::{Finished, Program, Server, answer};
use serde_json::{Value, json};

/// A program in both languages, `main.py` and `main.ts`.
fn program(python: &str, typescript: &str) -> Program {
    let python = format!("import os\nfrom capsule import http, task\n{python}");
    let typescript = format!("import {{ files, task }} from \"@capsule-run/sdk\";\n{typescript}");
    Program::new(&python).with("main.ts", typescript)
}

/// Runs it in both languages; each has to come to the same.
#[track_caller]
fn both(program: &Program, check: impl Fn(Finished)) {
    for file in ["main.py", "main.ts"] {
        check(program.run(&["--json", file]).variable("API_KEY", "sk-1").finish());
    }
}

#[track_caller]
fn gives(program: &Program, expected: &Value) {
    both(program, |run| assert_eq!(&run.ended_with(0).json()["result"], expected));
}

/// The program of the first page; every option that it documents.
#[test]
fn options() {
    let options = program(
        "@task(name=\"analyze_data\", compute=\"MEDIUM\", ram=\"512MB\", timeout=\"30s\", max_retries=1, \
         allowed_files=[\"./data\", {\"path\": \"./output\", \"mode\": \"read-write\"}], allowed_hosts=[\"*\"], \
         env_variables=[\"API_KEY\"])\n\
         def analyze_data(dataset: list) -> dict:\n    \
         return {\"processed\": len(dataset), \"status\": \"complete\"}\n\
         @task(name=\"main\", compute=\"HIGH\")\ndef main():\n    return analyze_data([1, 2, 3, 4, 5])\n",
        "export const analyzeData = task({ name: \"analyze_data\", compute: \"MEDIUM\", ram: \"512MB\", \
         timeout: \"30s\", maxRetries: 1, allowedFiles: [\"./data\", { path: \"./output\", mode: \"read-write\" }], \
         allowedHosts: [\"*\"], envVariables: [\"API_KEY\"] }, (dataset: number[]): object => {\n  \
         return { processed: dataset.length, status: \"complete\" };\n});\n\
         export const main = task({ name: \"main\", compute: \"HIGH\" }, () => {\n  \
         return analyzeData([1, 2, 3, 4, 5]);\n});\n",
    );
    options.folder().directory("data");
    options.folder().directory("output");
    gives(&options, &json!({"processed": 5, "status": "complete"}));
}

/// `compute="1000000"`: what was burnt to load the program counts, and may be more.
#[test]
fn a_custom_level_is_a_limit() {
    let loops = program(
        "@task(name=\"main\", compute=\"1000000\")\ndef main():\n    while True: pass\n",
        "export const main = task({ name: \"main\", compute: \"1000000\" }, () => { while (true); });\n",
    );
    both(&loops, |run| {
        let told = run.ended_with(1).json();
        assert_eq!(told["error"]["code"], "E4004", "{told}");
        let burnt = told["execution"]["fuel_consumed"].as_u64();
        assert!(burnt.is_some_and(|fuel| (1_000_000..5_000_000).contains(&fuel)), "{told}");
    });
}

const HTTP: [&str; 2] = [
    "@task(name=\"main\", compute=\"MEDIUM\", timeout=\"30s\" HOSTS)\ndef main() -> dict:\n    \
     response = http.get(\"http://WHERE/data\")\n    \
     return {\"status\": response.status_code, \"ok\": response.ok(), \"text\": response.text()}\n",
    "export const main = task({ name: \"main\", compute: \"MEDIUM\" HOSTS }, async () => {\n  \
     const response = await fetch(\"http://WHERE/data\");\n  \
     return { status: response.status, ok: response.ok, text: await response.text() };\n});\n",
];

fn http(host: &str, options: [&str; 2]) -> Program {
    let [python, typescript] =
        [0, 1].map(|index| HTTP[index].replace("WHERE", host).replace("HOSTS", options[index]));
    program(&python, &typescript)
}

/// As the first page has it. That page lets every host be reached; see COMPATIBILITY.md.
#[test]
fn http_is_denied_until_a_host_is_named() {
    both(&http("api.example.com", ["", ""]), |run| {
        let told = run.ended_with(1).json();
        assert_eq!(told["error"]["code"], "E5002", "{told}");
        assert!(told["error"]["message"].to_string().contains("api.example.com"), "{told}");
        assert_eq!(told["execution"]["host_requests"][0]["allowed"], false, "{told}");
    });
    let server = Server::start(|_| answer("data"));
    let host = server.address();
    let options =
        [&*format!(", allowed_hosts=[\"{host}\"]"), &*format!(", allowedHosts: [\"{host}\"]")];
    gives(&http(&host, options), &json!({"status": 200, "ok": true, "text": "data"}));
}

#[test]
fn files_below_what_is_allowed() {
    let reads = program(
        "@task(name=\"main\", allowed_files=[\"./data\"])\ndef main() -> str:\n    \
         with open(\"./data/input.txt\") as f:\n        return f.read()\n",
        "export const main = task({ name: \"main\", allowedFiles: [\"./data\"] }, async () => {\n    \
         return await files.readText(\"./data/input.txt\");\n});\n",
    )
    .with("data/input.txt", "from a file");
    gives(&reads, &json!("from a file"));
    // The later document: Node's own module.
    let with_node = reads.with(
        "main.ts",
        "import fs from \"fs/promises\";\nimport { task } from \"@capsule-run/sdk\";\n\
         export const main = task({ name: \"main\", allowedFiles: [\"./data\"] }, async () => {\n  \
         await fs.appendFile(\"./data/input.txt\", \"!\");\n  \
         return (await fs.readFile(\"./data/input.txt\", \"utf8\")).replace(\"!\", \"\");\n});\n",
    );
    gives(&with_node, &json!("from a file"));
    assert_eq!(with_node.folder().read("data/input.txt"), "from a file!");
}

#[test]
fn environment_variables_that_are_named() {
    let reads = program(
        "@task(name=\"main\", env_variables=[\"API_KEY\"])\ndef main():\n    \
         return [os.environ.get(\"API_KEY\"), os.environ.get(\"PATH\")]\n",
        "export const main = task({ name: \"main\", envVariables: [\"API_KEY\"] }, () => \
         [process.env.API_KEY, process.env.PATH ?? null]);\n",
    );
    gives(&reads, &json!(["sk-1", null]));
}

const CONFIGURATION: &str = "[workflow]\nname = \"w\"\nversion = \"1.0.0\"\nentrypoint = \"ENTRY\"\n\
     [tasks]\ndefault_compute = \"MEDIUM\"\ndefault_ram = \"256MB\"\ndefault_timeout = \"30s\"\n\
     default_max_retries = 1\ndefault_env_variables = [\"API_KEY\"]\n";

/// `capsule run` without a file, and defaults for all tasks.
#[test]
fn the_file_of_a_project() {
    let project = program(
        "@task(name=\"main\")\ndef main():\n    return os.environ[\"API_KEY\"]\n",
        "export const main = task({ name: \"main\" }, () => process.env.API_KEY);\n",
    );
    for entry in ["main.py", "main.ts"] {
        project.write("capsule.toml", CONFIGURATION.replace("ENTRY", entry));
        let run = project.run(&["--json"]).variable("API_KEY", "sk-1").finish().ended_with(0);
        assert_eq!(run.json()["result"], "sk-1");
    }
}

/// `capsule build FILE --export`, then `capsule exec FILE.wasm`, or `run` of the same file.
#[test]
fn a_program_is_built_once_and_run_elsewhere() {
    let built = program(
        "import beside\n@task(name=\"main\")\ndef main(*words):\n    return beside.say(words)\n",
        "import { say } from \"./beside\";\n\
         export const main = task({ name: \"main\" }, (...words: string[]) => say(words));\n",
    )
    .with("beside.py", "def say(words):\n    return [len(words), *words]\n")
    .with("beside.ts", "export const say = (words: string[]) => [words.length, ...words];\n");
    let elsewhere = Program::new("");
    for file in ["main.py", "main.ts"] {
        let verb = |words: &[&str]| {
            capsule_tests::Run::new(words)
                .binary(capsule_tests::Binary::Capsule)
                .directory(built.folder().path())
                .variable("CAPSULE_CACHE", &capsule_tests::cache())
        };
        verb(&["build", file]).finish().ended_with(0);
        verb(&["build", file, "--export"]).finish().ended_with(0);
        let exported = std::fs::read(built.folder().path().join("main.wasm")).unwrap();
        elsewhere.write("main.wasm", exported);
        let run = elsewhere.run(&["--json", "main.wasm", "a"]).finish().ended_with(0);
        assert_eq!(run.json()["result"], json!([1, "a"]));
        let path = elsewhere.folder().path().join("main.wasm");
        let run = verb(&["exec", path.to_str().unwrap(), "a"]).finish().ended_with(0);
        assert_eq!(run.text(), "[1,\"a\"]\n");
    }
}
