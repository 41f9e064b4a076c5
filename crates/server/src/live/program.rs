//! From what was asked for to a program of the backend.

use std::collections::BTreeMap;

use capsule_backend::sandbox::{Program, TerminalSize};
use capsule_spec::{ErrorCode, Failure};

use super::Live;
use super::sandbox::lock;
use crate::request::{DEFAULT_DIRECTORY, Language, Size, absolute};

/// A program in a sandbox, with what the sandbox, the context and the request say, in this
/// order.
///
/// # Errors
/// When there is no such context.
pub(crate) fn program(
    live: &Live,
    command: Vec<String>,
    directory: Option<&str>,
    environment: &BTreeMap<String, String>,
    context: Option<&str>,
    terminal: Option<Size>,
) -> Result<Program, Failure> {
    let mut variables = lock(&live.environment).clone();
    let mut start = DEFAULT_DIRECTORY.to_owned();
    if let Some(name) = context {
        let contexts = lock(&live.contexts);
        let context = contexts.get(name).ok_or_else(|| {
            let message = format!("the sandbox has no context {name:?}");
            Failure::new(ErrorCode::ProcessNotFound, message)
                .hint("open it first: sandbox.v1.openContext")
        })?;
        variables.extend(context.environment.clone());
        start.clone_from(&context.directory);
    }
    variables.extend(environment.clone());
    let working_directory = match directory {
        Some(path) if path.starts_with('/') || context.is_none() => absolute(path),
        Some(path) => format!("{start}/{path}"),
        None => start,
    };
    let terminal = terminal.map(|size| TerminalSize { columns: size.columns, rows: size.rows });
    if terminal.is_some() {
        variables.entry("TERM".to_owned()).or_insert_with(|| "xterm-256color".to_owned());
    }
    Ok(Program { command, working_directory, environment: variables, terminal })
}

/// The command that runs source text.
pub(crate) fn code_command(language: Language, code: String) -> Vec<String> {
    /// The text is an argument of the shell, never a part of what it reads.
    const GO: &str = "folder=$(mktemp -d) || exit; printf '%s' \"$1\" >\"$folder/main.go\"; \
                      go run \"$folder/main.go\"; code=$?; rm -rf \"$folder\"; exit $code";
    let words: Vec<&str> = match language {
        Language::Python => vec!["python3", "-c"],
        Language::JavaScript => vec!["node", "-e"],
        Language::Shell => vec!["/bin/sh", "-c"],
        Language::Go => vec!["/bin/sh", "-c", GO, "go"],
    };
    words.into_iter().map(str::to_owned).chain([code]).collect()
}

/// Login shells, the best one first.
pub(crate) fn login_shells() -> [Vec<String>; 2] {
    ["/bin/bash", "/bin/sh"].map(|shell| vec![shell.to_owned(), "-l".to_owned()])
}
