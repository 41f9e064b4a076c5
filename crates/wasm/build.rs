//! Puts the prebuilt guests into the binary, when `CAPSULE_RUNTIMES` names the folder
//! that `guests/build.sh` filled. A binary built without them says so when they are needed.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=CAPSULE_RUNTIMES");
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let folder = env::var_os("CAPSULE_RUNTIMES").filter(|folder| !folder.is_empty());
    let folder = folder.map(PathBuf::from);
    carry(folder.as_deref(), "python", &out)?;
    carry(folder.as_deref(), "javascript", &out)
}

/// Writes `NAME.rs`: the packed guest and its hash.
fn carry(folder: Option<&Path>, name: &str, out: &Path) -> io::Result<()> {
    let packed = out.join(format!("{name}.wasm.zst"));
    let bytes = match folder {
        Some(folder) => {
            let from = folder.join(format!("{name}.wasm"));
            println!("cargo::rerun-if-changed={}", from.display());
            let component = fs::read(&from).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", from.display()))
            })?;
            // Higher levels cost a minute for a megabyte.
            let is_release = env::var("OPT_LEVEL").is_ok_and(|level| level == "3");
            zstd::encode_all(&*component, if is_release { 12 } else { 1 })?
        }
        None => Vec::new(),
    };
    let hash = blake3::hash(&bytes).to_hex();
    fs::write(&packed, &bytes)?;
    let text = format!("(include_bytes!({packed:?}), \"{hash}\")\n");
    fs::write(out.join(format!("{name}.rs")), text)
}
