//! From a file that nobody has read to code that can be instantiated.
//!
//! The file is a stranger's. It is never loaded as machine code: what is mapped comes
//! from the private cache, and what is there was compiled here, from these very bytes.
//!
//! Compiling on many threads leaves them behind, and a process with threads cannot lock
//! itself down. So what is small, and what cannot be stored, is compiled on one; after the
//! rest the caller begins again, and finds the code in the cache.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use capsule_backend::BackendError;
use capsule_spec::{ErrorCode, Failure};
use rustix::fs::{Mode, OFlags};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::usage::Counters;
use super::{system, watch};
use crate::runtime::{self, Cache, Threads};

/// Compiled.
#[derive(Clone)]
pub(super) enum Code {
    /// A core module.
    Module(Module),
    /// A component.
    Component(Component),
}

impl Code {
    /// Makes now what is otherwise made for the first instance: later there may be no right
    /// to.
    fn mapped(self) -> wasmtime::Result<Self> {
        match &self {
            Self::Module(module) => module.initialize_copy_on_write_image()?,
            Self::Component(component) => component.initialize_copy_on_write_image()?,
        }
        Ok(self)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Module,
    Component,
}

/// The largest file that is read.
const MOST_BYTES: u64 = 64 << 20;

/// Memory that the compiler may take beside what the process has.
const MOST_COMPILER_MEMORY: u64 = 2 << 30;

/// What compiles faster than it is stored is not stored.
const WORTH_STORING: Duration = Duration::from_millis(25);

/// Below this, one thread compiles about as fast as many.
const SMALL: usize = 64 << 10;

/// Compiled programs that are kept, and the bytes that they may take.
const MOST_KEPT: usize = 64;
const MOST_KEPT_BYTES: u64 = 1 << 30;

const CODE: &str = "code.cwasm";

/// Reads and compiles a program, or finds it compiled. `may_leave_threads`, if the code is
/// in the cache then.
pub(super) fn load(
    path: &Path,
    cache: Option<&Path>,
    patience: Duration,
    may_leave_threads: bool,
    counters: &Counters,
) -> Result<(Engine, Code), BackendError> {
    let bytes = read(path)?;
    let broken = |error: wasmtime::Error| system("build the sandbox", &format!("{error:#}"));
    let engine = runtime::compiler(Threads::One).map_err(broken)?;
    let kind = recognise(&bytes, path).map_err(refused)?;
    // A cache that cannot be used costs time, not the run.
    let cache = cache.and_then(|path| Some((Cache::open(path).ok()?, path)));
    let key = format!(
        "command-{}-{:016x}",
        &blake3::hash(&bytes).to_hex()[..32],
        runtime::compatibility(&engine)
    );
    if let Some((cache, _)) = &cache
        && let Ok(entry) = cache.entry(&key)
    {
        let path = entry.path.join(CODE);
        let found = match kind {
            Kind::Module => runtime::load_module(&engine, &path).map(Code::Module),
            Kind::Component => runtime::load(&engine, &path).map(Code::Component),
        };
        if let Ok(code) = found.and_then(Code::mapped) {
            return Ok((engine, code));
        }
    }
    let threads = match may_leave_threads && cache.is_some() && bytes.len() >= SMALL {
        true => Threads::All,
        false => Threads::One,
    };
    let engine = match threads {
        Threads::All => runtime::compiler(threads).map_err(broken)?,
        Threads::One => engine,
    };
    let begun = Instant::now();
    let code = compile(&engine, kind, bytes, begun + patience, counters)?;
    if let Some((cache, path)) = &cache
        && (threads == Threads::All || begun.elapsed() >= WORTH_STORING)
    {
        let image = match &code {
            Code::Module(module) => module.serialize(),
            Code::Component(component) => component.serialize(),
        };
        if let Ok(image) = image {
            prune(path, image.len() as u64);
            let _ = cache.create(&key, &[(CODE, &image)]);
        }
    }
    Ok((engine, code.mapped().map_err(broken)?))
}

fn read(path: &Path) -> Result<Vec<u8>, BackendError> {
    let shown = path.display();
    // A named pipe would make this wait for its writer.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty()).map(File::from);
    let file = file.map_err(|error| {
        let message = match io::Error::from(error).kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                format!("there is no file {shown}")
            }
            io::ErrorKind::PermissionDenied => format!("{shown} may not be read by this user"),
            _ => format!("{shown} cannot be opened"),
        };
        refused(Failure::new(ErrorCode::ProgramNotFound, message))
    })?;
    let unreadable = |error: io::Error| system("read the program", &error.to_string());
    let meta = file.metadata().map_err(unreadable)?;
    if !meta.is_file() {
        return Err(refused(invalid(format!("{shown} is not a file"))));
    }
    let mut bytes = Vec::with_capacity(meta.len().min(MOST_BYTES) as usize);
    (&file).take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        let message = format!("{shown} is larger than {} MiB", MOST_BYTES >> 20);
        return Err(refused(invalid(message).detail("limit_bytes", MOST_BYTES)));
    }
    Ok(bytes)
}

/// Tells by the first bytes what a file is.
fn recognise(bytes: &[u8], path: &Path) -> Result<Kind, Failure> {
    let shown = path.display();
    if bytes.starts_with(b"\0asm\x01\0\0\0") {
        return Ok(Kind::Module);
    }
    if bytes.starts_with(b"\0asm\x0d\0\x01\0") {
        return Ok(Kind::Component);
    }
    if bytes.starts_with(b"\0asm") {
        return Err(invalid(format!("{shown} is WebAssembly of a version that is not known here")));
    }
    if bytes.starts_with(b"\x7fELF") {
        return Err(invalid(format!("{shown} is machine code, not WebAssembly")).hint(
            "compiled modules (.cwasm) are never loaded; give the .wasm that they came from",
        ));
    }
    let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    if start == Some(&b'(') || bytes.trim_ascii_start().starts_with(b";;") {
        return Err(invalid(format!("{shown} is WebAssembly in its text form"))
            .hint("make a binary of it first: wasm-tools parse FILE.wat -o FILE.wasm"));
    }
    Err(invalid(format!("{shown} is not WebAssembly"))
        .hint("it takes a core module of WASI preview 1, or a component with wasi:cli/run"))
}

fn compile(
    engine: &Engine,
    kind: Kind,
    bytes: Vec<u8>,
    deadline: Instant,
    counters: &Counters,
) -> Result<Code, BackendError> {
    let engine = engine.clone();
    let watched =
        watch::watch("compile", deadline, MOST_COMPILER_MEMORY, counters, move || match kind {
            Kind::Module => Module::new(&engine, &bytes).map(Code::Module),
            Kind::Component => Component::new(&engine, &bytes).map(Code::Component),
        })
        .map_err(|error| system("start a thread", &error.to_string()))?;
    match watched {
        watch::Watched::Done(Ok(code)) => Ok(code),
        watch::Watched::Done(Err(error)) => {
            let text = bounded(&error.root_cause().to_string());
            Err(refused(invalid(format!("the program is not valid WebAssembly: {text}"))))
        }
        watch::Watched::OutOfTime => Err(refused(
            Failure::new(ErrorCode::TimedOut, "compiling the program takes too long")
                .detail("stage", "compile"),
        )),
        watch::Watched::OutOfMemory => Err(refused(
            Failure::new(ErrorCode::MemoryLimit, "compiling the program takes too much memory")
                .detail("stage", "compile")
                .detail("limit_bytes", MOST_COMPILER_MEMORY),
        )),
        watch::Watched::Died => Err(BackendError {
            failure: invalid("the compiler could not deal with the program"),
            internal: "the compiler panicked".to_owned(),
        }),
    }
}

/// Makes room: programs are many, and strangers write them. The oldest go first.
fn prune(folder: &Path, coming: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut kept: Vec<_> = entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("command-"))
        .map(|entry| {
            let meta = fs::symlink_metadata(entry.path().join(CODE));
            let (made, size) = meta.map_or((SystemTime::UNIX_EPOCH, 0), |meta| {
                (meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len())
            });
            (made, size, entry.path())
        })
        .collect();
    kept.sort();
    let mut total: u64 = coming + kept.iter().map(|(_, size, _)| size).sum::<u64>();
    let mut left = kept.len() + 1;
    for (_, size, path) in kept {
        if left <= MOST_KEPT && total <= MOST_KEPT_BYTES {
            break;
        }
        let _ = fs::remove_dir_all(path);
        total -= size;
        left -= 1;
    }
}

/// A message that may hold names of the stranger's choice.
pub(super) fn bounded(text: &str) -> String {
    const MOST: usize = 300;
    match text.char_indices().nth(MOST) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

pub(super) fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::InvalidModule, message)
}

/// The caller's fault; there is nothing more to tell.
pub(super) fn refused(failure: Failure) -> BackendError {
    let internal = failure.message.clone();
    BackendError { failure, internal }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_tell_what_a_file_is() {
        let path = Path::new("x.wasm");
        assert_eq!(recognise(b"\0asm\x01\0\0\0", path), Ok(Kind::Module));
        assert_eq!(recognise(b"\0asm\x0d\0\x01\0", path), Ok(Kind::Component));
        for (bytes, message) in [
            (&b""[..], "x.wasm is not WebAssembly"),
            (b"\0asm", "x.wasm is WebAssembly of a version that is not known here"),
            (b"\0asm\x02\0\0\0", "x.wasm is WebAssembly of a version that is not known here"),
            (b"\x7fELF\x02", "x.wasm is machine code, not WebAssembly"),
            (b"  (module)", "x.wasm is WebAssembly in its text form"),
            (b"\n;; x\n(module)", "x.wasm is WebAssembly in its text form"),
            (b"#!/bin/sh", "x.wasm is not WebAssembly"),
        ] {
            assert_eq!(recognise(bytes, path).unwrap_err().message, message);
        }
    }

    #[test]
    fn names_of_strangers_are_cut() {
        assert_eq!(bounded("short"), "short");
        assert_eq!(bounded(&"é".repeat(10_000)).chars().count(), 301);
    }

    #[test]
    fn old_programs_make_room() {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..MOST_KEPT + 3 {
            let entry = folder.path().join(format!("command-{number}"));
            fs::create_dir(&entry).unwrap();
            fs::write(entry.join(CODE), b"x").unwrap();
        }
        fs::create_dir(folder.path().join("python-0")).unwrap();
        prune(folder.path(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_KEPT - 1 + 1);
        assert!(folder.path().join("python-0").exists());
        prune(folder.path(), MOST_KEPT_BYTES);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
