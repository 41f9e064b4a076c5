//! Tables: aligned, and coloured only where that says something to somebody.

use std::io::IsTerminal;

/// Rows below a head. What is in a cell is harmless already.
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table; its head stands there even if nothing else does.
    pub(crate) fn text(&self) -> String {
        self.drawn(has_colour())
    }

    fn drawn(&self, has_colour: bool) -> String {
        let head: Vec<String> = self.head.iter().map(|name| (*name).to_owned()).collect();
        let all = || std::iter::once(&head).chain(&self.rows);
        let width = |column: usize| {
            all().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
        };
        let widths: Vec<usize> =
            (0..head.len()).map(|column| width(column).unwrap_or_default()).collect();
        let mut text = String::new();
        for row in all() {
            let mut line = String::new();
            for ((cell, width), name) in row.iter().zip(&widths).zip(&self.head) {
                let padding = " ".repeat(width.saturating_sub(cell.chars().count()) + 2);
                match colour(name, cell).filter(|_| has_colour) {
                    Some(code) => line += &format!("\x1b[{code}m{cell}\x1b[0m{padding}"),
                    None => line += &format!("{cell}{padding}"),
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Names and values, one below the other.
pub(crate) fn facts(facts: &[(&str, String)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let shown = facts.iter().filter(|(_, value)| !value.is_empty());
    shown.map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

/// Whether standard output is a terminal that may be coloured (no-color.org).
fn has_colour() -> bool {
    std::io::stdout().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}

/// States, and exit codes that are not 0.
fn colour(column: &str, cell: &str) -> Option<u8> {
    match (column, cell) {
        ("STATE", "ready") => Some(32),
        ("STATE", "paused" | "creating") => Some(33),
        ("STATE", "expiring" | "ending") => Some(31),
        ("EXIT", code) if code != "0" && code != "EXIT" => Some(31),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_colour_takes_no_room() {
        let mut table = Table::new(&["ID", "STATE", "NAME"]);
        table.row(vec!["a".into(), "ready".into(), "é".into()]);
        table.row(vec!["longer".into(), "ending".into(), String::new()]);
        assert_eq!(table.drawn(false), "ID      STATE   NAME\na       ready   é\nlonger  ending\n");
        let coloured = "a       \x1b[32mready\x1b[0m   é\n";
        assert!(table.drawn(true).contains(coloured), "{:?}", table.drawn(true));
    }
}
