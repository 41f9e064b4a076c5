//! How long a program takes to become one script: made, and found in the cache.
//!
//! `cargo run --release -p capsule-bundle --example measure -- FOLDER ENTRY [PROGRAM]`; PROGRAM
//! is the process that bundles: by default `capsule-bundle` beside this example.
#![allow(clippy::print_stdout, reason = "it is what an example does")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use capsule_bundle::{Bundler, Place};

const TIMES: usize = 30;

fn main() {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [folder, entry, rest @ ..] = arguments.as_slice() else {
        println!("usage: measure FOLDER ENTRY [PROGRAM]");
        return;
    };
    let beside = std::env::current_exe()
        .ok()
        .and_then(|path| Some(path.parent()?.parent()?.join("capsule-bundle")));
    let program = rest.first().map(PathBuf::from).or(beside).unwrap_or_default();
    let root = Path::new(folder).canonicalize().unwrap_or_default();
    let place = Place { root, entry: entry.to_string_lossy().into_owned(), text: None };
    let cache = std::env::temp_dir().join(format!("capsule-measure-{}", std::process::id()));
    let made = Bundler::new(program.clone(), None);
    let kept = Bundler::new(program, Some(cache.clone()));
    for (what, bundler) in [("made", &made), ("kept", &kept)] {
        let mut times: Vec<Duration> = (0..=TIMES)
            .filter_map(|_| {
                let started = Instant::now();
                let bundle = bundler.bundle(&place);
                let took = started.elapsed();
                match bundle {
                    Ok(_) => Some(took),
                    Err(error) => {
                        println!("{}", error.into_failure().message);
                        None
                    }
                }
            })
            .skip(1)
            .collect();
        times.sort();
        if let (Some(least), Some(median)) = (times.first(), times.get(times.len() / 2)) {
            println!("{what}: min {least:.2?}, median {median:.2?}");
        }
    }
    let _ = std::fs::remove_dir_all(cache);
}
