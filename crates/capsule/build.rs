//! How the binary is linked, and the program that it carries.

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    link();
    carry("capsule-bundle")
}

/// Before `main` begins, the binary moves itself to where it was loaded: tens of thousands of
/// addresses, each of which takes 24 bytes to name, or a bit. musl knows the short form.
fn link() {
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}"));
    if target("ENV").as_deref() == Ok("musl") && target("ARCH").as_deref() == Ok("x86_64") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// Writes `NAME.rs`: a program that `guests/build.sh` made, packed, and its hash. Without
/// `CAPSULE_RUNTIMES` there is none, and the binary says so when it is needed.
fn carry(name: &str) -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=CAPSULE_RUNTIMES");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let bytes = match env::var_os("CAPSULE_RUNTIMES").filter(|folder| !folder.is_empty()) {
        Some(folder) => {
            let from = PathBuf::from(folder).join(name);
            println!("cargo::rerun-if-changed={}", from.display());
            let program = fs::read(&from).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", from.display()))
            })?;
            let is_release = env::var("OPT_LEVEL").is_ok_and(|level| level == "3");
            zstd::encode_all(&*program, if is_release { 12 } else { 1 })?
        }
        None => Vec::new(),
    };
    let hash = blake3::hash(&bytes).to_hex();
    let packed = out.join(format!("{name}.zst"));
    fs::write(&packed, &bytes)?;
    let text = format!("(&include_bytes!({packed:?})[..], \"{hash}\")\n");
    fs::write(out.join(format!("{name}.rs")), text)
}
