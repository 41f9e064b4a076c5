//! The files of a guest: real Python in the real guest, ordinary use and attacks.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use support::*;

#[test]
fn probe() {
    let Some(sandbox) = Sandbox::new() else { return };
    let value = sandbox.run(
        &[],
        r#"
import os
def main():
    out = []
    out.append(os.listdir("/"))
    with open("/tmp/x", "w") as f:
        f.write("hello")
    out.append(open("/tmp/x").read())
    out.append(str(os.stat("/tmp/x")))
    return out
"#,
    );
    eprintln!("{value:?}");
    panic!();
}
