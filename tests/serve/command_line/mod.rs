//! `capsule sandbox` and its like against a server, as a user types them.

mod cp;
mod exec;
mod requests;
mod shell;
mod verbs;

use capsule_tests::{Binary, Run};

use crate::server::Serve;

/// A command line against a server.
pub(crate) fn capsule(serve: &Serve, arguments: &[&str]) -> Run {
    let run = Run::new(arguments).binary(Binary::Capsule);
    run.variable("CAPSULE_SERVER", &format!("http://{}", serve.site.address))
}

/// A new sandbox, as the command line makes it.
#[track_caller]
pub(crate) fn created(serve: &Serve) -> String {
    let made = capsule(serve, &["sandbox", "create", "-t", "shell"]).finish().ended_with(0);
    made.text().trim().to_owned()
}
