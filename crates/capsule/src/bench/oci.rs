//! What the OCI runtimes and Docker need: a bundle and an image of this host's own files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use serde_json::json;

/// A folder that is removed at the end.
#[derive(Debug)]
pub(super) struct Scratch {
    root: PathBuf,
    bundle: PathBuf,
    state: PathBuf,
}

/// The host's folders that the bundle mounts, read-only. Links become links.
const SYSTEM: [&str; 5] = ["usr", "bin", "sbin", "lib", "lib64"];

impl Scratch {
    pub(super) fn new() -> anyhow::Result<Self> {
        let root = std::env::temp_dir().join(format!("capsule-bench-{}", std::process::id()));
        let scratch = Self { bundle: root.join("bundle"), state: root.join("state"), root };
        scratch.fill().context("cannot prepare a bundle for the OCI runtimes")?;
        Ok(scratch)
    }

    pub(super) fn bundle(&self) -> &Path {
        &self.bundle
    }

    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    fn fill(&self) -> anyhow::Result<()> {
        let rootfs = self.bundle.join("rootfs");
        fs::create_dir_all(&rootfs)?;
        fs::create_dir_all(&self.state)?;
        let mut mounts = vec![json!({ "destination": "/proc", "type": "proc", "source": "proc" })];
        for name in SYSTEM {
            let source = Path::new("/").join(name);
            match fs::read_link(&source) {
                Ok(target) => std::os::unix::fs::symlink(target, rootfs.join(name))?,
                Err(_) if source.is_dir() => {
                    fs::create_dir(rootfs.join(name))?;
                    mounts.push(json!({
                        "destination": source, "type": "bind", "source": source,
                        "options": ["rbind", "ro"],
                    }));
                }
                Err(_) => {}
            }
        }
        fs::create_dir(rootfs.join("proc"))?;
        let namespaces = ["pid", "network", "ipc", "uts", "mount"];
        let namespaces: Vec<_> = namespaces.iter().map(|kind| json!({ "type": kind })).collect();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false, "user": { "uid": 0, "gid": 0 }, "args": ["/bin/true"],
                "env": ["PATH=/usr/bin:/bin"], "cwd": "/", "noNewPrivileges": true,
            },
            "root": { "path": "rootfs", "readonly": true },
            "mounts": mounts,
            "linux": { "namespaces": namespaces },
        });
        fs::write(self.bundle.join("config.json"), serde_json::to_vec(&config)?)?;
        Ok(())
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Makes an image of a static busybox, without a registry; or says why not.
pub(super) fn docker_image(scratch: &Scratch) -> Result<String, String> {
    const IMAGE: &str = "capsule-bench:latest";
    let engine = Command::new("docker")
        .args(["version", "--format", "{{.Server.Version}}"])
        .stderr(Stdio::null())
        .output();
    match engine {
        Err(_) => return Err("not installed".to_owned()),
        Ok(output) if !output.status.success() => return Err("no engine is running".to_owned()),
        Ok(_) => {}
    }
    let bin = scratch.root.join("image/bin");
    let copied = fs::create_dir_all(&bin)
        .and_then(|()| fs::copy("/bin/busybox", bin.join("busybox")))
        .and_then(|_| std::os::unix::fs::symlink("busybox", bin.join("true")));
    copied.map_err(|_| "no /bin/busybox to make an image of".to_owned())?;
    let image = bin.parent().map(Path::to_owned).unwrap_or_default();
    let imported = Command::new("sh")
        .arg("-c")
        .arg(format!("tar -C \"$0\" -c . | docker import - {IMAGE}"))
        .arg(&image)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    match imported {
        Ok(status) if status.success() => Ok(IMAGE.to_owned()),
        _ => Err("docker import failed".to_owned()),
    }
}
