//! Links of Markdown files to files and headings of the repository.

use std::collections::BTreeSet;

use super::{Problem, Source};

pub(super) fn check(sources: &[Source]) -> Vec<Problem> {
    let pages = sources.iter().filter(|source| source.extension() == "md");
    pages.flat_map(|page| check_page(page, sources)).collect()
}

fn check_page(page: &Source, sources: &[Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, line) in prose(page) {
        for target in targets(&line) {
            let (path, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = resolve(&page.path, path);
            let file = sources.iter().find(|source| source.path == path);
            let is_folder = sources.iter().any(|s| s.path.starts_with(&format!("{path}/")));
            if file.is_none() && !is_folder {
                let what = format!("the link {target} leads to no file");
                problems.push(Problem::new(
                    &page.path,
                    number,
                    what,
                    format!("there is no {path}"),
                ));
            } else if let Some(file) = file
                && !heading.is_empty()
                && !headings(file).contains(heading)
            {
                let what = format!("the link {target} leads to no heading");
                let hint = "headings in lower case, blanks as hyphens, no punctuation";
                problems.push(Problem::new(&page.path, number, what, hint));
            }
        }
    }
    problems
}

/// Lines outside of code blocks, without inline code.
fn prose(page: &Source) -> impl Iterator<Item = (usize, String)> {
    let mut in_code = false;
    page.lines().filter_map(move |(number, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        (!in_code && !is_fence).then(|| (number, line.split('`').step_by(2).collect()))
    })
}

/// What inline links point to, but for addresses on the web.
fn targets(line: &str) -> Vec<&str> {
    let ends = line.match_indices("](").map(|(at, _)| &line[at + 2..]);
    let targets = ends.filter_map(|rest| rest.split([')', ' ']).next());
    targets.filter(|target| !target.contains(':') && !target.is_empty()).collect()
}

/// A path as seen from a page; the page itself when it is empty.
fn resolve(page: &str, path: &str) -> String {
    if path.is_empty() {
        return page.to_owned();
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchors of a page, as GitHub makes them.
fn headings(page: &Source) -> BTreeSet<String> {
    let mut in_code = false;
    let lines = page.lines().filter(|(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        in_code ^= is_fence;
        !in_code && line.starts_with('#')
    });
    let keeps = |c: &char| c.is_alphanumeric() || " -_".contains(*c);
    let slug = |line: &str| -> String {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title.chars().filter(keeps).map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    lines.map(|(_, line)| slug(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::files::sample;
    use super::*;

    fn found(text: &str) -> Vec<usize> {
        let sources = [
            sample("docs/a.md", text),
            sample("docs/errors/E1.md", "# E1: What it is\n"),
            sample("README.md", "# Hello\n"),
        ];
        check(&sources).into_iter().map(|problem| problem.line).collect()
    }

    #[test]
    fn links_that_lead_nowhere_are_found() {
        let good = "# Top\n[a](errors/E1.md) [b](../README.md#hello) [c](#top) [d](errors)\n\
                    [e](errors/E1.md#e1-what-it-is) [f](https://example.org/x) `[g](x.md)`\n\
                    ```\n[h](y.md)\n```\n";
        assert!(found(good).is_empty());
        assert_eq!(found("[a](E1.md)\n\n[b](../LICENSE)\n"), [1, 3]);
        assert_eq!(found("[a](errors/E1.md#e2)\n[b](#nowhere)\n"), [1, 2]);
    }
}
