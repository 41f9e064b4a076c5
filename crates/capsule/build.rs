//! How the binary is linked, and the program that it carries.

use std::{env, io};

#[path = "../../guests/carry.rs"]
mod carry;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../guests/carry.rs");
    link();
    carry::carry("capsule-bundle")
}

/// Before `main` begins, the binary moves itself to where it was loaded: tens of thousands of
/// addresses, each of which takes 24 bytes to name, or a bit. musl knows the short form.
fn link() {
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}"));
    if target("ENV").as_deref() == Ok("musl") && target("ARCH").as_deref() == Ok("x86_64") {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
