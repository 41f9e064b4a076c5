//! What the machine has for a jail to run.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A toolchain outside the system directories, and how a jail gets it: its
/// folders, read-only, at places of their own.
#[derive(Clone, Debug)]
pub struct Toolchain {
    /// `--bind` arguments, `SRC:DEST`.
    pub binds: Vec<String>,
    /// The folder of the programs, inside.
    pub programs: String,
}

impl Toolchain {
    /// The Rust toolchain that `rustc` belongs to; a rustup shim is not enough.
    pub fn rust() -> Option<Self> {
        let root = output_of(Command::new("rustc").args(["--print", "sysroot"]))?;
        let root = Path::new(&root).canonicalize().ok()?;
        root.join("bin/cargo").exists().then(|| Self {
            binds: vec![format!("{}:/opt/rust", root.display())],
            programs: "/opt/rust/bin".to_owned(),
        })
    }

    /// `PATH` for a jail with this toolchain first.
    pub fn path(&self) -> String {
        format!("PATH={}:/usr/local/bin:/usr/bin:/bin", self.programs)
    }
}

/// The interpreter of `CAPSULE_TEST_PYTHON` and its packages, as a jail gets them:
/// the `--readonly` paths, the interpreter, and the value of `PYTHONPATH`.
pub fn host_python() -> Option<(Vec<String>, String, String)> {
    let python = env::var_os("CAPSULE_TEST_PYTHON")?;
    let script = "import os, sys, sysconfig\n\
        print(os.path.realpath(sys.base_prefix))\n\
        print(os.path.realpath(sys.executable))\n\
        print(os.path.realpath(sysconfig.get_path('purelib')))";
    let output = output_of(Command::new(python).args(["-c", script]))?;
    let mut lines = output.lines().map(str::to_owned);
    let (base, interpreter, packages) = (lines.next()?, lines.next()?, lines.next()?);
    // A system interpreter is there anyway, and /usr itself is never mounted twice.
    let folders = [base, packages.clone()].into_iter().filter(|path| !path.starts_with("/usr"));
    Some((folders.collect(), interpreter, packages))
}

/// Where the host finds a program, if it is in a directory that jails see.
pub fn found_on_path(name: &str) -> Option<PathBuf> {
    ["/usr/local/bin", "/usr/bin", "/bin"]
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists())
}

fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
