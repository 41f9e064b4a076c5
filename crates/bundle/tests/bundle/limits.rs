//! A project that wants to wear the host out. Each ends with a word, soon, and the caller
//! is none the worse.

use std::time::{Duration, Instant};

use crate::support::Project;
use capsule_bundle::{Allowance, BundleError};
use capsule_spec::ErrorCode;

/// What a source comes to, within little time and memory.
fn bundled(files: &[(&str, &str)]) -> Result<(), BundleError> {
    let allowance = Allowance { time: Duration::from_secs(8), memory: 2 << 30 };
    let project = Project::new(files);
    let bundler = project.bundler.clone().within(allowance);
    let started = Instant::now();
    let result = bundler.bundle(&project.place("main.ts")).map(drop);
    // Time to write, to start and to end are on top.
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    result
}

/// The first run on a machine compiles the runtime meanwhile, which takes longer than that.
#[test]
fn a_caller_that_was_busy_hears_the_answer() {
    // More than a pipe holds, so that the process waits for somebody who reads.
    let text = format!("export const main = (n: number) => {:?}.at(n);", "x".repeat(200_000));
    let project = Project::new(&[("main.ts", &text)]);
    let allowance = Allowance { time: Duration::from_secs(2), memory: 2 << 30 };
    let bundler = project.bundler.clone().within(allowance);
    let place = project.place("main.ts");
    let begun = bundler.begin(&place).unwrap();
    std::thread::sleep(allowance.time * 2);
    assert!(begun.finish().unwrap().script.len() > 200_000);
}

/// It is told, or it works; nothing else can come of it.
fn is_told(result: &Result<(), BundleError>) {
    match result {
        Ok(())
        | Err(
            BundleError::TooDeep
            | BundleError::Source { .. }
            | BundleError::Memory { .. }
            | BundleError::TimedOut { .. }
            | BundleError::TooLarge { .. },
        ) => {}
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn nesting_without_end_overflows_no_stack_of_ours() {
    const DEEP: usize = 2_000_000;
    let mut overflowed = 0;
    for (open, inner, close) in [
        ("(", "1", ")"),
        ("[", "1", "]"),
        ("{", "", "}"),
        ("!", "1", ""),
        ("-", "1", ""),
        ("new ", "X", ""),
        ("typeof ", "1", ""),
        ("a=>", "1", ""),
        ("1+", "1", ""),
        ("1?1:", "1", ""),
        ("a.b.", "c", ""),
        ("f(", "1", ")"),
        ("`${", "1", "}`"),
        ("if(1)", ";", ""),
        ("if(1);else ", ";", ""),
        ("{a:", "1", "}"),
        ("async()=>", "1", ""),
        ("function f(){", "", "}"),
        ("class A{x=", "1", "}"),
        ("<a>", "x", "</a>"),
    ] {
        let statement =
            if matches!(open, "{" | "if(1)" | "if(1);else " | "function f(){") { "" } else { "x=" };
        // Small enough for a file.
        let count = DEEP.min((12 << 20) / (open.len() + close.len()));
        let text = format!(
            "export const main = 1;let x;{statement}{}{inner}{};",
            open.repeat(count),
            close.repeat(count)
        );
        let result = bundled(&[("main.ts", &text)]);
        is_told(&result);
        overflowed += usize::from(matches!(result, Err(BundleError::TooDeep)));
    }
    // Else this tests nothing.
    assert!(overflowed > 5, "{overflowed}");
}

#[test]
fn nesting_in_types_json_and_settings_is_told() {
    let deep = |open: &str, close: &str, count: usize| open.repeat(count) + &close.repeat(count);
    let types = format!(
        "type X = {}1{}; export const main = 1;",
        "[".repeat(1_000_000),
        "]".repeat(1_000_000)
    );
    is_told(&bundled(&[("main.ts", &types)]));
    let json = deep("[", "]", 1_000_000);
    is_told(&bundled(&[
        ("main.ts", "import x from './x.json'; export const main = () => x;"),
        ("x.json", &json),
    ]));
    is_told(&bundled(&[("main.ts", "export const main = 1;"), ("tsconfig.json", &json)]));
    is_told(&bundled(&[("main.ts", "export const main = 1;"), ("package.json", &json)]));
    let object = "{\"a\":".repeat(1_000_000) + "1" + &"}".repeat(1_000_000);
    is_told(&bundled(&[
        ("main.ts", "import 'p'; export const main = 1;"),
        ("node_modules/p/package.json", &object),
    ]));
}

#[test]
fn what_people_write_is_not_too_deep() {
    let sum = format!("export const main = () => 0{};", "+1".repeat(20_000));
    let chain = format!("export const main = (x: any) => x{};", ".then(y => y)".repeat(3_000));
    let elses = format!(
        "export const main = (x: number) => {{ {} return -1; }};",
        (0..3_000).map(|n| format!("if (x === {n}) return {n}; else ")).collect::<String>()
    );
    let nested = format!("export const main = () => {}{};", "[".repeat(1_000), "]".repeat(1_000));
    for text in [sum, chain, elses, nested] {
        assert!(bundled(&[("main.ts", &text)]).is_ok(), "{}", &text[..60]);
    }
}

#[test]
fn files_that_are_too_large_are_told() {
    let large = format!("export const x = \"{}\";", "x".repeat(17 << 20));
    let error = bundled(&[
        ("main.ts", "import { x } from './x'; export const main = () => x;"),
        ("x.ts", &large),
    ])
    .unwrap_err();
    assert!(
        matches!(&error, BundleError::TooLarge { what, .. } if what.contains("a file")),
        "{error:?}"
    );
    assert_eq!(error.into_failure().code, ErrorCode::InvalidSource);
    // A file without bytes of its own.
    let project = Project::new(&[
        ("main.ts", "import x from './x.txt'; export const main = () => x;"),
        ("x.txt", ""),
    ]);
    std::fs::File::create(project.path("x.txt")).unwrap().set_len(1 << 42).unwrap();
    assert!(matches!(project.bundle("main.ts"), Err(BundleError::TooLarge { .. })));
}

#[test]
fn many_large_files_are_told() {
    let text = format!("export default \"{}\";", "x".repeat(9 << 20));
    let names: Vec<String> = (0..12).map(|n| format!("x{n}.ts")).collect();
    let mut main: String = (0..12).map(|n| format!("import x{n} from './x{n}';")).collect();
    main += "export const main = () => [x0,x1,x2,x3,x4,x5,x6,x7,x8,x9,x10,x11];";
    let mut files: Vec<(&str, &str)> =
        names.iter().map(|name| (name.as_str(), text.as_str())).collect();
    files.push(("main.ts", &main));
    let error = bundled(&files).unwrap_err();
    assert!(
        matches!(&error, BundleError::TooLarge { what, .. } if what.contains("all files")),
        "{error:?}"
    );
}

#[test]
fn many_modules_are_told() {
    let names: Vec<String> = (0..10_050).map(|n| format!("m/{n}.js")).collect();
    let main: String = (0..10_050).map(|n| format!("import './m/{n}.js';")).collect();
    let main = main + "export const main = 1;";
    let mut files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    files.push(("main.ts", &main));
    let error = Project::new(&files).bundle("main.ts").unwrap_err();
    assert!(
        matches!(&error, BundleError::TooLarge { what, .. } if what.contains("modules")),
        "{error:?}"
    );
}

#[test]
fn sources_that_grow_are_told() {
    // Words that a compiler might put in many places.
    let long = "x".repeat(1 << 20);
    let inlined = format!(
        "enum E {{ A = \"{long}\" }} export const main = () => [{}];",
        "E.A,".repeat(3_000)
    );
    is_told(&bundled(&[("main.ts", &inlined)]));
    let folded =
        format!("const a = \"{long}\"; export const main = () => {};", "a + ".repeat(5_000) + "a");
    is_told(&bundled(&[("main.ts", &folded)]));
    let powers = "const a0 = 'xxxxxxxxxx';".to_owned()
        + &(1..40).map(|n| format!("const a{n} = a{0} + a{0};", n - 1)).collect::<String>()
        + "export const main = () => a39;";
    is_told(&bundled(&[("main.ts", &powers)]));
    let repeated = "export const main = () => 'x'.repeat(1e9).repeat(10) + [...Array(1e9)].length + 10n ** 10000000000n;";
    is_told(&bundled(&[("main.ts", repeated)]));
    let cycles: Vec<(String, String)> = (0..300)
        .map(|n| {
            (format!("c{n}.ts"), (0..300).map(|m| format!("export * from './c{m}';")).collect())
        })
        .collect();
    let mut files: Vec<(&str, &str)> =
        cycles.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    files.push(("main.ts", "export * from './c0'; export const main = 1;"));
    is_told(&bundled(&files));
}

#[test]
fn odd_bytes_are_told() {
    let mut seed = 7_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let words = [
        "import",
        "'./main.ts'",
        "export",
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        "`",
        "${",
        "/",
        "*",
        "/*",
        "*/",
        "<",
        ">",
        "=>",
        "class",
        "enum",
        "@",
        "await",
        "async",
        "function",
        "default",
        "from",
        "\\u{110000}",
        "\0",
        "😀",
        "\u{2028}",
        "#x",
        "?.",
        "namespace",
        "declare",
        "type",
        "as",
        ";",
        "\n",
        "1",
        "0x",
        "1n",
        "require",
        "import.meta",
        "new",
        "yield",
        "let",
        "=",
        ",",
        ":",
    ];
    for _ in 0..150 {
        let text: String = (0..random() % 60)
            .map(|_| format!("{} ", words[(random() % words.len() as u64) as usize]))
            .collect();
        let project = Project::new(&[("main.ts", &text)]);
        is_told(&project.bundle("main.ts").map(drop));
    }
}

#[test]
fn a_bundler_that_is_given_up_is_gone() {
    let long: String =
        (0..400_000).map(|n| format!("export const x{n} = (a: number) => a + {n};\n")).collect();
    let project = Project::new(&[("main.ts", &long)]);
    let bundler = capsule_bundle::Bundler::new(env!("CARGO_BIN_EXE_capsule-bundle").into(), None);
    let place = project.place("main.ts");
    let begun = bundler.begin(&place).unwrap();
    drop(begun);
    // It was a child of this process, and it was waited for.
    let children = std::fs::read_to_string(format!(
        "/proc/self/task/{}/children",
        rustix::thread::gettid().as_raw_nonzero()
    ));
    if let Ok(children) = children {
        assert_eq!(children.trim(), "");
    }
}
