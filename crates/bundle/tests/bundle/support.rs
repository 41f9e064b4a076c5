//! A project on disk.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use capsule_bundle::{Bundle, BundleError, Bundler, Place, Problem};

/// A folder with a project in it, beside which there are things that are none of its
/// business, and a cache.
pub(crate) struct Project {
    folder: tempfile::TempDir,
    pub(crate) bundler: Bundler,
}

/// What lies outside of every project.
pub(crate) const SECRET: &str = "the-secret-that-is-not-the-projects";

impl Project {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let cache = folder.path().join("cache");
        let bundler =
            Bundler::new(PathBuf::from(env!("CARGO_BIN_EXE_capsule-bundle")), Some(cache));
        let project = Self { folder, bundler };
        std::fs::create_dir(project.root()).unwrap();
        for (name, text) in [
            ("secret.json", format!("{{\"secret\": \"{SECRET}\"}}")),
            ("secret.ts", format!("export default \"{SECRET}\";")),
            ("secret.txt", SECRET.to_owned()),
        ] {
            std::fs::write(project.outside().join(name), text).unwrap();
        }
        for (path, text) in files {
            project.write(path, text);
        }
        project
    }

    /// The folder in which the project's is.
    pub(crate) fn outside(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.outside().join("project")
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.root().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn link(&self, path: &str, target: impl AsRef<Path>) {
        let path = self.path(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    pub(crate) fn bundle(&self, entry: &str) -> Result<Bundle, BundleError> {
        self.bundler.bundle(&self.place(entry))
    }

    pub(crate) fn place(&self, entry: &str) -> Place {
        Place { root: self.root(), entry: entry.to_owned(), text: None }
    }

    /// Bundles a program that is text and is run in the project's folder.
    pub(crate) fn bundle_text(&self, text: &str) -> Result<Bundle, BundleError> {
        self.bundler.bundle(&Place::of_text(&self.root(), "main.ts", text.to_owned()).unwrap())
    }

    pub(crate) fn script(&self) -> Bundle {
        self.bundle("main.ts").unwrap()
    }

    /// What the program's `main` returns, called by Node.
    pub(crate) fn run(&self, entry: &str) -> serde_json::Value {
        let bundle = self.bundle(entry).unwrap_or_else(|error| panic!("{error:?}"));
        run(&bundle.script)
    }

    pub(crate) fn problems(&self, entry: &str) -> Vec<Problem> {
        match self.bundle(entry) {
            Err(BundleError::Source { problems, .. }) => problems,
            other => panic!("{other:?}"),
        }
    }

    /// The one problem, as people see it.
    pub(crate) fn problem(&self, entry: &str) -> String {
        let problems = self.problems(entry);
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].to_string()
    }
}

/// Calls the `main` of a script as the guest does, but in Node.
pub(crate) fn run(script: &str) -> serde_json::Value {
    const HARNESS: &str = r#"
        const text = require("fs").readFileSync(0, "utf8");
        const known = require("module").builtinModules;
        const guest = (name) => {
          if (name.startsWith("@capsule-run/sdk")) return { task: (options, f) => f, files: {} };
          if (known.includes(name.replace("node:", ""))) return require(name);
          throw new Error("the guest has no module " + name);
        };
        const module_ = { exports: {} };
        const f = new Function("exports", "require", "module", "__filename", "__dirname", text);
        f(module_.exports, guest, module_, "/program/main.ts", "/program");
        Promise.resolve(module_.exports.main()).then(
          (value) => console.log(JSON.stringify(value ?? null)),
          (error) => { console.error(error); process.exit(1); });
    "#;
    let mut node = Command::new("node")
        .args(["-e", HARNESS])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is installed (CONTRIBUTING.md, Set-up)");
    node.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{script}");
    serde_json::from_slice(&output.stdout).unwrap()
}
