//! The verbs of `capsule` beside `exec`.

use capsule_tests::{Binary, Caller, Run};

const CALLERS: [Caller; 2] = [Caller::Current, Caller::Unprivileged];

fn capsule(arguments: &[&str]) -> Run {
    Run::new(arguments).binary(Binary::Capsule)
}

#[test]
fn doctor_tells_every_wall_and_tries_a_run() {
    for caller in CALLERS {
        let report = capsule(&["doctor", "--json"]).caller(caller).finish().ended_with(0).json();
        let jail = &report["backends"][0];
        assert_eq!(jail["backend"], "jail");
        assert_eq!(jail["usable"], true);
        let walls = jail["walls"].as_array().expect("walls are a list");
        assert_eq!(walls.len(), 16);
        for wall in walls {
            // What is not full says why, and how to get the rest.
            let is_full = wall["state"] == "full";
            assert!(is_full || (wall["why"].is_string() && wall["remedy"].is_string()), "{wall}");
        }
        // The file that tells is open on this machine, to everybody for their own memory.
        assert_eq!(report["wasm"]["recycling"], "written-pages");
    }
}

#[test]
fn the_benchmark_measures_this_host() {
    let run = capsule(&["bench", "jail", "--rounds", "5", "--json"]).finish().ended_with(0);
    let report = run.json();
    let rows = report["rows"].as_array().expect("rows are a list");
    for name in ["bare spawn", "capsule-run", "capsule-run --network"] {
        let row = rows.iter().find(|row| row["name"] == name).expect(name);
        let figure = |key: &str| row[key].as_u64().expect(key);
        assert!(figure("min_us") > 0 && figure("min_us") <= figure("p50_us"), "{row}");
        assert!(figure("p50_us") <= figure("p99_us"), "{row}");
    }
    assert!(report["memory_on_top_kib"].as_u64().is_some_and(|kib| kib > 0));
}

#[test]
fn a_benchmark_refuses_what_it_would_ignore() {
    let run = capsule(&["bench", "jail", "--peer", "venv"]).finish().ended_with(1);
    assert!(run.errors().contains("--peer belongs to capsule bench wasm"), "{run}");
    for flags in [&["bench", "jail", "--scale"][..], &["bench", "wasm", "--no-docker"]] {
        let run = capsule(flags).finish().ended_with(1);
        assert!(run.errors().contains("belong to capsule bench serve"), "{run}");
    }
}

#[test]
fn the_benchmark_of_a_server_measures_it_and_leaves_nothing() {
    let flags = ["bench", "serve", "--rounds", "5", "--json", "--docker", "/nowhere/docker.sock"];
    let report = capsule(&flags).finish().ended_with(0).json();
    let rows = report["rows"].as_array().expect("rows are a list");
    for name in ["exec /bin/true", "create, exec, delete", "write and read 1 MB"] {
        let row = rows.iter().find(|row| row["name"] == name).expect(name);
        let figure = |key: &str| row[key].as_u64().expect(key);
        assert!(figure("min_us") > 0 && figure("min_us") <= figure("p50_us"), "{row}");
        assert_eq!((figure("runs"), &row["ratio"]), (5, &serde_json::Value::Null), "{row}");
    }
    // Docker that is not there is told of.
    assert_eq!(report["missing"][0][0], "docker", "{report}");
}

#[test]
fn the_benchmark_of_tasks_compares_with_native_programs() {
    let run = capsule(&["bench", "wasm", "--rounds", "5", "--json"]).finish().ended_with(0);
    let report = run.json();
    let names = |part: &serde_json::Value| -> Vec<String> {
        let rows = part.as_array().expect("rows are a list");
        rows.iter().map(|row| row["name"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let starts = names(&report["starts"]);
    assert!(starts.contains(&"capsule run".to_owned()), "{report}");
    assert!(starts.contains(&"python3 -c pass".to_owned()), "{report}");
    assert!(names(&report["typescript"]["starts"]).contains(&"capsule run".to_owned()), "{report}");
    assert_eq!(report["calls"].as_array().map(Vec::len), Some(2), "{report}");
    for row in report["fresh"].as_array().expect("rows are a list") {
        assert!(row["tasks_per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{row}");
    }
    for row in report["processor"].as_array().expect("rows are a list") {
        assert!(row["ratio"].as_f64().is_some_and(|ratio| ratio > 0.0), "{row}");
    }
}

#[test]
fn completions_and_man_pages_know_the_options() {
    for shell in ["bash", "zsh", "fish"] {
        let script = capsule(&["completions", shell, "--capsule-run"]).finish().ended_with(0);
        assert!(script.text().contains("allow-host"), "{shell}");
    }
    let folder = capsule_tests::Scratch::new();
    capsule(&["man", "--directory", &folder.at("man")]).finish().ended_with(0);
    for (page, known) in [
        ("capsule.1", "capsule\\-attack"),
        ("capsule-run.1", "allow\\-host"),
        ("capsule-exec.1", "allow\\-host"),
        ("capsule-doctor.1", "json"),
    ] {
        assert!(folder.read(&format!("man/{page}")).contains(known), "{page}");
    }
}

#[test]
fn a_mistyped_verb_is_refused() {
    let run = capsule(&["docter"]).finish().ended_with(2);
    assert!(run.errors().contains("doctor"), "{}", run.errors());
}

/// A full disk, or a reader that is gone, is no panic.
#[test]
fn an_answer_that_cannot_be_given_is_an_error() {
    for verb in [&["doctor"][..], &["doctor", "--json"], &["completions", "bash"], &["man"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("/dev/full");
        let run = capsule(verb).stdout(full).finish().ended_with(1);
        assert!(run.errors().starts_with("error: ") && !run.errors().contains("panicked"), "{run}");
    }
}
