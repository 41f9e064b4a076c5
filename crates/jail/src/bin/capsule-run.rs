//! `capsule-run`: a command, once, in a jail.

use std::process::ExitCode;

use capsule_jail::cli;

/// musl's allocator maps and unmaps a group of pages for every size it meets,
/// some forty system calls before the first line of a plan. This one takes one
/// piece of memory and keeps it, which is what a short run wants.
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    cli::run(cli::parse_or_exit("capsule-run", std::env::args_os()))
}
