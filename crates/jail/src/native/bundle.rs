//! What a guest is made of: sources in its language, built into this program.

use std::collections::BTreeMap;

use capsule_backend::guest::Source;
use capsule_spec::{ErrorCode, Failure};
use serde::Serialize;

use super::frames::{self, Module};
use super::interpreter::Language;

/// The text of `python3 -c`.
pub(super) const PYTHON: &str = include_str!("../../../../guests/native/bootstrap.py");
/// The text of `node -e`.
pub(super) const NODE: &str = include_str!("../../../../guests/native/node/bootstrap.js");

macro_rules! modules {
    ($list:ident: $($name:literal: $path:literal;)*) => {
        /// By name: file and text.
        const $list: &[(&str, &str, &str)] =
            &[$(($name, $path, include_str!(concat!("../../../../", $path)))),*];
    };
}

modules! {
    PYTHON_MODULES:
    "capsule": "sdk/python/src/capsule/__init__.py";
    "capsule._runtime": "sdk/python/src/capsule/_runtime.py";
    "capsule._submission": "sdk/python/src/capsule/_submission.py";
    "capsule._task": "sdk/python/src/capsule/_task.py";
    "capsule._values": "sdk/python/src/capsule/_values.py";
    "capsule.errors": "sdk/python/src/capsule/errors.py";
    "capsule.http": "sdk/python/src/capsule/http.py";
    // Shared with the guests in WebAssembly.
    "guest": "guests/python/guest/__init__.py";
    "guest.chance": "guests/python/guest/chance.py";
    "guest.program": "guests/python/guest/program.py";
    "guest.report": "guests/python/guest/report.py";
    "guest.values": "guests/python/guest/values.py";
    // In the place of what only WebAssembly has.
    "guest.app": "guests/native/app.py";
    "guest.calls": "guests/native/calls.py";
    "guest.channel": "guests/native/channel.py";
    "guest.operations": "guests/native/operations.py";
    "wit_world.imports.host": "guests/native/host.py";
}

/// Packages that hold nothing.
const FOLDERS: [&str; 2] = ["wit_world", "wit_world.imports"];

modules! {
    NODE_MODULES:
    // Shared with the guests in WebAssembly.
    "errors.js": "guests/javascript/src/errors.js";
    "nearest.js": "guests/javascript/src/nearest.js";
    "program.js": "guests/javascript/src/program.js";
    "report.js": "guests/javascript/src/report.js";
    "sdk.js": "guests/javascript/src/sdk.js";
    "task.js": "guests/javascript/src/task.js";
    "values.js": "guests/javascript/src/values.js";
    // In the place of what only WebAssembly has.
    "app.js": "guests/native/node/app.js";
    "channel.js": "guests/native/node/channel.js";
    "environment.js": "guests/native/node/environment.js";
    "files/sdk.js": "guests/native/node/files.js";
    "host.js": "guests/native/node/host.js";
    "inspect.js": "guests/native/node/inspect.js";
    "missing.js": "guests/native/node/missing.js";
    "network.js": "guests/native/node/network.js";
    "operations.js": "guests/native/node/operations.js";
    "process.js": "guests/native/node/process.js";
    "require.js": "guests/native/node/require.js";
    "stack.js": "guests/native/node/stack.js";
}

#[derive(Serialize)]
struct Told<'a> {
    start: Start<'a>,
}

#[derive(Serialize)]
struct Start<'a> {
    modules: Modules,
    program: Module,
    packages: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'a [(String, String)]>,
    task: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Modules {
    Python(BTreeMap<&'static str, Bundled>),
    JavaScript(BTreeMap<&'static str, &'static str>),
}

#[derive(Serialize)]
struct Bundled {
    is_package: bool,
    source: &'static str,
}

impl Modules {
    fn of(language: Language) -> Self {
        match language {
            Language::Python => {
                let folders = FOLDERS.map(|name| (name, Bundled { is_package: true, source: "" }));
                let modules = PYTHON_MODULES.iter().map(|(name, path, source)| {
                    (*name, Bundled { is_package: path.ends_with("/__init__.py"), source })
                });
                Self::Python(modules.chain(folders).collect())
            }
            Language::JavaScript => Self::JavaScript(
                NODE_MODULES.iter().map(|(name, _, text)| (*name, *text)).collect(),
            ),
        }
    }
}

/// What a guest is told before it runs.
pub(super) struct Order<'a> {
    pub(super) language: Language,
    pub(super) program: &'a Source,
    pub(super) packages: &'static str,
    /// Variables, unless the process has them already.
    pub(super) environment: Option<&'a [(String, String)]>,
    pub(super) task: &'a str,
    pub(super) arguments: &'a str,
}

/// The first frame.
pub(super) fn start(order: &Order<'_>) -> Result<Vec<u8>, Failure> {
    let start = Start {
        modules: Modules::of(order.language),
        program: Module::from(order.program),
        packages: order.packages,
        environment: order.environment,
        task: order.task,
        arguments: order.arguments,
    };
    frames::frame(&Told { start }).ok_or_else(|| {
        Failure::new(ErrorCode::InvalidValue, "program and arguments are larger than 64 MiB")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_inside_is_the_same_as_in_webassembly() {
        let script = include_str!("../../../../guests/build.sh");
        let shared = script.lines().find_map(|line| line.strip_prefix("shared=(")).unwrap();
        let mut shared: Vec<&str> = shared.trim_end_matches(')').split(' ').collect();
        shared.sort_unstable();
        let files = PYTHON_MODULES.iter().map(|(_, path, _)| *path);
        let files = files.filter_map(|path| path.strip_prefix("sdk/python/src/capsule/"));
        let mut bundled: Vec<&str> = files.map(|file| file.trim_end_matches(".py")).collect();
        bundled.sort_unstable();
        assert_eq!(bundled, shared);
    }

    /// A module that is missing would be seen when a task runs only.
    #[test]
    fn every_module_that_is_imported_is_there() {
        for (name, _, text) in NODE_MODULES {
            let imports = text.lines().filter(|line| line.starts_with("import "));
            for import in imports {
                let wanted = import.rsplit('"').nth(1).unwrap_or(import);
                let is_there = wanted.starts_with("node:")
                    || wanted == "capsule:guest/host@0.1.0"
                    || NODE_MODULES.iter().any(|(other, _, _)| {
                        // None of those below a folder imports another.
                        !name.contains('/') && Some(*other) == wanted.strip_prefix("./")
                    });
                assert!(is_there, "{name} imports {wanted}");
            }
        }
    }
}
