//! Puts the prebuilt guests into the binary.

use std::io;

#[path = "../../guests/carry.rs"]
mod carry;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../guests/carry.rs");
    carry::carry("python.wasm")?;
    carry::carry("javascript.wasm")
}
