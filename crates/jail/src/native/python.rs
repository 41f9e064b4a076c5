//! CPython: where it lives, and what of the host it needs to see.

use std::path::{Path, PathBuf};

use capsule_spec::Failure;
use serde::Deserialize;

use super::bundle;
use super::interpreter::{Interpreter, ask, mounts, unusable};

/// The oldest version whose standard library has what the guest's own code uses.
const OLDEST: (u32, u32) = (3, 10);

/// Without `site`, so that nothing of the packages runs outside of a jail.
const QUESTION: &str = "import json, sys; print(json.dumps({\
    'executable': sys.executable, 'version': sys.version_info[:2], \
    'prefixes': [sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix]}))";

#[derive(Deserialize)]
struct Answer {
    executable: PathBuf,
    version: (u32, u32),
    prefixes: Vec<PathBuf>,
}

/// Runs it once, to ask.
pub(super) fn find(interpreter: &Path) -> Result<Interpreter, Failure> {
    let answer: Answer = ask(interpreter, &["-I", "-S", "-B", "-c", QUESTION], "Python")?;
    if answer.version < OLDEST {
        let (major, minor) = answer.version;
        return Err(unusable(interpreter, &format!("it is Python {major}.{minor}"))
            .hint("isolation=\"jail\" needs Python 3.10 or newer"));
    }
    let mut folders = answer.prefixes;
    // A virtual environment: with `site` left out the interpreter does not say so itself.
    let environment = answer.executable.parent().and_then(Path::parent);
    folders.extend(
        environment.filter(|folder| folder.join("pyvenv.cfg").is_file()).map(Path::to_owned),
    );
    Ok(Interpreter { mounts: mounts(folders)?, executable: answer.executable })
}

/// What follows the executable.
pub(super) fn arguments() -> Vec<String> {
    ["-I", "-B", "-c", bundle::PYTHON].map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_interpreter_needs_no_mount() {
        let python = find(Path::new("/usr/bin/python3")).unwrap();
        assert_eq!(python.mounts, []);
    }
}
