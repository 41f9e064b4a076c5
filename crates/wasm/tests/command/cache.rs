//! Compiled programs are kept, and not believed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use capsule_backend::Output;
use capsule_spec::{ErrorCode, ExecutionId};
use capsule_wasm::Command;

use crate::place::{Place, refused, start};

#[test]
fn compiled_programs_are_kept_and_not_believed() {
    let place = Place::new();
    let cache = place.path("cache");
    let run = |command: &Command| {
        let outcome =
            command.run(ExecutionId::random(), Output::Captured, Some(&cache), None).unwrap();
        assert_eq!(outcome.stdout.bytes, b"hello\n", "{outcome:?}");
    };
    let many = "(func (param i32) (drop (i32.mul (local.get 0) (local.get 0))))".repeat(20_000);
    let hello = start("(call $print (i32.const 1024) (i32.const 6))");
    let command = place.preview1(&format!("{many} {hello}"));
    run(&command);
    let entries: Vec<_> =
        fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    let code = entry.join("code.cwasm");
    let made = inode(&code);
    run(&command);
    assert_eq!(inode(&code), made);

    // What others changed is not run, but made again.
    let mut bytes = fs::read(&code).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 64].fill(0xcc);
    fs::remove_file(&code).unwrap();
    fs::write(&code, &bytes).unwrap();
    run(&command);
    assert_ne!(fs::read(&code).unwrap(), bytes);

    // Compiled code that is handed in as a program is not loaded.
    let handed = place.path("handed.wasm");
    fs::copy(&code, &handed).unwrap();
    assert_eq!(refused(&Command::new(handed)).failure.code, ErrorCode::InvalidModule);

    // A cache that cannot be used is no reason to fail.
    fs::remove_dir_all(&cache).unwrap();
    fs::write(&cache, "").unwrap();
    run(&command);
}

fn inode(path: &Path) -> u64 {
    fs::metadata(path).unwrap().ino()
}
