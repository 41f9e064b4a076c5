//! Programs that are text: they have the packages of the folder that they are run in, and
//! no file of it.
//!
//! Who attacks: whoever wrote the text, who may not be the one whose folder it is. What a
//! script holds, its guest can print.

use capsule_bundle::{BundleError, Origin};

use crate::support::{Project, run};

const OWN: &str = "what-the-folder-holds";

fn project(files: &[(&str, &str)]) -> Project {
    let project = Project::new(&[
        ("config.json", &format!("{{\"key\": \"{OWN}\"}}")),
        ("config.txt", OWN),
        ("main.ts", &format!("export const main = () => \"{OWN}\";")),
        ("node_modules/double/package.json", r#"{"name": "double", "main": "lib.js"}"#),
        ("node_modules/double/lib.js", "module.exports = (n) => require(\"./two\") * n;"),
        ("node_modules/double/two.js", "module.exports = 2;"),
    ]);
    files.iter().for_each(|(path, text)| project.write(path, text));
    project
}

/// What is wrong with the text.
fn refusal(project: &Project, text: &str) -> String {
    match project.bundle_text(text) {
        Err(error @ BundleError::Source { .. }) => error.into_failure().to_string(),
        Ok(bundle) => panic!("{text}: {}", bundle.script),
        Err(error) => panic!("{text}: {error:?}"),
    }
}

#[test]
fn text_has_installed_packages() {
    let text = "import double from \"double\";\nenum A { B = 4 }\n\
                export const main = (): number => double(A.B);";
    let bundle = project(&[]).bundle_text(text).unwrap();
    assert_eq!(run(&bundle.script), 8);
}

#[test]
fn it_is_what_runs_whatever_the_folder_holds() {
    let project = project(&[]);
    let bundle = project.bundle_text("export const main = () => \"the text\";").unwrap();
    assert_eq!(run(&bundle.script), "the text");
    // The settings of TypeScript are the folder's, not its.
    project.write("tsconfig.json", "not even JSON");
    let text = "export class A { x?: number }\nexport const main = () => \"x\" in new A();";
    assert_eq!(run(&project.bundle_text(text).unwrap().script), true);
}

#[test]
fn no_file_of_the_folder_is_read() {
    let project = project(&[
        (
            "package.json",
            r##"{"name": "own", "exports": {"./*": "./*"}, "imports": {"#key": "./config.json"}}"##,
        ),
        ("tsconfig.json", r#"{"compilerOptions": {"baseUrl": ".", "paths": {"@/*": ["./*"]}}}"#),
        ("node_modules/evil/package.json", r#"{"name": "evil", "main": "../../config.json"}"#),
        ("node_modules/climber/index.js", "module.exports = require(\"../../config.json\");"),
        (
            "node_modules/mapper/package.json",
            r#"{"name": "mapper", "browser": {"./a.js": "../../config.json"}}"#,
        ),
        ("node_modules/mapper/index.js", "module.exports = require(\"./a.js\");"),
        ("node_modules/mapper/a.js", ""),
    ]);
    project.link("node_modules/linked", "..");
    project.link("node_modules/file.json", "../config.json");
    project.link("node_modules/absolute.json", project.path("config.json"));
    let mut specifiers: Vec<String> = [
        "./config.json",
        "./config.txt",
        "./main",
        "./main.ts",
        "../project/config.json",
        "../secret.ts",
        ".",
        "..",
        "#key",
        "@/config.json",
        "config.json",
        "own/config.json",
        "evil",
        "climber",
        "mapper",
        "double/../../config.json",
        "double/../../../secret.json",
        "linked/config.json",
        "linked/main.ts",
        "file.json",
        "absolute.json",
        "./node_modules/../config.json",
        "./node_modules/double",
    ]
    .map(str::to_owned)
    .into();
    specifiers.push(project.path("config.json").to_str().unwrap().to_owned());
    specifiers.push(format!("file://{}", project.path("config.json").display()));
    for specifier in &specifiers {
        for text in [
            format!("import x from \"{specifier}\";\nexport const main = () => x;"),
            format!("export * from \"{specifier}\";\nexport const main = () => 1;"),
            format!("export const main = async () => (await import(\"{specifier}\")).default;"),
            format!("export const main = () => require(\"{specifier}\");"),
        ] {
            let told = refusal(&project, &text);
            assert!(told.contains("E1013"), "{text}: {told}");
            for secret in [OWN, crate::support::SECRET] {
                assert!(!told.contains(secret), "{text}: {told}");
            }
        }
        // Where a program is ready for it to fail, it does.
        let text = format!(
            "export const main = () => {{ try {{ return require(\"{specifier}\"); }} catch {{ return null; }} }};"
        );
        match project.bundle_text(&text) {
            Ok(bundle) => assert!(!bundle.script.contains(OWN), "{specifier}: {}", bundle.script),
            Err(error) => assert!(!error.into_failure().to_string().contains(OWN), "{specifier}"),
        }
    }
}

#[test]
fn e1013_tells_what_to_do() {
    let project = project(&[]);
    let told = refusal(&project, "import x from \"zod\";\nexport const main = () => x;");
    assert!(told.contains("main.ts:1:15: there is no module \"zod\"\n  > 1 | import x"), "{told}");
    assert!(told.ends_with("hint: npm install zod"), "{told}");
    let told = refusal(&project, "import x from \"./other\";\nexport const main = () => x;");
    let expected = "main.ts:1:15: \"./other\" is a file, and a program that is text has no folder; \
                    run it as a file";
    assert!(told.contains(expected), "{told}");
    let told = refusal(&project, "export const main = (x: ) => x;");
    assert!(told.contains("main.ts:1:25: "), "{told}");
}

#[test]
fn places_are_those_of_the_text() {
    let text =
        "interface A {}\n\nexport const main = (): never => {\n  throw new Error(\"x\");\n};\n";
    let bundle = project(&[]).bundle_text(text).unwrap();
    let line = 1 + bundle.script.lines().position(|line| line.contains("throw new")).unwrap();
    let line = u32::try_from(line).unwrap();
    let Some(Origin { file, line, .. }) = bundle.map().locate(line, 8) else { panic!("no place") };
    assert_eq!((file, line), ("main.ts", 4));
}

#[test]
fn each_text_is_kept_for_itself() {
    let project = project(&[]);
    let text = |n: u32| format!("import d from \"double\";\nexport const main = () => d({n});");
    for (n, is_cached) in [(1, false), (1, true), (2, false), (1, true), (2, true)] {
        let bundle = project.bundle_text(&text(n)).unwrap();
        assert_eq!(bundle.is_cached, is_cached, "{n}");
        assert_eq!(run(&bundle.script), 2 * n);
    }
    project.write("node_modules/double/two.js", "module.exports = 20;");
    let bundle = project.bundle_text(&text(1)).unwrap();
    assert!(!bundle.is_cached);
    assert_eq!(run(&bundle.script), 20);
}

#[test]
fn large_text_is_heard_whole_and_too_large_a_one_is_an_error() {
    let project = project(&[]);
    let text = format!("export const main = () => \"{}\".length;", "x".repeat(6 << 20));
    assert_eq!(run(&project.bundle_text(&text).unwrap().script), 6 << 20);
    // Neither is text that no parser can read to its end.
    let text =
        format!("export const main = () => {}1{};", "(".repeat(3 << 20), ")".repeat(3 << 20));
    let error = project.bundle_text(&text).unwrap_err();
    assert_eq!(error.into_failure().code, capsule_spec::ErrorCode::InvalidSource);
}
