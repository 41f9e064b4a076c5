//! Packages with native code, installed by pip, and interpreters outside of `/usr`.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use capsule_jail::native::Native;
use capsule_spec::Access;

use crate::play::{Play, interpreter};

/// Says that a test did not happen, and why, where the count is kept.
pub(crate) fn skip(why: &str) {
    eprintln!("skipped: {why}");
    if let Some(log) = std::env::var_os("CAPSULE_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        writeln!(log, "jail: {why}").unwrap();
    }
}

/// A folder with packages for the interpreter of the tests, kept for the next time.
fn installed(name: &str) -> Option<PathBuf> {
    let python = interpreter();
    let tag = Command::new(&python)
        .args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        .output()
        .unwrap();
    let version = String::from_utf8(tag.stdout).unwrap().trim().to_owned();
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{version}"));
    if folder.join(name).is_dir() {
        return Some(folder);
    }
    let done = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
        .args(["--timeout", "10", "--retries", "1", "--only-binary=:all:"])
        .args(["--python-version", &version, "--target"])
        .args([folder.as_os_str(), name.as_ref()])
        .status();
    if done.is_ok_and(|status| status.success()) {
        return Some(folder);
    }
    let _ = std::fs::remove_dir_all(&folder);
    skip(&format!("pip could not install {name}"));
    None
}

#[test]
fn numpy_computes() {
    let Some(packages) = installed("numpy") else { return };
    let mut play = Play::new(
        "import numpy\n\
         def main(n):\n\
         \x20   a = numpy.arange(n * n, dtype=float).reshape(n, n)\n\
         \x20   return [float((a @ a.T).trace()), numpy.linalg.matrix_rank(a).item()]\n",
    );
    play.native = play.native.with_packages(Some(packages));
    let seen = play.call("main", r#"{"args":[200],"kwargs":{}}"#);
    assert_eq!(seen.value(), "[21332533340000.0, 2]");
}

#[test]
fn pandas_computes() {
    let Some(packages) = installed("pandas") else { return };
    let mut play = Play::new(
        "import io\n\
         import pandas\n\
         def main():\n\
         \x20   table = pandas.read_csv(io.StringIO('k,v\\na,1\\nb,2\\na,3\\n'))\n\
         \x20   return table.groupby('k').v.sum().to_dict()\n",
    );
    play.native = play.native.with_packages(Some(packages));
    assert_eq!(play.run().value(), r#"{"a": 4, "b": 2}"#);
}

#[test]
fn a_virtual_environment_brings_its_packages() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().canonicalize().unwrap().join("venv");
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&home).status();
    if !made.is_ok_and(|status| status.success()) {
        return skip("python3 -m venv does not work");
    }
    let library = std::fs::read_dir(home.join("lib")).unwrap().flatten().next().unwrap().path();
    std::fs::write(library.join("site-packages/brought.py"), "x = 'brought'\n").unwrap();
    let mut play = Play::new("import sys, brought\ndef main(): return [brought.x, sys.prefix]\n");
    play.native = Native::new(home.join("bin/python3"));
    let seen = play.run();
    assert_eq!(seen.value(), format!("[\"brought\", {:?}]", home.to_str().unwrap()));
}

#[test]
fn what_lies_beside_the_program_comes_before_packages() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["json", "mine", "theirs"] {
        std::fs::write(folder.path().join(format!("{name}.py")), "x = 'package'\n").unwrap();
    }
    let play = Play::new(
        "import json, mine, theirs\n\
         def main(): return [hasattr(json, 'x'), mine.x, theirs.x, theirs.__file__]\n",
    )
    .module("mine", "app/mine.py", "x = 'program'\n");
    let mut own = play.clone();
    own.native = own.native.with_packages(Some(folder.path().canonicalize().unwrap()));
    let expected = r#"[false, "program", "package", "/packages/theirs.py"]"#;
    assert_eq!(own.clone().run().value(), expected);
    // Those of a grant are found too, but give way to those for this interpreter.
    let granted = play.file(folder.path().to_owned(), "/packages", Access::ReadOnly);
    assert_eq!(granted.run().value(), expected);
    let empty = tempfile::tempdir().unwrap();
    let both = own.file(empty.path().to_owned(), "/packages", Access::ReadOnly);
    assert_eq!(both.run().value(), expected);
}
