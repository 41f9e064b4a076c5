//! A project that wants what is not its own. Nothing outside of its folder is read.

use crate::support::{Project, SECRET};
use capsule_bundle::BundleError;

/// Every way to name a file. However it ends, the secret is in nothing that comes out.
fn holds(project: &Project) -> String {
    match project.bundle("main.ts") {
        Ok(bundle) => {
            assert!(!bundle.script.contains(SECRET), "{}", bundle.script);
            assert!(bundle.inputs.iter().all(|(path, _)| !path.contains("secret")));
            "a script without it".to_owned()
        }
        Err(BundleError::Source { problems, .. }) => {
            let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
            let told = told.join("\n");
            assert!(!told.contains(SECRET), "{told}");
            told
        }
        Err(error) => panic!("{error:?}"),
    }
}

fn refused(project: &Project, word: &str) {
    let told = holds(project);
    assert!(told.contains(word), "{told}");
}

#[test]
fn specifiers_do_not_leave_the_folder() {
    let outside = "outside of the project's folder";
    let absolute = Project::new(&[]).outside().join("secret.json");
    for (specifier, word) in [
        ("/etc/passwd", "an absolute path"),
        (absolute.to_str().unwrap(), "an absolute path"),
        ("//etc/passwd", "an absolute path"),
        ("../secret.json", outside),
        ("./../secret.json", outside),
        ("../../../../../../../../etc/passwd", outside),
        ("./sub/../../secret.json", outside),
        ("..", outside),
        ("../secret", outside),
        ("file:///etc/passwd", "address of a file"),
        ("file:../secret.json", "address of a file"),
        ("FILE:///etc/passwd", "there is no module"),
        ("https://example.com/x.js", "an address"),
        ("sub/../../secret.json", "there is no module"),
        ("p/../../../secret.json", ""),
        ("p/../../secret.json", ""),
        ("./sub\\..\\..\\secret.json", ""),
        ("./%2e%2e/secret.json", ""),
        ("..%2fsecret.json", ""),
        ("./a.txt\0/../../secret.json", ""),
        ("./sub?/../../secret.json", ""),
        ("./sub#/../../secret.json", ""),
        ("#/../secret.json", ""),
        ("~/secret.json", ""),
        ("/dev/null/../../etc/hostname", "an absolute path"),
        ("data:text/javascript,export * from '/etc/passwd'", ""),
        ("", "the empty text"),
    ] {
        let quoted = serde_json::to_string(specifier).unwrap();
        for text in [
            format!("import x from {quoted}; export const main = () => x;"),
            format!("export * from {quoted}; export const main = () => 1;"),
            format!("export const main = () => import({quoted});"),
            format!("export const main = () => require({quoted});"),
            format!(
                "export const main = () => {{ try {{ return require({quoted}); }} catch {{}} }};"
            ),
            format!("export const main = () => new URL({quoted}, import.meta.url);"),
        ] {
            let project = Project::new(&[
                ("main.ts", &text),
                ("sub/x.ts", "export default 1;"),
                ("node_modules/p/package.json", "{}"),
                ("node_modules/p/index.js", ""),
            ]);
            let told = holds(&project);
            // A URL is a value and names nothing that is bundled.
            let is_told = text.contains("new URL") || told.contains(word);
            assert!(
                is_told || word.starts_with("there is") && text.contains("try"),
                "{text}: {told}"
            );
        }
    }
}

#[test]
fn links_do_not_leave_the_folder() {
    for target in [
        "../secret.json",
        "../../secret.json",
        "/proc/self/root/etc/hostname",
        "/etc/hostname",
        "ABSOLUTE",
    ] {
        let project = Project::new(&[
            ("main.ts", "import x from './linked.json'; export const main = () => x;"),
            ("sub/x.txt", ""),
        ]);
        let absolute = project.outside().join("secret.json");
        let target = if target == "ABSOLUTE" { absolute.to_str().unwrap() } else { target };
        project.link("linked.json", target);
        refused(&project, "there is no module");
    }
}

#[test]
fn links_of_folders_and_packages_do_not_leave_the_folder() {
    let project = Project::new(&[(
        "main.ts",
        "import a from './linked/secret'; import b from 'p/secret'; import c from 'q'; import d from './chain/secret.json'; export const main = () => [a, b, c, d];",
    )]);
    project.link("linked", "..");
    project.link("node_modules/p", "../..");
    project.link("node_modules/q", project.outside().join("secret.ts"));
    project.link("hop", "linked");
    project.link("chain", "hop");
    assert_eq!(holds(&project).matches("there is no module").count(), 4);
    // A link out and in again is out.
    let project = Project::new(&[
        ("main.ts", "import a from './out/project/in'; export const main = () => a;"),
        ("in.ts", ""),
    ]);
    project.link("out", "..");
    refused(&project, "there is no module");
}

#[test]
fn a_loop_of_links_ends() {
    let project = Project::new(&[(
        "main.ts",
        "import a from './one'; import b from 'p'; export const main = () => [a, b];",
    )]);
    project.link("one", "two");
    project.link("two", "one");
    project.link("one.ts", "one.ts");
    project.link("node_modules/p", "p");
    project.link("package.json", "package.json");
    project.link("tsconfig.json", "./tsconfig.json");
    holds(&project);
}

#[test]
fn settings_do_not_leave_the_folder() {
    let main =
        "import x from 'x/secret'; import y from 'secret'; export const main = () => [x, y];";
    for settings in [
        r#"{"extends": "../tsconfig.json"}"#,
        r#"{"extends": "../secret.json"}"#,
        r#"{"extends": "/etc/passwd"}"#,
        r#"{"extends": ["../secret.json", "p"]}"#,
        r#"{"compilerOptions": {"baseUrl": ".."}}"#,
        r#"{"compilerOptions": {"baseUrl": "/"}}"#,
        r#"{"compilerOptions": {"paths": {"x/*": ["../*"], "secret": ["../secret.json"]}}}"#,
        r#"{"compilerOptions": {"baseUrl": "../..", "paths": {"*": ["*", "/*"]}}}"#,
        r#"{"compilerOptions": {"rootDirs": ["..", "."]}}"#,
        r#"{"compilerOptions": {"paths": {"x/*": ["${configDir}/../*"]}}}"#,
        r#"{"references": [{"path": ".."}, {"path": "../secret.json"}, {"path": "/etc"}]}"#,
        r#"{"compilerOptions": {"jsx": "react-jsx", "jsxImportSource": "../.."}}"#,
    ] {
        let project = Project::new(&[("main.ts", main), ("tsconfig.json", settings)]);
        std::fs::write(
            project.outside().join("tsconfig.json"),
            r#"{"compilerOptions": {"paths": {"secret": ["./secret.json"]}}}"#,
        )
        .unwrap();
        holds(&project);
        let project = Project::new(&[("main.ts", main)]);
        std::fs::write(project.outside().join("settings.json"), settings).unwrap();
        project.link("tsconfig.json", "../settings.json");
        holds(&project);
    }
}

#[test]
fn packages_do_not_leave_the_folder() {
    for package in [
        r#"{"main": "../../../secret.json"}"#,
        r#"{"main": "/etc/passwd"}"#,
        r#"{"module": "../../../secret.ts"}"#,
        r#"{"browser": "../../../secret.ts"}"#,
        r#"{"browser": {"./index.js": "../../../secret.ts"}}"#,
        r#"{"browser": {"./index.js": "/etc/hostname"}}"#,
        r#"{"exports": "../../../secret.json"}"#,
        r#"{"exports": "./../../../secret.json"}"#,
        r#"{"exports": {".": "./%2e%2e/%2e%2e/%2e%2e/secret.json"}}"#,
        r#"{"exports": {"./*": "./../../../*"}}"#,
        r#"{"exports": {".": "/etc/passwd"}}"#,
        r#"{"exports": {".": "file:///etc/passwd"}}"#,
        r##"{"main": "hash.js", "imports": {"#x": "../../../secret.json"}}"##,
        r##"{"main": "hash.js", "imports": {"#x": "/etc/passwd"}}"##,
        r#"{"types": "../../../secret.ts", "main": ""}"#,
        r#"{"sideEffects": ["../../../**"], "main": "index.js"}"#,
    ] {
        let project = Project::new(&[
            (
                "main.ts",
                "import x from 'p'; import y from 'p/secret.json'; export const main = () => [x, y];",
            ),
            ("node_modules/p/package.json", package),
            ("node_modules/p/index.js", "export default 'index';"),
            ("node_modules/p/hash.js", "export * from '#x';"),
        ]);
        holds(&project);
    }
    let project = Project::new(&[
        ("main.ts", "import x from 'p'; export const main = () => x;"),
        ("node_modules/p/index.js", ""),
    ]);
    std::fs::write(project.outside().join("package.json"), r#"{"main": "x.js"}"#).unwrap();
    project.link("node_modules/p/package.json", "../../../package.json");
    holds(&project);
}

#[test]
fn packages_above_the_folder_are_not_seen() {
    let project =
        Project::new(&[("main.ts", "import x from 'above'; export const main = () => x;")]);
    let above = project.outside().join("node_modules/above");
    std::fs::create_dir_all(&above).unwrap();
    std::fs::write(above.join("index.js"), format!("module.exports = '{SECRET}';")).unwrap();
    refused(&project, "there is no module \"above\"");
}

#[test]
fn what_is_no_file_is_not_read() {
    let project = Project::new(&[(
        "main.ts",
        "import a from './pipe.ts'; import b from './folder.ts'; import c from './socket.ts'; export const main = () => [a, b, c];",
    )]);
    std::fs::create_dir(project.path("folder.ts")).unwrap();
    let mode = rustix::fs::Mode::from(0o600);
    rustix::fs::mkfifoat(rustix::fs::CWD, project.path("pipe.ts"), mode).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(project.path("socket.ts")).unwrap();
    // And nobody waits for a pipe that settings are.
    rustix::fs::mkfifoat(rustix::fs::CWD, project.path("package.json"), mode).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, project.path("tsconfig.json"), mode).unwrap();
    holds(&project);
}

#[test]
fn the_environment_of_the_caller_is_not_seen() {
    // What a define or a macro of the bundler would take from it.
    let project = Project::new(&[(
        "main.ts",
        "export const main = () => [process.env.HOME, process.env.PATH];",
    )]);
    let script = project.script().script;
    assert!(script.contains("process.env.HOME") && script.contains("process.env.PATH"), "{script}");
}

/// The kernel's word for it: of all files that the process opens, none is outside.
#[test]
fn the_kernel_saw_no_other_file() {
    if std::process::Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace is not installed");
        return;
    }
    let project = Project::new(&[
        (
            "main.ts",
            "import x from 'not-there'; import y from '../secret.json'; import z from '/etc/passwd'; import p from 'p'; import w from './linked'; export const main = () => [x, y, z, p, w];",
        ),
        (
            "tsconfig.json",
            r#"{"compilerOptions": {"baseUrl": "/", "paths": {"*": ["/*"], "p/*": ["../*"]}}}"#,
        ),
        (
            "node_modules/p/package.json",
            r#"{"main": "../../../secret.json", "browser": {"./x": "/etc/passwd"}}"#,
        ),
    ]);
    project.link("linked.ts", "/etc/hostname");
    project.link("linked", "..");
    let log = project.outside().join("log");
    let output = std::process::Command::new("strace")
        .args(["-f", "-e", "trace=%file,openat2", "-o"])
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_capsule-bundle"))
        .arg(r#"{"entry": "main.ts", "threads": 2, "memory": 3000000000, "seconds": 20}"#)
        .stdin(std::fs::File::open(project.root()).unwrap())
        .output()
        .unwrap();
    assert!(output.stdout.starts_with(b"{\"Wrong\""), "{output:?}");
    let log = std::fs::read_to_string(log).unwrap();
    // After the process has started: everything up to the first look at the project.
    let (before, after) = log.split_once("openat2(").expect("it looks at the project");
    let mut count = 0;
    for line in after.lines().skip(1).filter(|line| line.contains('(') && !line.contains("+++")) {
        if line.contains("resumed>") || line.contains("--- SIG") {
            continue;
        }
        let is_inside = line.contains("openat2(") && line.contains("RESOLVE_BENEATH")
            || (line.contains("newfstatat(") || line.contains("readlinkat("))
                && !line.contains("AT_FDCWD")
                && !line.split('"').nth(1).is_some_and(|name| name.contains('/'));
        // What the standard library and the runtime look at, whatever the project is.
        let is_own = ["/sys/fs/cgroup", "/proc/self/", "/sys/devices/system/cpu", "/proc/stat"]
            .iter()
            .any(|path| line.contains(path));
        assert!(is_inside || is_own, "{line}\nafter\n{before}");
        count += 1;
    }
    assert!(count > 10, "{log}");
}
