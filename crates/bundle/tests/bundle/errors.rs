//! What is wrong is told with its place.

use crate::support::Project;
use capsule_spec::ErrorCode;

#[test]
fn e1013_a_syntax_error_is_told_with_its_lines() {
    let project = Project::new(&[(
        "src/main.ts",
        "const a = 1;\nexport const main = () => {\n  return a +;\n};\n",
    )]);
    let failure = project.bundle("src/main.ts").unwrap_err().into_failure();
    assert_eq!(failure.code, ErrorCode::InvalidSource);
    let expected = "src/main.ts:3:13: Unexpected token\n  2 | export const main = () => {\n> 3 |   return a +;\n    |             ^\n  4 | };";
    assert_eq!(failure.message, expected);
}

#[test]
fn e1013_an_import_of_nothing_is_told_with_its_lines() {
    let project = Project::new(&[
        (
            "main.ts",
            "// import x from './gone';\nimport { y } from './other';\nexport const main = () => y;\n",
        ),
        ("other.ts", "export { y } from './gone';\n"),
    ]);
    let expected = "other.ts:1:19: there is no module \"./gone\"\n> 1 | export { y } from './gone';\n    |                   ^";
    assert_eq!(project.problem("main.ts"), expected);
    let project = Project::new(&[(
        "main.ts",
        "import _ from \"lodash-es/map\";\nexport const main = () => _;\n",
    )]);
    let failure = project.bundle("main.ts").unwrap_err().into_failure();
    assert_eq!(failure.hint.as_deref(), Some("npm install lodash-es"));
    assert!(
        failure.message.starts_with("main.ts:1:15: there is no module \"lodash-es/map\"\n"),
        "{}",
        failure.message
    );
}

#[test]
fn an_export_that_is_not_there_is_told() {
    let project = Project::new(&[
        ("main.ts", "import { gone } from './other';\nexport const main = () => gone;\n"),
        ("other.ts", "export const here = 1;\n"),
    ]);
    let problem = &project.problems("main.ts")[0];
    assert_eq!((problem.file.as_str(), problem.line, problem.column), ("main.ts", 1, 10));
    assert!(problem.message.contains("gone"), "{problem:?}");
}

#[test]
fn several_problems_are_told_at_once() {
    let many: String = (0..30).map(|n| format!("import './gone{n}';\n")).collect();
    let project = Project::new(&[("main.ts", &format!("{many}export const main = () => 1;"))]);
    let message = project.bundle("main.ts").unwrap_err().into_failure().message;
    assert!(message.starts_with("main.ts:1:8: there is no module \"./gone0\"\n"), "{message}");
    assert!(message.ends_with("\n\nand 20 more"), "{message}");
}

#[test]
fn await_at_the_top_level_is_refused_with_its_place() {
    let project = Project::new(&[(
        "main.ts",
        "const x = 1;\nconst y = await Promise.resolve(x);\nexport const main = () => y;\n",
    )]);
    let problem = &project.problems("main.ts")[0];
    assert_eq!((problem.file.as_str(), problem.line, problem.column), ("main.ts", 2, 11));
    assert!(problem.message.contains("op-level await"), "{problem:?}");
}

#[test]
fn json_that_is_none_is_told() {
    let project = Project::new(&[
        ("main.ts", "import x from './x.json';\nexport const main = () => x;"),
        ("x.json", "{\n  \"a\": ,\n}"),
    ]);
    let problem = &project.problems("main.ts")[0];
    assert_eq!((problem.file.as_str(), problem.line), ("x.json", 2));
    let project = Project::new(&[
        ("main.ts", "import x from 'p';\nexport const main = () => x;"),
        ("node_modules/p/package.json", "{ main: }"),
    ]);
    assert!(
        project.problem("main.ts").contains("node_modules/p/package.json is not JSON"),
        "{}",
        project.problem("main.ts")
    );
    let project = Project::new(&[
        ("main.ts", "export const main = () => 1;"),
        ("tsconfig.json", "{ \"compilerOptions\": [ }"),
    ]);
    assert!(project.problem("main.ts").contains("tsconfig.json"), "{}", project.problem("main.ts"));
}

#[test]
fn what_cannot_be_imported_is_told_with_a_way_out() {
    let project = Project::new(&[
        ("main.ts", "import './style.css'; export const main = () => 1;"),
        ("style.css", "a {}"),
    ]);
    assert_eq!(project.problem("main.ts"), "style.css: files that end in .css cannot be imported");
    let project = Project::new(&[
        ("main.ts", "import x from './native.node'; export const main = () => x;"),
        ("native.node", "\u{7f}ELF"),
    ]);
    let failure = project.bundle("main.ts").unwrap_err().into_failure();
    assert!(failure.hint.unwrap().contains("isolation: \"jail\""));
    let project = Project::new(&[
        ("main.ts", "import x from './x.ts?raw'; export const main = () => x;"),
        ("x.ts", ""),
    ]);
    assert!(project.problem("main.ts").contains("with a query"), "{}", project.problem("main.ts"));
    let project = Project::new(&[("main.ts", "export const main = 1;")]);
    std::fs::write(project.path("main.ts"), b"export const main = '\xff\xfe';").unwrap();
    assert_eq!(project.problem("main.ts"), "main.ts: it is not text in UTF-8");
}

#[test]
fn a_program_that_is_not_there_is_told() {
    let project = Project::new(&[("other.ts", "")]);
    assert!(
        project.problem("main.ts").contains("there is no module \"./main.ts\""),
        "{}",
        project.problem("main.ts")
    );
    let (root, entry) = (project.path("gone"), "main.ts".to_owned());
    let gone = capsule_bundle::Place { root, entry, text: None };
    let bundler = capsule_bundle::Bundler::new(env!("CARGO_BIN_EXE_capsule-bundle").into(), None);
    let failure = bundler.bundle(&gone).unwrap_err().into_failure();
    assert_eq!(failure.code, ErrorCode::ProgramNotFound);
}

#[test]
fn a_bundler_that_cannot_be_started_is_told() {
    let project = Project::new(&[("main.ts", "export const main = 1;")]);
    let failure = |program: &str| {
        let bundler = capsule_bundle::Bundler::new(program.into(), None);
        bundler.bundle(&project.place("main.ts")).unwrap_err().into_failure()
    };
    assert_eq!(failure("/nowhere/capsule").code, ErrorCode::SystemFailure);
    // Something else than the bundler: it says nothing that can be understood.
    assert!(failure("/bin/true").message.contains("its answer is none"));
    assert!(failure("/bin/false").message.contains("the bundler failed"));
}
