//! `capsule-bundle`: the process that bundles. `capsule` carries it and starts it; nobody
//! types it.

mod process;

use std::io::{self, Write};
use std::process::ExitCode;

use capsule_jail::lockdown::Lockdown;

/// It takes and frees memory on all processors at once, and then ends.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(order), None) = (arguments.next(), arguments.next()) else {
        let _ = writeln!(io::stderr(), "error: this program is started by capsule");
        return ExitCode::from(2);
    };
    process::serve(&order, lock_down).unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "error: {error}");
        ExitCode::FAILURE
    })
}

/// What is left is to read below the folder that standard input is.
fn lock_down() -> io::Result<()> {
    let lockdown = Lockdown { read: vec!["/proc/self/fd/0".into()], ..Lockdown::default() };
    lockdown.apply().map(drop).map_err(|failure| io::Error::other(failure.message))
}
