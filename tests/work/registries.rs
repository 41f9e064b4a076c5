//! Package managers through the door. Each first tries the same outside the jail:
//! where that fails, the registry is not reachable and nothing can be shown.

use std::process::Command;

use capsule_tests::{Run, Scratch, found_on_path, host_python, skip};

fn output_of(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

const ROOMY: [&str; 6] = ["--memory", "1G", "--timeout", "110s", "--disk", "512M"];

/// A jail with the interpreter of the tests, its packages and doors to its index.
struct Pip {
    flags: Vec<String>,
    interpreter: String,
    hosts: Vec<String>,
}

impl Pip {
    fn find() -> Option<Self> {
        let Some((folders, interpreter, packages)) = host_python() else {
            skip("CAPSULE_TEST_PYTHON names no interpreter");
            return None;
        };
        let scratch = Scratch::new();
        let python = || {
            let mut command = Command::new(&interpreter);
            command.env("PYTHONPATH", &packages);
            command
        };
        let names = "from pip._internal.models.index import PyPI\nprint(PyPI.netloc, \
            PyPI.file_storage_domain)";
        let download =
            ["-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir", "--dest"];
        let reachable = output_of(python().args(download).args([scratch.text(), "six"]));
        let hosts = output_of(python().args(["-c", names]));
        let (Some(_), Some(hosts)) = (reachable, hosts) else {
            skip("the package index of pip is not reachable");
            return None;
        };
        let mut flags = vec!["-e".to_owned(), format!("PYTHONPATH={packages}")];
        for folder in folders {
            flags.extend(["--readonly".to_owned(), folder]);
        }
        if let Ok(certificates) = std::env::var("PIP_CERT") {
            flags.extend(["-e".to_owned(), format!("PIP_CERT={certificates}")]);
        }
        let hosts = hosts.split_whitespace().map(str::to_owned).collect();
        Some(Self { flags, interpreter, hosts })
    }

    fn run(&self, hosts: &[String], arguments: &[&str]) -> Run {
        let mut flags: Vec<&str> = ROOMY.to_vec();
        flags.extend(self.flags.iter().map(String::as_str));
        flags.extend(hosts.iter().flat_map(|host| ["--allow-host", host.as_str()]));
        flags.extend(["--", self.interpreter.as_str(), "-m", "pip", "--disable-pip-version-check"]);
        Run::new(&[&flags[..], arguments].concat())
    }
}

#[test]
fn pip_downloads_through_the_door() {
    let Some(pip) = Pip::find() else { return };
    let run = pip.run(&pip.hosts, &["download", "--no-deps", "--no-cache-dir", "six"]).finish();
    assert!(run.ended_with(0).text().contains("Successfully downloaded six"));
}

#[test]
fn pip_installs_through_the_door() {
    let Some(pip) = Pip::find() else { return };
    let scratch = Scratch::new();
    let target = scratch.directory_of("site", capsule_tests::own_user());
    let mut pip = pip;
    pip.flags.extend(["--bind".to_owned(), format!("{target}:/site:rw")]);
    pip.run(&pip.hosts, &["install", "--quiet", "--no-cache-dir", "--target", "/site", "six"])
        .finish()
        .ended_with(0);
    let run = Run::python(
        &["--bind", &format!("{target}:/site"), "-e", "PYTHONPATH=/site"],
        "import six; print(six.moves.range(3))",
    );
    assert_eq!(run.finish().ended_with(0).text(), "range(0, 3)\n");
}

#[test]
fn pip_is_refused_where_only_half_of_it_is_allowed() {
    let Some(pip) = Pip::find() else { return };
    if pip.hosts.len() < 2 || pip.hosts[0] == pip.hosts[1] {
        return skip("the index and its files have one host");
    }
    let arguments = ["download", "--retries", "0", "--no-deps", "--no-cache-dir", "six"];
    let run = pip.run(&pip.hosts[..1], &arguments).finish();
    assert_ne!(run.code, Some(0), "{run}");
    assert_eq!(run.error_code().as_deref(), Some("E5002"), "{run}");
    assert!(run.errors().contains(&format!("--allow-host {}", pip.hosts[1])), "{run}");
}

/// The flags of a jail for npm, with a door to its registry.
fn npm() -> Option<Vec<String>> {
    if found_on_path("npm").is_none() || found_on_path("node").is_none() {
        skip("no npm in the system directories");
        return None;
    }
    let setting = |name: &str| output_of(Command::new("npm").args(["config", "get", name]));
    let registry = setting("registry")?;
    if output_of(Command::new("npm").args(["view", "is-number", "version"])).is_none() {
        skip("the registry of npm is not reachable");
        return None;
    }
    let host = registry.split("//").nth(1)?.split('/').next()?.to_owned();
    let mut flags: Vec<String> = ROOMY.iter().map(|&flag| flag.to_owned()).collect();
    flags.extend(["--allow-host".to_owned(), host]);
    flags.extend(["-e".to_owned(), format!("npm_config_registry={registry}")]);
    if let Some(certificates) = setting("cafile").filter(|path| path.starts_with("/etc/ssl/certs"))
    {
        flags.extend(["-e".to_owned(), format!("npm_config_cafile={certificates}")]);
    }
    Some(flags)
}

fn npm_run(flags: &[String], script: &str) -> Run {
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    Run::shell(&flags, script)
}

#[test]
fn npm_views_and_packs_through_the_door() {
    let Some(flags) = npm() else { return };
    let run = npm_run(&flags, "npm view is-number name && npm pack --silent is-number@7.0.0");
    assert_eq!(run.finish().ended_with(0).text(), "is-number\nis-number-7.0.0.tgz\n");
}

#[test]
fn npm_installs_through_the_door() {
    let Some(flags) = npm() else { return };
    let script = "npm init -y > /dev/null && npm install --silent --no-audit --no-fund \
        is-odd@3.0.1 && \
        node -e 'console.log(require(\"is-odd\")(3), require(\"is-number\")(\"5\"))'";
    assert_eq!(npm_run(&flags, script).finish().ended_with(0).text(), "true true\n");
}

#[test]
fn npm_is_refused_without_its_host() {
    let Some(mut flags) = npm() else { return };
    let host = flags.iter().position(|flag| flag == "--allow-host").unwrap() + 1;
    flags[host] = "192.0.2.1".to_owned();
    let script = "npm view --fetch-retries=0 is-number name";
    let run = npm_run(&flags, script).finish();
    assert_eq!(run.error_code().as_deref(), Some("E5002"), "{run}");
}
