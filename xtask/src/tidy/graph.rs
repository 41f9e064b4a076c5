//! The crate graph: who may depend on whom, and who may not even name whom.

use anyhow::Context;

use super::{Problem, Source};

/// Every package of the workspace, and the packages of ours that it may depend on,
/// for tests too. A new crate or edge is an architecture decision: it is made here.
const EDGES: &[(&str, &[&str])] = &[
    ("capsule-spec", &[]),
    ("capsule-backend", &["capsule-spec"]),
    ("capsule-init", &[]),
    ("capsule-jail", &["capsule-spec", "capsule-backend", "capsule-init"]),
    // A container's PID 1, and who speaks to it, are a jail's.
    ("capsule-docker", &["capsule-spec", "capsule-backend", "capsule-jail"]),
    ("capsule-wasm", &["capsule-spec", "capsule-backend"]),
    ("capsule-engine", &["capsule-spec", "capsule-backend"]),
    // The process that bundles locks itself down.
    ("capsule-bundle", &["capsule-spec", "capsule-jail"]),
    ("capsule-server", &["capsule-spec", "capsule-backend"]),
    (
        "capsule",
        &[
            "capsule-spec",
            "capsule-backend",
            "capsule-jail",
            "capsule-wasm",
            "capsule-engine",
            "capsule-bundle",
            "capsule-docker",
            "capsule-server",
        ],
    ),
    ("capsule-tests", &["capsule-spec", "capsule-backend", "capsule-jail", "capsule-docker"]),
    ("guest-link", &[]),
    ("xtask", &["capsule-spec", "capsule-jail", "capsule-server"]),
];

/// Packages that must not name others: a folder, the names that are foreign there,
/// the files that may name them all the same, and why.
const BLIND: &[Blind] = &[
    Blind { folder: "crates/spec/", names: IO, except: &[], why: "spec does no I/O" },
    Blind { folder: "crates/engine/", names: BACKENDS, except: &[], why: BACKENDS_WHY },
    Blind { folder: "crates/server/", names: BACKENDS, except: &[], why: BACKENDS_WHY },
    Blind {
        folder: "crates/capsule/",
        names: &["capsule_jail::Jail", "capsule_jail::{Jail", "capsule_wasm::Runtime"],
        except: &["crates/capsule/src/wire.rs"],
        why: "wire.rs alone names concrete backends",
    },
];

const BACKENDS: &[&str] = &["capsule_jail", "capsule_wasm", "capsule_docker"];
const BACKENDS_WHY: &str = "the engine and the server know traits only";
/// Addresses of `std::net` are values; its sockets are not.
const IO: &[&str] =
    &["std::env", "std::fs", "std::process", "std::thread", "TcpStream", "UdpSocket", "tokio"];

/// The most crates that there may be.
const MOST_CRATES: usize = 10;

struct Blind {
    folder: &'static str,
    names: &'static [&'static str],
    except: &'static [&'static str],
    why: &'static str,
}

pub(super) fn check(sources: &[Source]) -> anyhow::Result<Vec<Problem>> {
    let manifests: Vec<_> = sources
        .iter()
        .filter(|source| source.name() == "Cargo.toml" && source.path != "Cargo.toml")
        .collect();
    let mut problems = Vec::new();
    for manifest in &manifests {
        problems.extend(check_edges(manifest)?);
    }
    let crates = manifests.iter().filter(|source| source.path.starts_with("crates/")).count();
    if crates > MOST_CRATES {
        let what = format!("{crates} crates under crates/, {MOST_CRATES} is the cap");
        problems.push(Problem::new("Cargo.toml", 1, what, "merge two, or make one a module"));
    }
    problems.extend(sources.iter().flat_map(check_names));
    Ok(problems)
}

fn check_edges(manifest: &Source) -> anyhow::Result<Vec<Problem>> {
    let path = manifest.path.as_str();
    let table: toml::Table = manifest.text.parse().with_context(|| path.to_owned())?;
    let name = table
        .get("package")
        .and_then(|package| package.get("name"))
        .and_then(toml::Value::as_str)
        .with_context(|| format!("{path} has no package.name"))?;
    let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
        let what = format!("the package {name} is not in the crate graph");
        return Ok(vec![Problem::new(path, 1, what, "add it to EDGES in xtask/src/tidy/graph.rs")]);
    };
    let dependencies = ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|kind| table.get(kind)?.as_table())
        .flat_map(toml::Table::keys);
    let ours = |name: &str| EDGES.iter().any(|(known, _)| *known == name);
    let foreign = dependencies.filter(|to| ours(to) && !allowed.contains(&to.as_str()));
    let problem = |to: &String| {
        let line = manifest.lines().find(|(_, line)| line.starts_with(to.as_str()));
        let what = format!("{name} may not depend on {to}");
        let hint = "the allowed edges are in xtask/src/tidy/graph.rs";
        Problem::new(path, line.map_or(1, |(number, _)| number), what, hint)
    };
    Ok(foreign.map(problem).collect())
}

fn check_names(source: &Source) -> Vec<Problem> {
    let is_rust = source.extension() == "rs";
    let blind = BLIND.iter().filter(|blind| {
        is_rust && source.path.starts_with(blind.folder) && !blind.except.contains(&&*source.path)
    });
    let mut problems = Vec::new();
    for blind in blind {
        for (number, line) in source.lines() {
            let code = line.split("//").next().unwrap_or_default();
            if let Some(name) = blind.names.iter().find(|name| code.contains(**name)) {
                let what = format!("names {name}");
                problems.push(Problem::new(&source.path, number, what, blind.why));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::files::sample;
    use super::*;

    fn found(path: &str, text: &str) -> Vec<(usize, String)> {
        let problems = check(&[sample(path, text)]).unwrap();
        problems.into_iter().map(|problem| (problem.line, problem.what)).collect()
    }

    #[test]
    fn an_edge_that_is_not_allowed_is_found() {
        let text = "[package]\nname = \"capsule-spec\"\n[dependencies]\nserde = \"1\"\ncapsule-jail.workspace = true\n";
        let expected = (5, "capsule-spec may not depend on capsule-jail".to_owned());
        assert_eq!(found("crates/spec/Cargo.toml", text), [expected]);
        let text = "[package]\nname = \"capsule-backend\"\n[dev-dependencies]\ncapsule-spec.workspace = true\n";
        assert!(found("crates/backend/Cargo.toml", text).is_empty());
    }

    #[test]
    fn an_unknown_package_is_found() {
        let expected = (1, "the package capsule-new is not in the crate graph".to_owned());
        assert_eq!(
            found("crates/new/Cargo.toml", "[package]\nname = \"capsule-new\"\n"),
            [expected]
        );
    }

    #[test]
    fn an_eleventh_crate_is_found() {
        let manifest = "[package]\nname = \"capsule-spec\"\n";
        let crates: Vec<_> =
            (0..11).map(|n| sample(&format!("crates/c{n}/Cargo.toml"), manifest)).collect();
        assert!(check(&crates[..10]).unwrap().is_empty());
        assert_eq!(check(&crates).unwrap().len(), 1);
    }

    #[test]
    fn a_name_that_a_crate_must_not_know_is_found() {
        let text = "//! capsule_jail\nuse capsule_jail::Jail;\n";
        for (path, lines) in [
            ("crates/engine/src/lib.rs", 1),
            ("crates/server/src/a/b.rs", 1),
            ("crates/capsule/src/main.rs", 1),
            ("crates/capsule/src/wire.rs", 0),
            ("crates/jail/src/jail.rs", 0),
        ] {
            assert_eq!(found(path, text).len(), lines, "{path}");
        }
        assert_eq!(found("crates/spec/src/a.rs", "use std::fs;\n").len(), 1);
    }
}
