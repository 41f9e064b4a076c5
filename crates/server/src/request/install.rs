//! Packages to install. Their names are arguments of a program that reads options, paths and
//! addresses as well, so only what is a name with a version is let through.

use capsule_spec::{ErrorCode, Failure};
use serde::{Deserialize, Serialize};

use super::check::{self, Checked, LONGEST_EXEC};

/// Most packages of a request, and the longest name.
const MOST: u64 = 64;
const LONGEST: usize = 200;
/// Most milliseconds: packages that are built on the way take their time.
const LONGEST_INSTALL: u64 = 5 * LONGEST_EXEC;
/// What package managers take for a file, if there is one of that name.
const FILES: [&str; 8] = [".whl", ".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".egg"];

/// Packages to install into the workspace.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// The sandbox.
    pub id: String,
    /// What installs them.
    pub manager: Manager,
    /// Names, with a version if wanted: `six`, `numpy==2.1.0`, `@scope/name@^1.2`.
    pub packages: Vec<String>,
    /// Milliseconds after which it is ended; 1 to 600000.
    #[serde(default = "two_minutes")]
    pub timeout_ms: u64,
}

fn two_minutes() -> u64 {
    LONGEST_EXEC
}

/// Package managers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// `python3 -m pip`
    Pip,
    /// `npm`
    Npm,
}

impl Manager {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pip => "pip",
            Self::Npm => "npm",
        }
    }
}

impl Checked for Install {
    fn check(&self) -> Result<(), Failure> {
        check::id(&self.id)?;
        check::range("the number of packages", self.packages.len() as u64, 1, MOST)?;
        check::range("timeout_ms", self.timeout_ms, 1, LONGEST_INSTALL)?;
        check_packages(self.manager, &self.packages).map_err(|failure| {
            failure.hint(
                "a name and, if wanted, a version; other sources are installed with a command",
            )
        })
    }
}

/// Whether each is a name with a version.
pub(crate) fn check_packages(manager: Manager, packages: &[String]) -> Result<(), Failure> {
    let is_package = match manager {
        Manager::Pip => is_requirement,
        Manager::Npm => is_npm_package,
    };
    let wrong = |package: &&String| package.len() > LONGEST || !is_package(package);
    let Some(package) = packages.iter().find(wrong) else { return Ok(()) };
    let shown: String = package.chars().take(64).collect();
    let message = format!("{shown:?} is not the name of a package");
    Err(Failure::new(ErrorCode::InvalidValue, message).detail("field", "packages"))
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Letters, digits and a few others, and neither end is one of the others.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| is_letter(byte) || b"-_.".contains(&byte);
    let ends = text.bytes().next().zip(text.bytes().next_back());
    ends.is_some_and(|(first, last)| is_letter(first) && is_letter(last))
        && text.bytes().all(inner)
        && !FILES.iter().any(|end| text.to_ascii_lowercase().ends_with(end))
}

/// `NAME[EXTRA,EXTRA]==1.0,<2` (PEP 508, without addresses and markers).
fn is_requirement(text: &str) -> bool {
    let versions = text.find(['=', '<', '>', '!', '~']).unwrap_or(text.len());
    let (project, versions) = text.split_at(versions);
    let (name, extras) = match project.split_once('[') {
        None => (project, true),
        Some((name, rest)) => {
            (name, rest.strip_suffix(']').is_some_and(|extras| extras.split(',').all(is_name)))
        }
    };
    let operators = ["===", "==", "!=", "<=", ">=", "~=", "<", ">"];
    let is_version = |text: &str| {
        let version = operators.iter().find_map(|operator| text.strip_prefix(operator));
        version.is_some_and(|version| {
            let may = |byte: u8| is_letter(byte) || b"._*+!-".contains(&byte);
            !version.is_empty() && version.bytes().all(may)
        })
    };
    is_name(name) && extras && (versions.is_empty() || versions.split(',').all(is_version))
}

/// `NAME`, `@SCOPE/NAME`, each with `@VERSION`, `@RANGE` or `@TAG`.
fn is_npm_package(text: &str) -> bool {
    let (scope, rest) = match text.strip_prefix('@') {
        None => (None, text),
        Some(scoped) => match scoped.split_once('/') {
            None => return false,
            Some((scope, rest)) => (Some(scope), rest),
        },
    };
    let (name, version) = match rest.split_once('@') {
        None => (rest, None),
        Some((name, version)) => (name, Some(version)),
    };
    let may = |byte: u8| is_letter(byte) || b".-+^~<>=*|_".contains(&byte);
    let is_version = |text: &str| {
        !text.is_empty()
            && text.bytes().all(may)
            && !text.starts_with(['.', '-'])
            && !FILES.iter().any(|end| text.to_ascii_lowercase().ends_with(end))
    };
    scope.is_none_or(is_name) && is_name(name) && version.is_none_or(is_version)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(manager: Manager, package: &str) -> bool {
        let packages = vec![package.to_owned()];
        Install { id: "a".into(), manager, packages, timeout_ms: 1 }.check().is_ok()
    }

    #[test]
    fn names_and_versions_are_let_through() {
        for package in [
            "six",
            "numpy==2.1.0",
            "A-b_c.d",
            "requests[socks,use_chardet_on_py3]>=2,<3",
            "x~=1.0",
            "x==1.*",
            "x===1!2+local.1",
            "x!=1.0",
        ] {
            assert!(taken(Manager::Pip, package), "{package}");
        }
        for package in [
            "left-pad",
            "JSONStream",
            "@types/node",
            "@types/node@^20.1.0",
            "x@latest",
            "x@>=1.0.0-beta.1",
            "x@1||2",
            "lodash.merge",
        ] {
            assert!(taken(Manager::Npm, package), "{package}");
        }
    }

    /// Options, paths, files, addresses, other sources, and what a shell would read.
    #[test]
    fn nothing_else_is() {
        let hostile = [
            "",
            " ",
            "-",
            "--index-url=http://attacker.example",
            "-r/etc/passwd",
            "-e.",
            ".",
            "..",
            "./x",
            "../x",
            "/etc/passwd",
            "~/x",
            "x/y/z",
            "http://attacker.example/x.whl",
            "git+https://attacker.example/x",
            "x @ http://attacker.example/x.whl",
            "file:x",
            "x.whl",
            "X.TAR.GZ",
            "x.zip",
            "x;id",
            "x$(id)",
            "x`id`",
            "x\n--pre",
            "x\0",
            "x y",
            "ünï",
            "x[",
            "x[]",
            "x[a",
            "x]",
            "x==",
            "x==1 ",
            "==1",
            "x==1,,2",
            "x@file:../y",
            "x@http://a",
            "x@git+ssh://a",
            "x@npm:y@1",
            "x@a/b",
            "@",
            "@a",
            "@a/",
            "@/a",
            "@a/b/c",
            "x@",
            "x@y.tgz",
            "x@../y",
            "a:b",
            "-x@1",
            "@-a/b",
        ];
        for package in hostile {
            assert!(!taken(Manager::Pip, package), "pip {package:?}");
            assert!(!taken(Manager::Npm, package), "npm {package:?}");
        }
        assert!(!taken(Manager::Pip, "@types/node") && !taken(Manager::Npm, "x==1"));
        assert!(!taken(Manager::Pip, &"x".repeat(LONGEST + 1)));
    }
}
