//! From here into a sandbox.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use capsule_spec::{ErrorCode, Failure};
use serde_json::json;

use super::progress::Watched;
use super::{Copied, is_folder, last_name, means_contents};
use crate::client::Client;

/// The deepest folder that is copied.
const DEEPEST: usize = 128;

pub(super) fn copy(
    client: &mut Client,
    from: &str,
    id: &str,
    to: &str,
    copied: &mut Copied,
) -> Result<(), Failure> {
    if from == "-" {
        return standard_input(client, id, to, copied);
    }
    let path = Path::new(from);
    let about = fs::metadata(path).map_err(|error| unreadable(from, &error))?;
    let to = match means_contents(from) {
        true => plain(to),
        false => below(client, id, to, &name_of(path, from)?)?,
    };
    if about.is_dir() {
        return folder(client, path, id, &to, 0, copied);
    }
    file(client, path, id, &to, copied)
}

/// Where something goes that is called `name` here: into a folder that is there, or under
/// the name that is asked for.
fn below(client: &mut Client, id: &str, to: &str, name: &str) -> Result<String, Failure> {
    let is_folder = to.is_empty() || to.ends_with('/') || is_folder(client, id, to)?;
    let to = plain(to);
    Ok(match is_folder {
        true => format!("{}/{name}", to.trim_end_matches('/')),
        false => to,
    })
}

fn plain(to: &str) -> String {
    if to.is_empty() { "/workspace".to_owned() } else { to.to_owned() }
}

fn name_of(path: &Path, from: &str) -> Result<String, Failure> {
    // `..` and the like have names that only the file system knows.
    let real = match last_name(from) {
        Some(name) => return Ok(name.to_owned()),
        None => path.canonicalize().map_err(|error| unreadable(from, &error))?,
    };
    real.file_name().and_then(|name| name.to_str()).map(str::to_owned).ok_or_else(|| {
        Failure::new(ErrorCode::InvalidPath, format!("{from:?} has no name to copy it under"))
    })
}

fn standard_input(
    client: &mut Client,
    id: &str,
    to: &str,
    copied: &mut Copied,
) -> Result<(), Failure> {
    if to.is_empty() || to.ends_with('/') {
        let message = "standard input has no name, and the path names none";
        return Err(Failure::new(ErrorCode::InvalidPath, message));
    }
    copied.progress.begin("standard input", None);
    let mut from = Watched::new(io::stdin().lock(), &mut copied.progress);
    client.upload(id, to, 0o644, None, &mut from)?;
    copied.files += 1;
    Ok(())
}

fn file(
    client: &mut Client,
    path: &Path,
    id: &str,
    to: &str,
    copied: &mut Copied,
) -> Result<(), Failure> {
    let shown = path.to_string_lossy();
    let from = File::open(path).map_err(|error| unreadable(&shown, &error))?;
    let about = from.metadata().map_err(|error| unreadable(&shown, &error))?;
    // Of a pipe or a device the size is not known before its end.
    let size = about.is_file().then_some(about.len());
    copied.progress.begin(&shown, size);
    let mut watched = Watched::new(from, &mut copied.progress);
    client.upload(id, to, about.permissions().mode() & 0o777, size, &mut watched)?;
    copied.files += 1;
    copied.bytes += size.unwrap_or_default();
    Ok(())
}

fn folder(
    client: &mut Client,
    path: &Path,
    id: &str,
    to: &str,
    depth: usize,
    copied: &mut Copied,
) -> Result<(), Failure> {
    let shown = path.to_string_lossy().into_owned();
    if depth > DEEPEST {
        copied.leave_out(&shown, "it is too deep");
        return Ok(());
    }
    client.call("sandbox.v1.mkdir", json!({ "id": id, "path": to }))?;
    let entries = fs::read_dir(path).and_then(|entries| entries.collect::<Result<Vec<_>, _>>());
    let mut entries = entries.map_err(|error| unreadable(&shown, &error))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let shown = path.to_string_lossy();
        let kind = entry.file_type().map_err(|error| unreadable(&shown, &error))?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else {
            copied.leave_out(&shown, "its name is not UTF-8");
            continue;
        };
        let to = format!("{}/{name}", to.trim_end_matches('/'));
        if kind.is_dir() {
            folder(client, &path, id, &to, depth + 1, copied)?;
        } else if kind.is_file() {
            file(client, &path, id, &to, copied)?;
        } else if kind.is_symlink() {
            // What it leads to may be anything of this machine.
            copied.leave_out(&shown, "it is a link");
        } else {
            copied.leave_out(&shown, "it is no file");
        }
    }
    Ok(())
}

fn unreadable(path: &str, error: &io::Error) -> Failure {
    let code = match error.kind() {
        io::ErrorKind::NotFound => ErrorCode::FileNotFound,
        _ => ErrorCode::FileDenied,
    };
    Failure::new(code, format!("{path:?} cannot be read here: {error}"))
}
