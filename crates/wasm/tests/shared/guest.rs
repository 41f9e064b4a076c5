//! What tests of guests have in common: the runtime that the binary carries, and waiting.

use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use capsule_wasm::{Language, PrepareError, Progress, Runtime, Stage};

use crate::LANGUAGE;

pub(crate) const NO_ARGUMENTS: &str = r#"{"args":[],"kwargs":{}}"#;

struct Quiet;

impl Progress for Quiet {
    fn stage(&self, _: Stage) {}
}

/// The runtime, once for all tests of a binary, which are about one language. Nothing if the
/// binary carries none; that is said, and counted.
pub(crate) fn runtime(language: Language) -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("runtimes");
        match language.prepare(&cache, &Quiet) {
            Ok(prepared) => Some(Runtime::new(&prepared, 4).unwrap()),
            Err(PrepareError::NotCarried { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    });
    if runtime.is_none() {
        skip(&format!("built without the {language:?} runtime (CAPSULE_RUNTIMES)"));
    }
    runtime.as_ref()
}

/// Which pages a guest writes first was found out when it was prepared.
#[test]
fn what_a_guest_writes_first_is_known() {
    if runtime(LANGUAGE).is_none() {
        return;
    }
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("runtimes");
    let prepared = LANGUAGE.prepare(&cache, &Quiet).unwrap();
    let written = std::fs::read(cache.join(prepared.key()).join("written")).unwrap();
    let written: Vec<(usize, usize)> = serde_json::from_slice(&written).unwrap();
    let pages: usize = written.iter().map(|(_, count)| count).sum();
    assert!((50..2000).contains(&pages), "{pages} pages");
}

pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime
        .block_on(async { tokio::time::timeout(Duration::from_secs(120), future).await })
        .expect("it ends in time")
}

/// Says that a test was left out, as `scripts/test.sh` expects it.
fn skip(reason: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {reason}\n", thread.name().unwrap_or("a test"));
    assert!(std::env::var_os("CAPSULE_NO_SKIP").is_none(), "may not be skipped: {line}");
    let _ = write!(std::io::stderr(), "skipped: {line}");
    if let Some(log) = std::env::var_os("CAPSULE_SKIP_LOG") {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
        log.write_all(line.as_bytes()).unwrap();
    }
}
