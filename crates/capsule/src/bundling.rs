//! Programs in TypeScript and JavaScript become one script, in a process of their own:
//! this program again, locked down to the project's folder.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use capsule_bundle::Bundler;
use capsule_jail::lockdown::Lockdown;

use crate::wire;

/// What this program is called with to be that process. Nobody types it.
const NAME: &str = "bundle-sources";

/// Makes scripts, and keeps them in the user's cache.
pub(crate) fn bundler() -> Bundler {
    let cache = wire::cache().join("bundles");
    Bundler::new("/proc/self/exe".into(), vec![NAME.into()], Some(cache))
}

/// Serves as that process, if this is one.
pub(crate) fn serve(arguments: &[OsString]) -> Option<ExitCode> {
    let [_, name, order] = arguments else { return None };
    (name == NAME).then(|| {
        capsule_bundle::serve(order, lock_down).unwrap_or_else(|error| {
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::FAILURE
        })
    })
}

/// What is left is to read below the folder that standard input is.
fn lock_down() -> io::Result<()> {
    let lockdown = Lockdown { read: vec!["/proc/self/fd/0".into()], ..Lockdown::default() };
    lockdown.apply().map(drop).map_err(|failure| io::Error::other(failure.message))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn only_an_order_makes_it_that_process() {
        let of =
            |words: &[&str]| words.iter().map(OsStr::new).map(OsString::from).collect::<Vec<_>>();
        for words in [
            &["capsule"][..],
            &["capsule", NAME],
            &["capsule", "run", "x"],
            &["capsule", NAME, "{}", "x"],
        ] {
            assert!(serve(&of(words)).is_none(), "{words:?}");
        }
        let _ = bundler();
    }
}
