//! `capsule sandbox cp`: files and folders, in and out.
//!
//! What a sandbox says of its files is a stranger's word. Names are looked at before they
//! become names here, nothing is written through a link, and what is shown of them is
//! harmless.

mod download;
mod landing;
mod progress;
mod upload;

use std::io::Write;
use std::process::ExitCode;

use capsule_spec::{ErrorCode, Failure};
use clap::Args;
use serde_json::{Value, json};

use super::connect::Connect;
use super::text::harmless;
use crate::client::Client;
use progress::Progress;

/// What to copy, and where to.
#[derive(Debug, Args)]
#[command(after_help = "One of the two is in a sandbox: ID:PATH. Relative paths there begin in \
/workspace. A folder is copied with all that it holds; FOLDER/. means what it holds and not itself. \
- is standard input or output. Links that lead out of a folder, devices and the like are left out \
and named, and the exit code is 1.")]
pub(crate) struct Cp {
    /// A file or folder: PATH, or ID:PATH in a sandbox
    from: String,
    /// Where it goes: PATH, or ID:PATH in a sandbox
    to: String,
    /// Show no progress
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    connect: Connect,
}

/// One end of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End<'a> {
    Here(&'a str),
    Inside { id: &'a str, path: &'a str },
}

/// What was copied, and what was not.
#[derive(Debug)]
struct Copied {
    files: u64,
    bytes: u64,
    left_out: Vec<String>,
    progress: Progress,
}

impl Cp {
    pub(super) fn run(self) -> ExitCode {
        let done = self.copy();
        let is_whole = done.as_ref().map_or(true, |copied| copied.left_out.is_empty());
        let code = self.connect.end(done.and_then(|copied| self.tell(&copied)));
        if is_whole { code } else { ExitCode::FAILURE }
    }

    fn copy(&self) -> Result<Copied, Failure> {
        let mut client = self.connect.client()?;
        let mut copied = Copied {
            files: 0,
            bytes: 0,
            left_out: Vec::new(),
            progress: Progress::new(!self.quiet && !self.connect.json),
        };
        match (End::of(&self.from), End::of(&self.to)) {
            (End::Here(from), End::Inside { id, path }) => {
                upload::copy(&mut client, from, id, path, &mut copied)?;
            }
            (End::Inside { id, path }, End::Here(to)) => {
                download::copy(&mut client, id, path, to, &mut copied)?;
            }
            _ => {
                let message = "one of the two has to be in a sandbox, and the other here";
                return Err(Failure::new(ErrorCode::InvalidValue, message)
                    .hint("ID:PATH is a path in a sandbox; write ./a:b for a file called a:b"));
            }
        }
        copied.progress.end();
        Ok(copied)
    }

    fn tell(&self, copied: &Copied) -> Result<(), Failure> {
        for one in &copied.left_out {
            let _ = writeln!(std::io::stderr(), "left out: {one}");
        }
        let answer = json!({
            "files": copied.files, "bytes": copied.bytes, "left_out": copied.left_out,
        });
        self.connect.show(&answer, |_| String::new())
    }
}

impl<'a> End<'a> {
    fn of(text: &'a str) -> Self {
        let is_id = |id: &str| {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        match text.split_once(':') {
            Some((id, path)) if is_id(id) => Self::Inside { id, path },
            _ => Self::Here(text),
        }
    }
}

impl Copied {
    fn leave_out(&mut self, path: &str, why: &str) {
        self.left_out.push(format!("{}: {why}", harmless(path)));
    }
}

/// Whether a path means what a folder holds, and not itself.
fn means_contents(path: &str) -> bool {
    path == "." || path.ends_with("/.")
}

/// The last name of a path; none if that is no name.
fn last_name(path: &str) -> Option<&str> {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    is_name(name).then_some(name)
}

/// Whether this is the name of something in a folder, and can be nothing else.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && !name.contains(['/', '\0'])
        && name.len() < 256
}

/// What a path inside is; none if there is nothing.
fn stat(client: &mut Client, id: &str, path: &str) -> Result<Option<Value>, Failure> {
    let path = if path.is_empty() { "/workspace" } else { path };
    match client.call("sandbox.v1.stat", json!({ "id": id, "path": path })) {
        Ok(entry) => Ok(Some(entry)),
        Err(failure) if failure.code == ErrorCode::FileNotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Whether there is a folder inside, or a link to one.
fn is_folder(client: &mut Client, id: &str, path: &str) -> Result<bool, Failure> {
    let Some(entry) = stat(client, id, path)? else { return Ok(false) };
    if entry["kind"] != json!("link") {
        return Ok(entry["is_dir"] == json!(true));
    }
    // A link is what it leads to.
    Ok(stat(client, id, &format!("{path}/."))?.is_some_and(|entry| entry["is_dir"] == json!(true)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        assert_eq!(End::of("k3v9:/a:b"), End::Inside { id: "k3v9", path: "/a:b" });
        assert_eq!(End::of("k3v9:"), End::Inside { id: "k3v9", path: "" });
        for here in ["a", "./a:b", "/a:b", ":a", "a b:c", "-"] {
            assert_eq!(End::of(here), End::Here(here), "{here}");
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_no_names() {
        for bad in ["", ".", "..", "a/b", "/", "../a", "a\0b", &"x".repeat(300)] {
            assert!(!is_name(bad), "{bad:?}");
        }
        assert_eq!(last_name("/a/b/"), Some("b"));
        assert_eq!([last_name("/"), last_name("/a/.."), last_name("")], [None; 3]);
    }
}
