//! Paths of guests, as text.

use super::error::{ErrorCode, Result};

/// As Linux has it, without the final NUL.
const MOST_PATH: usize = 4095;
const MOST_NAME: usize = 255;

/// Refuses what no path can be.
pub(super) fn check(path: &str) -> Result<()> {
    if path.is_empty() {
        Err(ErrorCode::NoEntry)
    } else if path.len() > MOST_PATH {
        Err(ErrorCode::NameTooLong)
    } else if path.contains('\0') {
        Err(ErrorCode::Invalid)
    } else {
        Ok(())
    }
}

/// Whether this names an entry of a directory.
pub(super) fn is_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= MOST_NAME && !name.contains(['/', '\0'])
}

/// The steps of a path, without those that lead nowhere.
pub(super) fn steps(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|name| !matches!(*name, "" | "."))
}

/// Whether only a directory may be at the end of it.
pub(super) fn ends_in_directory(path: &str) -> bool {
    matches!(path.rsplit('/').next(), Some("" | "." | ".."))
}

/// Refuses names that no file system takes.
pub(super) fn check_name(name: &str) -> Result<()> {
    match name.len() > MOST_NAME {
        true => Err(ErrorCode::NameTooLong),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_bounded() {
        assert!(check("a/b").is_ok());
        assert!(matches!(check(""), Err(ErrorCode::NoEntry)));
        assert!(matches!(check("a\0b"), Err(ErrorCode::Invalid)));
        assert!(matches!(check(&"a/".repeat(2048)), Err(ErrorCode::NameTooLong)));
        assert!(check_name(&"é".repeat(127)).is_ok());
        assert!(matches!(check_name(&"é".repeat(128)), Err(ErrorCode::NameTooLong)));
    }

    #[test]
    fn steps_leave_out_what_leads_nowhere() {
        assert_eq!(steps("./a//b/./../c/").collect::<Vec<_>>(), ["a", "b", "..", "c"]);
        assert!(ends_in_directory("a/") && ends_in_directory("a/.") && ends_in_directory(".."));
        assert!(!ends_in_directory("a/b") && !ends_in_directory("a.") && !ends_in_directory("..a"));
    }
}
