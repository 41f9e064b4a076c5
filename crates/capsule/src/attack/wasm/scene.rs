//! The stage of one attempt: a project with files that its program may and may not see,
//! a folder beside it, and secrets that nothing may carry out.
//!
//! ```text
//!   NAME/project/main.py probe.py big.py        the program, or main.ts probe.ts
//!               /granted/control                what tasks may be granted
//!               /granted/out -> NAME/outside    a link that leads away
//!               /private .env                   what is not granted
//!               /leak.py leak.ts -> NAME/outside/secret.py secret.ts
//!       /outside/secret secret.py secret.ts     somebody else's
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capsule_spec::ExecutionId;

use super::attempt::{Attempt, Language};
use super::ran::{Ran, Start};

/// The environment variable that holds the secret.
pub(super) const VARIABLE: &str = "CAPSULE_ATTACK_SECRET";
/// What no attempt needs, on a busy machine neither.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// The stage.
pub(super) struct Scene<'a> {
    pub(super) binary: &'a Path,
    pub(super) marker: &'a str,
    folder: PathBuf,
    /// In every place that the program may not see, and nowhere else.
    pub(super) secret: String,
    main: &'static str,
    names: Vec<(&'static str, String)>,
    before: BTreeMap<PathBuf, String>,
}

impl<'a> Scene<'a> {
    /// Builds it below `root`.
    pub(super) fn build(
        root: &Path,
        binary: &'a Path,
        marker: &'a str,
        attempt: &Attempt,
        ports: (u16, u16),
    ) -> io::Result<Self> {
        let folder = root.join(attempt.name);
        let secret = format!("secret-{}", ExecutionId::random());
        let main = attempt.language.file();
        let mut scene = Self {
            binary,
            marker,
            secret,
            main,
            names: Vec::new(),
            before: BTreeMap::new(),
            folder,
        };
        scene.names = vec![
            ("@OUTSIDE@", scene.outside().display().to_string()),
            ("@PROJECT@", scene.project().display().to_string()),
            ("@VARIABLE@", VARIABLE.to_owned()),
            ("@PORT@", ports.0.to_string()),
            ("@OPEN@", ports.1.to_string()),
        ];
        for name in ["project/granted", "outside", "tmp"] {
            fs::create_dir_all(scene.folder.join(name))?;
        }
        match attempt.language {
            Language::Python => {
                scene.write("probe.py", include_str!("probe.py"))?;
                scene.write("big.py", &"#\n".repeat(4 << 20))?;
            }
            Language::TypeScript => scene.write("probe.ts", include_str!("probe.ts"))?,
        }
        scene.write(main, attempt.program)?;
        scene.write("granted/control", "control")?;
        scene.write("private", &scene.secret)?;
        scene.write(".env", &format!("KEY={}\n", scene.secret))?;
        let outside = scene.outside();
        fs::write(outside.join("secret"), &scene.secret)?;
        fs::write(outside.join("secret.py"), format!("SECRET = {:?}\n", scene.secret))?;
        fs::write(outside.join("secret.ts"), format!("export default {:?};\n", scene.secret))?;
        symlink(&outside, scene.project().join("granted/out"))?;
        symlink(outside.join("secret.py"), scene.project().join("leak.py"))?;
        symlink(outside.join("secret.ts"), scene.project().join("leak.ts"))?;
        scene.settle();
        Ok(scene)
    }

    pub(super) fn project(&self) -> PathBuf {
        self.folder.join("project")
    }

    pub(super) fn outside(&self) -> PathBuf {
        self.folder.join("outside")
    }

    /// A folder for the binary's own temporary files.
    pub(super) fn temporary(&self) -> PathBuf {
        self.folder.join("tmp")
    }

    /// Writes a file of the project.
    pub(super) fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let mut text = text.to_owned();
        for (name, value) in &self.names {
            text = text.replace(name, value);
        }
        let path = self.project().join(name);
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        fs::write(path, text)
    }

    /// What it is like now is what it must be like in the end.
    pub(super) fn settle(&mut self) {
        self.before = self.all();
    }

    /// What is not as it was, outside of what tasks may write.
    pub(super) fn changes(&self) -> Vec<String> {
        let now = self.all();
        let differs = |path: &&PathBuf| now.get(*path) != self.before.get(*path);
        let mut paths: Vec<_> = now.keys().chain(self.before.keys()).filter(differs).collect();
        paths.dedup();
        paths.iter().map(|path| path.display().to_string()).collect()
    }

    /// Every file below the stage that no task may write, and what it holds.
    fn all(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.outside(), self.project()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() && path.ends_with("project/granted") => {}
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_symlink() => {
                        let target = fs::read_link(&path).unwrap_or_default();
                        found.insert(path, target.display().to_string());
                    }
                    Ok(kind) if kind.is_file() => {
                        let bytes = fs::read(&path).unwrap_or_default();
                        found.insert(path, String::from_utf8_lossy(&bytes).into_owned());
                    }
                    _ => {}
                }
            }
        }
        found
    }

    /// `capsule run main.py --json`
    pub(super) fn run(&self) -> io::Result<Ran> {
        self.start(&[self.main, "--json"]).run()
    }

    /// `capsule run ARGUMENTS`
    pub(super) fn start(&self, arguments: &[&str]) -> Start<'_> {
        Start::new(self, arguments)
    }
}
