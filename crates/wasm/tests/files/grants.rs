//! What is granted when: while a program is loaded, in a call, in the next one.

use std::fs;

use capsule_backend::guest::{Granted, GuestError};
use capsule_spec::{Access, ErrorCode};
use tempfile::TempDir;

use crate::support::*;

fn folder() -> (TempDir, Granted) {
    let folder = TempDir::new().unwrap();
    let source = folder.path().canonicalize().unwrap();
    fs::write(source.join("x"), "here").unwrap();
    let granted = granted(&source, "/data", Access::ReadWrite);
    (folder, granted)
}

/// Whether declaring `source` was pure.
fn is_pure(sandbox: &Sandbox, files: &[Granted], source: &str) -> bool {
    let mut guest = sandbox.open(source);
    block_on(guest.declare(&grant(files))).unwrap().is_pure
}

#[test]
fn a_program_that_looks_for_no_file_is_pure() {
    let Some(sandbox) = Sandbox::new() else { return };
    let pure = [
        "def main(): return 1",
        "import json, sqlite3, csv, tomllib, asyncio, xml.dom.minidom, unittest\ndef main(): return 1",
        "import os\nopen('/tmp/x', 'w').write('1')\nos.path.exists('/tmp/none')\nos.getcwd()\n",
        "import logging, traceback, warnings\nlogging.getLogger().warning('no')\n",
    ];
    for source in pure {
        assert!(is_pure(&sandbox, &[], source), "{source}");
    }
    let impure = [
        "import os\nos.path.exists('/data/x')\n",
        "import os\nos.path.exists('data')\n",
        "try: open('config.json')\nexcept OSError: pass\n",
        "import os\nos.listdir('/')\n",
        "import glob\nglob.glob('*.csv')\n",
        "import sys\nsys.path.append('/packages')\ntry: import numpy\nexcept ImportError: pass\n",
        "import os\nos.symlink('/data', '/tmp/l')\nos.path.exists('/tmp/l/x')\n",
        "try: open('/new', 'w')\nexcept OSError: pass\n",
    ];
    for source in impure {
        assert!(!is_pure(&sandbox, &[], source), "{source}");
    }
}

#[test]
fn what_is_granted_while_loading_may_be_looked_at() {
    let Some(sandbox) = Sandbox::new() else { return };
    let (folder, _) = folder();
    let source = folder.path().canonicalize().unwrap();
    fs::create_dir(source.join("pack")).unwrap();
    fs::write(source.join("pack/__init__.py"), "from .part import value\n").unwrap();
    fs::write(source.join("pack/part.py"), "value = 42\n").unwrap();
    let packages = granted(&source, "/packages", Access::ReadOnly);
    let program =
        "import sys; sys.path.append('/packages'); import pack\ndef main(): return pack.value";
    let mut guest = sandbox.open(program);
    let grant = grant(&[packages]);
    assert!(block_on(guest.declare(&grant)).unwrap().is_pure);
    assert_eq!(block_on(guest.call("main", NO_ARGUMENTS, &grant)).unwrap(), "42");
    assert!(!source.join("pack/__pycache__").exists());
}

#[test]
fn a_call_sees_what_loading_did_not() {
    let Some(sandbox) = Sandbox::new() else { return };
    let (_folder, data) = folder();
    let source = r#"
import os
found = os.path.exists("/data/x")
open("/tmp/kept", "w").write("from loading")
def main():
    return [found, open("/data/x").read(), open("/tmp/kept").read()]
"#;
    let mut guest = sandbox.open(source);
    let declared = block_on(guest.declare(&grant(&[]))).unwrap();
    assert!(!declared.is_pure);
    let value = block_on(guest.call("main", NO_ARGUMENTS, &grant(&[data]))).unwrap();
    assert_eq!(value, r#"[false, "here", "from loading"]"#);
}

#[test]
fn what_is_open_ends_with_its_grant() {
    let Some(sandbox) = Sandbox::new() else { return };
    let (folder, data) = folder();
    let mut guest = sandbox.open("");
    let all = grant(std::slice::from_ref(&data));
    let mut evaluate = |code: &str, grant| block_on(guest.evaluate(code, "", grant));
    evaluate("import os\nf = open('/data/x', 'r+b', buffering=0)\nt = open('/tmp/x', 'w+')", &all)
        .unwrap();
    evaluate("d = os.open('/data', os.O_RDONLY | os.O_DIRECTORY)", &all).unwrap();
    // The same grant again: the file is still open.
    assert_eq!(evaluate("f.read().decode()", &all).unwrap(), r#""here""#);
    let less = grant(&[Granted { access: Access::ReadOnly, ..data.clone() }]);
    let uses = [
        "f.seek(0); f.read()",
        "f.seek(0); f.write(b'stolen')",
        "f.truncate(0)",
        "os.fstat(f.fileno())",
        "os.open('x', os.O_RDONLY, dir_fd=d)",
        "os.unlink('x', dir_fd=d)",
    ];
    let nothing = grant(&[]);
    for grant in [&nothing, &less] {
        for code in uses {
            match evaluate(code, grant) {
                Err(GuestError::Raised { kind, message, .. }) => {
                    assert!(kind == "PermissionError", "{code}: {kind}: {message}");
                }
                other => panic!("{code}: {other:?}"),
            }
        }
        // Its own file stays, and so does the session.
        evaluate("t.write('x'); t.flush()", grant).unwrap();
    }
    assert_eq!(evaluate("open('/data/x').read()", &less).unwrap(), r#""here""#);
    assert_eq!(fs::read(folder.path().join("x")).unwrap(), b"here");
}

#[test]
fn a_session_goes_on_for_long() {
    let Some(sandbox) = Sandbox::new() else { return };
    let (_folder, data) = folder();
    let mut guest = sandbox.open("");
    let grant = grant(&[data]);
    for round in 0..300 {
        let code = format!("open('/tmp/{round}', 'w').write(open('data/x').read())");
        assert_eq!(block_on(guest.evaluate(&code, "", &grant)).unwrap(), "4");
    }
}

#[test]
fn what_cannot_be_granted_fails_the_call() {
    let Some(sandbox) = Sandbox::new() else { return };
    let (folder, data) = folder();
    let source = folder.path().canonicalize().unwrap();
    std::os::unix::fs::symlink("/etc", source.join("l")).unwrap();
    for (name, code) in [("none", ErrorCode::MountFailed), ("l", ErrorCode::UnsafePath)] {
        let bad = granted(&source.join(name), "/bad", Access::ReadOnly);
        match sandbox.run(&[data.clone(), bad], "def main(): return 1") {
            Err(GuestError::Failed(failure)) => assert_eq!(failure.code, code),
            other => panic!("{other:?}"),
        }
    }
}
