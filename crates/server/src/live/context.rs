//! Shell contexts: a working directory and variables that one command leaves for the next.
//!
//! Shell code in a context ends by writing both into a file in the sandbox, which is read
//! and removed. The file is the guest's word, so it is bounded, and used for nothing but
//! later commands of the same sandbox.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use capsule_backend::sandbox::{Change, OpenMode, Sandbox};

use super::Live;
use super::sandbox::lock;

/// Longest file of a context that is believed.
const LONGEST: usize = 256 << 10;
/// Most contexts of a sandbox.
pub(crate) const MOST_CONTEXTS: usize = 16;
/// Variables that are the shell's own.
const OWN: [&str; 4] = ["_", "OLDPWD", "PWD", "SHLVL"];

/// What is carried over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Context {
    pub(crate) directory: String,
    pub(crate) environment: BTreeMap<String, String>,
}

/// A command that runs shell code and leaves its context in a file, and that file.
pub(crate) fn command(code: String) -> (Vec<String>, String) {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    /// A trap, so that code which calls `exit` leaves its context, too.
    const WRAPPER: &str = "trap \"{ pwd; env -0; } >'$2' 2>/dev/null\" EXIT; eval \"$1\"";
    let file = format!("/tmp/.capsule-context-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let words = ["/bin/sh", "-c", WRAPPER, "sh", &code, &file];
    (words.map(str::to_owned).to_vec(), file)
}

/// Takes up what shell code left. What cannot be read leaves the context as it was.
pub(crate) async fn take_up(live: &Live, sandbox: &dyn Sandbox, name: &str, file: &str) {
    let text = read(sandbox, file).await;
    let remove = Change::Remove { path: file.to_owned(), recursive: false };
    // It may be gone with what the code did.
    let _ = sandbox.change(&remove).await;
    if let Some(context) = text.as_deref().and_then(parse)
        && let Some(found) = lock(&live.contexts).get_mut(name)
    {
        *found = context;
    }
}

async fn read(sandbox: &dyn Sandbox, file: &str) -> Option<Vec<u8>> {
    let mut file = sandbox.open(file, OpenMode::Read).await.ok()?;
    let mut text = Vec::new();
    loop {
        let bytes = file.read(64 << 10).await.ok()?;
        if bytes.is_empty() {
            return Some(text);
        }
        text.extend_from_slice(&bytes);
        if text.len() > LONGEST {
            return None;
        }
    }
}

/// A line with the directory, then variables with a NUL after each.
fn parse(text: &[u8]) -> Option<Context> {
    let text = std::str::from_utf8(text).ok()?;
    let (directory, variables) = text.split_once('\n')?;
    if !directory.starts_with('/') || directory.len() > 4095 {
        return None;
    }
    let pairs = variables.split('\0').filter_map(|variable| variable.split_once('='));
    let environment = pairs
        .filter(|(name, _)| !name.is_empty() && !OWN.contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    Some(Context { directory: directory.to_owned(), environment })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_context_is_read_and_nonsense_is_not() {
        let found = parse(b"/work\nA=1\nb\0PWD=/x\0B==\0=c\0D\0").unwrap();
        let expected = [("A", "1\nb"), ("B", "=")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(found.directory, "/work");
        assert_eq!(found.environment, BTreeMap::from(expected));
        for bad in [&b""[..], b"work\nA=1\0", b"\xff\n", b"/a"] {
            assert_eq!(parse(bad), None);
        }
    }

    #[test]
    fn code_is_an_argument_and_never_read_as_the_wrapper() {
        let (command, file) = command("'; rm -rf / #".to_owned());
        assert_eq!(command[4], "'; rm -rf / #");
        assert_eq!(command[5], file);
    }
}
