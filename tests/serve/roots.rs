//! Templates from archives, image layouts and packages: made once, and what is in them is only
//! ever run inside.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use capsule_tests::{Binary, path_of};
use serde_json::{Value, json};

use crate::server::Serve;
use crate::templates::{host_root, template};

/// A folder with a configuration file, and the data folder of a server.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("capsule.toml"), text).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn template(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(path_of(Binary::Capsule));
        command.arg("template").args(arguments);
        command.arg("--config").arg(self.path("capsule.toml"));
        command.arg("--data").arg(self.path("data")).stdin(Stdio::null()).output().unwrap()
    }

    fn build(&self, arguments: &[&str]) -> String {
        let built = self.template(&[&["build", "--backend", "jail"], arguments].concat());
        let said = String::from_utf8(built.stderr).unwrap();
        assert_eq!(built.status.code(), Some(0), "{said}");
        said
    }

    fn list(&self) -> String {
        String::from_utf8(self.template(&["ls"]).stdout).unwrap()
    }

    fn serve(&self) -> Serve {
        let config = self.path("capsule.toml");
        Serve::again(&self.path("data"), &["--config", config.to_str().unwrap()])
    }
}

fn tar(folder: &Path, into: &Path, options: &[&str]) {
    let mut command = Command::new("tar");
    command.arg("-C").arg(folder).arg("-cf").arg(into).args(options).arg(".");
    assert!(command.status().unwrap().success());
}

#[test]
fn a_compressed_archive_is_a_root() {
    let place = Place::new("[templates.own]\nroot = \"root.tar.gz\"\n");
    host_root(&place.path("root"));
    tar(&place.path("root"), &place.path("root.tar.gz"), &["-z"]);
    assert!(place.list().contains("to be built"), "{}", place.list());
    let said = place.build(&[]);
    assert!(said.contains("unpacking ") && said.contains("root.tar.gz"), "{said}");
    assert_eq!(place.build(&["own"]), "", "it is there already");
    assert!(place.list().contains("ready") && place.list().contains("archive "));
    let refused = place.template(&["build", "onw"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("error[E1014]") && said.contains("own, python"), "{said}");
    let serve = place.serve();
    assert_eq!(template(&serve, "own")["root"], json!("archive"));
    let id = serve.create_with(json!({ "template": "own" }));
    let said = serve.shell(
        &id,
        "cat /mark; echo x 2>/dev/null >/mark || echo denied; echo a >file; cat file; \
         [ -e /etc/shadow ] || echo hidden",
    );
    assert_eq!(said, "of the root\ndenied\na\nhidden\n");
    // What a server uses is not removed under it.
    fs::write(place.path("capsule.toml"), "").unwrap();
    let refused = place.template(&["prune"]);
    assert!(String::from_utf8(refused.stderr).unwrap().contains("error[E3016]"));
    serve.delete(&id);
    drop(serve);
    assert_eq!(place.template(&["prune"]).stdout, b"removed: 1\n");
}

/// A blob of a layout, as its descriptor.
fn blob(layout: &Path, kind: &str, bytes: &[u8]) -> Value {
    let mut child = Command::new("sha256sum");
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let told = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let hex = told.split_whitespace().next().unwrap();
    fs::write(layout.join("blobs/sha256").join(hex), bytes).unwrap();
    json!({ "mediaType": kind, "digest": format!("sha256:{hex}"), "size": bytes.len() })
}

#[test]
fn an_image_layout_is_a_root_with_its_variables() {
    let place = Place::new(
        "[templates.own]\nroot = \"layout\"\nenv = { SECOND = \"file\" }\nlanguage = \"shell\"\n",
    );
    let layout = place.path("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    host_root(&place.path("root"));
    fs::write(place.path("root/gone"), "").unwrap();
    fs::create_dir(place.path("next")).unwrap();
    fs::write(place.path("next/.wh.gone"), "").unwrap();
    fs::write(place.path("next/mark"), "of the second layer\n").unwrap();
    let (mut layers, mut plain) = (Vec::new(), Vec::new());
    for folder in ["root", "next"] {
        let file = place.path(&format!("{folder}.tar"));
        tar(&place.path(folder), &file, &[]);
        let kind = "application/vnd.oci.image.layer.v1.tar";
        let layer = blob(&layout, kind, &fs::read(file).unwrap());
        plain.push(layer["digest"].clone());
        layers.push(layer);
    }
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let configuration = json!({
        "architecture": architecture, "os": "linux", "rootfs": { "diff_ids": plain },
        "config": { "Env": ["FIRST=image", "SECOND=image", "HOME=/root"], "User": "0" },
    });
    let kind = "application/vnd.oci.image.config.v1+json";
    let configuration = blob(&layout, kind, configuration.to_string().as_bytes());
    let manifest = json!({ "schemaVersion": 2, "config": configuration, "layers": layers });
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = blob(&layout, kind, manifest.to_string().as_bytes());
    fs::write(layout.join("index.json"), json!({ "manifests": [manifest] }).to_string()).unwrap();
    // The server makes what is missing before it listens.
    let serve = place.serve();
    let id = serve.create_with(json!({ "template": "own" }));
    let said = serve.shell(&id, "cat /mark; [ -e /gone ] || echo gone; echo $FIRST $SECOND $HOME");
    assert_eq!(said, "of the second layer\ngone\nimage file /workspace\n");
    drop(serve);
    // A layer that was changed since is not unpacked, and what was, is still there.
    let name = layers[0]["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
    let mut bytes = fs::read(layout.join(&name)).unwrap();
    // In what a file says, so that nothing but the digest can tell.
    let at = bytes.windows(12).position(|part| part == b"of the root\n").unwrap();
    bytes[at] ^= 1;
    fs::write(layout.join(&name), bytes).unwrap();
    assert_eq!(place.build(&[]), "");
    fs::remove_dir_all(place.path("data/templates")).unwrap();
    let refused = place.template(&["build"]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("error[E1020]") && said.contains("layer 1 of 2"), "{said}");
}

/// Real packages from the real indexes, where this machine reaches them.
#[test]
fn packages_are_installed_once_and_seen_by_every_sandbox() {
    let place = Place::new(
        "[templates.own]\nbase = \"python\"\npackages = { pip = [\"iniconfig==2.0.0\"], \
         npm = [\"left-pad@1.3.0\"] }\n",
    );
    let built = place.template(&["build", "--backend", "jail"]);
    let said = String::from_utf8(built.stderr).unwrap();
    let is_unreachable = ["ETIMEDOUT", "ECONNREFUSED", "EAI_AGAIN", "ENOTFOUND", "502", "504"];
    let lacks = |said: &str| {
        said.contains("must be among the template's own files")
            || said.contains("No module named pip")
            || is_unreachable.iter().any(|one| said.contains(one))
            || said.contains("Temporary failure")
    };
    if built.status.code() != Some(0) && lacks(&said) {
        capsule_tests::skip(&format!("pip, npm or their indexes are not there: {said}"));
        return;
    }
    assert_eq!(built.status.code(), Some(0), "{said}");
    assert!(said.contains("installing iniconfig==2.0.0 with pip"), "{said}");
    assert_eq!(place.build(&[]), "");
    let serve = place.serve();
    let python = "import iniconfig as it; from importlib.metadata import version; \
                  print(version(it.__name__), it.__file__)";
    for _ in 0..2 {
        let id = serve.create_with(json!({ "template": "own" }));
        let done = serve.exec(&id, &["python3", "-c", python]);
        let expected = "2.0.0 /capsule/packages/python/iniconfig/__init__.py\n";
        assert_eq!(done["stdout"], json!(expected), "{done}");
        let node = ["node", "-p", "require('left-pad')(1, 3, 0)"];
        assert_eq!(serve.exec(&id, &node)["stdout"], json!("001\n"));
        serve.shell(&id, "echo \"import p from 'left-pad'; console.log(p(2, 3, 0))\" >a.mjs");
        assert_eq!(serve.exec(&id, &["node", "a.mjs"])["stdout"], json!("002\n"));
        let write = "for at in /capsule/packages/python/x /node_modules/x /capsule/x; do \
                     echo x 2>/dev/null >$at && echo written; done; echo tried";
        assert_eq!(serve.shell(&id, write), "tried\n");
        // The way to the indexes was open for the installation only.
        let network = &serve.call("sandbox.v1.get", json!({ "id": id })).unwrap()["network"];
        assert_eq!(network, &json!("denied"));
    }
    // Other templates have none of it.
    let id = serve.create_with(json!({ "template": "python" }));
    assert_ne!(serve.exec(&id, &["python3", "-c", "import iniconfig"])["exit_code"], json!(0));
}

/// A build backend, which pip runs before anything is installed: it tries what it can, and tells
/// in a package what it found.
const HOSTILE: &str = r#"
import os, socket, zipfile
SECRET, PORT, LEAVE = "@SECRET@", @PORT@, "@LEAVE@"

def attempt(what):
    try:
        what()
        return "done"
    except Exception as error:
        return type(error).__name__

def write(path):
    with open(path, "w") as file:
        file.write("planted")

def build_wheel(folder, settings=None, metadata=None):
    found = {
        "ran": os.getuid() != 0,
        "secret": os.path.exists(SECRET),
        "usr": attempt(lambda: write("/usr/lib/planted")),
        "cache": attempt(lambda: write(SECRET + ".planted")),
        "other": attempt(lambda: socket.create_connection(("127.0.0.1", PORT), 2)),
    }
    target = "/workspace/packages"
    os.makedirs(target, exist_ok=True)
    if LEAVE == "link":
        os.symlink(os.path.dirname(SECRET), target + "/out")
        os.symlink(SECRET, target + "/stolen.txt")
    if LEAVE == "pipe":
        os.mkfifo(target + "/pipe")
    if LEAVE == "name":
        open(os.fsencode(target) + b"/\xff", "w")
    name = "evil-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("evil.py", "FOUND = " + repr(found))
        wheel.writestr("evil-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
        wheel.writestr("evil-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("evil-1.0.dist-info/RECORD", "")
    return name
"#;

/// An index with one package, on a port of its own; it ends with the test.
fn index(place: &Place, text: &str) -> u16 {
    let source = place.path("evil-1.0");
    fs::create_dir_all(&source).unwrap();
    fs::write(source.join("backend.py"), text).unwrap();
    let build = "[build-system]\nrequires = []\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n\
                 [project]\nname = \"evil\"\nversion = \"1.0\"\n";
    fs::write(source.join("pyproject.toml"), build).unwrap();
    fs::write(source.join("PKG-INFO"), "Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
        .unwrap();
    let file = place.path("evil-1.0.tar.gz");
    let mut command = Command::new("tar");
    command.arg("-C").arg(place.folder.path()).arg("-czf").arg(&file).arg("evil-1.0");
    assert!(command.status().unwrap().success());
    let archive = fs::read(&file).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut head = [0; 8192];
            let Ok(read) = stream.read(&mut head) else { continue };
            let (kind, body): (&str, &[u8]) = match head[..read].starts_with(b"GET /evil-1.0") {
                true => ("application/gzip", &archive),
                false => ("text/html", b"<a href=\"/evil-1.0.tar.gz\">evil-1.0.tar.gz</a>"),
            };
            let told = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\
                 Connection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(told.as_bytes()).and_then(|()| stream.write_all(body));
        }
    });
    port
}

#[test]
fn what_a_package_runs_when_it_is_installed_it_runs_behind_walls() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = other.local_addr().unwrap().port();
    for leave in ["link", "pipe", "name"] {
        let place =
            Place::new("[templates.own]\nbase = \"python\"\npackages = { pip = [\"evil\"] }\n");
        let secret = place.path("secret");
        fs::write(&secret, "of the host").unwrap();
        let text = HOSTILE
            .replace("@SECRET@", secret.to_str().unwrap())
            .replace("@PORT@", &closed.to_string())
            .replace("@LEAVE@", leave);
        let port = index(&place, &text);
        let named = format!("pip=http://127.0.0.1:{port}/simple");
        let arguments = ["build", "--backend", "jail", "--package-index", &named];
        let built = place.template(&arguments);
        let said = String::from_utf8(built.stderr).unwrap();
        if said.contains("No module named pip") {
            capsule_tests::skip("pip is not installed");
            return;
        }
        assert!(!Path::new("/usr/lib/planted").exists());
        assert!(!place.path("secret.planted").exists());
        let made = fs::read_dir(place.path("data/templates/packages")).unwrap().count();
        if leave != "link" {
            assert_eq!((built.status.code(), made), (Some(1), 0), "{leave}: {said}");
            assert!(said.contains("error[E1020]"), "{said}");
            continue;
        }
        assert_eq!((built.status.code(), made), (Some(0), 1), "{said}");
        let serve = place.serve();
        let id = serve.create_with(json!({ "template": "own" }));
        let code = "import evil, json; print(json.dumps(evil.FOUND))";
        let done = serve.exec(&id, &["python3", "-c", code]);
        let found: Value = serde_json::from_str(done["stdout"].as_str().unwrap()).unwrap();
        assert_eq!((&found["ran"], &found["secret"]), (&json!(true), &json!(false)), "{found}");
        for what in ["usr", "cache", "other"] {
            assert_ne!(found[what], json!("done"), "{found}");
        }
        // Its links lead nowhere, in the sandbox as well as here.
        let read = "cat /capsule/packages/python/stolen.txt 2>/dev/null || echo nothing";
        assert_eq!(serve.shell(&id, read), "nothing\n");
    }
    other.set_nonblocking(true).unwrap();
    assert!(other.accept().is_err(), "nobody came");
}

#[test]
fn a_server_that_cannot_make_a_template_does_not_start() {
    let place = Place::new("[templates.own]\nroot = \"root.tar\"\n");
    fs::write(place.path("root.tar"), "this is no archive").unwrap();
    let mut command = Command::new(path_of(Binary::Capsule));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(place.path("data"));
    command.arg("--config").arg(place.path("capsule.toml")).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{said}");
    assert!(said.contains("error[E1020]: template \"own\": "), "{said}");
    // What only an engine can do, without one.
    fs::write(place.path("Dockerfile"), "FROM scratch\n").unwrap();
    fs::write(place.path("capsule.toml"), "[templates.own]\ndockerfile = \"Dockerfile\"\n")
        .unwrap();
    let built =
        place.template(&["build", "--backend", "jail", "--docker-socket", "/nowhere/d.sock"]);
    let said = String::from_utf8(built.stderr).unwrap();
    assert!(said.contains("error[E2009]: template \"own\": "), "{said}");
    assert!(said.contains("hint: install Docker"), "{said}");
}
