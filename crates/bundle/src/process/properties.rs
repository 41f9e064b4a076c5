//! `\p{…}` in regular expressions, written out.
//!
//! The guest's engine carries no tables of Unicode, so a literal with a property is a syntax
//! error there. The tables are here: `\p{Lu}` becomes the characters that it stands for.
//!
//! Not reached: patterns that a program puts together at run time from its own text, and
//! properties of strings (`\p{RGI_Emoji}`), which stay as they are.

use std::collections::HashMap;

use oxc::allocator::Allocator;
use oxc::ast::ast::{RegExpFlags, RegExpLiteral};
use oxc::ast_visit::VisitMut;
use regex_syntax::hir::{Class, HirKind};

/// What all patterns of a module may grow by: a class of letters is 8 KiB.
const MOST_GROWTH: usize = 4 << 20;

/// Whether there may be something to write out.
pub(super) fn may_have(source: &str) -> bool {
    source.contains("\\p{") || source.contains("\\P{")
}

/// Writes out the properties in the literals of a program.
pub(super) struct Properties<'a> {
    pub(super) allocator: &'a Allocator,
    known: HashMap<String, Option<Ranges>>,
    grown: usize,
}

/// First and last character of each.
type Ranges = Vec<(u32, u32)>;

impl<'a> Properties<'a> {
    pub(super) fn new(allocator: &'a Allocator) -> Self {
        Self { allocator, known: HashMap::new(), grown: 0 }
    }

    /// A pattern without properties; None if it has none, or one that is not known.
    fn write_out(&mut self, pattern: &str, has_sets: bool) -> Option<String> {
        let mut text = String::with_capacity(pattern.len());
        let mut rest = pattern;
        // How many `[` are open: with the flag v, one may stand in another.
        let mut depth = 0_usize;
        let mut is_changed = false;
        while let Some(char) = rest.chars().next() {
            let next = rest[char.len_utf8()..].chars().next();
            match (char, next) {
                ('\\', Some(sign @ ('p' | 'P'))) if rest[2..].starts_with('{') => {
                    let end = rest.find('}')?;
                    let ranges = self.ranges(&rest[3..end])?;
                    let is_bare = depth == 0 || has_sets;
                    put(&mut text, &ranges, sign == 'P', is_bare);
                    if self.grown + text.len() > MOST_GROWTH {
                        self.grown = MOST_GROWTH;
                        return None;
                    }
                    is_changed = true;
                    rest = &rest[end + 1..];
                    continue;
                }
                ('\\', Some(next)) => {
                    text.push(char);
                    text.push(next);
                    rest = &rest[1 + next.len_utf8()..];
                    continue;
                }
                ('[', _) if depth == 0 || has_sets => depth += 1,
                (']', _) => depth = depth.saturating_sub(1),
                _ => {}
            }
            text.push(char);
            rest = &rest[char.len_utf8()..];
        }
        if !is_changed {
            return None;
        }
        self.grown += text.len();
        Some(text)
    }

    fn ranges(&mut self, name: &str) -> Option<Ranges> {
        if self.known.len() > 1000 {
            return None;
        }
        self.known.entry(name.to_owned()).or_insert_with(|| ranges(name)).clone()
    }
}

impl<'a> VisitMut<'a> for Properties<'a> {
    fn visit_reg_exp_literal(&mut self, literal: &mut RegExpLiteral<'a>) {
        let flags = literal.regex.flags;
        let has_sets = flags.contains(RegExpFlags::V);
        // Without either flag `\p` is a p.
        if !has_sets && !flags.contains(RegExpFlags::U) {
            return;
        }
        if let Some(text) = self.write_out(&literal.regex.pattern.text, has_sets) {
            literal.regex.pattern.text = self.allocator.alloc_str(&text).into();
            literal.regex.pattern.pattern = None;
            literal.raw = None;
        }
    }
}

/// The characters of a property.
fn ranges(name: &str) -> Option<Ranges> {
    let is_name = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '=');
    if name.is_empty() || name.len() > 60 || !name.chars().all(is_name) {
        return None;
    }
    let parsed = regex_syntax::parse(&format!("\\p{{{name}}}")).ok()?;
    match parsed.kind() {
        HirKind::Class(Class::Unicode(class)) => {
            let pair = |range: &regex_syntax::hir::ClassUnicodeRange| {
                (u32::from(range.start()), u32::from(range.end()))
            };
            Some(class.iter().map(pair).collect())
        }
        // A property of one character.
        HirKind::Literal(literal) => {
            let char = std::str::from_utf8(&literal.0).ok()?.chars().next()?;
            Some(vec![(char.into(), char.into())])
        }
        _ => None,
    }
}

/// Writes characters as a class of their own (`is_bare`), or as a part of one.
fn put(text: &mut String, ranges: &Ranges, is_negated: bool, is_bare: bool) {
    if is_bare {
        text.push_str(if is_negated { "[^" } else { "[" });
        ranges.iter().for_each(|range| put_range(text, *range));
        text.push(']');
    } else if is_negated {
        others(ranges).into_iter().for_each(|range| put_range(text, range));
    } else {
        ranges.iter().for_each(|range| put_range(text, *range));
    }
}

/// All others, halves of pairs included: they are characters of JavaScript.
fn others(ranges: &Ranges) -> Ranges {
    let mut others = Vec::with_capacity(ranges.len() + 1);
    let mut next = 0;
    for (first, last) in ranges {
        if *first > next {
            others.push((next, first - 1));
        }
        next = last + 1;
    }
    if next <= 0x10_ffff {
        others.push((next, 0x10_ffff));
    }
    others
}

fn put_range(text: &mut String, (first, last): (u32, u32)) {
    put_char(text, first);
    if last > first {
        text.push('-');
        put_char(text, last);
    }
}

fn put_char(text: &mut String, char: u32) {
    use std::fmt::Write;
    let written = match char {
        0..=0xffff => write!(text, "\\u{char:04x}"),
        _ => write!(text, "\\u{{{char:x}}}"),
    };
    written.expect("text takes all");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(pattern: &str, has_sets: bool) -> Option<String> {
        Properties::new(&Allocator::default()).write_out(pattern, has_sets)
    }

    #[test]
    fn properties_are_written_out() {
        let of = |pattern: &str| written(pattern, false).unwrap();
        assert_eq!(of(r"a\p{ASCII}b"), r"a[\u0000-\u007f]b");
        assert_eq!(of(r"\P{ASCII}"), r"[^\u0000-\u007f]");
        assert_eq!(of(r"[\p{ASCII}x]"), r"[\u0000-\u007fx]");
        assert_eq!(of(r"[^\P{ASCII}]"), r"[^\u0080-\u{10ffff}]");
        assert_eq!(of(r"[[\p{ASCII}]\p{ASCII}"), r"[[\u0000-\u007f][\u0000-\u007f]");
        assert_eq!(written(r"[\p{ASCII}--[a]]", true).unwrap(), r"[[\u0000-\u007f]--[a]]");
        for name in [
            "L",
            "Lu",
            "Letter",
            "Script=Greek",
            "sc=Han",
            "scx=Latin",
            "gc=Nd",
            "Emoji",
            "Alphabetic",
            "ID_Start",
            "White_Space",
            "Extended_Pictographic",
            "Any",
            "Zs",
            "P",
            "S",
        ] {
            assert!(written(&format!("\\p{{{name}}}"), false).is_some(), "{name}");
        }
    }

    #[test]
    fn all_the_rest_stays() {
        for pattern in [
            r"abc",
            r"\\p{L}",
            r"p{L}",
            r"\p{NotThere}",
            r"\p{L",
            r"\p{}",
            r"\p{RGI_Emoji}",
            r"\",
            r"[\]p{L}]",
        ] {
            assert_eq!(written(pattern, false), None, "{pattern}");
        }
        let many = r"\p{L}".repeat(100_000);
        assert_eq!(written(&many, false), None);
    }
}
