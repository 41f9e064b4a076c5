//! What an engine is sent to build from: the folder of a Dockerfile, as an archive.
//!
//! The same files make the same bytes: times and owners are left out, names are in order.
//! `.dockerignore` is heeded: `*`, `?`, `[a-z]`, `**`, and `!` for what is taken all the same.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use capsule_spec::{ErrorCode, Failure};

use crate::tar::{END, Kind, Member, head, padding};

/// The most that an engine is sent.
const MOST_BYTES: u64 = 4 << 30;
const MOST_NAMES: u64 = 500_000;
const MOST_IGNORED: u64 = 1 << 20;

/// An archive that was written.
pub(crate) struct Context {
    /// Of the bytes.
    pub(crate) hash: String,
    pub(crate) length: u64,
}

/// Writes the folder of a Dockerfile into an empty file.
pub(crate) fn pack(dockerfile: &Path, into: &File) -> Result<Context, Failure> {
    let folder = dockerfile.parent().unwrap_or(Path::new("/"));
    let own = dockerfile.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let failed = |error: io::Error| {
        let what = format!("the folder of {} cannot be packed: {error}", dockerfile.display());
        Failure::new(ErrorCode::InvalidConfig, what)
    };
    let ignored = match File::open(folder.join(".dockerignore")) {
        Ok(file) => {
            let mut text = String::new();
            file.take(MOST_IGNORED).read_to_string(&mut text).map_err(failed)?;
            Ignored::parse(&text)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ignored::default(),
        Err(error) => return Err(failed(error)),
    };
    let mut packing = Packing {
        into: BufWriter::with_capacity(256 << 10, into),
        hasher: blake3::Hasher::new(),
        length: 0,
        names: 0,
        ignored,
        own,
    };
    packing.directory(folder, "").map_err(failed)?;
    packing.put(&END).map_err(failed)?;
    packing.into.flush().map_err(failed)?;
    Ok(Context { hash: packing.hasher.finalize().to_hex().to_string(), length: packing.length })
}

struct Packing<'a> {
    into: BufWriter<&'a File>,
    hasher: blake3::Hasher,
    length: u64,
    names: u64,
    ignored: Ignored,
    /// The Dockerfile, which is always taken.
    own: &'a str,
}

impl Packing<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        if self.length > MOST_BYTES {
            return Err(io::Error::other(
                "it is larger than 4 GiB; .dockerignore leaves files out",
            ));
        }
        self.hasher.update(bytes);
        self.into.write_all(bytes)
    }

    fn directory(&mut self, folder: &Path, path: &str) -> io::Result<()> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name().into_string();
            names.push(name.map_err(|_| io::Error::other("a name in it is no UTF-8"))?);
        }
        names.sort_unstable();
        for name in names {
            let inside = if path.is_empty() { name.clone() } else { format!("{path}/{name}") };
            self.entry(&folder.join(&name), inside)?;
        }
        Ok(())
    }

    fn entry(&mut self, from: &Path, path: String) -> io::Result<()> {
        self.names += 1;
        if self.names > MOST_NAMES {
            return Err(io::Error::other("it has more than 500000 names"));
        }
        let metadata = fs::symlink_metadata(from)?;
        let is_ignored = path != self.own && self.ignored.has(&path);
        if metadata.is_dir() {
            if !is_ignored {
                self.head(&path, Kind::Directory, 0o755)?;
            }
            // Something below it may be taken all the same.
            return match is_ignored && !self.ignored.has_exceptions {
                true => Ok(()),
                false => self.directory(from, &path),
            };
        }
        if is_ignored {
            return Ok(());
        }
        if metadata.is_symlink() {
            let target = fs::read_link(from)?.into_os_string().into_string();
            let target = target.map_err(|_| io::Error::other("a link in it is no UTF-8"))?;
            return self.head(&path, Kind::Link(target), 0o777);
        }
        // Sockets, pipes and devices are nothing to build from.
        if metadata.is_file() { self.file(from, &path) } else { Ok(()) }
    }

    fn file(&mut self, from: &Path, path: &str) -> io::Result<()> {
        let mut options = File::options();
        let file =
            options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(from)?;
        let metadata = file.metadata()?;
        let length = metadata.len();
        let mode = metadata.permissions().mode() & 0o777;
        self.head(path, Kind::File(length), mode)?;
        let (mut left, mut file) = (length, file.take(length));
        let mut buffer = vec![0; 256 << 10];
        while left > 0 {
            let read = file.read(&mut buffer)?;
            if read == 0 {
                return Err(io::Error::other("a file became shorter while it was read"));
            }
            self.put(&buffer[..read])?;
            left -= read as u64;
        }
        self.put(&vec![0; padding(length)])
    }

    fn head(&mut self, path: &str, kind: Kind, mode: u32) -> io::Result<()> {
        let member = Member { path: path.to_owned(), kind, mode, modified: 0 };
        self.put(&head(&member))
    }
}

/// What `.dockerignore` says, in its order: the last word counts.
#[derive(Default)]
struct Ignored {
    rules: Vec<(bool, Vec<String>)>,
    has_exceptions: bool,
}

impl Ignored {
    fn parse(text: &str) -> Self {
        let mut rules = Vec::new();
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (is_ignored, pattern) = match line.strip_prefix('!') {
                Some(rest) => (false, rest.trim()),
                None => (true, line),
            };
            let parts = pattern.split('/').filter(|part| !matches!(*part, "" | "."));
            let parts: Vec<String> = parts.map(str::to_owned).collect();
            if !parts.is_empty() {
                rules.push((is_ignored, parts));
            }
        }
        let has_exceptions = rules.iter().any(|(is_ignored, _)| !is_ignored);
        Self { rules, has_exceptions }
    }

    /// Whether a path, or a directory above it, is left out.
    fn has(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        let is_meant = |pattern: &[String]| {
            (1..=parts.len()).any(|length| is_match(pattern, &parts[..length]))
        };
        let word = self.rules.iter().rev().find(|(_, pattern)| is_meant(pattern));
        word.is_some_and(|(is_ignored, _)| *is_ignored)
    }
}

/// `**` is any number of parts.
fn is_match(pattern: &[String], parts: &[&str]) -> bool {
    match pattern.split_first() {
        None => parts.is_empty(),
        Some((first, rest)) if first == "**" => {
            (0..=parts.len()).any(|skipped| is_match(rest, &parts[skipped..]))
        }
        Some((first, rest)) => parts.split_first().is_some_and(|(part, others)| {
            let (first, part): (Vec<char>, Vec<char>) =
                (first.chars().collect(), part.chars().collect());
            is_part(&first, &part) && is_match(rest, others)
        }),
    }
}

fn is_part(pattern: &[char], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some('*'), _) => (0..=text.len()).any(|skipped| is_part(&pattern[1..], &text[skipped..])),
        (Some('?'), Some(_)) => is_part(&pattern[1..], &text[1..]),
        (Some('['), Some(letter)) => match pattern.iter().skip(2).position(|one| *one == ']') {
            Some(end) => {
                let class = &pattern[1..end + 2];
                is_in_class(class, *letter) && is_part(&pattern[end + 3..], &text[1..])
            }
            None => *letter == '[' && is_part(&pattern[1..], &text[1..]),
        },
        (Some('\\'), Some(letter)) if pattern.len() > 1 => {
            pattern[1] == *letter && is_part(&pattern[2..], &text[1..])
        }
        (Some(one), Some(letter)) => one == letter && is_part(&pattern[1..], &text[1..]),
        _ => false,
    }
}

fn is_in_class(class: &[char], letter: char) -> bool {
    let (is_other, mut rest) = match class.split_first() {
        Some(('^' | '!', rest)) => (true, rest),
        _ => (false, class),
    };
    let mut is_in = false;
    while let Some((first, others)) = rest.split_first() {
        if let [dash, last, after @ ..] = others
            && *dash == '-'
        {
            is_in |= (*first..=*last).contains(&letter);
            rest = after;
        } else {
            is_in |= *first == letter;
            rest = others;
        }
    }
    is_in != is_other
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rule_that_is_meant_counts() {
        let ignored = Ignored::parse(
            "# what is built\ntarget/\n*.log\n!keep.log\n/a/*/c\n**/secret\ndocs/**\nx[a-c]?\n\\!odd\n",
        );
        for (path, is_ignored) in [
            ("target", true),
            ("target/debug/x", true),
            ("src/target", false),
            ("a.log", true),
            ("keep.log", false),
            ("b/a.log", false),
            ("a/b/c", true),
            ("a/b/c/d", true),
            ("a/c", false),
            ("secret", true),
            ("x/y/secret/z", true),
            ("docs/a/b", true),
            ("xa1", true),
            ("xd1", false),
            ("xa", false),
            ("Dockerfile", false),
        ] {
            assert_eq!(ignored.has(path), is_ignored, "{path}");
        }
    }

    #[test]
    fn the_same_files_make_the_same_bytes_and_others_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let dockerfile = folder.path().join("Dockerfile");
        fs::write(&dockerfile, "FROM scratch\nCOPY . /\n").unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        fs::write(folder.path().join("sub/file"), "a").unwrap();
        fs::write(folder.path().join("left.log"), "out").unwrap();
        fs::write(folder.path().join(".dockerignore"), "*\n!sub\n").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("sub/link")).unwrap();
        let packed = || {
            let into = tempfile::tempfile().unwrap();
            pack(&dockerfile, &into).unwrap()
        };
        let first = packed();
        // Other times, and another file that is left out.
        fs::write(folder.path().join("sub/file"), "a").unwrap();
        fs::write(folder.path().join("left.log"), "another").unwrap();
        let second = packed();
        assert_eq!((&first.hash, first.length), (&second.hash, second.length));
        fs::write(folder.path().join("sub/file"), "b").unwrap();
        assert_ne!(packed().hash, second.hash);
        let into = tempfile::tempfile().unwrap();
        let context = pack(&dockerfile, &into).unwrap();
        let mut bytes = vec![0; usize::try_from(context.length).unwrap()];
        std::os::unix::fs::FileExt::read_exact_at(&into, &mut bytes, 0).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("left.log") && !text.contains("root:"), "{text}");
        for name in ["sub/file", "sub/link", "Dockerfile"] {
            assert!(text.contains(name), "{name}");
        }
    }
}
