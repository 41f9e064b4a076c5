//! Heads of members.

use super::{BLOCK, Kind, Member, PERMISSIONS};

/// What an archive ends with.
pub(crate) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// Largest number in the twelve bytes of a size or time: eleven octal digits.
const LARGEST: u64 = 0o777_7777_7777;
/// Bytes of a name in a head.
const NAME: usize = 100;

/// Zeroes between the end of a file and the next head.
pub(crate) fn padding(size: u64) -> usize {
    (BLOCK - (size % BLOCK as u64) as usize) % BLOCK
}

/// What stands before a member's bytes. What the old layout has no room for stands in a
/// member of its own before it (pax).
pub(crate) fn head(member: &Member) -> Vec<u8> {
    let mut path = member.path.clone();
    let (flag, size, target) = match &member.kind {
        Kind::File(size) => (b'0', *size, ""),
        Kind::Directory => {
            path.push('/');
            (b'5', 0, "")
        }
        Kind::Link(target) => (b'2', 0, target.as_str()),
        Kind::Same(target) => (b'1', 0, target.as_str()),
    };
    let mut records = Vec::new();
    for (name, value) in [("path", path.as_str()), ("linkpath", target)] {
        if value.len() > NAME {
            record(&mut records, name, value);
        }
    }
    if size > LARGEST {
        record(&mut records, "size", &size.to_string());
    }
    let mut bytes = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let length = records.len() as u64;
        bytes.extend_from_slice(&block("pax", "", b'x', length, 0o644, 0));
        bytes.append(&mut records);
        bytes.resize(bytes.len() + padding(length), 0);
    }
    let modified = member.modified.min(LARGEST);
    bytes.extend_from_slice(&block(&path, target, flag, size, member.mode & PERMISSIONS, modified));
    bytes
}

/// `LENGTH NAME=VALUE\n`, where the length counts itself.
fn record(records: &mut Vec<u8>, name: &str, value: &str) {
    let rest = name.len() + value.len() + 3;
    let digits = |number: usize| number.to_string().len();
    let mut length = rest + digits(rest);
    length = rest + digits(length);
    records.extend_from_slice(format!("{length} {name}={value}\n").as_bytes());
}

fn block(path: &str, target: &str, flag: u8, size: u64, mode: u32, modified: u64) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    let cut = |text: &str| text.as_bytes()[..text.len().min(NAME)].to_vec();
    put(0, &cut(path));
    put(100, format!("{mode:07o}\0").as_bytes());
    // Owners are those of whoever unpacks.
    put(108, b"0000000\x000000000\0");
    put(124, format!("{:011o}\0", size.min(LARGEST)).as_bytes());
    put(136, format!("{modified:011o}\0").as_bytes());
    put(148, b"        ");
    put(156, &[flag]);
    put(157, &cut(target));
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_itself() {
        for length in [1, 80, 85, 86, 87, 88, 89, 90, 980, 985, 990, 995, 1000, 4000] {
            let mut records = Vec::new();
            record(&mut records, "path", &"x".repeat(length));
            let text = String::from_utf8(records).unwrap();
            let told: usize = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(told, text.len(), "{length}");
        }
    }

    #[test]
    fn set_id_bits_do_not_cross() {
        let kind = Kind::File(0);
        let head = head(&Member { path: "su".into(), kind, mode: 0o6755, modified: 0 });
        assert_eq!(&head[100..107], b"0000755");
    }
}
