//! What the repository holds, and how long a file may be.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use super::Problem;

/// From here on a file asks for a reason.
const WARN_OVER: usize = 500;
/// From here on it is two files.
const FAIL_OVER: usize = 800;
/// What counts as source, with the sign that starts a line of comment.
const LANGUAGES: [(&str, &str); 6] =
    [("rs", "//"), ("py", "#"), ("ts", "//"), ("js", "//"), ("sh", "#"), ("awk", "#")];
/// Files that may be longer, each with its reason.
const EXEMPT: [(&str, &str); 0] = [];

/// A text file of the repository.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// From the root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) is_executable: bool,
}

impl Source {
    pub(crate) fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or(&self.path);
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Lines with their numbers, from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        (1..).zip(self.text.lines())
    }
}

/// Every text file that git knows or would know: what it ignores is no part of the
/// repository, and what somebody is about to add is.
pub(crate) fn sources(root: &Path) -> anyhow::Result<Vec<Source>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root)
        .output()
        .context("git is needed to list the files")?;
    if !listed.status.success() {
        bail!("git ls-files: {}", String::from_utf8_lossy(&listed.stderr).trim());
    }
    let mut sources = Vec::new();
    for path in listed.stdout.split(|byte| *byte == 0).filter(|path| !path.is_empty()) {
        let path = std::str::from_utf8(path).context("a file name is not UTF-8")?;
        let file = root.join(path);
        // Deleted and not yet committed, or a link, or not text.
        let Ok(metadata) = fs::symlink_metadata(&file) else { continue };
        if !metadata.is_file() {
            continue;
        }
        let Ok(text) = String::from_utf8(fs::read(&file)?) else { continue };
        use std::os::unix::fs::PermissionsExt;
        let is_executable = metadata.permissions().mode() & 0o111 != 0;
        sources.push(Source { path: path.to_owned(), text, is_executable });
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources.dedup_by(|a, b| a.path == b.path);
    Ok(sources)
}

/// Lines that are neither empty nor comment.
fn source_lines(source: &Source) -> Option<usize> {
    let (_, comment) = LANGUAGES.iter().find(|(extension, _)| *extension == source.extension())?;
    let counts = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with(comment);
    Some(source.text.lines().filter(|line| counts(line)).count())
}

pub(super) fn check_size(source: &Source) -> Option<Problem> {
    let lines = source_lines(source).filter(|lines| *lines > WARN_OVER)?;
    if EXEMPT.iter().any(|(path, _)| *path == source.path) {
        return None;
    }
    let what = format!("{lines} source lines");
    if lines > FAIL_OVER {
        let hint = format!("over {FAIL_OVER} it is two files; exemptions need a reason in xtask");
        return Some(Problem::new(&source.path, 1, what, hint));
    }
    let hint = format!("over {WARN_OVER} asks for a reason; look for the seam");
    Some(Problem::new(&source.path, 1, what, hint).warning())
}

pub(super) fn check_exemptions(sources: &[Source]) -> Vec<Problem> {
    EXEMPT
        .iter()
        .filter(|(path, _)| !sources.iter().any(|source| source.path == *path))
        .map(|(path, _)| {
            Problem::new(*path, 1, "is exempt from a rule and not there", "remove the exemption")
        })
        .collect()
}

#[cfg(test)]
pub(super) fn sample(path: &str, text: &str) -> Source {
    Source { path: path.to_owned(), text: text.to_owned(), is_executable: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_are_warned_about_and_longer_ones_refused() {
        let of = |lines: usize| check_size(&sample("a/b.rs", &"let x = 1;\n".repeat(lines)));
        assert_eq!(of(WARN_OVER), None);
        assert!(of(WARN_OVER + 1).unwrap().is_warning);
        assert!(of(FAIL_OVER).unwrap().is_warning);
        assert!(!of(FAIL_OVER + 1).unwrap().is_warning);
    }

    #[test]
    fn comments_and_other_files_do_not_count() {
        assert_eq!(check_size(&sample("a.rs", &"  // why\n\n".repeat(FAIL_OVER))), None);
        assert_eq!(check_size(&sample("a.lock", &"x\n".repeat(2 * FAIL_OVER))), None);
    }
}
