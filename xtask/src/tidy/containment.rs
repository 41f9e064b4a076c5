//! The order of containment: the table in the code and the one for readers agree.

use super::{Problem, Source};

const CODE: &str = "crates/jail/src/apply/mod.rs";
const PAGE: &str = "ARCHITECTURE.md";
/// How a step begins in the code.
const STEP: &str = "step(\"";

pub(super) fn check(sources: &[Source]) -> Vec<Problem> {
    let find = |path: &str| sources.iter().find(|source| source.path == path);
    let (Some(code), Some(page)) = (find(CODE), find(PAGE)) else { return Vec::new() };
    let steps = steps(code);
    let rows: Vec<_> =
        page.lines().filter_map(|(number, line)| Some((number, row(line)?))).collect();
    let mut expected = steps.iter();
    for (number, row) in &rows {
        let next = expected.next();
        if next != Some(row) {
            let next = next.map_or("no more step", |step| step.as_str());
            let what = format!("the order of containment has {next:?} in place of {row:?}");
            return vec![Problem::new(PAGE, *number, what, format!("the order is that of {CODE}"))];
        }
    }
    let missing = expected.next().map(|step| {
        let what = format!("the order of containment lacks {step:?}");
        Problem::new(
            PAGE,
            rows.last().map_or(1, |(number, _)| *number),
            what,
            format!("see {CODE}"),
        )
    });
    missing.into_iter().collect()
}

/// The names of the steps, in order.
fn steps(code: &Source) -> Vec<String> {
    let name = |line: &str| {
        Some(line.trim().strip_prefix(STEP)?.split('"').next().unwrap_or_default().to_owned())
    };
    code.lines().filter_map(|(_, line)| name(line)).collect()
}

/// The name in a row of the table, `| 3 | become the jail's user | why |`.
fn row(line: &str) -> Option<String> {
    let mut cells = line.strip_prefix("| ")?.split(" | ");
    cells.next()?.parse::<u8>().ok()?;
    Some(cells.next()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::files::sample;
    use super::*;

    fn found(page: &str) -> Vec<usize> {
        let code =
            "    // Why.\n    step(\"one\", Code::A, a::b),\n    step(\"two\", Code::A, a::c),\n";
        let sources = [sample(CODE, code), sample(PAGE, page)];
        check(&sources).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn another_order_is_found() {
        assert!(
            found("|  | step | why |\n|---|---|---|\n| 1 | one | x |\n| 2 | two | y |\n")
                .is_empty()
        );
        assert_eq!(found("| 1 | two | y |\n| 2 | one | x |\n"), [1]);
        assert_eq!(found("| 1 | one | y |\n"), [1]);
        assert_eq!(found("| 1 | one | x |\n| 2 | two | y |\n| 3 | three | z |\n"), [3]);
    }
}
