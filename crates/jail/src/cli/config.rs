//! The configuration file: defaults, and profiles by name.
//!
//! ```toml
//! timeout_ms = 10000
//! resources.memory_bytes = 536870912
//!
//! [profile.python]
//! isolation.readonly_paths = ["/opt/python"]
//! environment.PATH = "/opt/python/bin:/usr/bin:/bin"
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use capsule_spec::{ErrorCode, Failure, TaskSpec, nearest};

use super::request;

/// The defaults, with the profile laid over them. Without a file: nothing.
pub(super) fn load(file: Option<&Path>, profile: Option<&str>) -> Result<TaskSpec, Failure> {
    let Some(file) = file else {
        return match profile {
            None => Ok(TaskSpec::default()),
            Some(name) => Err(Failure::new(
                ErrorCode::UnknownProfile,
                format!("there is no profile {name:?} without a configuration file"),
            )
            .hint("name the file with --config")),
        };
    };
    let shown = file.display();
    let text = fs::read_to_string(file).map_err(|error| {
        let message = match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no configuration file {shown}"),
            _ => format!("the configuration file {shown} cannot be read"),
        };
        Failure::new(ErrorCode::InvalidConfig, message)
    })?;
    let (base, mut profiles) = parse(&text).map_err(|mut failure| {
        failure.message = format!("{shown}: {}", failure.message);
        failure
    })?;
    let Some(name) = profile else { return Ok(base) };
    if let Some(spec) = profiles.remove(name) {
        return Ok(base.overlaid(spec));
    }
    let failure =
        Failure::new(ErrorCode::UnknownProfile, format!("{shown} has no profile {name:?}"));
    Err(match nearest(name, profiles.keys().map(String::as_str)) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => {
            let known: Vec<_> = profiles.into_keys().collect();
            failure.hint(format!("it has: {}", known.join(", ")))
        }
    })
}

type Profiles = BTreeMap<String, TaskSpec>;

fn parse(text: &str) -> Result<(TaskSpec, Profiles), Failure> {
    let mut table: toml::Table = text.parse().map_err(|error| failure(&error))?;
    // Taken out first: TaskSpec refuses what it does not know.
    let profiles = match table.remove("profile") {
        None => Profiles::new(),
        Some(profiles) => profiles.try_into().map_err(|error| failure(&error))?,
    };
    let base = table.try_into().map_err(|error| failure(&error))?;
    Ok((base, profiles))
}

fn failure(error: &toml::de::Error) -> Failure {
    let message = error.message();
    request::unknown_field(message).unwrap_or_else(|| {
        Failure::new(ErrorCode::InvalidConfig, message.to_owned())
            .hint("the fields are those of a JSON request, written as TOML; see docs/guide-jail.md")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_lies_over_the_defaults() {
        let (base, mut profiles) =
            parse("timeout_ms = 1\nresources.max_pids = 7\n[profile.a]\ntimeout_ms = 2\n").unwrap();
        let spec = base.overlaid(profiles.remove("a").unwrap());
        assert_eq!((spec.timeout_ms, spec.resources.max_pids), (Some(2), Some(7)));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, code) in [
            ("timeout = 1", "E1002"),
            ("[profile.a]\nresource.x = 1", "E1002"),
            ("timeout_ms = \"1\"", "E1007"),
            ("=", "E1007"),
        ] {
            assert_eq!(parse(text).unwrap_err().code.code(), code, "{text}");
        }
    }
}
