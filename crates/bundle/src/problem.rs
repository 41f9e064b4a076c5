//! What is wrong with a project's source, as people read it: the place, the lines around
//! it, a sentence.
//!
//! All of it was written by whoever wrote the project, and is shown on a terminal: what
//! could steer one is made visible instead.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A problem at a place of the project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// What is wrong; one sentence, lower case.
    pub message: String,
    /// Below the project's root; empty if it is about no file.
    pub file: String,
    /// From 1; 0 if it is about the whole file.
    pub line: u32,
    /// From 1, in UTF-16 units as JavaScript counts.
    pub column: u32,
    /// The line with its neighbours and a mark below it; empty if there is none.
    pub frame: String,
    /// What to do about it, if something is known.
    pub hint: String,
}

impl Problem {
    /// A problem of a whole file, or of none.
    pub fn of(file: &str, message: &str) -> Self {
        Self {
            message: visible(message, MOST_MESSAGE),
            file: visible(file, MOST_MESSAGE),
            line: 0,
            column: 0,
            frame: String::new(),
            hint: String::new(),
        }
    }

    /// A problem at a line (from 1) and column (from 0, in UTF-16 units) of a source.
    pub fn at(file: &str, message: &str, source: &str, line: usize, column: usize) -> Self {
        Self {
            line: u32::try_from(line).unwrap_or(u32::MAX),
            column: u32::try_from(column + 1).unwrap_or(u32::MAX),
            frame: frame(source, line, column),
            ..Self::of(file, message)
        }
    }

    /// A problem at a byte of a source.
    pub fn at_offset(file: &str, message: &str, source: &str, offset: u32) -> Self {
        let mut offset = (offset as usize).min(source.len());
        while !source.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &source[..offset];
        let start = before.rfind('\n').map_or(0, |index| index + 1);
        let line = before.matches('\n').count() + 1;
        Self::at(file, message, source, line, before[start..].encode_utf16().count())
    }

    /// The same without what could steer a terminal, for one that came from elsewhere.
    pub(crate) fn tamed(mut self) -> Self {
        for text in [&mut self.message, &mut self.file, &mut self.frame, &mut self.hint] {
            *text = visible(text, MOST_MESSAGE);
        }
        self
    }

    /// The same with a word on what to do about it.
    #[must_use]
    pub fn hinted(mut self, hint: Option<&str>) -> Self {
        self.hint = hint.unwrap_or_default().to_owned();
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.file.as_str(), self.line) {
            ("", _) => write!(formatter, "{}", self.message)?,
            (file, 0) => write!(formatter, "{file}: {}", self.message)?,
            (file, line) => write!(formatter, "{file}:{line}:{}: {}", self.column, self.message)?,
        }
        if !self.frame.is_empty() {
            write!(formatter, "\n{}", self.frame)?;
        }
        Ok(())
    }
}

const MOST_MESSAGE: usize = 1000;
/// Characters of a line that are shown; of a longer one, those around the mark.
const WIDTH: usize = 100;

/// The line, the one before and the one after.
fn frame(source: &str, line: usize, column: usize) -> String {
    let first = line.saturating_sub(1).max(1);
    let digits = (line + 1).to_string().len();
    let mut frame = Vec::new();
    for (number, text) in (1..).zip(source.lines()).skip(first - 1).take(line + 2 - first) {
        let (start, shown) = window(text, column);
        let is_it = number == line;
        let sign = if is_it { '>' } else { ' ' };
        frame.push(format!("{sign} {number:>digits$} | {shown}").trim_end().to_owned());
        if is_it {
            let before = characters(text, column);
            let space: String = visible_width(text, start, before);
            frame.push(format!("  {:>digits$} | {space}^", ""));
        }
    }
    frame.join("\n")
}

/// The part of a line that is shown, and where it begins, in characters.
fn window(text: &str, column: usize) -> (usize, String) {
    if text.chars().nth(WIDTH).is_none() {
        return (0, visible(text, WIDTH));
    }
    let start = characters(text, column).saturating_sub(WIDTH / 2);
    (start, visible(&text.chars().skip(start).take(WIDTH).collect::<String>(), WIDTH))
}

/// Characters in as many UTF-16 units.
fn characters(text: &str, units: usize) -> usize {
    let mut left = units;
    text.chars()
        .take_while(|char| {
            let is_before = left >= char.len_utf16();
            left = left.saturating_sub(char.len_utf16());
            is_before
        })
        .count()
}

fn visible_width(text: &str, start: usize, end: usize) -> String {
    let chars = text.chars().skip(start).take(end.saturating_sub(start).min(WIDTH));
    chars.map(|char| if char == '\t' { '\t' } else { ' ' }).collect()
}

/// Text without characters that a terminal obeys, and not longer than `most`.
pub fn visible(text: &str, most: usize) -> String {
    let steers = |char: char| {
        (char.is_control() && char != '\t' && char != '\n')
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let mut shown: String =
        text.chars().take(most).map(|char| if steers(char) { '\u{fffd}' } else { char }).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_shows_the_line_and_its_neighbours() {
        let source = "const a = 1;\nconst b = ;\nconst c = 3;\nconst d = 4;\n";
        let problem = Problem::at("src/main.ts", "an expression is expected", source, 2, 10);
        let expected = "src/main.ts:2:11: an expression is expected\n  \
                        1 | const a = 1;\n> 2 | const b = ;\n    |           ^\n  3 | const c = 3;";
        assert_eq!(problem.to_string(), expected);
        assert_eq!(
            Problem::at_offset("src/main.ts", "an expression is expected", source, 23),
            problem
        );
    }

    #[test]
    fn columns_are_those_of_javascript() {
        let source = "\"😀\" ;;!";
        let problem = Problem::at_offset("a.ts", "no", source, 9);
        assert_eq!((problem.line, problem.column), (1, 8));
        assert_eq!(problem.frame, "> 1 | \"😀\" ;;!\n    |       ^");
    }

    #[test]
    fn a_line_without_end_is_cut_around_the_mark() {
        let source = format!("{}!{}", "a".repeat(100_000), "b".repeat(100_000));
        let problem = Problem::at_offset("a.js", "no", &source, 100_000);
        assert_eq!(problem.frame.lines().count(), 2);
        assert!(problem.frame.contains("a!b"), "{}", problem.frame);
        assert!(problem.frame.len() < 300);
        let mark = problem.frame.lines().nth(1).unwrap().chars().count();
        let line: Vec<char> = problem.frame.lines().next().unwrap().chars().collect();
        assert_eq!(line[mark - 1], '!');
    }

    #[test]
    fn what_steers_a_terminal_is_made_visible() {
        let problem = Problem::at("a\u{1b}.ts", "\u{1b}[2J\u{202e}", "\u{1b}]0;x\u{7}", 1, 0);
        let shown = problem.to_string();
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
    }

    #[test]
    fn places_that_are_not_there_are_no_panic() {
        for (line, column) in [(0, 0), (1, 500), (9, 9), (usize::MAX / 2, 3)] {
            Problem::at("a", "b", "é\n😀", line, column);
        }
        for offset in 0..20 {
            Problem::at_offset("a", "b", "é\n😀", offset);
        }
    }
}
