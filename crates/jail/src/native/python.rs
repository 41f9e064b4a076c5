//! The interpreter: where it lives, and what of the host it needs to see.

use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use capsule_spec::{ErrorCode, Failure};
use serde::Deserialize;

/// The oldest version whose standard library has what the guest's own code uses.
const OLDEST: (u32, u32) = (3, 10);

/// Without `site`, so that nothing of the packages runs outside of a jail.
const QUESTION: &str = "import json, sys; print(json.dumps({\
    'executable': sys.executable, 'version': sys.version_info[:2], \
    'prefixes': [sys.base_prefix, sys.base_exec_prefix, sys.prefix, sys.exec_prefix]}))";

/// What every jail sees.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Folders that hold more than an interpreter, whatever a prefix says.
const SHARED: [&str; 11] =
    ["/home", "/root", "/opt", "/srv", "/var", "/etc", "/tmp", "/mnt", "/media", "/run", "/boot"];

/// An interpreter of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Python {
    pub(super) executable: PathBuf,
    /// Folders to mount read-only: where they are, and where they are seen.
    pub(super) mounts: Vec<(PathBuf, PathBuf)>,
}

#[derive(Deserialize)]
struct Answer {
    executable: PathBuf,
    version: (u32, u32),
    prefixes: Vec<PathBuf>,
}

/// Runs it once, to ask.
pub(super) fn find(interpreter: &Path) -> Result<Python, Failure> {
    let asked = Command::new(interpreter)
        .args(["-I", "-S", "-B", "-c", QUESTION])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unusable(interpreter, &error.to_string()))?;
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        return Err(unusable(interpreter, said.trim().lines().last().unwrap_or("it failed")));
    }
    let answer: Answer = serde_json::from_slice(&asked.stdout)
        .map_err(|_| unusable(interpreter, "it is no Python interpreter"))?;
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
    Ok(Python { mounts: mounts(folders)?, executable: answer.executable })
}

/// Each folder that is outside the system directories, where its name says it is and
/// where it is in truth: links lead from one to the other.
fn mounts(folders: Vec<PathBuf>) -> Result<Vec<(PathBuf, PathBuf)>, Failure> {
    let mut mounts: Vec<(PathBuf, PathBuf)> = Vec::new();
    for folder in folders {
        let real = folder.canonicalize().map_err(|error| unusable(&folder, &error.to_string()))?;
        for seen in [&real, &folder] {
            let is_there = SYSTEM.iter().any(|system| seen.starts_with(system))
                || mounts.iter().any(|(_, other)| seen.starts_with(other));
            if is_there {
                continue;
            }
            if holds_more(seen) {
                return Err(unusable(seen, "it holds more than an interpreter").hint(
                    "use a virtual environment, or an interpreter with a folder of its own",
                ));
            }
            mounts.push((real.clone(), seen.clone()));
        }
    }
    Ok(mounts)
}

/// Whether a folder is one that other things are in: somebody's home most of all.
fn holds_more(folder: &Path) -> bool {
    let depth = folder.components().filter(|part| matches!(part, Component::Normal(_))).count();
    let is_home = std::env::var_os("HOME").is_some_and(|home| folder == Path::new(&home));
    depth == 0
        || is_home
        || (depth == 2 && folder.starts_with("/home"))
        || SHARED.iter().any(|shared| folder == Path::new(shared))
}

fn unusable(path: &Path, why: &str) -> Failure {
    let message = format!("the interpreter {} cannot be used: {why}", path.display());
    Failure::new(ErrorCode::InvalidValue, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_is_never_mounted_as_an_interpreter() {
        for folder in ["/", "/home", "/home/somebody", "/root", "/opt", "/etc"] {
            assert!(holds_more(Path::new(folder)), "{folder}");
        }
        for folder in ["/home/somebody/.venv", "/opt/conda", "/venv"] {
            assert!(!holds_more(Path::new(folder)), "{folder}");
        }
    }

    #[test]
    fn the_systems_interpreter_needs_no_mount() {
        let python = find(Path::new("/usr/bin/python3")).unwrap();
        assert_eq!(python.mounts, []);
    }

    #[test]
    fn what_is_no_interpreter_is_refused() {
        for path in ["/nonexistent", "/etc/passwd", "/bin/true", "/bin/false", "/bin/sh"] {
            let failure = find(Path::new(path)).unwrap_err();
            assert_eq!(failure.code, ErrorCode::InvalidValue, "{path}");
        }
    }
}
