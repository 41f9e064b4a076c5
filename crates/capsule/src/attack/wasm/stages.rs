//! What is on the stage of single attempts beside what every stage has.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::fs::{FileType, Mode};

use super::scene::Scene;

/// A folder that is granted for reading, with something to destroy in it.
pub(super) fn read_only(scene: &Scene<'_>) -> io::Result<()> {
    fs::create_dir_all(scene.project().join("fixed/empty"))?;
    scene.write("fixed/file", "as it was")
}

/// A pipe and a socket in the granted folder: opening one could wait for ever.
pub(super) fn special_files(scene: &Scene<'_>) -> io::Result<()> {
    let granted = scene.project().join("granted");
    let mode = Mode::from_raw_mode(0o666);
    rustix::fs::mknodat(rustix::fs::CWD, granted.join("pipe"), FileType::Fifo, mode, 0)?;
    // The path of a socket is short: it is bound elsewhere, and moved.
    let short = Path::new("/tmp").join(format!("capsule-attack-{}.sock", std::process::id()));
    UnixListener::bind(&short)?;
    fs::rename(&short, granted.join("socket")).or_else(|_| fs::remove_file(&short))
}

/// Byte code and caches that say something else than the source.
pub(super) fn shipped_cache(scene: &Scene<'_>) -> io::Result<()> {
    scene.write("helper.py", "VALUE = \"source\"\n")?;
    for name in [
        "__pycache__/helper.cpython-314.pyc",
        "helper.pyc",
        "helper/__init__.pyc",
        ".capsule/runtimes/python.cwasm",
        ".capsule/runtimes/seal.json",
        ".capsule/packages/helper.py",
        ".cache/capsule/runtimes/python.cwasm",
    ] {
        scene.write(name, "VALUE = \"cache\"\n")?;
    }
    Ok(())
}

/// Bundles and built files that say something else than the source.
pub(super) fn shipped_bundle(scene: &Scene<'_>) -> io::Result<()> {
    scene.write("helper.ts", "export const value = \"source\";\n")?;
    for name in [
        "helper.js",
        "helper.mjs",
        "helper/index.ts",
        "dist/helper.js",
        ".capsule/bundles/main.js",
        ".cache/capsule/bundles/main.js",
        "node_modules/helper/index.js",
        "node_modules/.cache/main.js",
        "node_modules/@capsule-run/sdk/index.js",
    ] {
        scene.write(name, "exports.value = \"built\"; exports.task = () => {};\n")?;
    }
    Ok(())
}

/// A package that says that it is what lies outside.
pub(super) fn leaky_package(scene: &Scene<'_>) -> io::Result<()> {
    let settings = r#"{"name": "leaky", "main": "../../../outside/secret.ts",
        "browser": "@OUTSIDE@/secret.ts", "exports": "../../../outside/secret.ts"}"#;
    scene.write("node_modules/leaky/package.json", settings)
}

/// That one, one that is as it should be, and a link away.
pub(super) fn packages(scene: &Scene<'_>) -> io::Result<()> {
    leaky_package(scene)?;
    scene.write("node_modules/own/index.js", "module.exports = \"own\";\n")?;
    symlink(scene.outside(), scene.project().join("node_modules/out"))
}

pub(super) fn settings_for_caches(scene: &Scene<'_>) -> io::Result<()> {
    scene.write("capsule.toml", "[cache]\npath = \".capsule\"\n")
}

pub(super) fn linked_settings(scene: &Scene<'_>) -> io::Result<()> {
    fs::write(scene.outside().join("settings"), "[tasks]\ndefault_ram = \"64MB\"\n")?;
    symlink(scene.outside().join("settings"), scene.project().join("capsule.toml"))
}

/// Python looks into the current folder before it looks for pip.
pub(super) fn pip_in_the_project(scene: &Scene<'_>) -> io::Result<()> {
    scene.write("requirements.txt", "capsule-attack-no-such-package\n")?;
    const OWNED: &str = "open('@OUTSIDE@/owned', 'w').write('host code ran')\n";
    for name in [
        "pip/__init__.py",
        "pip/__main__.py",
        "sitecustomize.py",
        "usercustomize.py",
        "json.py",
        "optparse.py",
        "logging.py",
        "encodings/__init__.py",
        "runpy.py",
    ] {
        scene.write(name, OWNED)?;
    }
    scene.write("pip.conf", "[install]\ntarget = @OUTSIDE@\n")?;
    scene.write("pyvenv.cfg", "home = @OUTSIDE@\n")
}

pub(super) fn shadows(scene: &Scene<'_>) -> io::Result<()> {
    for name in [
        "asyncio",
        "json",
        "os",
        "random",
        "capsule",
        "guest",
        "wit_world",
        "guest/values",
        "wit_world/imports/host",
        "capsule/_runtime",
        "componentize_py_runtime",
        "encodings/utf_8",
        "linecache",
        "traceback",
        "dataclasses",
    ] {
        scene.write(&format!("{name}.py"), "SHADOW = True\n")?;
    }
    Ok(())
}
