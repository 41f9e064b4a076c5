//! Makes the objects of a Python image last for ever.
//!
//! The image holds a list of them (`guests/python/guest/lasting.py`): a mark, how many, and
//! the address of each and of its type. What has that type in the image, and a count of
//! references that can be one, gets the count of immortal objects, which the interpreter
//! never changes (PEP 683). The list itself is wiped out.

use anyhow::ensure;
use wasmparser::{DataKind, Operator, Parser, Payload};

const MARK: &[u8; 32] = b"capsule: objects of the image!\n\n";
/// Of immortal objects where pointers have 32 bits: 5 << 28.
const IMMORTAL: u32 = 5 << 28;
/// An object has fewer references. What is freed has a pointer there, or nothing.
const MOST_REFERENCES: u32 = 1 << 16;

/// Changes the data of `component`, where it holds such a list: how many objects last.
pub(crate) fn make(component: &mut [u8]) -> anyhow::Result<Option<usize>> {
    let images = Image::all(component)?;
    let found = images.iter().find_map(|image| Some((image, image.find(component, MARK)?)));
    let Some((image, start)) = found else { return Ok(None) };
    let list = start + MARK.len() as u32;
    let count = image.word(component, list);
    ensure!(count < 1 << 20, "a list of {count} objects");
    let end = list + 4 + count * 8;
    let mut made = 0;
    for at in (list + 4..end).step_by(8) {
        let (object, kind) = (image.word(component, at), image.word(component, at + 4));
        let references = image.word(component, object);
        let is_there = image.word(component, object + 4) == kind && kind != 0;
        if is_there && (1..MOST_REFERENCES).contains(&references) {
            made += usize::from(image.set(component, object, IMMORTAL));
        }
    }
    for at in (start..end).step_by(4) {
        image.set(component, at, 0);
    }
    ensure!(image.find(component, MARK).is_none(), "two lists");
    Ok(Some(made))
}

/// Where the bytes of a memory stand in a component.
struct Image {
    /// Address, place in the file, length; in order.
    segments: Vec<(u32, usize, usize)>,
}

impl Image {
    /// Those of all modules in it.
    fn all(component: &[u8]) -> anyhow::Result<Vec<Self>> {
        let mut images = Vec::new();
        for payload in Parser::new(0).parse_all(component) {
            let Payload::DataSection(section) = payload? else { continue };
            let mut segments = Vec::new();
            for data in section {
                let data = data?;
                let DataKind::Active { offset_expr, .. } = data.kind else { continue };
                let Operator::I32Const { value } = offset_expr.get_operators_reader().read()?
                else {
                    continue;
                };
                let place = data.range.end - data.data.len();
                segments.push((value.cast_unsigned(), place, data.data.len()));
            }
            segments.sort_unstable();
            images.push(Self { segments });
        }
        Ok(images)
    }

    fn find(&self, component: &[u8], text: &[u8]) -> Option<u32> {
        self.segments.iter().find_map(|(address, place, length)| {
            let data = &component[*place..place + length];
            let at = data.windows(text.len()).position(|window| window == text)?;
            Some(address + at as u32)
        })
    }

    /// Where a byte stands; none if it is zero and nowhere.
    fn place(&self, address: u32) -> Option<usize> {
        let next = self.segments.partition_point(|(start, ..)| *start <= address);
        let (start, place, length) = self.segments.get(next.checked_sub(1)?)?;
        let within = (address - start) as usize;
        (within < *length).then(|| place + within)
    }

    fn word(&self, component: &[u8], address: u32) -> u32 {
        let byte = |offset| {
            let place = address.checked_add(offset).and_then(|address| self.place(address));
            place.map_or(0, |place| component[place])
        };
        u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
    }

    /// False if a part of it stands nowhere, and would have to.
    fn set(&self, component: &mut [u8], address: u32, word: u32) -> bool {
        let bytes = word.to_le_bytes();
        let places = [0, 1, 2, 3].map(|offset| self.place(address + offset));
        if bytes.iter().zip(places).any(|(byte, place)| *byte != 0 && place.is_none()) {
            return false;
        }
        for (byte, place) in bytes.into_iter().zip(places) {
            if let Some(place) = place {
                component[place] = byte;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component whose memory holds these words, from address 64 on.
    fn component(words: &[u32]) -> Vec<u8> {
        let data: String = words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .map(|byte| format!("\\{byte:02x}"))
            .collect();
        let text = format!(
            "(component
                (core module (memory 1) (data (i32.const 64) \"elsewhere\"))
                (core module (memory 1) (data (i32.const 64) \"{data}\")))"
        );
        wat::parse_str(&text).unwrap()
    }

    fn list(entries: &[u32]) -> Vec<u32> {
        let mark = MARK.chunks(4).map(|word| u32::from_le_bytes(word.try_into().unwrap()));
        mark.chain([entries.len() as u32 / 2]).chain(entries.iter().copied()).collect()
    }

    #[test]
    fn what_is_an_object_lasts_and_the_list_is_gone() {
        // Counts and types of five: one lives, one is immortal, one is free, one is another.
        let objects = [3, 0x500, IMMORTAL, 0x500, 0, 0x500, 0x9_0000, 0x500, 2, 0x600];
        let entries: Vec<u32> = (0..5)
            .flat_map(|number| [64 + 8 * number, 0x500])
            .chain([0xffff_fff0, 0x500])
            .collect();
        let mut component = component(&[&objects[..], &list(&entries)].concat());
        assert_eq!(make(&mut component).unwrap(), Some(1));
        let images = Image::all(&component).unwrap();
        let word = |at: u32| images[1].word(&component, 64 + 4 * at);
        assert_eq!(word(0), IMMORTAL);
        for at in 1..10 {
            assert_eq!(word(at), objects[at as usize], "{at}");
        }
        assert!((10..10 + 9 + 12).all(|at| word(at) == 0));
        assert_eq!(make(&mut component).unwrap(), None);
    }

    #[test]
    fn nonsense_is_an_error() {
        let mut list = list(&[]);
        *list.last_mut().unwrap() = u32::MAX;
        assert!(make(&mut component(&list)).is_err());
        assert!(make(&mut b"nonsense".to_vec()).is_err());
    }
}
