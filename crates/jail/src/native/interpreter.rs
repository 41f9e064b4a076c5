//! The interpreter of a language: what all of them have in common.

use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use capsule_backend::guest::Grant;
use capsule_spec::{ErrorCode, Failure};
use serde::de::DeserializeOwned;

use super::{node, python};

/// What every jail sees.
const SYSTEM: [&str; 7] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Folders that hold more than an interpreter, whatever a prefix says.
const SHARED: [&str; 11] =
    ["/home", "/root", "/opt", "/srv", "/var", "/etc", "/tmp", "/mnt", "/media", "/run", "/boot"];

/// What functions are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// For CPython.
    Python,
    /// For Node.
    JavaScript,
}

/// An interpreter of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Interpreter {
    pub(super) executable: PathBuf,
    /// Folders to mount read-only: where they are, and where they are seen.
    pub(super) mounts: Vec<(PathBuf, PathBuf)>,
}

impl Language {
    /// Runs the interpreter once, to ask where it lives.
    pub(super) fn find(self, interpreter: &Path) -> Result<Interpreter, Failure> {
        match self {
            Self::Python => python::find(interpreter),
            Self::JavaScript => node::find(interpreter),
        }
    }

    /// What follows the executable.
    pub(super) fn arguments(self, grant: &Grant) -> Vec<String> {
        match self {
            Self::Python => python::arguments(),
            Self::JavaScript => node::arguments(grant),
        }
    }
}

/// What an interpreter of the host says when it is run outside of any jail, with nothing of
/// a program near it.
pub(super) fn ask<T: DeserializeOwned>(
    interpreter: &Path,
    arguments: &[&str],
    kind: &str,
) -> Result<T, Failure> {
    let asked = Command::new(interpreter)
        .args(arguments)
        .env_remove("NODE_OPTIONS")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| unusable(interpreter, &error.to_string()))?;
    if !asked.status.success() {
        let said = String::from_utf8_lossy(&asked.stderr);
        return Err(unusable(interpreter, said.trim().lines().last().unwrap_or("it failed")));
    }
    serde_json::from_slice(&asked.stdout)
        .map_err(|_| unusable(interpreter, &format!("it is no {kind} interpreter")))
}

/// Each folder that is outside the system directories, where its name says it is and
/// where it is in truth: links lead from one to the other.
pub(super) fn mounts(folders: Vec<PathBuf>) -> Result<Vec<(PathBuf, PathBuf)>, Failure> {
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
pub(super) fn holds_more(folder: &Path) -> bool {
    let depth = folder.components().filter(|part| matches!(part, Component::Normal(_))).count();
    let is_home = std::env::var_os("HOME").is_some_and(|home| folder == Path::new(&home));
    depth == 0
        || is_home
        || (depth == 2 && folder.starts_with("/home"))
        || SHARED.iter().any(|shared| folder == Path::new(shared))
}

pub(super) fn unusable(path: &Path, why: &str) -> Failure {
    let message = format!("the interpreter {} cannot be used: {why}", path.display());
    Failure::new(ErrorCode::RuntimeUnavailable, message)
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
    fn what_is_no_interpreter_is_refused() {
        for language in [Language::Python, Language::JavaScript] {
            for path in ["/nonexistent", "/etc/passwd", "/bin/true", "/bin/false", "/bin/sh"] {
                let failure = language.find(Path::new(path)).unwrap_err();
                assert_eq!(failure.code, ErrorCode::RuntimeUnavailable, "{path}");
            }
        }
    }
}
