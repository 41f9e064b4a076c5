//! One page for each error code, with the facts that the code has.

use capsule_spec::{Blame, ErrorCode};

use super::{Problem, Source};

const FOLDER: &str = "docs/errors/";
const TABLE: &str = "docs/errors/README.md";

pub(super) fn check(sources: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let find = |path: &str| sources.iter().find(|source| source.path == path);
    let table = find(TABLE);
    if table.is_none() {
        problems.push(Problem::new(TABLE, 1, "there is no table of error codes", "write it"));
    }
    for code in ErrorCode::ALL {
        let path = format!("{FOLDER}{code}.md");
        match find(&path) {
            None => problems.push(Problem::new(path, 1, "there is no page", "write it")),
            Some(page) => problems.extend(check_page(*code, page)),
        }
        let row = row(*code);
        if table.is_some_and(|table| !table.text.lines().any(|line| line == row)) {
            let what = format!("{code} is not in the table as the code has it");
            problems.push(Problem::new(TABLE, 1, what, row));
        }
    }
    let is_known = |name: &str| ErrorCode::ALL.iter().any(|code| format!("{code}.md") == name);
    for source in sources.iter().filter(|source| source.path.starts_with(FOLDER)) {
        if source.path != TABLE && !is_known(source.name()) {
            let hint = "a code is never removed once released; before that, remove its page";
            problems.push(Problem::new(&source.path, 1, "is the page of no error code", hint));
        }
    }
    problems
}

/// The page begins with the code and carries the line of facts.
fn check_page(code: ErrorCode, page: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !page.text.starts_with(&format!("# {code}: ")) {
        let hint = format!("begin with \"# {code}: \"");
        problems.push(Problem::new(&page.path, 1, "has no title with its code", hint));
    }
    let facts = facts(code);
    if !page.text.lines().any(|line| line == facts) {
        problems.push(Problem::new(&page.path, 1, "says other facts than the code", facts));
    }
    problems
}

fn facts(code: ErrorCode) -> String {
    let (blame, retryable) = (blame(code), yes_or_no(code.retryable()));
    format!("Name: `{code:?}`. Blame: {blame}. Retryable: {retryable}.")
}

fn row(code: ErrorCode) -> String {
    let (summary, blame, retryable) = (code.summary(), blame(code), yes_or_no(code.retryable()));
    format!("| [{code}]({code}.md) | {summary} | {blame} | {retryable} |")
}

fn blame(code: ErrorCode) -> &'static str {
    match code.blame() {
        Blame::Caller => "caller",
        Blame::Policy => "policy",
        Blame::Limit => "limit",
        Blame::Command => "command",
        Blame::Host => "host",
        Blame::Internal => "internal",
    }
}

fn yes_or_no(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}

#[cfg(test)]
mod tests {
    use super::super::files::sample;
    use super::*;

    fn complete() -> Vec<Source> {
        let page = |code: &ErrorCode| {
            sample(&format!("{FOLDER}{code}.md"), &format!("# {code}: x\n\n{}\n", facts(*code)))
        };
        let rows: String = ErrorCode::ALL.iter().map(|code| row(*code) + "\n").collect();
        let mut sources: Vec<_> = ErrorCode::ALL.iter().map(page).collect();
        sources.push(sample(TABLE, &rows));
        sources
    }

    #[test]
    fn a_missing_a_stale_and_a_wrong_page_are_found() {
        let good = complete();
        assert!(check(&good).is_empty());
        assert_eq!(check(&good[1..]).len(), 1);
        assert_eq!(check(&good[..good.len() - 1]).len(), 1);

        let mut stale = complete();
        stale.push(sample("docs/errors/E9999.md", "# E9999: x\n"));
        assert_eq!(check(&stale).len(), 1);

        let mut wrong = complete();
        wrong[0].text = wrong[0].text.replace("Retryable: no", "Retryable: yes");
        wrong[1].text = "no title\n".to_owned();
        assert_eq!(check(&wrong).len(), 3);

        let mut table = complete();
        let last = table.len() - 1;
        table[last].text = table[last].text.replacen("caller", "host", 1);
        assert_eq!(check(&table).len(), 1);
    }
}
