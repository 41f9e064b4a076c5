//! What containers alone can show: images, runtimes, engines that are not there, and other
//! people's containers.

use std::process::{Command, Output};

use capsule_tests::{Binary, path_of};
use serde_json::{Value, json};

use crate::server::{Serve, engine};
use crate::suite::is_gvisor;

pub(crate) fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn serve_fails(arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(path_of(Binary::Capsule));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(folder.path().join("data"));
    let output: Output = command.args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// The container of a sandbox.
pub(crate) fn container_of(id: &str) -> String {
    docker(&["ps", "-aq", "--filter", &format!("label=dev.capsule.sandbox={id}")])
}

#[test]
fn e2009_engine_that_is_not_there() {
    let said = serve_fails(&["--backend", "docker", "--docker-socket", "/nowhere/docker.sock"]);
    assert!(said.contains("error[E2009]") && said.contains("hint: install Docker"), "{said}");
    let socket = engine().socket;
    let arguments = ["--backend", "docker", "--docker-socket", &socket, "--runtime", "no-such"];
    let said = serve_fails(&arguments);
    assert!(said.contains("error[E2009]") && said.contains("it has: "), "{said}");
}

#[test]
fn e2010_image_that_is_not_there() {
    let serve = Serve::start(&["--image", "go=no-such-image.invalid/x:1"]);
    let refused = serve.call("sandbox.v1.create", json!({ "template": "go" })).unwrap_err();
    assert_eq!(refused.error_code, "E2010", "{refused:?}");
    for name in ["../../info", "a b", "-x\u{1b}"] {
        let serve = Serve::start(&["--image", &format!("go={name}")]);
        let refused = serve.call("sandbox.v1.create", json!({ "template": "go" })).unwrap_err();
        assert_eq!(refused.error_code, "E2010", "{refused:?}");
    }
}

#[test]
fn an_image_with_a_volume_is_refused() {
    let image = engine().image;
    let made = docker(&["create", "--network", "none", &image, "/bin/true"]);
    docker(&["commit", "-c", "VOLUME /data", &made, "capsule-test:volume"]);
    docker(&["rm", &made]);
    let serve = Serve::start(&["--image", "go=capsule-test:volume"]);
    let refused = serve.call("sandbox.v1.create", json!({ "template": "go" })).unwrap_err();
    assert_eq!(refused.error_code, "E2010", "{refused:?}");
    docker(&["rmi", "capsule-test:volume"]);
    assert_eq!(docker(&["volume", "ls", "-q"]), "");
}

#[test]
fn an_option_for_containers_is_refused_for_jails() {
    let said = serve_fails(&["--backend", "jail", "--image", "python=x"]);
    assert!(said.contains("error[E1006]"), "{said}");
    let said = serve_fails(&["--backend", "docker", "--image", "pyton=x"]);
    assert!(said.contains("error[E1014]"), "{said}");
}

/// What the engine was told, as it tells it.
#[test]
fn the_engine_knows_every_restriction() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    let told: Value = serde_json::from_str(&docker(&["inspect", &container_of(&id)])).unwrap();
    let (config, host) = (&told[0]["Config"], &told[0]["HostConfig"]);
    // gVisor's own kernel has a relay as root, and is given room for itself.
    let (user, capabilities, processes, memory) = match is_gvisor() {
        false => ("1000:1000", json!(null), 132, 256 << 20),
        true => ("0:0", json!(["SETGID", "SETUID"]), 132 * 4 + 4096, (256 + 128) << 20),
    };
    assert_eq!(config["User"], json!(user));
    assert_eq!(config["StopSignal"], json!("SIGKILL"));
    for (field, value) in [
        ("ReadonlyRootfs", json!(true)),
        ("Privileged", json!(false)),
        ("CapAdd", capabilities),
        ("CapDrop", json!(["ALL"])),
        ("SecurityOpt", json!(["no-new-privileges:true"])),
        ("NetworkMode", json!("none")),
        ("IpcMode", json!("private")),
        ("PidMode", json!("")),
        ("PidsLimit", json!(processes)),
        ("Memory", json!(memory)),
        ("Binds", json!(null)),
        ("AutoRemove", json!(true)),
    ] {
        assert_eq!(host[field], value, "{field}");
    }
    let mounts = told[0]["Mounts"].as_array().unwrap();
    let binds = mounts.iter().filter(|mount| mount["Type"] == json!("bind"));
    let entrances = if is_gvisor() { 0 } else { 1 };
    assert!(
        binds.clone().count() == 1 + entrances
            && binds.clone().all(|mount| mount["RW"] == json!(false))
    );
    // What the first process was let in by leads nowhere any more.
    let code = "import socket\ns=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
                try: s.connect('/.capsule/entrance')\nexcept OSError as error: print(error.errno)";
    let done = serve.exec(&id, &["python3", "-c", code]);
    let refused = if is_gvisor() { libc::ENOENT } else { libc::ECONNREFUSED };
    assert_eq!(done["stdout"], json!(format!("{refused}\n")), "{done}");
    serve.delete(&id);
    assert_eq!(container_of(&id), "");
}

#[test]
fn containers_of_others_are_let_be() {
    let image = engine().image;
    let foreign = docker(&["run", "-d", "--network", "none", &image, "sleep", "1000"]);
    let one = Serve::start(&[]);
    let id = one.create();
    {
        // Another server on the same engine sweeps when it starts and ends its own when it stops.
        let other = Serve::start(&[]);
        other.create();
    }
    assert_eq!(one.shell(&id, "echo here"), "here\n");
    assert_eq!(docker(&["inspect", "-f", "{{.State.Running}}", &foreign]), "true");
    docker(&["rm", "-f", &foreign]);
}

/// Somebody else ends it: the server notices, and its name is free.
#[test]
fn a_container_that_is_killed_is_noticed() {
    let serve = Serve::start(&[]);
    let id = serve.create();
    docker(&["kill", &container_of(&id)]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while serve.call("sandbox.v1.get", json!({ "id": id })).is_ok() {
        assert!(std::time::Instant::now() < deadline, "it is still there");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(container_of(&id), "");
    serve.create();
}

/// An image's own first process, user and health check never run.
#[test]
fn what_an_image_wants_to_run_does_not_run() {
    let made = docker(&["create", "--network", "none", &engine().image, "/bin/true"]);
    let changes = [
        "ENTRYPOINT [\"/bin/sh\",\"-c\",\"touch /tmp/ran; sleep 1000\"]",
        "USER 0",
        "HEALTHCHECK --interval=1s CMD touch /tmp/checked",
        "ENV GREETING=hello",
    ];
    let changes: Vec<&str> = changes.iter().flat_map(|change| ["-c", change]).collect();
    docker(&[&["commit"], &changes[..], &[&made, "capsule-test:wants"]].concat());
    docker(&["rm", &made]);
    let serve = Serve::start(&["--image", "go=capsule-test:wants"]);
    let id = serve.create_with(json!({ "template": "go" }));
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let said = serve.shell(&id, "find /tmp -mindepth 1; id -u; echo $GREETING");
    assert_eq!(said, "1000\nhello\n");
    serve.delete(&id);
    docker(&["rmi", "capsule-test:wants"]);
}

#[test]
fn doctor_runs_a_container() {
    let output =
        Command::new(path_of(Binary::Capsule)).args(["doctor", "--json"]).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let backends = report["backends"].as_array().unwrap();
    let of = |runtime: &str| {
        backends.iter().find(|one| one["facts"]["runtime"] == json!(runtime)).cloned()
    };
    let runc = of("runc").expect("the engine has runc");
    assert_eq!(runc["usable"], json!(true), "{runc}");
    if let Some(runsc) = of("runsc") {
        assert_eq!(runsc["usable"], json!(true), "{runsc}");
    }
    let trials = docker(&["ps", "-aq", "--filter", "name=capsule-trial"]);
    assert_eq!(trials, "");
    assert_eq!(docker(&["images", "-q", "--filter", "reference=capsule-trial*"]), "");
}

/// The image of a Dockerfile: as it is for containers, unpacked for jails.
#[test]
fn a_dockerfile_is_a_template_of_both_kinds() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let write = |name: &str, text: &str| std::fs::write(path(name), text).unwrap();
    write("mark", "built\n");
    write("left.log", "x");
    write(".dockerignore", "*.log\ndata\n");
    write("capsule.toml", "[templates.own]\ndockerfile = \"Dockerfile\"\n");
    let dockerfile = format!("FROM {}\nCOPY . /built\nENV GREETING=hello\n", engine().image);
    write("Dockerfile", &dockerfile);
    let config = path("capsule.toml");
    let images = || docker(&["images", "-q", "capsule-template"]);
    {
        let serve = Serve::start(&["--config", config.to_str().unwrap()]);
        let id = serve.create_with(json!({ "template": "own" }));
        let code = "cat /built/mark; [ -e /built/left.log ] || echo left out; echo $GREETING";
        assert_eq!(serve.shell(&id, code), "built\nleft out\nhello\n");
    }
    let image = images();
    assert_eq!(image.lines().count(), 1, "{image}");
    drop(Serve::start(&["--config", config.to_str().unwrap()]));
    assert_eq!(images(), image, "nothing was built anew");
    docker(&["rmi", &image]);
    let build = || {
        let mut command = Command::new(path_of(Binary::Capsule));
        command.args(["template", "build", "--backend", "jail", "--docker-socket"]);
        command.arg(engine().socket).arg("--config").arg(&config);
        command.arg("--data").arg(path("data")).output().unwrap()
    };
    let built = build();
    assert_eq!(built.stdout, b"own\n", "{}", String::from_utf8_lossy(&built.stderr));
    let mut roots = std::fs::read_dir(path("data/templates/roots")).unwrap();
    let root = roots.next().unwrap().unwrap().path().join("root");
    assert_eq!(std::fs::read_to_string(root.join("built/mark")).unwrap(), "built\n");
    assert!(root.join("bin/sh").exists() && !root.join("built/left.log").exists());
    assert_eq!(images(), "", "the engine keeps nothing for jails");
    assert!(build().stderr.is_empty(), "it is there already");
    // What cannot be built says why, and leaves no image.
    write("Dockerfile", "FROM scratch\nCOPY nothing /\n");
    let said = String::from_utf8(build().stderr).unwrap();
    assert!(said.contains("error[E2010]: template \"own\": the engine could not build"), "{said}");
    assert_eq!(images(), "");
    // An archive is no image for a container.
    write("capsule.toml", "[templates.own]\nroot = \"mark\"\n");
    let config = path("capsule.toml");
    let said = serve_fails(&[
        "--backend",
        "docker",
        "--docker-socket",
        &engine().socket,
        "--config",
        config.to_str().unwrap(),
    ]);
    assert!(said.contains("error[E1006]"), "{said}");
}
