//! Tasks of other programs that a program says it will call, while it is loaded: so a name
//! that is wrong is told of, with its line, before anything runs.
//!
//! It is for people, and no more: what a call may reach is looked up when it is made.

use capsule_spec::{ErrorCode, Failure};
use serde::Deserialize;

use crate::script::Place;

/// A task that a program will call.
#[derive(Debug, Deserialize)]
pub(crate) struct Use {
    /// `PROGRAM:TASK`.
    pub(crate) name: String,
    file: String,
    line: u64,
    /// Where a line is not enough to find it.
    #[serde(default)]
    column: u64,
}

/// More than any program names.
const MOST: usize = 10_000;
/// Longer than the names of any program; a value in memory is many times its text.
const MOST_TEXT: usize = 8 << 20;

/// Reads what a program told; `place` knows what the user wrote of file, line and column.
pub(crate) fn read(
    json: &str,
    place: impl Fn(&str, u32, u32) -> Option<Place>,
) -> Result<Vec<Use>, Failure> {
    let unreadable = || {
        let message = "what the program calls of others cannot be read";
        Failure::new(ErrorCode::InvalidDeclaration, message)
    };
    if json.len() > MOST_TEXT {
        return Err(unreadable());
    }
    let mut uses: Vec<Use> = serde_json::from_str(json).map_err(|_| unreadable())?;
    if uses.len() > MOST {
        let message = format!("the program names more than {MOST} tasks of others");
        return Err(Failure::new(ErrorCode::InvalidDeclaration, message));
    }
    let known = |number| u32::try_from(number).unwrap_or_default();
    for one in &mut uses {
        if let Some(place) = place(&one.file, known(one.line), known(one.column)) {
            one.file = place.file;
            one.line = place.line.into();
        }
    }
    Ok(uses)
}

impl Use {
    /// The failure, with the place that it comes from.
    pub(crate) fn locate(&self, failure: Failure) -> Failure {
        let message = format!("{}:{}: {}", self.file, self.line, failure.message);
        Failure { message, ..failure }.detail("file", &self.file).detail("line", self.line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_users() {
        let json = r#"[{"name": "a:b", "file": "main.ts", "line": 40, "column": 3}]"#;
        let place = |file: &str, line, column| {
            (file == "main.ts").then(|| Place {
                file: "src/x.ts".to_owned(),
                line: line / 10,
                column,
            })
        };
        let failure = Failure::new(ErrorCode::UnknownFunction, "it is not there");
        let told = read(json, place).unwrap()[0].locate(failure);
        assert_eq!(told.message, "src/x.ts:4: it is not there");
    }

    #[test]
    fn what_a_guest_says_is_bounded_and_typed() {
        let one = r#"{"name": "a:b", "file": "f", "line": 1}"#;
        let many = format!("[{}]", vec![one; MOST + 1].join(","));
        let long = format!("[{}\"\"]", " ".repeat(MOST_TEXT));
        for json in [&many, &long, "", "{}", "[1]", r#"[{"name": 1}]"#, r#"[{"name": "a"}]"#] {
            assert!(read(json, |_, _, _| None).is_err());
        }
        assert_eq!(read(&format!("[{one}]"), |_, _, _| None).unwrap().len(), 1);
    }
}
