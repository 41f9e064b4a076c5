//! Files that are made from the Rust types, so that nobody writes them twice.

mod seccomp;

use std::fs;
use std::path::Path;

use anyhow::Context;
use serde_json::{Value, json};

use capsule_spec::{CommandResponse, ErrorCode, TaskSpec, Wall};

use crate::tidy::Problem;

/// Every generated file: its path in the repository, and what it must hold.
pub(crate) fn all() -> Vec<(&'static str, String)> {
    let request = schemars::schema_for!(TaskSpec).to_value();
    let response = schemars::schema_for!(CommandResponse).to_value();
    let mut files = vec![
        ("schema/command-request.schema.json", text(&request)),
        ("schema/command-response.schema.json", text(&response)),
        ("schema/errors.json", text(&errors())),
        ("schema/walls.json", text(&walls())),
        ("schema/openrpc.json", text(&capsule_server::rpc::document())),
    ];
    // The tables of another machine have another list of old calls.
    if cfg!(target_arch = "x86_64") {
        files.push(("docs/seccomp-calls.md", seccomp::page()));
    }
    files
}

fn errors() -> Value {
    let of = |code: &ErrorCode| {
        json!({
            "code": code.code(),
            "name": format!("{code:?}"),
            "blame": code.blame(),
            "retryable": code.retryable(),
            "summary": code.summary(),
        })
    };
    ErrorCode::ALL.iter().map(of).collect()
}

fn walls() -> Value {
    Wall::ALL.iter().map(|wall| json!({ "name": wall.name(), "summary": wall.summary() })).collect()
}

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

/// Writes what is stale.
pub(crate) fn write(root: &Path) -> anyhow::Result<()> {
    for (path, contents) in all() {
        let file = root.join(path);
        if fs::read_to_string(&file).is_ok_and(|old| old == contents) {
            continue;
        }
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make a folder for {path}"))?;
        }
        fs::write(&file, contents).with_context(|| format!("cannot write {path}"))?;
        println!("wrote {path}");
    }
    Ok(())
}

/// Finds what is stale or missing, and what nothing generates any more.
pub(crate) fn stale(root: &Path) -> anyhow::Result<Vec<Problem>> {
    let files = all();
    let mut problems = Vec::new();
    for (path, contents) in &files {
        match fs::read_to_string(root.join(path)) {
            Ok(old) if old == *contents => {}
            old => {
                let what = if old.is_ok() { "stale" } else { "missing" };
                let line = old.map_or(1, |old| first_difference(&old, contents));
                problems.push(Problem::new(*path, line, what, "cargo xtask schema"));
            }
        }
    }
    let folder = root.join("schema");
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let path = format!("schema/{}", entry?.file_name().to_string_lossy());
        if !files.iter().any(|(known, _)| *known == path) {
            problems.push(Problem::new(path, 1, "nothing generates this file", "delete it"));
        }
    }
    Ok(problems)
}

fn first_difference(old: &str, new: &str) -> usize {
    1 + old.lines().zip(new.lines()).take_while(|(old, new)| old == new).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_a_missing_and_a_forgotten_file_are_found() {
        let root = tempfile::tempdir().unwrap();
        write(root.path()).unwrap();
        assert!(stale(root.path()).unwrap().is_empty());

        let errors = root.path().join("schema/errors.json");
        let changed = fs::read_to_string(&errors).unwrap().replacen("E1001", "E9001", 1);
        fs::write(&errors, changed).unwrap();
        fs::remove_file(root.path().join("schema/walls.json")).unwrap();
        fs::write(root.path().join("schema/old.json"), "{}").unwrap();
        let found: Vec<_> = stale(root.path()).unwrap();
        let whats: Vec<_> = found.iter().map(|p| (p.path.as_str(), p.what.as_str())).collect();
        assert_eq!(
            whats,
            [
                ("schema/errors.json", "stale"),
                ("schema/walls.json", "missing"),
                ("schema/old.json", "nothing generates this file"),
            ]
        );
        assert!(found[0].line > 1);
    }

    #[test]
    fn the_request_schema_refuses_unknown_fields() {
        let request = schemars::schema_for!(TaskSpec).to_value();
        assert_eq!(request["additionalProperties"], false);
        assert!(request["properties"]["timeout_ms"].is_object());
    }
}
