//! Templates of a configuration file: what they say holds, and what cannot be meant is refused.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use capsule_tests::{Binary, path_of};
use serde_json::{Value, json};

use crate::server::Serve;

pub(crate) fn template(serve: &Serve, name: &str) -> Value {
    let all = serve.call("sandbox.v1.templates", json!({})).unwrap();
    let found = all["templates"].as_array().unwrap().iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("there is no {name}")).clone()
}

/// The host's own directories, so that its programs run.
pub(crate) fn host_root(root: &Path) {
    fs::create_dir_all(root.join("etc")).unwrap();
    fs::write(root.join("mark"), "of the root\n").unwrap();
    fs::write(root.join("etc/shadow"), "secret\n").unwrap();
    // A shell and its libraries, as files of this root.
    let mut wanted = vec!["/bin/sh".to_owned(), "/usr/bin/cat".to_owned()];
    for at in 0..wanted.len() {
        let told = Command::new("ldd").arg(&wanted[at]).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        let paths = told.split_whitespace().filter(|word| word.starts_with('/'));
        wanted.extend(paths.map(str::to_owned));
    }
    for file in &wanted {
        let to = root.join(file.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
}

#[test]
fn a_file_in_the_data_folder_makes_templates() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::set_permissions(&data, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    host_root(&folder.path().join("root"));
    let text = r#"
        [templates.python]
        pool = 0
        [templates.small]
        base = "shell"
        description = "little room"
        env = { GREETING = "hello" }
        seccomp = "default"
        limits = { memory_bytes = "64MiB", disk_bytes = "2MiB", max_pids = 20 }
        pool = 1
        [templates.other]
        root = "../root"
        language = "shell"
    "#;
    fs::write(data.join("capsule.toml"), text).unwrap();
    let serve = Serve::again(&data, &[]);
    let small = template(&serve, "small");
    assert_eq!(small["description"], json!("little room"));
    assert_eq!((&small["language"], &small["root"]), (&json!("shell"), &json!("host")));
    let limits = json!({
        "memory_bytes": 64 << 20, "disk_bytes": 2 << 20, "max_pids": 20, "cpu_shares": 1024,
    });
    assert_eq!((&small["limits"], &small["pool"]["size"]), (&limits, &json!(1)));
    let id = serve.create_with(json!({ "template": "small" }));
    let said =
        serve.shell(&id, "echo $GREETING; head -c 3000000 /dev/zero 2>/dev/null >big || echo full");
    assert_eq!(said, "hello\nfull\n");
    // Other files than the host's, below a folder that nobody else may enter.
    assert_eq!(template(&serve, "other")["root"], json!("directory"));
    let id = serve.create_with(json!({ "template": "other" }));
    assert_eq!(serve.shell(&id, "cat /mark; echo a >file; cat file"), "of the root\na\n");
    let said = serve.shell(
        &id,
        "cat /etc/shadow /etc/hostname /usr/bin/env 2>&1 | cat -s >/dev/null; \
                                 [ -e /etc/shadow ] || [ -e /usr/bin/env ] || echo neither; \
                                 echo x 2>/dev/null >/mark || echo denied",
    );
    assert_eq!(said, "neither\ndenied\n");
    assert_eq!(fs::read_to_string(folder.path().join("root/mark")).unwrap(), "of the root\n");
    let text = serve.call("sandbox.v1.templates", json!({})).unwrap().to_string();
    assert!(!text.contains(folder.path().to_str().unwrap()), "{text}");
}

#[test]
fn a_file_that_cannot_be_meant_stops_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    let data = folder.path().join("data");
    let serve = || {
        let mut command = Command::new(path_of(Binary::Capsule));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(&data);
        command.arg("--config").arg(&file).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = format!("error[E1007]: there is no configuration file {}\n", file.display());
    assert_eq!(serve(), missing);
    for (text, expected) in [
        (
            "[templates.a]\nbase = \"go\"\nlimits = { memory = 1 }\n",
            "error[E1002]: FILE:3: there is no key \"memory\" here\nhint: did you mean \"memory_bytes\"?\n",
        ),
        (
            "\n[templates.a]\nroot = \"/\"\n",
            "error[E1005]: FILE:2: template \"a\": the root / is the host's own\n\
             hint: for the host's system directories: base\n",
        ),
    ] {
        fs::write(&file, text).unwrap();
        assert_eq!(serve(), expected.replace("FILE", file.to_str().unwrap()));
    }
    assert!(!data.exists(), "nothing was begun");
}
