//! The process that bundles: it reads one project, answers, and ends.
//!
//! Who attacks: whoever wrote the project, with sources that make the bundler overflow its
//! stack, take all memory, panic, never end, or worse. Here that ends a process which has
//! given up what it does not need: it holds the project's folder, reads below it, and has
//! one pipe to answer on.
//!
//! Standard input is the folder, opened; the argument is the order; standard output takes
//! the answer, and gives the program first if it is text.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, Signal};

use super::compile::compile;
use capsule_bundle::limits::STACK;
use capsule_bundle::order::Order;

/// Serves one order. `seal` is called before anything of the project is read, while there
/// is one thread: it may take more away from this process. All that has to be left to it
/// is the folder of standard input, for reading, and threads.
///
/// # Errors
/// When this is no such process, or `seal` fails.
pub(crate) fn serve(order: &OsStr, seal: impl FnOnce() -> io::Result<()>) -> io::Result<ExitCode> {
    let order = order.to_str().ok_or(io::ErrorKind::InvalidInput)?;
    let order: Order = serde_json::from_str(order)?;
    let root: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    limit(&order)?;
    seal()?;
    let text = order.text.map(take).transpose()?;
    let work = move || compile(root, &order.entry, text, order.threads.clamp(1, 16));
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(work)?;
    let Ok(compiled) = thread.join() else {
        // The panic's message is on standard error.
        return Ok(ExitCode::FAILURE);
    };
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &compiled)?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The program, from where the answer will go.
fn take(length: u64) -> io::Result<Vec<u8>> {
    let source = File::from(io::stdout().as_fd().try_clone_to_owned()?);
    let mut text = Vec::new();
    source.take(length).read_to_end(&mut text)?;
    if text.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(text)
}

fn limit(order: &Order) -> io::Result<()> {
    // Nobody waits for an answer if whoever asked is gone.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    // If the host runs out of memory, this process is the one to end. Only a courtesy.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // At the soft limit of processor time comes a signal that tells why, at the hard one not.
    let most = |limit: u64| Rlimit { current: Some(limit), maximum: Some(limit + 1) };
    for (resource, limit) in [
        (Resource::As, order.memory),
        (Resource::Cpu, order.seconds),
        (Resource::Core, 0),
        // A pipe is no file.
        (Resource::Fsize, 0),
    ] {
        rustix::process::setrlimit(resource, most(limit))?;
    }
    let files = rustix::process::getrlimit(Resource::Nofile);
    let raised = Rlimit { current: files.maximum, ..files };
    // Only a saving: folders that are kept open.
    let _ = rustix::process::setrlimit(Resource::Nofile, raised);
    Ok(())
}
