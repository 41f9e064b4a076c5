//! Fresh tasks in a second: a sandbox for each call of `main`, on so many threads.
//!
//! throughput PROGRAM [ROUNDS] [THREADS]
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use capsule_backend::guest::*;
use capsule_spec::ByteSize;
use capsule_wasm::{Language, Progress, Runtime, Stage};

struct Program(Vec<u8>);

impl Outside for Program {
    fn source(&self, module: &str) -> Option<Source> {
        let path = "main.js".to_owned();
        module.is_empty().then(|| Source { path, is_package: false, bytes: self.0.clone() })
    }
    fn output(&self, _: Channel, _: &[u8]) {}
    fn call(&self, _: &str, _: String) -> Pending<'static, Result<String, GuestError>> {
        Box::pin(async { Ok("null".to_owned()) })
    }
}

struct Quiet;

impl Progress for Quiet {
    fn stage(&self, _: Stage) {}
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().unwrap();
    let mut number = |otherwise: usize| arguments.next().map_or(otherwise, |n| n.parse().unwrap());
    let (rounds, threads) = (number(2000), number(2));
    let cache = std::env::var_os("CAPSULE_CACHE").map_or_else(std::env::temp_dir, PathBuf::from);
    let is_python = Path::new(&file).extension().is_some_and(|end| end == "py");
    let language = if is_python { Language::Python } else { Language::JavaScript };
    let prepared = language.prepare(&cache.join("runtimes"), &Quiet).unwrap();
    let runtime = Runtime::new(&prepared, 32).unwrap();
    let program = Arc::new(Program(std::fs::read(&file).unwrap()));
    let work = |rounds: usize| {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut fuel = 0;
        for _ in 0..rounds {
            let grant = Grant {
                meter: Meter::new(1 << 50),
                ram: ByteSize::from_mib(256),
                disk: ByteSize::from_mib(64),
                files: Vec::new(),
                hosts: Vec::new(),
                download: ByteSize::from_mib(64),
                environment: Vec::new(),
            };
            let mut guest = runtime.open(program.clone()).unwrap();
            let call = guest.call("main", r#"{"args":[],"kwargs":{}}"#, &grant);
            tokio.block_on(call).unwrap();
            fuel = guest.usage().fuel;
        }
        fuel
    };
    work(20);
    let begun = Instant::now();
    let fuel = std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| work(rounds / threads))).collect();
        running.into_iter().map(|one| one.join().unwrap()).max().unwrap()
    });
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{:.0} tasks/s, {:.3} ms each on {threads} threads, {fuel} fuel each",
        rounds as f64 / took,
        took * 1e3 * threads as f64 / rounds as f64
    );
}
