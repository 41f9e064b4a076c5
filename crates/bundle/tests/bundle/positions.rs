//! From the script back to the source.

use crate::support::Project;

/// Where `word` stands in a text, both from 1.
fn place_of(text: &str, word: &str) -> (u32, u32) {
    let offset = text.find(word).unwrap_or_else(|| panic!("{word} in {text}"));
    let line = text[..offset].matches('\n').count() + 1;
    let start = text[..offset].rfind('\n').map_or(0, |index| index + 1);
    (line as u32, text[start..offset].encode_utf16().count() as u32 + 1)
}

#[test]
fn a_place_of_the_script_is_found_in_the_source() {
    let files = [
        (
            "src/main.ts",
            "import { task } from '@capsule-run/sdk';\nimport { boom } from './deep/boom';\n\ninterface Unused { a: number }\n\nexport const main = task({ name: 'main' }, (n: number): number => {\n  return boom(n);\n});\n",
        ),
        (
            "src/deep/boom.ts",
            "type T = string;\n\n/* 😀 */ export function boom(n: number): never {\n  if ((n as number) > 1) n++;\n  throw new Error('marked' + n);\n}\n",
        ),
    ];
    let project = Project::new(&files);
    let bundle = project.bundle("src/main.ts").unwrap();
    for (word, file, source) in [
        ("new Error(", "src/deep/boom.ts", files[1].1),
        ("throw ", "src/deep/boom.ts", files[1].1),
        ("return boom(", "src/main.ts", files[0].1),
    ] {
        let (line, column) = place_of(&bundle.script, word);
        let place = bundle.map().locate(line, column).unwrap();
        let expected = place_of(source, word);
        assert_eq!((place.file, (place.line, place.column)), (file, expected), "{word}");
    }
}

#[test]
fn a_stack_shows_the_users_lines() {
    let project = Project::new(&[
        (
            "main.ts",
            "import { boom } from './boom';\n\ntype A = number;\nexport const main = () => boom();\n",
        ),
        (
            "boom.ts",
            "interface B {}\n\n\nexport const boom = (): never => {\n  throw new Error('x');\n};\n",
        ),
    ]);
    let bundle = project.script();
    let (line, column) = place_of(&bundle.script, "new Error");
    let (call, at) = place_of(&bundle.script, "boom();");
    let stack =
        format!("boom@main.ts:{line}:{column}\nmain@main.ts:{call}:{at}\nload@guest.js:1:1\n");
    let expected = "boom@boom.ts:5:9\nmain@main.ts:4:27\nload@guest.js:1:1\n";
    assert_eq!(bundle.map().rewrite(&stack, "main.ts"), expected);
    let stack = format!("    at boom (main.ts:{line}:{column})\n    at main.ts:{call}:{at}");
    let expected = "    at boom (boom.ts:5:9)\n    at main.ts:4:27";
    assert_eq!(bundle.map().rewrite(&stack, "main.ts"), expected);
}

#[test]
fn files_have_the_same_name_in_modules() {
    // Inside of the bundler they are called otherwise.
    let project = Project::new(&[
        ("package.json", r#"{"type": "module"}"#),
        (
            "main.ts",
            "import { x } from './x.js';\nexport const main = () => { throw new Error(x); };\n",
        ),
        ("x.js", "export const x = Math.random() + 'x';\n"),
    ]);
    let bundle = project.script();
    let (line, column) = place_of(&bundle.script, "Math.random");
    assert_eq!(bundle.map().locate(line, column).unwrap().file, "x.js");
    let (line, column) = place_of(&bundle.script, "new Error");
    assert_eq!(bundle.map().locate(line, column).unwrap().file, "main.ts");
    assert!(
        !bundle.script.contains("?.mjs") && !bundle.script.contains("/dev/null"),
        "{}",
        bundle.script
    );
}
