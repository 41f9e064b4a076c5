//! Times calls of a function `main` in CPython: `native PYTHON PROGRAM [ROUNDS]`.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use capsule_backend::guest::{Channel, Grant, GuestError, Guests, Meter, Outside, Pending, Source};
use capsule_jail::native::Native;
use capsule_spec::ByteSize;

struct Program(PathBuf);

impl Outside for Program {
    fn source(&self, module: &str) -> Option<Source> {
        module.is_empty().then(|| Source {
            path: self.0.display().to_string(),
            is_package: false,
            bytes: std::fs::read(&self.0).unwrap(),
        })
    }

    fn output(&self, _: Channel, bytes: &[u8]) {
        print!("{}", String::from_utf8_lossy(bytes));
    }

    fn call(&self, _: &str, _: String) -> Pending<'static, Result<String, GuestError>> {
        Box::pin(async { Ok("1".to_owned()) })
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let native = Native::new(PathBuf::from(&arguments[1]));
    let program = Arc::new(Program(PathBuf::from(&arguments[2])));
    let rounds = arguments.get(3).map_or(1, |rounds| rounds.parse().unwrap());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut times = Vec::new();
    for round in 0..rounds {
        let grant = Grant {
            meter: Meter::new(u64::MAX),
            ram: ByteSize::from_mib(512),
            disk: ByteSize::from_mib(64),
            files: Vec::new(),
            hosts: Vec::new(),
            download: ByteSize::from_mib(64),
            environment: Vec::new(),
        };
        let started = Instant::now();
        let mut guest = native.open(program.clone()).unwrap();
        let result = tokio.block_on(guest.call("main", r#"{"args":[],"kwargs":{}}"#, &grant));
        times.push(started.elapsed());
        if round == 0 {
            println!("{result:?} {:?} {:?}", times[0], guest.usage());
        }
    }
    times.sort_unstable();
    println!("min {:?} median {:?}", times[0], times[times.len() / 2]);
}
