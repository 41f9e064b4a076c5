//! Takes the memory image out of a component.
//!
//! A guest that was initialised when it was built carries its whole memory as data
//! segments of the one core module that owns the memory. Without them the code is
//! small, and the image is a file that can be mapped.
//!
//! Format: <https://webassembly.github.io/spec/core/binary/modules.html> and the
//! component model's `Binary.md`. The input is a guest that this project built; it
//! is still read as if it were hostile.

const PAGE: usize = 64 * 1024;
/// More initial memory than any guest of ours has.
const MOST_PAGES: u64 = 16 * 1024;

/// A component in two parts.
pub(crate) struct Stripped {
    /// The component without the data of its memory.
    pub(crate) component: Vec<u8>,
    /// What that memory holds at the start.
    pub(crate) image: Vec<u8>,
}

/// Why a component cannot be stripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StripError {
    /// The bytes end early, or a number or size is malformed.
    #[error("the component is malformed at byte {at}")]
    Malformed {
        /// Where.
        at: usize,
    },
    /// A segment is not of the plain kind: active, constant offset, memory 0.
    #[error("a data segment has a form that is not understood")]
    OddSegment,
    /// No core module owns a memory and has data for it.
    #[error("no core module has a memory with data")]
    NoMemory,
}

/// Takes the data segments of the first core module that owns a memory and has
/// data for it out of `component`.
pub(crate) fn strip(component: &[u8]) -> Result<Stripped, StripError> {
    let mut image = None;
    let component = strip_component(component, &mut image, 0)?;
    image.map(|image| Stripped { component, image }).ok_or(StripError::NoMemory)
}

const HEADER: usize = 8;
const CORE_MODULE: u8 = 1;
const NESTED_COMPONENT: u8 = 4;
const MEMORIES: u8 = 5;
const DATA: u8 = 11;
const DATA_COUNT: u8 = 12;

fn strip_component(
    bytes: &[u8],
    image: &mut Option<Vec<u8>>,
    depth: usize,
) -> Result<Vec<u8>, StripError> {
    if depth > 8 {
        return Err(StripError::Malformed { at: 0 });
    }
    let mut out = header(bytes)?.to_vec();
    let mut reader = Reader { bytes, at: HEADER };
    while let Some((id, body)) = reader.section()? {
        let replaced = match id {
            CORE_MODULE if image.is_none() => Some(strip_module(body, image)?),
            NESTED_COMPONENT if image.is_none() => Some(strip_component(body, image, depth + 1)?),
            _ => None,
        };
        write_section(&mut out, id, replaced.as_deref().unwrap_or(body));
    }
    Ok(out)
}

fn strip_module(bytes: &[u8], image: &mut Option<Vec<u8>>) -> Result<Vec<u8>, StripError> {
    let mut memory = None;
    let mut reader = Reader { bytes, at: HEADER };
    while let Some((id, body)) = reader.section()? {
        match (id, &mut memory) {
            (MEMORIES, _) => memory = initial_memory(body)?,
            (DATA, Some(memory)) => {
                fill(memory, body)?;
                *image = Some(std::mem::take(memory));
            }
            _ => {}
        }
    }
    if image.is_none() {
        return Ok(bytes.to_vec());
    }
    let mut out = header(bytes)?.to_vec();
    let mut reader = Reader { bytes, at: HEADER };
    while let Some((id, body)) = reader.section()? {
        if !matches!(id, DATA | DATA_COUNT) {
            write_section(&mut out, id, body);
        }
    }
    Ok(out)
}

fn initial_memory(body: &[u8]) -> Result<Option<Vec<u8>>, StripError> {
    let mut reader = Reader { bytes: body, at: 0 };
    if reader.number()? == 0 {
        return Ok(None);
    }
    let _flags = reader.byte()?;
    let pages = reader.number()?;
    if pages > MOST_PAGES {
        return Err(reader.malformed());
    }
    Ok(Some(vec![0; pages as usize * PAGE]))
}

fn fill(memory: &mut [u8], body: &[u8]) -> Result<(), StripError> {
    const ACTIVE: u64 = 0;
    const I32_CONST: u8 = 0x41;
    const END: u8 = 0x0b;
    let mut reader = Reader { bytes: body, at: 0 };
    for _ in 0..reader.number()? {
        if reader.number()? != ACTIVE || reader.byte()? != I32_CONST {
            return Err(StripError::OddSegment);
        }
        let offset = reader.signed_32()? as u32 as usize;
        if reader.byte()? != END {
            return Err(StripError::OddSegment);
        }
        let length = reader.number()? as usize;
        let data = reader.take(length)?;
        let end = offset.checked_add(length).ok_or_else(|| reader.malformed())?;
        memory.get_mut(offset..end).ok_or_else(|| reader.malformed())?.copy_from_slice(data);
    }
    Ok(())
}

fn header(bytes: &[u8]) -> Result<&[u8], StripError> {
    bytes.get(..HEADER).ok_or(StripError::Malformed { at: 0 })
}

fn write_section(out: &mut Vec<u8>, id: u8, body: &[u8]) {
    out.push(id);
    let mut length = body.len();
    loop {
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        out.push(if length == 0 { byte } else { byte | 0x80 });
        if length == 0 {
            break;
        }
    }
    out.extend_from_slice(body);
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn malformed(&self) -> StripError {
        StripError::Malformed { at: self.at }
    }

    fn byte(&mut self) -> Result<u8, StripError> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.malformed())?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], StripError> {
        let end = self.at.checked_add(length).ok_or_else(|| self.malformed())?;
        let taken = self.bytes.get(self.at..end).ok_or_else(|| self.malformed())?;
        self.at = end;
        Ok(taken)
    }

    /// The next section, or none at the end.
    fn section(&mut self) -> Result<Option<(u8, &'a [u8])>, StripError> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        let id = self.byte()?;
        let length = self.number()? as usize;
        Ok(Some((id, self.take(length)?)))
    }

    /// Unsigned LEB128.
    fn number(&mut self) -> Result<u64, StripError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.malformed())
    }

    /// Signed LEB128 of at most 32 bits.
    fn signed_32(&mut self) -> Result<i32, StripError> {
        let mut value: i64 = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            value |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte & 0x40 != 0 {
                    value |= -1 << (shift + 7);
                }
                return Ok(value as i32);
            }
        }
        Err(self.malformed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn module(data: &[u8]) -> Vec<u8> {
        let mut out = b"\0asm\x01\0\0\0".to_vec();
        write_section(&mut out, MEMORIES, &[1, 0, 1]);
        let mut segment = vec![1, 0, 0x41, 0x80, 0x01, 0x0b, data.len() as u8];
        segment.extend_from_slice(data);
        write_section(&mut out, DATA_COUNT, &[1]);
        write_section(&mut out, DATA, &segment);
        out
    }

    fn component(module: &[u8]) -> Vec<u8> {
        let mut out = b"\0asm\x0d\0\x01\0".to_vec();
        write_section(&mut out, CORE_MODULE, module);
        out
    }

    #[test]
    fn the_data_moves_into_the_image() {
        let stripped = strip(&component(&module(b"hello"))).unwrap();
        assert_eq!(stripped.image.len(), PAGE);
        assert_eq!(&stripped.image[128..133], b"hello");
        assert!(stripped.image[..128].iter().all(|byte| *byte == 0));
        let mut bare = b"\0asm\x01\0\0\0".to_vec();
        write_section(&mut bare, MEMORIES, &[1, 0, 1]);
        assert_eq!(stripped.component, component(&bare));
    }

    #[test]
    fn a_component_without_memory_is_refused() {
        assert_eq!(strip(b"\0asm\x0d\0\x01\0").err(), Some(StripError::NoMemory));
    }

    #[test]
    fn data_outside_the_memory_is_refused() {
        let mut bytes = module(b"x");
        let last = bytes.len() - 6;
        bytes.splice(last..last + 2, [0xff, 0xff, 0xff, 0x0f]);
        assert!(strip(&component(&bytes)).is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = strip(&bytes);
            bytes.splice(0..0, *b"\0asm\x0d\0\x01\0\x01\x40");
            let _ = strip(&bytes);
        }
    }
}
