//! What `GET /doctor` answers: what `capsule doctor --json` says, in a process of its own.
//! To find out what walls stand, a process forks and gives up rights, which one with the
//! threads and sandboxes of a server must not do.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use capsule_spec::{ErrorCode, Failure};
use tokio::io::AsyncReadExt;

/// How long it may take, and how much it may say.
const PATIENCE: Duration = Duration::from_secs(30);
const MOST: u64 = 1 << 20;

pub(super) async fn look() -> Result<String, Failure> {
    let failed = |error: std::io::Error| {
        Failure::new(ErrorCode::SystemFailure, format!("nobody could look: {error}"))
    };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    ours.set_nonblocking(true).map_err(failed)?;
    let mut child = Command::new("/proc/self/exe")
        .args(["doctor", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::from(OwnedFd::from(theirs)))
        .stderr(Stdio::null())
        // A signal for the server's terminal is not one for it.
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    let mut text = String::new();
    let read = async {
        let mut ours = tokio::net::UnixStream::from_std(ours)?.take(MOST);
        ours.read_to_string(&mut text).await
    };
    let read = tokio::time::timeout(PATIENCE, read).await;
    // It has said all, or it is not waited for any longer.
    let _ = child.kill();
    let _ = tokio::task::spawn_blocking(move || child.wait()).await;
    match read {
        Ok(Ok(_)) if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() => Ok(text),
        _ => Err(Failure::new(ErrorCode::SystemFailure, "the doctor gave no answer")),
    }
}
