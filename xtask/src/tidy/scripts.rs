//! Scripts: what can be run is executable, and what is only sourced says so.

use super::{Problem, Source};

/// How a file that is sourced tells its shell (shellcheck's directive).
const SOURCED: &str = "# shellcheck shell=";

pub(super) fn check(source: &Source) -> Option<Problem> {
    let starts = source.text.starts_with("#!/");
    let path = source.path.as_str();
    if starts && !source.is_executable {
        return Some(Problem::new(path, 1, "cannot be executed", format!("chmod +x {path}")));
    }
    if source.extension() == "sh" && !starts && !source.text.starts_with(SOURCED) {
        let hint =
            format!("begin with #!/usr/bin/env bash, or with {SOURCED}bash if it is sourced");
        return Some(Problem::new(path, 1, "does not say which shell runs it", hint));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::files::sample;
    use super::*;

    #[test]
    fn scripts_that_cannot_run_are_found() {
        let bash = sample("a", "#!/usr/bin/env bash\n");
        assert!(check(&bash).is_some());
        assert!(check(&Source { is_executable: true, ..bash }).is_none());
        assert!(check(&sample("a.sh", "echo\n")).is_some());
        assert!(check(&sample("a.sh", "# shellcheck shell=bash\n")).is_none());
        assert!(check(&sample("a.rs", "#![no_std]\n")).is_none());
    }
}
