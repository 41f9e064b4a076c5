//! What a guest is made of: Python sources, built into this program.

use capsule_backend::guest::Source;
use capsule_spec::{ErrorCode, Failure};
use serde::Serialize;
use std::collections::BTreeMap;

use super::frames::{self, Module};

/// The text of `python3 -c`.
pub(super) const BOOTSTRAP: &str = include_str!("../../../../guests/native/bootstrap.py");

macro_rules! modules {
    ($($name:literal: $path:literal;)*) => {
        /// By dotted name: file and text.
        const MODULES: &[(&str, &str, &str)] =
            &[$(($name, $path, include_str!(concat!("../../../../", $path)))),*];
    };
}

modules! {
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

#[derive(Serialize)]
struct Told<'a> {
    start: Start<'a>,
}

#[derive(Serialize)]
struct Start<'a> {
    modules: BTreeMap<&'static str, Bundled>,
    program: Module,
    packages: &'static str,
    task: &'a str,
    arguments: &'a str,
}

#[derive(Serialize)]
struct Bundled {
    is_package: bool,
    source: &'static str,
}

/// The first frame: everything that a guest is told before it runs.
pub(super) fn start(
    task: &str,
    arguments: &str,
    program: &Source,
    packages: &'static str,
) -> Result<Vec<u8>, Failure> {
    let folders = FOLDERS.map(|name| (name, Bundled { is_package: true, source: "" }));
    let modules = MODULES.iter().map(|(name, path, source)| {
        (*name, Bundled { is_package: path.ends_with("/__init__.py"), source })
    });
    let start = Start {
        modules: modules.chain(folders).collect(),
        program: Module::from(program),
        packages,
        task,
        arguments,
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
        let files = MODULES.iter().map(|(_, path, _)| *path);
        let files = files.filter_map(|path| path.strip_prefix("sdk/python/src/capsule/"));
        let mut bundled: Vec<&str> = files.map(|file| file.trim_end_matches(".py")).collect();
        bundled.sort_unstable();
        assert_eq!(bundled, shared);
    }
}
