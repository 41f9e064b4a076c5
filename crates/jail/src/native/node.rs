//! Node: where it lives, what of the host it needs to see, and how much memory it plans with.

use std::path::{Path, PathBuf};

use capsule_backend::guest::Grant;
use capsule_spec::Failure;
use serde::Deserialize;

use super::bundle;
use super::interpreter::{Interpreter, ask, holds_more, mounts, unusable};

/// The oldest version that has what the guest's own code uses.
const OLDEST: u32 = 20;
const HINT: &str = "isolation: \"jail\" needs Node 20 or newer on PATH; without it, tasks in \
    TypeScript and JavaScript run in WebAssembly (isolation: \"wasm\")";

const QUESTION: &str = "console.log(JSON.stringify({\
    executable: process.execPath, version: process.versions.node ?? ''}))";

/// What Node takes beside the old heap of the program: its own data, stacks of its threads,
/// the young generation, compiled code, and some buffers.
const BESIDE_HEAP: u64 = 64 << 20;
/// The heap is at least this, and at least a third of the memory.
const SMALLEST_HEAP: u64 = 16 << 20;

#[derive(Deserialize)]
struct Answer {
    executable: PathBuf,
    version: String,
}

/// Runs it once, to ask.
pub(super) fn find(interpreter: &Path) -> Result<Interpreter, Failure> {
    let answer: Answer =
        ask(interpreter, &["-e", QUESTION], "Node").map_err(|failure| failure.hint(HINT))?;
    let major = answer.version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_none_or(|major| major < OLDEST) {
        let what = format!("it is Node {}", answer.version);
        return Err(unusable(interpreter, &what).hint(HINT));
    }
    Ok(Interpreter {
        mounts: mounts(vec![home(&answer.executable)?])?,
        executable: answer.executable,
    })
}

/// The folder with `bin/node` in it, where its libraries are too; else the file alone.
fn home(executable: &Path) -> Result<PathBuf, Failure> {
    let real =
        executable.canonicalize().map_err(|error| unusable(executable, &error.to_string()))?;
    let above = real.parent().filter(|folder| folder.ends_with("bin")).and_then(Path::parent);
    Ok(above.filter(|folder| !holds_more(folder)).map_or(real.clone(), Path::to_owned))
}

/// What follows the executable.
///
/// V8 lets garbage grow with the memory that it believes to have, which is the machine's:
/// without a word about the limit the jail would end programs that need little. The limit
/// itself is the jail's. Address space is not counted by it: V8 reserves far more than it uses.
pub(super) fn arguments(grant: &Grant) -> Vec<String> {
    let ram = grant.ram.bytes();
    let heap = ram.saturating_sub(BESIDE_HEAP).max(ram / 3).max(SMALLEST_HEAP) >> 20;
    let heap = format!("--max-old-space-size={heap}");
    let young = if ram < 128 << 20 { "--max-semi-space-size=2" } else { "--max-semi-space-size=8" };
    let fixed = [
        // How modules of the guest are made of text.
        "--experimental-vm-modules",
        // As in WebAssembly, a rejection that is handled late, or never, ends nothing.
        "--unhandled-rejections=warn",
        "-e",
        bundle::NODE,
    ];
    [heap.as_str(), young].iter().chain(&fixed).map(|text| (*text).to_owned()).collect()
}

/// What a process that found its heap full says last.
pub(super) fn is_out_of_memory(said: &str) -> bool {
    said.contains("JavaScript heap out of memory")
}

/// Variables that are set for the interpreter itself.
pub(super) fn environment() -> [(String, String); 1] {
    // Newer versions would find the door by themselves, in another way than older ones.
    [("NODE_USE_ENV_PROXY".to_owned(), "0".to_owned())]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_systems_interpreter_needs_no_mount() {
        let Ok(node) = find(Path::new("/usr/bin/node")) else { return };
        assert_eq!(node.mounts, []);
    }

    #[test]
    fn an_old_one_is_refused_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let old = folder.path().join("node");
        std::fs::write(
            &old,
            "#!/bin/sh\necho '{\"executable\":\"/usr/bin/node\",\"version\":\"18.20.1\"}'\n",
        )
        .unwrap();
        std::fs::set_permissions(&old, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let failure = find(&old).unwrap_err();
        assert!(failure.message.ends_with("it is Node 18.20.1"), "{failure:?}");
        assert!(failure.hint.is_some_and(|hint| hint.contains("Node 20")));
        let none = find(Path::new("/nonexistent/node")).unwrap_err();
        assert!(none.hint.is_some_and(|hint| hint.contains("Node 20")));
    }
}
