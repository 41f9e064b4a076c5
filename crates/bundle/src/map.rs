//! From a place in the script to the place where the user wrote it (source maps,
//! revision 3: ECMA-426).
//!
//! A map comes from a process that reads a stranger's files. Whatever is in it, looking
//! something up ends, and says a place or none.

use serde::Deserialize;

/// Where the user wrote something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place<'map> {
    /// Below the project's root.
    pub file: &'map str,
    /// From 1.
    pub line: u32,
    /// From 1, in UTF-16 units.
    pub column: u32,
    /// What it is called there, if it is called otherwise in the script.
    pub name: Option<&'map str>,
}

/// Places of a script.
#[derive(Debug, Default)]
pub struct Map {
    sources: Vec<String>,
    names: Vec<String>,
    /// In the order of the script.
    marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    line: u32,
    column: u32,
    /// Nothing stands here that anybody wrote, if it is none.
    origin: Option<Origin>,
}

#[derive(Clone, Copy, Debug)]
struct Origin {
    source: u32,
    line: u32,
    column: u32,
    name: Option<u32>,
}

/// Why something is no map.
#[derive(Debug, thiserror::Error)]
pub enum MapError {
    /// It is not the JSON of a map.
    #[error("it is not JSON of a source map")]
    Json(#[source] serde_json::Error),
    /// It is of another revision.
    #[error("it has revision {version}, and 3 is known")]
    Version {
        /// Its revision.
        version: u32,
    },
    /// The mappings are no digits of base 64, or are cut.
    #[error("its mappings are damaged")]
    Mappings,
}

#[derive(Deserialize)]
struct Text {
    version: u32,
    sources: Vec<Option<String>>,
    #[serde(default)]
    names: Vec<String>,
    mappings: String,
}

impl Map {
    /// Reads the JSON of a map.
    ///
    /// # Errors
    /// [`MapError`]
    pub fn parse(json: &str) -> Result<Self, MapError> {
        let text: Text = serde_json::from_str(json).map_err(MapError::Json)?;
        if text.version != 3 {
            return Err(MapError::Version { version: text.version });
        }
        let sources: Vec<_> = text.sources.into_iter().map(Option::unwrap_or_default).collect();
        let marks = marks(&text.mappings).ok_or(MapError::Mappings)?;
        Ok(Self { sources, names: text.names, marks })
    }

    /// Where the user wrote what stands at this place of the script; both from 1. None for
    /// what nobody wrote.
    pub fn locate(&self, line: u32, column: u32) -> Option<Place<'_>> {
        let wanted = (line.checked_sub(1)?, column.saturating_sub(1));
        let after = self.marks.partition_point(|mark| (mark.line, mark.column) <= wanted);
        let mark = self.marks[..after].last().filter(|mark| mark.line == wanted.0)?;
        let origin = mark.origin?;
        Some(Place {
            file: self.sources.get(origin.source as usize)?,
            line: origin.line.checked_add(1)?,
            column: origin.column.checked_add(1)?,
            name: origin.name.and_then(|name| self.names.get(name as usize)).map(String::as_str),
        })
    }

    /// A stack as SpiderMonkey (`name@script:1:2`) or V8 and the guest (`at name (script:1:2)`)
    /// tell it, with the user's places for those of `script`. Lines without one stay.
    pub fn rewrite(&self, stack: &str, script: &str) -> String {
        let mut text = String::with_capacity(stack.len());
        for line in stack.split_inclusive('\n') {
            match self.rewrite_line(line, script) {
                Some(line) => text.push_str(&line),
                None => text.push_str(line),
            }
        }
        text
    }

    fn rewrite_line(&self, line: &str, script: &str) -> Option<String> {
        // The last one: a name may hold what looks like a place.
        let (start, _) = line.rmatch_indices(script).find(|(start, _)| {
            let before = line[..*start].chars().next_back();
            let after = &line[start + script.len()..];
            before.is_none_or(|char| matches!(char, '@' | '(' | ' ')) && after.starts_with(':')
        })?;
        let after = &line[start + script.len() + 1..];
        let (row, after) = number(after)?;
        let (column, rest) = number(after.strip_prefix(':')?)?;
        let place = self.locate(row, column)?;
        Some(format!("{}{}:{}:{}{rest}", &line[..start], place.file, place.line, place.column))
    }
}

fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

/// Lines are parted by `;`, marks by `,`; a mark is one, four or five numbers, each but the
/// first of a line as the difference to the one before.
fn marks(mappings: &str) -> Option<Vec<Mark>> {
    let mut marks = Vec::new();
    let mut origin = [0_i64; 4];
    for (line, text) in (0_u32..).zip(mappings.split(';')) {
        let mut column = 0_i64;
        for mark in text.split(',').filter(|mark| !mark.is_empty()) {
            let mut numbers = [0_i64; 5];
            let count = digits(mark.as_bytes(), &mut numbers)?;
            column += numbers[0];
            for (sum, number) in origin.iter_mut().zip(&numbers[1..count]) {
                *sum += number;
            }
            let part = |index: usize| u32::try_from(origin[index]).ok();
            let origin = match count {
                1 => None,
                4 | 5 => Some(Origin {
                    source: part(0)?,
                    line: part(1)?,
                    column: part(2)?,
                    name: if count == 5 { Some(part(3)?) } else { None },
                }),
                _ => return None,
            };
            marks.push(Mark { line, column: u32::try_from(column).ok()?, origin });
        }
    }
    let is_sorted = marks.is_sorted_by(|a, b| (a.line, a.column) <= (b.line, b.column));
    if !is_sorted {
        marks.sort_by_key(|mark| (mark.line, mark.column));
    }
    Some(marks)
}

/// Numbers as digits of base 64: five bits each, the lowest first, the sixth says that more
/// come; the lowest bit of a number is its sign.
fn digits(text: &[u8], numbers: &mut [i64; 5]) -> Option<usize> {
    let (mut count, mut value, mut shift) = (0, 0_i64, 0);
    for byte in text {
        let digit = i64::from(match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        });
        if shift > 30 {
            return None;
        }
        value |= (digit & 31) << shift;
        shift += 5;
        if digit & 32 == 0 {
            let size = value >> 1;
            *numbers.get_mut(count)? = if value & 1 == 1 { -size } else { size };
            (count, value, shift) = (count + 1, 0, 0);
        }
    }
    (shift == 0).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(mappings: &str) -> Result<Map, MapError> {
        let json = serde_json::json!({
            "version": 3, "sources": ["src/a.ts", "src/b.ts"], "names": ["first", "second"],
            "mappings": mappings,
        });
        Map::parse(&json.to_string())
    }

    #[test]
    fn places_are_found_between_marks() {
        // Line 1: nothing; line 2: column 0 is a.ts 1:1, column 4 is a.ts 3:5 "second".
        let map = map(";AAAA,IAEIC;ACFJ").unwrap();
        let at = |line, column| {
            map.locate(line, column).map(|place| (place.file, place.line, place.column, place.name))
        };
        assert_eq!(at(1, 1), None);
        assert_eq!(at(2, 1), Some(("src/a.ts", 1, 1, None)));
        assert_eq!(at(2, 4), Some(("src/a.ts", 1, 1, None)));
        assert_eq!(at(2, 5), Some(("src/a.ts", 3, 5, Some("second"))));
        assert_eq!(at(2, 900), Some(("src/a.ts", 3, 5, Some("second"))));
        assert_eq!(at(3, 1), Some(("src/b.ts", 1, 1, None)));
        assert_eq!(at(4, 1), None);
        assert_eq!(at(0, 0), None);
    }

    #[test]
    fn stacks_of_both_kinds_are_rewritten() {
        let map = map(";AAAA,IAEIC").unwrap();
        let stack = "boom@main.ts:2:5\n@main.ts:2:1\nat x (main.ts:2:6)\n    at main.ts:2:1\nother@guest.js:2:5\nfar@main.ts:9:1\n";
        let expected = "boom@src/a.ts:3:5\n@src/a.ts:1:1\nat x (src/a.ts:3:5)\n    at src/a.ts:1:1\nother@guest.js:2:5\nfar@main.ts:9:1\n";
        assert_eq!(map.rewrite(stack, "main.ts"), expected);
        assert_eq!(map.rewrite("a@xmain.ts:2:5", "main.ts"), "a@xmain.ts:2:5");
        assert_eq!(map.rewrite("main.ts:2:5@main.ts:2:1", "main.ts"), "main.ts:2:5@src/a.ts:1:1");
        for odd in
            ["main.ts", "main.ts:", "@main.ts:x:1", "@main.ts:99999999999:1", "@main.ts:2", ""]
        {
            assert_eq!(map.rewrite(odd, "main.ts"), odd);
        }
    }

    #[test]
    fn damaged_maps_are_refused() {
        for mappings in ["A", "AAAA,", ""] {
            assert!(map(mappings).is_ok(), "{mappings}");
        }
        for mappings in ["!", "AA", "AAA", "AAAAAA", "g", "DAAA", "ADAA", "gggggggggA", "A\u{e9}"] {
            assert!(map(mappings).is_err(), "{mappings}");
        }
        // A source and a name that are not there.
        let map = map("A//AAA").ok();
        assert!(map.is_none_or(|map| map.locate(1, 1).is_none()));
        assert!(Map::parse("{}").is_err());
        assert!(Map::parse("{\"version\":2,\"sources\":[],\"mappings\":\"\"}").is_err());
    }
}
