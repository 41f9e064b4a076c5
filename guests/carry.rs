//! Part of the build scripts of those crates whose binary carries something: puts there what
//! `guests/build.sh` made, if `CAPSULE_RUNTIMES` names the folder. A binary that was built
//! without says so when it is needed.

use std::path::PathBuf;
use std::{env, fs, io};

/// Writes `FILE.rs`: the packed file and its hash.
pub(crate) fn carry(file: &str) -> io::Result<()> {
    println!("cargo::rerun-if-env-changed=CAPSULE_RUNTIMES");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let bytes = match env::var_os("CAPSULE_RUNTIMES").filter(|folder| !folder.is_empty()) {
        Some(folder) => {
            let from = PathBuf::from(folder).join(file);
            println!("cargo::rerun-if-changed={}", from.display());
            let whole = fs::read(&from).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", from.display()))
            })?;
            // Higher levels cost a minute for a megabyte.
            let is_release = env::var("OPT_LEVEL").is_ok_and(|level| level == "3");
            zstd::encode_all(&*whole, if is_release { 12 } else { 1 })?
        }
        None => Vec::new(),
    };
    let hash = blake3::hash(&bytes).to_hex();
    let packed = out.join(format!("{file}.zst"));
    fs::write(&packed, &bytes)?;
    let text = format!("(&include_bytes!({packed:?})[..], \"{hash}\")\n");
    fs::write(out.join(format!("{file}.rs")), text)
}
