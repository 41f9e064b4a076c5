//! Times the phases of one guest.
#![allow(clippy::print_stdout, clippy::unwrap_used, missing_docs)]
use capsule_backend::guest::*;
use capsule_spec::ByteSize;
use capsule_wasm::*;
use std::sync::Arc;
use std::time::Instant;

struct Out(String);
impl Outside for Out {
    fn source(&self, module: &str) -> Option<Source> {
        if module.is_empty() {
            return Some(Source {
                path: self.0.clone(),
                is_package: false,
                bytes: std::fs::read(&self.0).ok()?,
            });
        }
        None
    }
    fn output(&self, _: Channel, bytes: &[u8]) {
        print!("{}", String::from_utf8_lossy(bytes));
    }
    fn call(&self, _: &str, _: String) -> Pending<'static, Result<String, GuestError>> {
        Box::pin(async { Ok("1".to_owned()) })
    }
}
struct Quiet;
impl Progress for Quiet {
    fn stage(&self, stage: Stage) {
        eprintln!("{stage:?}");
    }
}

fn main() {
    let t0 = Instant::now();
    let file = std::env::args().nth(1).unwrap();
    let rounds: usize = std::env::args().nth(2).map_or(1, |n| n.parse().unwrap());
    let cache = std::env::var_os("CAPSULE_CACHE").map_or_else(std::env::temp_dir, Into::into);
    let cache: std::path::PathBuf = cache.join("runtimes");
    let is_python = std::path::Path::new(&file).extension().is_some_and(|end| end == "py");
    let language = if is_python { Language::Python } else { Language::JavaScript };
    let prepared = language.prepare(&cache, &Quiet).unwrap();
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let prepared = match std::env::args().nth(3) {
        None => prepared,
        Some(folder) => {
            let modules: Vec<String> = std::env::args().skip(4).collect();
            let key = blake3::hash(format!("{folder}{modules:?}").as_bytes()).to_hex().to_string();
            match prepared.layer(&cache, &key).unwrap() {
                Some(layer) => layer,
                None => {
                    let layered = tokio
                        .block_on(prepared.make_layer(
                            &cache,
                            &key,
                            &Packages { folder: folder.into(), modules, native: vec![] },
                        ))
                        .unwrap();
                    eprintln!("failed {:?}", layered.failed);
                    layered.prepared
                }
            }
        }
    };
    let t1 = Instant::now();
    let runtime = Runtime::new(&prepared, 8).unwrap();
    let t2 = Instant::now();
    eprintln!("prepare {:?} load {:?} {:?}", t1 - t0, t2 - t1, runtime.recycling());
    for round in 0..rounds {
        let t2 = Instant::now();
        let grant = Grant {
            meter: Meter::new(1_000_000_000_000),
            ram: ByteSize::from_mib(512),
            disk: ByteSize::from_mib(64),
            files: std::env::args()
                .nth(3)
                .into_iter()
                .map(|folder| Granted {
                    source: folder.into(),
                    destination: "/packages".into(),
                    access: capsule_spec::Access::ReadOnly,
                })
                .collect(),
            hosts: vec![],
            download: ByteSize::from_mib(64),
            environment: vec![],
        };
        let mut guest = runtime.open(Arc::new(Out(file.clone()))).unwrap();
        let t3 = Instant::now();
        let declared = tokio.block_on(guest.declare(&grant));
        let t4 = Instant::now();
        let value = tokio.block_on(guest.call("main", r#"{"args":[],"kwargs":{}}"#, &grant));
        let t5 = Instant::now();
        let usage = guest.usage();
        drop(guest);
        let t6 = Instant::now();
        if round < 2 || round + 1 == rounds {
            eprintln!("{declared:?}\n{value:?} {usage:?}");
            eprintln!(
                "open {:?} declare {:?} call {:?} drop {:?}",
                t3 - t2,
                t4 - t3,
                t5 - t4,
                t6 - t5
            );
        }
    }
    eprintln!("all {:?}", t0.elapsed());
}
