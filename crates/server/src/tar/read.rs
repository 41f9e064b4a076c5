//! An archive that comes in pieces of any size.
//!
//! ```text
//!  head ─▶ member ─▶ data … whole ─▶ padding ─▶ head … ─▶ end
//!    └──▶ extra (pax, long names) ─▶ padding ─▶ head of the member that it is about
//! ```

use bytes::{Buf, Bytes};

use super::write::padding;
use super::{BLOCK, Kind, Member, PERMISSIONS, TarError};

/// Longest header beside the block: names are 4 KiB at most.
const LONGEST_EXTRA: u64 = 64 << 10;
/// Longest path.
const LONGEST_PATH: usize = 4_095;
/// How much of a name is shown.
const SHOWN: usize = 100;

/// What comes next in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A member. A file's data follows, and then [`Step::Whole`].
    Member(Member),
    /// A member that is no file, directory or link, and what it is.
    Other(String, &'static str),
    /// Data of the file.
    Data(Bytes),
    /// The file is complete.
    Whole,
    /// The rest of the archive is needed.
    More,
}

/// Reads an archive.
#[derive(Debug)]
pub(crate) struct Reader {
    state: State,
    /// What the headers before a member say of it.
    path: Option<String>,
    target: Option<String>,
    size: Option<u64>,
    is_first: bool,
    /// The member that was begun last, for who tells what is wrong with it.
    at: String,
}

#[derive(Debug)]
enum State {
    Head(Vec<u8>),
    Extra { flag: u8, left: u64, pad: usize, bytes: Vec<u8> },
    Data { left: u64, pad: usize },
    Padding(usize),
    End,
}

impl Reader {
    pub(crate) fn new() -> Self {
        let state = State::Head(Vec::new());
        Self { state, path: None, target: None, size: None, is_first: true, at: String::new() }
    }

    /// The name of the member that was begun last, cut, as the archive has it.
    pub(crate) fn at(&self) -> &str {
        &self.at
    }

    /// Passes over the data of the file that was told last; answers how many bytes of it the
    /// reader is not to be given.
    pub(crate) fn pass_over(&mut self) -> u64 {
        let State::Data { left, pad } = self.state else { return 0 };
        self.state = State::Padding(pad);
        left
    }

    /// Takes from the input what the next step needs.
    pub(crate) fn next(&mut self, input: &mut Bytes) -> Result<Step, TarError> {
        loop {
            match &mut self.state {
                State::End => {
                    // Archives are filled up with zeroes; what stands there is not looked at.
                    input.clear();
                    return Ok(Step::More);
                }
                State::Padding(left) => {
                    let taken = (*left).min(input.len());
                    input.advance(taken);
                    *left -= taken;
                    if *left > 0 {
                        return Ok(Step::More);
                    }
                    self.state = State::Head(Vec::new());
                }
                State::Data { left: 0, pad } => {
                    self.state = State::Padding(*pad);
                    return Ok(Step::Whole);
                }
                State::Data { left, .. } => {
                    if input.is_empty() {
                        return Ok(Step::More);
                    }
                    let most = usize::try_from(*left).unwrap_or(usize::MAX);
                    let data = input.split_to(most.min(input.len()));
                    *left -= data.len() as u64;
                    return Ok(Step::Data(data));
                }
                State::Extra { flag, left, pad, bytes } => {
                    let most = usize::try_from(*left).unwrap_or(usize::MAX);
                    let taken = input.split_to(most.min(input.len()));
                    bytes.extend_from_slice(&taken);
                    *left -= taken.len() as u64;
                    if *left > 0 {
                        return Ok(Step::More);
                    }
                    let (flag, pad, bytes) = (*flag, *pad, std::mem::take(bytes));
                    self.state = State::Padding(pad);
                    self.extra(flag, &bytes)?;
                }
                State::Head(block) => {
                    let taken = input.split_to((BLOCK - block.len()).min(input.len()));
                    block.extend_from_slice(&taken);
                    if self.is_first && block.starts_with(&[0x1f, 0x8b]) {
                        return Err(TarError::Compressed);
                    }
                    if block.len() < BLOCK {
                        return Ok(Step::More);
                    }
                    let block = std::mem::take(block);
                    self.is_first = false;
                    if block.iter().all(|byte| *byte == 0) {
                        self.state = State::End;
                    } else if let Some(step) = self.block(&block)? {
                        return Ok(step);
                    }
                }
            }
        }
    }

    /// Whether the input may end here.
    pub(crate) fn finish(&self) -> Result<(), TarError> {
        match self.state {
            State::End => Ok(()),
            _ => Err(TarError::Truncated),
        }
    }

    /// A block that is a head. None: it tells of the next one.
    fn block(&mut self, block: &[u8]) -> Result<Option<Step>, TarError> {
        let sum = |byte: (usize, &u8)| match byte {
            (148..156, _) => u64::from(b' '),
            (_, byte) => u64::from(*byte),
        };
        if number(&block[148..156])? != block.iter().enumerate().map(sum).sum::<u64>() {
            return Err(TarError::Damaged);
        }
        let flag = block[156];
        let size = number(&block[124..136])?;
        if matches!(flag, b'x' | b'g' | b'L' | b'K') {
            if size > LONGEST_EXTRA {
                return Err(TarError::Header);
            }
            let pad = padding(size);
            self.state = State::Extra { flag, left: size, pad, bytes: Vec::new() };
            return Ok(None);
        }
        let given = (self.path.take(), self.target.take(), self.size.take());
        let path = given.0.map_or_else(|| name(block), Ok)?;
        self.at = shown(&path);
        let target = || given.1.map_or_else(|| text(&block[157..257]), Ok);
        let size = given.2.unwrap_or(size);
        let kind = match flag {
            b'5' => Kind::Directory,
            // So it was told before there was a flag for it.
            0 | b'0' if path.ends_with('/') => Kind::Directory,
            0 | b'0' | b'7' => Kind::File(size),
            b'1' => Kind::Same(inside(&target()?)?),
            b'2' => Kind::Link(whole(target()?)?),
            b'3' | b'4' => return Ok(Some(Step::Other(inside(&path)?, "a device"))),
            b'6' => return Ok(Some(Step::Other(inside(&path)?, "a pipe"))),
            b'S' => return Err(TarError::Kind("a sparse file")),
            _ => return Err(TarError::Kind("a member of an unknown kind")),
        };
        // Nothing follows what is no file, whatever its size says.
        if let Kind::File(size) = kind {
            self.state = State::Data { left: size, pad: padding(size) };
        }
        let path = inside(&path)?;
        if path.is_empty() && kind != Kind::Directory {
            return Err(TarError::Name(path));
        }
        let mode = u32::try_from(number(&block[100..108])? & u64::from(PERMISSIONS));
        let modified = number(&block[136..148]).unwrap_or(0);
        Ok(Some(Step::Member(Member { path, kind, mode: mode.unwrap_or(0), modified })))
    }

    /// A header that tells of the next member.
    fn extra(&mut self, flag: u8, bytes: &[u8]) -> Result<(), TarError> {
        match flag {
            b'L' => self.path = Some(text(bytes)?),
            b'K' => self.target = Some(text(bytes)?),
            b'x' => {
                let mut rest = bytes;
                while !rest.is_empty() {
                    let (name, value);
                    (name, value, rest) = record(rest).ok_or(TarError::Damaged)?;
                    match name {
                        b"path" => self.path = Some(text(value)?),
                        b"linkpath" => self.target = Some(text(value)?),
                        b"size" => self.size = Some(decimal(value)?),
                        name if name.starts_with(b"GNU.sparse.") => {
                            return Err(TarError::Kind("a sparse file"));
                        }
                        _ => {}
                    }
                }
            }
            // Of all members: comments, mostly; what a member is, it says itself.
            _ => {}
        }
        Ok(())
    }
}

/// `LENGTH NAME=VALUE\n` and what stands behind it.
fn record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = bytes.iter().take(8).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..space]).ok()?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let inner = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = inner.iter().position(|byte| *byte == b'=')?;
    Some((&inner[..equals], &inner[equals + 1..], rest))
}

fn decimal(digits: &[u8]) -> Result<u64, TarError> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(TarError::Number);
    }
    let text = std::str::from_utf8(digits).map_err(|_| TarError::Number)?;
    text.parse().ok().filter(|number| *number <= i64::MAX.cast_unsigned()).ok_or(TarError::Number)
}

/// A number of a head: octal digits, or GNU's base 256.
fn number(field: &[u8]) -> Result<u64, TarError> {
    if let Some((first @ 0x80..=0xff, rest)) = field.split_first() {
        // Negative ones begin with 0xff.
        let mut value = u64::from(first & 0x7f);
        for byte in rest {
            if value >> 55 != 0 {
                return Err(TarError::Number);
            }
            value = value << 8 | u64::from(*byte);
        }
        return Ok(value);
    }
    let is_filler = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(is_filler).unwrap_or(digits.len());
    if !digits[end..].iter().all(is_filler) {
        return Err(TarError::Damaged);
    }
    digits[..end].iter().try_fold(0_u64, |value, digit| match digit {
        b'0'..=b'7' => Ok(value << 3 | u64::from(digit - b'0')),
        _ => Err(TarError::Damaged),
    })
}

/// The name of a head; POSIX has room for the beginning of it elsewhere.
fn name(block: &[u8]) -> Result<String, TarError> {
    let name = text(&block[..100])?;
    let is_posix = &block[257..263] == b"ustar\0";
    let before = if is_posix { text(&block[345..500])? } else { String::new() };
    Ok(if before.is_empty() { name } else { format!("{before}/{name}") })
}

/// Text up to its NUL.
fn text(bytes: &[u8]) -> Result<String, TarError> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    match std::str::from_utf8(&bytes[..end]) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(TarError::Name(shown(&String::from_utf8_lossy(&bytes[..end])))),
    }
}

fn whole(target: String) -> Result<String, TarError> {
    match target.is_empty() || target.len() > LONGEST_PATH {
        true => Err(TarError::Name(shown(&target))),
        false => Ok(target),
    }
}

/// A path below the directory; none other is taken, not even one that comes back.
fn inside(path: &str) -> Result<String, TarError> {
    if path.starts_with('/') || path.split('/').any(|part| part == "..") {
        return Err(TarError::Outside(shown(path)));
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if path.is_empty() || path.len() > LONGEST_PATH {
        return Err(TarError::Name(shown(path)));
    }
    Ok(parts.join("/"))
}

/// Whether a path stays below the directory that it begins at, written in the one way.
pub(crate) fn is_inside(path: &str) -> bool {
    inside(path).is_ok_and(|found| found == path && !found.is_empty())
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{END, head};
    use super::*;

    /// Reads an archive in pieces of a size.
    fn read(archive: &[u8], piece: usize) -> Result<Vec<(Member, Vec<u8>)>, TarError> {
        let mut reader = Reader::new();
        let mut found: Vec<(Member, Vec<u8>)> = Vec::new();
        for piece in archive.chunks(piece) {
            let mut input = Bytes::copy_from_slice(piece);
            loop {
                match reader.next(&mut input)? {
                    Step::Member(member) => found.push((member, Vec::new())),
                    Step::Other(_, what) => return Err(TarError::Kind(what)),
                    Step::Data(bytes) => found.last_mut().unwrap().1.extend_from_slice(&bytes),
                    Step::Whole => {}
                    Step::More => break,
                }
            }
            assert!(input.is_empty());
        }
        reader.finish().map(|()| found)
    }

    fn member(path: &str, kind: Kind) -> Member {
        Member { path: path.into(), kind, mode: 0o644, modified: 7 }
    }

    fn archive(members: &[(Member, Vec<u8>)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (member, data) in members {
            bytes.extend_from_slice(&head(member));
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len() + padding(data.len() as u64), 0);
        }
        bytes.extend_from_slice(&END);
        bytes
    }

    /// A head whose fields were changed, with the right sum.
    fn forged(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
        let mut block = head(&member("name", Kind::File(0)));
        change(&mut block);
        block[148..156].fill(b' ');
        let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        block.extend_from_slice(&END);
        block
    }

    fn put(at: usize, bytes: &'static [u8]) -> Vec<u8> {
        forged(|block| block[at..at + bytes.len()].copy_from_slice(bytes))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_written_is_read(
            names in prop::collection::vec("[a-zé ]{1,40}(/[a-z.-]{3,90}){0,4}", 0..6),
            size in 0_usize..2_000, piece in 1_usize..1_500, kind in 0..4,
        ) {
            let members: Vec<_> = names.iter().map(|name| {
                let kind = match kind {
                    0 => Kind::File(size as u64),
                    1 => Kind::Directory,
                    2 => Kind::Link("../".repeat(60) + name),
                    _ => Kind::Same(name.clone()),
                };
                let data = if matches!(kind, Kind::File(_)) { vec![7; size] } else { Vec::new() };
                (member(name, kind), data)
            }).collect();
            let bytes = archive(&members);
            prop_assert_eq!(read(&bytes, piece), Ok(members));
            // Cut anywhere before its end, it is no archive.
            let cut = bytes.len() * (piece % 100) / 100;
            if cut < bytes.len() - END.len() {
                prop_assert_eq!(read(&bytes[..cut], 512), Err(TarError::Truncated));
            }
        }

        /// Whatever comes is answered, and nothing that is taken leads out.
        #[test]
        fn anything_is_answered(
            mut bytes in prop::collection::vec(any::<u8>(), 0..3_000), at in 0_usize..512,
            byte in any::<u8>(),
        ) {
            let _ = read(&bytes, 700);
            bytes = forged(|block| block[at] = byte);
            if let Ok(found) = read(&bytes, 512) {
                for (member, _) in found {
                    let path = format!("/{}/", member.path);
                    prop_assert!(!member.path.starts_with('/') && !path.contains("/../"));
                }
            }
        }
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for name in ["/etc/passwd", "..", "../a", "a/../b", "a/..", "./../a"] {
            let wrong = archive(&[(member(name, Kind::Directory), Vec::new())]);
            assert_eq!(read(&wrong, 512), Err(TarError::Outside(name_of(name))), "{name}");
            let same = archive(&[(member("a", Kind::Same(name.into())), Vec::new())]);
            assert!(matches!(read(&same, 512), Err(TarError::Outside(_))), "{name}");
        }
        let odd = archive(&[(member("./a//b/./c", Kind::Directory), Vec::new())]);
        assert_eq!(read(&odd, 512).unwrap()[0].0.path, "a/b/c");
        let dots = archive(&[(member("..a/b..", Kind::Directory), Vec::new())]);
        assert_eq!(read(&dots, 512).unwrap()[0].0.path, "..a/b..");
        assert!(matches!(read(&put(0, b"\xff\xff"), 512), Err(TarError::Name(_))));
        assert!(matches!(read(&put(0, b"\0"), 512), Err(TarError::Name(_))));
        assert!(matches!(read(&put(0, b".\0"), 512), Err(TarError::Name(_))));
        let long = archive(&[(member(&"a/".repeat(3_000), Kind::Directory), Vec::new())]);
        assert!(matches!(read(&long, 512), Err(TarError::Name(_))));
    }

    /// As [`head`] writes that of a directory.
    fn name_of(path: &str) -> String {
        format!("{path}/")
    }

    #[test]
    fn what_is_no_file_and_what_lies_is_refused() {
        for (flag, what) in
            [(b'3', "a device"), (b'4', "a device"), (b'6', "a pipe"), (b'S', "a sparse file")]
        {
            assert_eq!(read(&forged(|block| block[156] = flag), 512), Err(TarError::Kind(what)));
        }
        assert!(matches!(read(&forged(|block| block[156] = b'V'), 512), Err(TarError::Kind(_))));
        assert_eq!(read(b"\x1f\x8b\x08", 512), Err(TarError::Compressed));
        assert_eq!(read(b"", 512), Err(TarError::Truncated));
        assert_eq!(read(&[b'x'; 2_048], 512), Err(TarError::Damaged));
        // Sizes: negative, larger than any file, longer than the archive.
        assert_eq!(read(&put(124, &[0xff; 12]), 512), Err(TarError::Number));
        assert_eq!(
            read(&put(124, b"\x80\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"), 512),
            Err(TarError::Number)
        );
        assert_eq!(read(&put(124, b"77777777777\0"), 512), Err(TarError::Truncated));
        assert_eq!(read(&put(124, b"0000000009z\0"), 512), Err(TarError::Damaged));
        let mut wrong_sum = head(&member("a", Kind::Directory));
        wrong_sum[0] = b'b';
        assert_eq!(read(&wrong_sum, 512), Err(TarError::Damaged));
        // Headers before a member: too large, broken, with a sparse file's map.
        let large = |block: &mut [u8]| {
            block[156] = b'x';
            block[124..136].copy_from_slice(b"00000300001\0");
        };
        assert_eq!(read(&forged(large), 512), Err(TarError::Header));
        for (records, expected) in [
            ("5 a=\n", TarError::Truncated),
            ("6 a=\n", TarError::Damaged),
            ("99999999 a=b\n", TarError::Damaged),
            ("0 a=b\n", TarError::Damaged),
            ("25 GNU.sparse.major=1000\n", TarError::Kind("a sparse file")),
            ("22 path=/etc/passwd_1\n", TarError::Outside("/etc/passwd_1".into())),
            ("20 size=99999999999\n", TarError::Truncated),
            ("11 size=-1\n", TarError::Number),
        ] {
            let mut bytes = forged(|block| {
                block[156] = b'x';
                let size = format!("{:011o}\0", records.len());
                block[124..136].copy_from_slice(size.as_bytes());
            });
            bytes.truncate(512);
            bytes.extend_from_slice(records.as_bytes());
            bytes.resize(1_024, 0);
            bytes.extend_from_slice(&head(&member("name", Kind::File(0))));
            let found = read(&bytes, 512);
            assert_eq!(found, Err(expected), "{records}");
        }
    }
}
