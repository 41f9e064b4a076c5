//! From a sandbox to here.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use capsule_spec::{ErrorCode, Failure};
use serde_json::{Value, json};

use super::landing::{Landing, leads_out};
use super::progress::Watched;
use super::{Copied, is_folder, is_name, last_name, means_contents, stat};
use crate::client::{Body, Client};

/// Bounds on what a sandbox can make this side do: depth, and entries of one folder.
const DEEPEST: usize = 128;
const MOST_ENTRIES: u64 = 100_000;

/// A copy that is under way.
struct Copy<'a> {
    client: &'a mut Client,
    id: &'a str,
    copied: &'a mut Copied,
}

pub(super) fn copy(
    client: &mut Client,
    id: &str,
    from: &str,
    to: &str,
    copied: &mut Copied,
) -> Result<(), Failure> {
    let is_folder = from.is_empty() || is_folder(client, id, from)?;
    let from = if from.is_empty() { "/workspace" } else { from };
    let mut copy = Copy { client, id, copied };
    if to == "-" {
        return copy.pour_out(from);
    }
    let here = Path::new(to);
    let is_here = here.is_dir();
    // Under which name, in which folder here.
    let (folder, name) = if is_here && !(is_folder && means_contents(from)) {
        let name = last_name(from).ok_or_else(|| {
            let message = format!("{from:?} has no name to copy it under");
            Failure::new(ErrorCode::InvalidPath, message).hint("FOLDER/. means what it holds")
        })?;
        (here, name.to_owned())
    } else if is_here {
        let landing = Landing::open(here).map_err(|error| unwritable(to, &error))?;
        return copy.folder(from, &landing, 0);
    } else {
        let name = here.file_name().and_then(|name| name.to_str()).map(str::to_owned);
        let name = name.ok_or_else(|| {
            Failure::new(ErrorCode::InvalidPath, format!("{to:?} names nothing that can be made"))
        })?;
        let folder = here.parent().filter(|folder| !folder.as_os_str().is_empty());
        (folder.unwrap_or(Path::new(".")), name)
    };
    if !is_folder && here.exists() && !here.is_file() && !is_here {
        // A device or a pipe is written to, not replaced.
        let into =
            File::options().write(true).open(here).map_err(|error| unwritable(to, &error))?;
        return copy.take_into(from, into);
    }
    let landing = Landing::open(folder).map_err(|error| unwritable(to, &error))?;
    match is_folder {
        true => {
            let below = landing.folder(&name).map_err(|error| unwritable(to, &error))?;
            copy.folder(from, &below, 0)
        }
        false => copy.file(from, &landing, &name, 0o666),
    }
}

impl Copy<'_> {
    fn pour_out(&mut self, from: &str) -> Result<(), Failure> {
        let (_, mut body) = self.client.download(self.id, from)?;
        let copied = io::copy(&mut body, &mut io::stdout().lock());
        self.copied.bytes += copied.map_err(|error| unwritable("-", &error))?;
        self.copied.files += 1;
        Ok(())
    }

    fn take_into(&mut self, from: &str, mut into: File) -> Result<(), Failure> {
        let (size, body) = self.client.download(self.id, from)?;
        self.fill(from, size, body, &mut into)
    }

    fn file(&mut self, from: &str, into: &Landing, name: &str, mode: u32) -> Result<(), Failure> {
        let (size, body) = self.client.download(self.id, from)?;
        let mut file = into.file(name, mode).map_err(|error| unwritable(name, &error))?;
        self.fill(from, size, body, file.file())?;
        file.put_in_place().map_err(|error| unwritable(name, &error))
    }

    fn fill(&mut self, from: &str, size: u64, body: Body, into: &mut File) -> Result<(), Failure> {
        self.copied.progress.begin(from, Some(size));
        let mut watched = Watched::new(body, &mut self.copied.progress).take(size);
        let copied = io::copy(&mut watched, into).map_err(|error| unwritable(from, &error))?;
        if copied != size {
            let message = format!("{from:?} broke off after {copied} of {size} bytes");
            return Err(Failure::new(ErrorCode::ServerUnreachable, message));
        }
        self.copied.files += 1;
        self.copied.bytes += size;
        Ok(())
    }

    fn folder(&mut self, from: &str, into: &Landing, depth: usize) -> Result<(), Failure> {
        if depth > DEEPEST {
            self.copied.leave_out(from, "it is too deep");
            return Ok(());
        }
        let params = json!({ "id": self.id, "path": from, "limit": MOST_ENTRIES });
        let listed = self.client.call("sandbox.v1.listDir", params)?;
        for entry in listed["files"].as_array().into_iter().flatten() {
            let name = entry["name"].as_str().unwrap_or_default();
            let path = format!("{}/{name}", from.trim_end_matches('/'));
            if !is_name(name) {
                self.copied.leave_out(&path, "its name leads elsewhere");
                continue;
            }
            self.entry(&path, name, into, depth)?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        path: &str,
        name: &str,
        into: &Landing,
        depth: usize,
    ) -> Result<(), Failure> {
        // Gone since it was listed: a sandbox lives on meanwhile.
        let Some(entry) = stat(self.client, self.id, path)? else { return Ok(()) };
        match entry["kind"].as_str() {
            Some("directory") => {
                let below = into.folder(name).map_err(|error| unwritable(path, &error))?;
                self.folder(path, &below, depth + 1)
            }
            Some("file") => self.file(path, into, name, mode(&entry)),
            Some("link") => {
                let target = entry["target"].as_str().unwrap_or_default();
                if leads_out(target, depth) {
                    self.copied.leave_out(path, "it is a link that leads out of the folder");
                    return Ok(());
                }
                self.copied.files += 1;
                into.link(name, target).map_err(|error| unwritable(path, &error))
            }
            _ => {
                self.copied.leave_out(path, "it is no file");
                Ok(())
            }
        }
    }
}

/// Permission bits, without those that change who somebody is.
fn mode(entry: &Value) -> u32 {
    entry["mode"].as_u64().map_or(0o644, |mode| u32::try_from(mode & 0o777).unwrap_or(0o644))
}

fn unwritable(path: &str, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::NotFound => ErrorCode::FileNotFound,
        io::ErrorKind::AlreadyExists | io::ErrorKind::IsADirectory => ErrorCode::FileInTheWay,
        _ => ErrorCode::FileDenied,
    };
    Failure::new(code, format!("{path:?} cannot be written here: {error}"))
}
