//! A project's packages: those in Python are resolved once by pip, imported once into memory;
//! those of npm lie in the project already.
//!
//! pip only unpacks wheels here (`--only-binary`), so no code of a package runs outside a
//! sandbox. Pure packages are asked for first. If that fails, wheels for this machine are
//! taken and their native code is left out: many packages have a slow path in Python.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use capsule_bundle::Place;
use capsule_engine::Project;
use capsule_spec::{ErrorCode, Failure};
use capsule_wasm::{Packages, Prepared};

/// The guest with the packages of `requirements` in memory, and the folder that they are in.
pub(crate) fn with_packages(
    prepared: &Prepared,
    requirements: &[String],
    cache: &Path,
) -> Result<(Prepared, PathBuf), Failure> {
    let hash = blake3::hash(format!("{}\n{}", prepared.key(), requirements.join("\n")).as_bytes());
    let key = &hash.to_hex()[..24];
    let folder = cache.join("packages").join(key);
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(
            ErrorCode::PackagesFailed,
            format!("the packages cannot be made ready: {error}"),
        )
    };
    if folder.is_dir()
        && let Some(layer) =
            prepared.layer(&cache.join("runtimes"), key).map_err(|error| failed(&error))?
    {
        return Ok((layer, folder));
    }
    say(&format!("installing {} (once, until the list changes)", requirements.join(", ")));
    if !folder.is_dir() {
        install(requirements, &folder)?;
    }
    let packages = survey(requirements, &folder).map_err(|error| failed(&error))?;
    say("compiling and importing them");
    let runtime = capsule_engine::workers::own_thread().map_err(|error| failed(&error))?;
    let memories = cache.join("runtimes");
    let made = prepared.make_layer(&memories, key, &packages);
    let layered = runtime.block_on(made).map_err(|error| failed(&error))?;
    for (module, reason) in &layered.failed {
        let reason = match packages.native.iter().any(|name| root(name) == module) {
            true => "it needs native code; the task option isolation=\"jail\" runs it",
            false => reason.lines().next().unwrap_or_default(),
        };
        say(&format!("{module} cannot be imported in a Wasm sandbox: {reason}"));
    }
    Ok((layered.prepared, folder))
}

/// The folder of the packages of `requirements` for the host's own CPython, native code
/// and all.
pub(crate) fn for_cpython(requirements: &[String], cache: &Path) -> Result<PathBuf, Failure> {
    let version = Command::new("python3").arg("-VV").stdin(Stdio::null()).output();
    let version = version.map(|output| output.stdout).unwrap_or_default();
    let wanted =
        format!("cpython {}\n{}", String::from_utf8_lossy(&version), requirements.join("\n"));
    let folder = cache.join("packages").join(&blake3::hash(wanted.as_bytes()).to_hex()[..24]);
    if !folder.is_dir() {
        say(&format!("installing {} for CPython (once)", requirements.join(", ")));
        whole(&folder, |temporary| {
            let done = pip(requirements, temporary, &[])?;
            if done.status.success() { Ok(()) } else { Err(refused(&done)) }
        })?;
    }
    Ok(folder)
}

/// The folders `node_modules` in which Node looks for packages of a program, and where the
/// program sees them. They are those that the bundler may read: up to the project's root, and
/// no links.
pub(crate) fn for_node(project: &Project) -> Vec<(PathBuf, String)> {
    let file = project.root().join(project.entry());
    let place = Place::find(project.root(), &file).filter(|_| !project.is_in_one_file());
    let Some(place) = place else { return Vec::new() };
    let folders = Path::new(&place.entry).ancestors().skip(1);
    let modules = folders.map(|folder| folder.join("node_modules"));
    let is_folder = |path: &PathBuf| {
        fs::symlink_metadata(place.root.join(path)).is_ok_and(|meta| meta.is_dir())
    };
    modules
        .filter(is_folder)
        .filter_map(|path| Some((place.root.join(&path), format!("/{}", path.to_str()?))))
        .collect()
}

fn say(text: &str) {
    let _ = writeln!(io::stderr(), "capsule: {text}");
}

/// Puts the packages into `folder`.
fn install(requirements: &[String], folder: &Path) -> Result<(), Failure> {
    const PURE: [&str; 8] = [
        "--platform",
        "any",
        "--python-version",
        "3.14",
        "--implementation",
        "py",
        "--abi",
        "none",
    ];
    whole(folder, |temporary| {
        if pip(requirements, temporary, &PURE)?.status.success() {
            return Ok(());
        }
        let _ = fs::remove_dir_all(temporary);
        let native = pip(requirements, temporary, &[])?;
        if !native.status.success() {
            return Err(refused(&native));
        }
        leave_out_native_code(temporary).map_err(|error| unwritable(temporary, &error))
    })
}

/// Makes a folder whole or not at all.
fn whole(folder: &Path, fill: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<(), Failure> {
    let parent = folder.parent().unwrap_or(Path::new("/"));
    let name = folder.file_name().unwrap_or_default().display();
    let temporary = parent.join(format!(".{name}.{}", std::process::id()));
    fs::create_dir_all(parent).map_err(|error| unwritable(parent, &error))?;
    let filled = fill(&temporary).and_then(|()| match fs::rename(&temporary, folder) {
        // Another process was first, and made the same.
        Err(_) if folder.is_dir() => Ok(()),
        other => other.map_err(|error| unwritable(folder, &error)),
    });
    let _ = fs::remove_dir_all(&temporary);
    filled
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::new(
        ErrorCode::PackagesFailed,
        format!("{} cannot be written: {error}", path.display()),
    )
}

/// Python looks for `pip`, and for all that pip imports, in the current folder first. That
/// may be the project's, and whatever it holds would run here, outside of any sandbox. So
/// pip starts where nobody but the user has written.
fn pip(requirements: &[String], target: &Path, options: &[&str]) -> Result<Output, Failure> {
    let target = &std::path::absolute(target).map_err(|error| {
        let message = format!("{} is no folder: {error}", target.display());
        Failure::new(ErrorCode::PackagesFailed, message)
    })?;
    Command::new("python3")
        .current_dir(target.parent().unwrap_or(Path::new("/")))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"])
        .args([
            "--no-compile",
            "--only-binary",
            ":all:",
            "--root-user-action",
            "ignore",
            "--target",
        ])
        .arg(target)
        .args(options)
        .arg("--")
        .args(requirements)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| {
            Failure::new(ErrorCode::PackagesFailed, format!("python3 cannot be started: {error}"))
                .hint("packages are resolved by pip: install python3 with pip")
        })
}

fn refused(output: &Output) -> Failure {
    let told = String::from_utf8_lossy(&output.stderr);
    let line =
        told.lines().rfind(|line| line.starts_with("ERROR: ")).or_else(|| told.lines().last());
    let line = line.unwrap_or("it said nothing").trim_start_matches("ERROR: ");
    Failure::new(ErrorCode::PackagesFailed, format!("pip could not install the packages: {line}"))
        .hint("a package without a wheel, or with another name, version or index, cannot be installed")
}

/// Where the names of the modules are kept that were native code, and left out.
const LEFT_OUT: &str = ".native";

fn leave_out_native_code(folder: &Path) -> io::Result<()> {
    let mut names = Vec::new();
    remove_native(folder, "", &mut names)?;
    fs::write(folder.join(LEFT_OUT), names.join("\n"))
}

/// Removes it from a folder, and tells what it was: `lxml/etree.cpython-311….so` is the module
/// `lxml.etree`, `_cffi_backend.….so` its own, and what is in `numpy.libs` belongs to numpy.
fn remove_native(folder: &Path, package: &str, names: &mut Vec<String>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
        let module = format!("{package}{}", root(name));
        if fs::symlink_metadata(&path)?.is_dir() {
            remove_native(&path, &format!("{module}."), names)?;
        } else if name.ends_with(".so") || name.contains(".so.") {
            fs::remove_file(&path)?;
            names.push(module);
        }
    }
    Ok(())
}

/// What stands before the first dot: the package of a module, the module of a file.
fn root(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// Which modules there are.
fn survey(requirements: &[String], folder: &Path) -> io::Result<Packages> {
    let wanted: Vec<String> = requirements.iter().map(|line| distribution(line)).collect();
    let native = fs::read_to_string(folder.join(LEFT_OUT)).unwrap_or_default();
    let native: Vec<String> = native.lines().map(str::to_owned).collect();
    let mut modules = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((own, _)) = name.strip_suffix(".dist-info").and_then(|name| name.rsplit_once('-'))
        else {
            continue;
        };
        let is_wanted = wanted.contains(&distribution(own));
        let record = fs::read_to_string(entry.path().join("RECORD")).unwrap_or_default();
        for module in record.lines().filter_map(top_level) {
            let is_native = native.iter().any(|name| root(name) == module);
            if (is_wanted || is_native) && !modules.contains(&module) {
                modules.push(module);
            }
        }
    }
    modules.sort();
    Ok(Packages { folder: folder.to_owned(), modules, native })
}

/// The name that a requirement or a dist-info folder begins with, in one spelling (PEP 503).
fn distribution(text: &str) -> String {
    let name = text.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).next();
    name.unwrap_or_default().to_lowercase().replace(['_', '.'], "-")
}

/// The module that a line of RECORD belongs to.
fn top_level(line: &str) -> Option<String> {
    let path = line.split(',').next()?.trim_matches('"');
    let module = match path.split_once('/') {
        Some((package, _)) if path.ends_with(".py") => package,
        Some(_) => return None,
        None => path.strip_suffix(".py")?,
    };
    let is_name =
        !module.is_empty() && module.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    is_name.then(|| module.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_have_one_spelling() {
        for text in
            ["Foo_Bar", "foo.bar>=1,<2", "foo-bar[extra]; python_version>'3'", "FOO-BAR ~= 1"]
        {
            assert_eq!(distribution(text), "foo-bar", "{text}");
        }
    }

    #[test]
    fn native_code_is_left_out_and_named() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["a/b/_c.cpython-311.so", "a/b/d.py", "e.libs/libf.so.1", "_g.abi3.so"] {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        leave_out_native_code(folder.path()).unwrap();
        let named = fs::read_to_string(folder.path().join(LEFT_OUT)).unwrap();
        let mut named: Vec<&str> = named.lines().collect();
        named.sort_unstable();
        assert_eq!(named, ["_g", "a.b._c", "e.libf"]);
        let left =
            ["a/b/d.py", "a/b/_c.cpython-311.so"].map(|path| folder.path().join(path).exists());
        assert_eq!(left, [true, false]);
    }

    #[test]
    fn modules_are_found_in_records() {
        assert_eq!(top_level("requests/api.py,sha256=x,1").as_deref(), Some("requests"));
        assert_eq!(top_level("six.py,,").as_deref(), Some("six"));
        assert_eq!(top_level("../../bin/tool.py,,"), None);
        assert_eq!(top_level("a-1.dist-info/METADATA,,"), None);
    }
}
