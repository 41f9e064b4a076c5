//! Archives and images that somebody hostile made, and those that nobody did.

mod hostile;
mod images;
mod once;
mod whiteouts;

use std::path::Path;

use super::error::RootError;
use super::unpack::{Bounds, Layer, Unpacker};
use crate::tar::{END, Kind, Member, head, padding};

/// A member, and its bytes.
fn member(path: &str, kind: Kind, mode: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = head(&Member { path: path.into(), kind, mode, modified: 1_000_000_007 });
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len() + padding(data.len() as u64), 0);
    bytes
}

fn file(path: &str, data: &str) -> Vec<u8> {
    member(path, Kind::File(data.len() as u64), 0o644, data.as_bytes())
}

fn directory(path: &str) -> Vec<u8> {
    member(path, Kind::Directory, 0o755, b"")
}

fn link(path: &str, target: &str) -> Vec<u8> {
    member(path, Kind::Link(target.into()), 0o777, b"")
}

fn same(path: &str, other: &str) -> Vec<u8> {
    member(path, Kind::Same(other.into()), 0o644, b"")
}

/// A member whose head was changed, with the right sum.
fn forged(path: &str, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut block = file(path, "");
    change(&mut block);
    block[148..156].fill(b' ');
    let sum: u32 = block[..512].iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.extend_from_slice(&END);
    bytes
}

/// Unpacks layers over each other into a folder.
fn unpack(
    folder: &Path,
    layers: &[Vec<u8>],
    layer: Layer,
    bounds: Bounds,
) -> Result<(), RootError> {
    let mut unpacker = Unpacker::new(folder, bounds)?;
    layers.iter().try_for_each(|bytes| unpacker.layer(&mut bytes.as_slice(), layer, &mut |_| {}))
}

/// All that a folder holds, in order: `a/`, `a/b=text`, `c>target`.
fn listing(folder: &Path) -> Vec<String> {
    fn walk(folder: &Path, above: &str, all: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{above}{}", entry.file_name().to_str().unwrap());
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                all.push(format!("{path}/"));
                walk(&entry.path(), &format!("{path}/"), all);
            } else if kind.is_symlink() {
                let target = std::fs::read_link(entry.path()).unwrap();
                all.push(format!("{path}>{}", target.display()));
            } else {
                let bytes = std::fs::read(entry.path()).unwrap();
                all.push(format!("{path}={}", String::from_utf8_lossy(&bytes)));
            }
        }
    }
    let mut all = Vec::new();
    walk(folder, "", &mut all);
    all.sort();
    all
}
