//! A bundle is used again for as long as it would come out the same.

use std::time::{Duration, SystemTime};

use crate::support::Project;

const MAIN: &str = "import x from './x'; import p from 'p'; export const main = () => [x, p];";

fn project() -> Project {
    Project::new(&[
        ("src/main.ts", MAIN),
        ("src/x.js", "export default 'js';"),
        ("node_modules/p/package.json", r#"{"main": "p.js"}"#),
        ("node_modules/p/p.js", "module.exports = 'p';"),
        ("tsconfig.json", "{}"),
    ])
}

fn is_cached(project: &Project) -> bool {
    project.bundle("src/main.ts").unwrap().is_cached
}

#[test]
fn what_was_made_is_used_again() {
    let project = project();
    let first = project.bundle("src/main.ts").unwrap();
    assert!(!first.is_cached);
    let second = project.bundle("src/main.ts").unwrap();
    assert!(second.is_cached);
    assert_eq!(first.script, second.script);
    assert_eq!(first.inputs, second.inputs);
    assert!(second.map().locate(1, 1).is_none_or(|place| !place.file.is_empty()));
    let mut paths: Vec<&str> = first.inputs.iter().map(|(path, _)| path.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        "node_modules/p/p.js",
        "node_modules/p/package.json",
        "src/main.ts",
        "src/x.js",
        "tsconfig.json",
    ];
    assert_eq!(paths, expected);
    // Another program of the same folder is another bundle.
    project.write("src/other.ts", "export const main = () => 'other';");
    assert!(!project.bundle("src/other.ts").unwrap().is_cached);
    assert!(is_cached(&project));
}

#[test]
fn whatever_changes_is_seen() {
    type Change = fn(&Project);
    let changes: &[(&str, Change, &str)] = &[
        ("a source", |p| p.write("src/x.js", "export default 'JS';"), r#"["JS","p"]"#),
        (
            "a source of the same length and age",
            |p| {
                let path = p.path("src/x.js");
                let age = std::fs::metadata(&path).unwrap().modified().unwrap();
                p.write("src/x.js", "export default 'xx';");
                std::fs::File::options().write(true).open(path).unwrap().set_modified(age).unwrap();
            },
            r#"["xx","p"]"#,
        ),
        (
            "a source that is replaced",
            |p| {
                p.write("src/new", "export default 'new';");
                std::fs::rename(p.path("src/new"), p.path("src/x.js")).unwrap();
            },
            r#"["new","p"]"#,
        ),
        (
            "a source that comes before another",
            |p| p.write("src/x.ts", "export default 'ts';"),
            r#"["ts","p"]"#,
        ),
        (
            "a source that becomes a folder's",
            |p| {
                std::fs::remove_file(p.path("src/x.js")).unwrap();
                p.write("src/x/index.ts", "export default 'folder';");
            },
            r#"["folder","p"]"#,
        ),
        ("a package", |p| p.write("node_modules/p/p.js", "module.exports = 'P';"), r#"["js","P"]"#),
        (
            "a package's own file",
            |p| {
                p.write("node_modules/p/package.json", r#"{"main": "q.js"}"#);
                p.write("node_modules/p/q.js", "module.exports = 'q';");
            },
            r#"["js","q"]"#,
        ),
        (
            "a package that is nearer",
            |p| p.write("src/node_modules/p/index.js", "module.exports = 'near';"),
            r#"["js","near"]"#,
        ),
        (
            "a package that becomes a link",
            |p| {
                std::fs::remove_dir_all(p.path("node_modules/p")).unwrap();
                p.write("elsewhere/index.js", "module.exports = 'linked';");
                p.link("node_modules/p", "../elsewhere");
            },
            r#"["js","linked"]"#,
        ),
        (
            "settings",
            |p| {
                p.write(
                    "tsconfig.json",
                    r#"{"compilerOptions": {"paths": {"p": ["./src/q.ts"]}}}"#,
                );
                p.write("src/q.ts", "export default 'path';");
            },
            r#"["js","path"]"#,
        ),
        (
            "settings that are nearer",
            |p| {
                p.write(
                    "src/tsconfig.json",
                    r#"{"compilerOptions": {"paths": {"p": ["./q.ts"]}}}"#,
                );
                p.write("src/q.ts", "export default 'path';");
            },
            r#"["js","path"]"#,
        ),
        (
            "the program",
            |p| p.write("src/main.ts", "export const main = () => ['main'];"),
            r#"["main"]"#,
        ),
        (
            "the kind of the package",
            |p| p.write("package.json", r#"{"imports": {}, "type": "module"}"#),
            r#"["js","p"]"#,
        ),
    ];
    for (name, change, expected) in changes {
        let project = project();
        assert!(!is_cached(&project));
        assert!(is_cached(&project), "{name}");
        change(&project);
        let bundle = project.bundle("src/main.ts").unwrap();
        assert!(!bundle.is_cached, "{name}");
        assert_eq!(crate::support::run(&bundle.script).to_string(), *expected, "{name}");
        assert!(is_cached(&project), "{name}");
    }
}

#[test]
fn a_link_that_points_elsewhere_is_seen() {
    let project = Project::new(&[
        ("src/main.ts", "import x from './link'; export const main = () => x;"),
        ("a.ts", "export default 'a';"),
        ("b.ts", "export default 'b';"),
    ]);
    project.link("src/link.ts", "../a.ts");
    assert!(!is_cached(&project));
    assert!(is_cached(&project));
    std::fs::remove_file(project.path("src/link.ts")).unwrap();
    project.link("src/link.ts", "../b.ts");
    assert_eq!(project.run("src/main.ts"), serde_json::json!("b"));
}

#[test]
fn what_is_touched_and_says_the_same_is_used_again() {
    let project = project();
    assert!(!is_cached(&project));
    let later = SystemTime::now() + Duration::from_secs(100);
    for path in ["src/main.ts", "src/x.js", "node_modules/p/p.js"] {
        let file = std::fs::File::options().write(true).open(project.path(path)).unwrap();
        file.set_modified(later).unwrap();
    }
    project.write("src/unrelated.txt", "");
    project.write("src/x.js", "export default 'js';");
    assert!(is_cached(&project));
    // As git does: another file with the same content.
    std::fs::copy(project.path("src/x.js"), project.path("src/copy")).unwrap();
    std::fs::rename(project.path("src/copy"), project.path("src/x.js")).unwrap();
    assert!(is_cached(&project));
}

#[test]
fn garbage_in_the_cache_is_made_anew() {
    let project = project();
    let script = project.bundle("src/main.ts").unwrap().script;
    let cache = project.outside().join("cache");
    let entry = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&entry).unwrap();
    let middle = whole.len() / 2;
    let bent = |index: usize| {
        let mut bytes = whole.clone();
        bytes[index] ^= 0x20;
        bytes
    };
    for bytes in [
        Vec::new(),
        b"garbage".to_vec(),
        bent(3),
        bent(30),
        bent(middle),
        bent(whole.len() - 1),
        whole[..middle].to_vec(),
    ] {
        std::fs::write(&entry, bytes).unwrap();
        let bundle = project.bundle("src/main.ts").unwrap();
        assert!(!bundle.is_cached);
        assert_eq!(bundle.script, script);
        assert!(is_cached(&project));
    }
}

#[test]
fn a_cache_that_cannot_be_used_stops_nobody() {
    let project = project();
    let cache = project.outside().join("cache");
    std::fs::write(&cache, "a file").unwrap();
    assert!(!is_cached(&project));
    assert!(!is_cached(&project));
}

#[test]
fn nothing_is_written_into_the_project() {
    let project = project();
    let listed = || {
        let output = std::process::Command::new("find").arg(project.root()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let before = listed();
    project.bundle("src/main.ts").unwrap();
    assert_eq!(listed(), before);
}
