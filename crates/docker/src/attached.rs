//! What an engine makes of a container's output for whoever is attached: pieces with a head each
//! (Docker Engine API, "Attach to a container", stream format).

use std::io;

use capsule_jail::resident::Unwrap;

/// Kind, three zeros, length.
const HEAD: usize = 8;
const STDOUT: u8 = 1;

/// Takes the pieces of standard output out of a stream, wherever it is cut.
pub(crate) fn unwrap() -> Unwrap {
    let mut head = Vec::with_capacity(HEAD);
    let (mut left, mut is_output) = (0, false);
    Box::new(move |mut bytes, out| {
        while !bytes.is_empty() {
            if left == 0 {
                let missing = HEAD - head.len();
                let piece = &bytes[..bytes.len().min(missing)];
                head.extend_from_slice(piece);
                bytes = &bytes[piece.len()..];
                let [kind, 0, 0, 0, length @ ..] = &head[..] else {
                    if head.len() < HEAD && head.iter().skip(1).take(3).all(|byte| *byte == 0) {
                        continue;
                    }
                    return Err(io::ErrorKind::InvalidData.into());
                };
                let Ok(length) = <[u8; 4]>::try_from(length) else { continue };
                left = u32::from_be_bytes(length) as usize;
                is_output = *kind == STDOUT;
                head.clear();
            } else {
                let piece = &bytes[..bytes.len().min(left)];
                if is_output {
                    out.extend_from_slice(piece);
                }
                left -= piece.len();
                bytes = &bytes[piece.len()..];
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(kind: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
        [&[kind, 0, 0, 0][..], &length, bytes].concat()
    }

    #[test]
    fn pieces_are_found_wherever_they_are_cut() {
        let stream =
            [piece(1, b"one "), piece(2, b"error"), piece(1, b""), piece(1, b"two")].concat();
        for cut in 1..stream.len() {
            let (mut unwrap, mut out) = (unwrap(), Vec::new());
            for part in stream.chunks(cut) {
                unwrap(part, &mut out).unwrap();
            }
            assert_eq!(out, b"one two", "{cut}");
        }
    }

    #[test]
    fn what_is_no_head_ends_it() {
        for cut in [1, 3, 100] {
            let (mut unwrap, mut out) = (unwrap(), Vec::new());
            let broken =
                b"HTTP/1.1 400 Bad".chunks(cut).any(|part| unwrap(part, &mut out).is_err());
            assert!(broken && out.is_empty(), "{cut}");
        }
    }
}
