//! What programs are written in: told by the name of the entry.

use std::path::Path;

/// A language of programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// Python.
    Python,
    /// JavaScript and TypeScript.
    JavaScript,
}

/// Ends of the names of programs.
const ENDS: &[(&str, Language)] = &[
    ("py", Language::Python),
    ("ts", Language::JavaScript),
    ("mts", Language::JavaScript),
    ("cts", Language::JavaScript),
    ("tsx", Language::JavaScript),
    ("js", Language::JavaScript),
    ("mjs", Language::JavaScript),
    ("cjs", Language::JavaScript),
    ("jsx", Language::JavaScript),
];

impl Language {
    /// The language of a program; None if it is none.
    pub fn of(path: &Path) -> Option<Self> {
        let end = path.extension()?;
        ENDS.iter().find(|(known, _)| end == *known).map(|(_, language)| *language)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_language() {
        let of = |name: &str| Language::of(Path::new(name));
        assert_eq!(of("a/main.py"), Some(Language::Python));
        for name in ["x.ts", "x.mts", "x.cts", "x.tsx", "x.js", "x.mjs", "x.cjs", "x.jsx"] {
            assert_eq!(of(name), Some(Language::JavaScript), "{name}");
        }
        for name in ["x", "x.json", ".ts", "x.PY", "x.ts.bak", "py"] {
            assert_eq!(of(name), None, "{name}");
        }
    }
}
