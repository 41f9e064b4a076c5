//! Guests, and servers for them to talk to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use capsule_backend::guest::{
    Channel, Grant, Granted, Guest, GuestError, Guests, Meter, Outside, Pending, Source, Usage,
};
use capsule_spec::{Access, ByteSize};
use capsule_wasm::{Language, PrepareError, Progress, Runtime, Stage};
use serde_json::Value;

struct Program(String);

impl Outside for Program {
    fn source(&self, module: &str) -> Option<Source> {
        let bytes = self.0.clone().into_bytes();
        let source = Source { path: "program.py".to_owned(), is_package: false, bytes };
        module.is_empty().then_some(source)
    }

    fn output(&self, _: Channel, bytes: &[u8]) {
        eprint!("{}", String::from_utf8_lossy(bytes));
    }

    fn call(&self, _: &str, _: String) -> Pending<'static, Result<String, GuestError>> {
        Box::pin(async { Ok("null".to_owned()) })
    }
}

struct Quiet;
impl Progress for Quiet {
    fn stage(&self, _: Stage) {}
}

/// The runtime, once for all tests of this binary. Without it every test is left out
/// by [`given`], which says so.
fn runtime() -> Option<&'static Runtime> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("runtimes");
        match Language::Python.prepare(&cache, &Quiet) {
            Ok(prepared) => Some(Runtime::new(&prepared, 4).unwrap()),
            Err(PrepareError::NotCarried { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    });
    runtime.as_ref()
}

/// What a guest is given.
pub(crate) struct Given {
    pub(crate) grant: Grant,
    pub(crate) patience: Duration,
}

pub(crate) fn grant(hosts: &[&str]) -> Grant {
    Grant {
        meter: Meter::new(2_000_000_000_000),
        ram: ByteSize::from_mib(256),
        disk: ByteSize::from_mib(16),
        files: Vec::new(),
        hosts: hosts.iter().map(|rule| rule.parse().unwrap()).collect(),
        download: ByteSize::from_mib(64),
        environment: Vec::new(),
    }
}

pub(crate) fn given(hosts: &[&str]) -> Given {
    Given { grant: grant(hosts), patience: Duration::from_secs(120) }
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) result: Result<Value, GuestError>,
    pub(crate) usage: Usage,
}

impl Ended {
    /// The value; a failure is shown with its traceback.
    pub(crate) fn value(&self) -> &Value {
        match &self.result {
            Ok(value) => value,
            Err(GuestError::Raised { kind, message, traceback }) => {
                panic!("{kind}: {message}\n{traceback}")
            }
            Err(error) => panic!("{error:?}"),
        }
    }

    /// `METHOD URL STATUS allowed`, without the hosts' ports.
    pub(crate) fn requests(&self) -> Vec<String> {
        let line = |request: &capsule_backend::guest::Request| {
            let status = request.status.map_or("-".to_owned(), |status| status.to_string());
            let allowed = if request.allowed { "allowed" } else { "denied" };
            format!("{} {} {status} {allowed}", request.method, request.url)
        };
        self.usage.requests.iter().map(line).collect()
    }
}

impl Given {
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Grant)) -> Self {
        change(&mut self.grant);
        self
    }

    /// With requests and httpx to import.
    pub(crate) fn with_packages(self, packages: &Path) -> Self {
        let source = packages.to_owned();
        let granted =
            Granted { source, destination: "/packages".to_owned(), access: Access::ReadOnly };
        self.with(|grant| grant.files.push(granted))
    }

    pub(crate) fn open(&self, source: &str) -> Box<dyn Guest> {
        let runtime = runtime().expect("asked for by has_runtime");
        runtime.open(Arc::new(Program(source.to_owned()))).unwrap()
    }

    /// Calls the program's `main` with these arguments.
    pub(crate) fn run(&self, source: &str, arguments: &[Value]) -> Ended {
        // The packages are not in the memory here, so the program must know where they are.
        let source = format!("import sys; sys.path.append('/packages')\n{source}");
        let mut guest = self.open(&source);
        let arguments = serde_json::json!({"args": arguments, "kwargs": {}}).to_string();
        let tokio = tokio();
        let result = tokio.block_on(async {
            let call = guest.call("main", &arguments, &self.grant);
            tokio::time::timeout(self.patience, call).await.unwrap_or(Err(GuestError::TimedOut))
        });
        let result = result.map(|text| serde_json::from_str(&text).unwrap());
        Ended { result, usage: guest.usage() }
    }
}

pub(crate) fn tokio() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// A server of the test's, in a process of its own.
pub(crate) struct Site {
    child: Child,
    pub(crate) port: u16,
}

impl Site {
    pub(crate) fn plain() -> Self {
        Self::start(&[])
    }

    /// With a certificate for `localhost` and 127.0.0.1, signed by the test's authority.
    pub(crate) fn tls(certificate: &Certificate) -> Self {
        Self::start(&[&certificate.certificate, &certificate.key])
    }

    fn start(arguments: &[&Path]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/network/server.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A certificate, its key, and who signed it.
pub(crate) struct Certificate {
    pub(crate) authority: PathBuf,
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// For these names, as openssl writes them: `DNS:localhost,IP:127.0.0.1`.
    pub(crate) fn make(names: &str) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("certificates-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name);
        let openssl = |arguments: &[&str]| {
            let output =
                Command::new("openssl").args(arguments).current_dir(&folder).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let authority = [
            "req",
            "-x509",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ];
        openssl(&[&authority[..], &key].concat());
        let request = ["req", "-subj", "/CN=test", "-keyout", "server.key", "-out", "server.csr"];
        openssl(&[&request[..], &key].concat());
        std::fs::write(
            path("extensions"),
            format!("subjectAltName={names}\nbasicConstraints=CA:FALSE\n"),
        )
        .unwrap();
        openssl(&[
            "x509",
            "-req",
            "-days",
            "2",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-extfile",
            "extensions",
            "-out",
            "server.pem",
        ]);
        Self::in_folder(&folder)
    }

    fn in_folder(folder: &Path) -> Self {
        let path = |name: &str| folder.join(name);
        Self { authority: path("ca.pem"), certificate: path("server.pem"), key: path("server.key") }
    }
}

/// A server that treats each connection in a thread of its own.
pub(crate) fn server(treat: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let treat = Arc::new(treat);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let treat = Arc::clone(&treat);
            thread::spawn(move || treat(stream));
        }
    });
    port
}

/// A server that tells what it was sent, connection by connection, and answers nothing
/// before the other side has ended.
pub(crate) fn listening() -> (u16, Receiver<Vec<u8>>) {
    let (told, hears) = channel();
    let port = server(move |mut stream| {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let _ = told.send(bytes);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    (port, hears)
}

/// Whether guests can run at all; if not, that is said and counted.
pub(crate) fn has_runtime() -> bool {
    let carried = runtime().is_some();
    if !carried {
        skip("built without the Python runtime (CAPSULE_RUNTIMES)");
    }
    carried
}

/// A folder with requests and httpx, from PyPI; nothing if it cannot be had.
pub(crate) fn packages() -> Option<PathBuf> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let pinned = ["requests==2.34.2", "httpx==0.28.1", "anyio==4.16.0", "urllib3==2.8.0"];
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("network-packages");
        if folder.join("whole").exists() {
            return Some(folder);
        }
        let install = [
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            "--upgrade",
            "--only-binary=:all:",
            "--target",
        ];
        let status =
            Command::new("python3").args(install).arg(&folder).args(pinned).status().ok()?;
        status.success().then_some(())?;
        std::fs::write(folder.join("whole"), "").ok()?;
        Some(folder)
    });
    if folder.is_none() {
        skip("requests and httpx could not be installed");
    }
    folder.clone()
}

/// As `capsule_tests::skip`, which this crate cannot see.
fn skip(reason: &str) {
    let thread = thread::current();
    let line = format!("{}: {reason}\n", thread.name().unwrap_or("a test"));
    assert!(std::env::var_os("CAPSULE_NO_SKIP").is_none(), "may not be skipped: {line}");
    eprint!("skipped: {line}");
    if let Some(log) = std::env::var_os("CAPSULE_SKIP_LOG") {
        let log = std::fs::OpenOptions::new().append(true).create(true).open(log);
        log.unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// Runs the current test again in a process whose trusted authority is the test's own:
/// a process reads its roots once. The certificate is there in that process only.
pub(crate) fn with_authority(names: &str) -> Option<Certificate> {
    const FOLDER: &str = "CAPSULE_TEST_AUTHORITY";
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Some(Certificate::in_folder(Path::new(&folder)));
    }
    let certificate = Certificate::make(names);
    let test = thread::current().name().expect("tests have names").to_owned();
    let output = Command::new(std::env::current_exe().unwrap())
        .args([&test, "--exact", "--nocapture"])
        .env("SSL_CERT_FILE", &certificate.authority)
        .env(FOLDER, certificate.authority.parent().unwrap())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{told}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    None
}
