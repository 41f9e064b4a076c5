//! What may be typed for a program in WebAssembly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capsule_spec::{
    Access, ByteSize, ErrorCode, ExecutionId, Failure, Fuel, GuestPath, HostPath, Mount, Stdin,
    nearest, parse_assignment, parse_duration, parse_size,
};
use clap::Parser;

use crate::wire::{CommandLimits, WasmCommand};

/// Run a program in WebAssembly
///
/// FILE is a core module of WASI preview 1 or a component with wasi:cli/run. It gets no
/// file, no variable, no network and no input but what is named here, and limits on
/// everything. Its streams pass through and its exit code is returned; 124 means
/// timeout, 137 a trap or a limit that ended it, 1 another error, 2 a wrong request.
#[derive(Debug, Parser)]
#[command(name = "exec", bin_name = "capsule exec", max_term_width = 100, after_help = EXAMPLES)]
#[command(override_usage = "capsule exec FILE.wasm [OPTIONS] [-- ARGS]")]
pub(super) struct Arguments {
    /// The program
    #[arg(value_name = "FILE.wasm")]
    program: PathBuf,

    /// Its arguments
    #[arg(value_name = "ARGS", last = true)]
    arguments: Vec<String>,

    /// A folder of the host that it sees; read-only unless rw is given (repeatable)
    ///
    /// Without GUEST it is at the same place; a relative one is below "/", and "." is "/".
    #[arg(long, value_name = "HOST[::GUEST][:ro|:rw]", value_parser = parse_mount)]
    mount: Vec<Mount>,

    /// Environment variable; without a value, the caller's (repeatable)
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = parse_variable)]
    env: Vec<(String, String)>,

    /// Wall time limit: milliseconds, or with a unit (30s, 2m) [default: 30000]
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true)]
    timeout: Option<Duration>,

    /// Memory limit (64MiB, 1GB) [default: 256MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, allow_negative_numbers = true)]
    ram: Option<ByteSize>,

    /// Work limit: LOW, MEDIUM, HIGH or units of fuel [default: what the timeout allows]
    #[arg(long, value_name = "WORK", value_parser = parse_compute, allow_negative_numbers = true)]
    compute: Option<Fuel>,

    /// Output kept of each stream; the rest is dropped and flagged [default: 1M]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, allow_negative_numbers = true)]
    max_output: Option<ByteSize>,

    /// Pass standard input on to the program [default: it reads nothing]
    #[arg(long)]
    stdin: bool,

    /// Answer with one JSON object, which holds the output
    #[arg(long)]
    pub(super) json: bool,

    /// Pretty print JSON output
    #[arg(long)]
    pub(super) pretty: bool,

    /// Execution ID for tracking [default: a random one]
    #[arg(long, value_name = "UUID")]
    pub(super) execution_id: Option<ExecutionId>,

    /// Say on stderr what happens
    #[arg(short, long)]
    pub(super) verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  capsule exec tool.wasm -- --help
  capsule exec convert.wasm --mount ./photos:rw --timeout 10s -- photos/in.png photos/out.jpg
  capsule exec sort.wasm --stdin --ram 64MiB <words";

impl Arguments {
    /// What is to be run.
    pub(super) fn into_command(self) -> Result<WasmCommand, Failure> {
        let defaults = CommandLimits::default();
        let mut places: Vec<&GuestPath> =
            self.mount.iter().map(|mount| &mount.destination).collect();
        places.sort();
        if let Some(pair) = places.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("two mounts are at {}", pair[0]);
            return Err(Failure::new(ErrorCode::ConflictingOptions, message));
        }
        Ok(WasmCommand {
            program: self.program,
            arguments: self.arguments,
            // The last one of a name counts.
            environment: self.env.into_iter().collect::<BTreeMap<_, _>>().into_iter().collect(),
            mounts: self.mount,
            stdin: if self.stdin { Stdin::Inherited } else { Stdin::Empty },
            limits: CommandLimits {
                timeout: self.timeout.unwrap_or(defaults.timeout),
                memory: self.ram.unwrap_or(defaults.memory),
                max_output: self.max_output.unwrap_or(defaults.max_output),
                fuel: self.compute.or(defaults.fuel),
                ..defaults
            },
        })
    }
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    if text.contains('=') {
        return parse_assignment(text).map_err(|error| error.to_string());
    }
    match std::env::var(text) {
        Ok(value) => {
            parse_assignment(&format!("{text}={value}")).map_err(|error| error.to_string())
        }
        Err(std::env::VarError::NotPresent) => Err("there is no such variable to pass on".into()),
        Err(std::env::VarError::NotUnicode(_)) => Err("its value is not valid UTF-8".into()),
    }
}

fn parse_compute(text: &str) -> Result<Fuel, String> {
    const LEVELS: [(&str, Fuel); 3] =
        [("LOW", Fuel::LOW), ("MEDIUM", Fuel::MEDIUM), ("HIGH", Fuel::HIGH)];
    if let Some((_, fuel)) = LEVELS.iter().find(|(name, _)| *name == text) {
        return Ok(*fuel);
    }
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse().ok().filter(|_| is_number).and_then(Fuel::exactly) {
        Some(fuel) => Ok(fuel),
        None if is_number => Err(format!("it must be from {} to 2^63 - 1", Fuel::LEAST)),
        None => {
            let names = LEVELS.iter().map(|(name, _)| *name);
            let near = nearest(&text.to_uppercase(), names)
                .map_or(String::new(), |name| format!("; did you mean {name}?"));
            Err(format!("expected LOW, MEDIUM, HIGH or a whole number{near}"))
        }
    }
}

fn parse_mount(text: &str) -> Result<Mount, String> {
    let (rest, access) = match text.strip_suffix(":rw") {
        Some(rest) => (rest, Access::ReadWrite),
        None => (text.strip_suffix(":ro").unwrap_or(text), Access::ReadOnly),
    };
    let (host, guest) = match rest.split_once("::") {
        Some((host, guest)) => (host, Some(guest)),
        None => (rest, None),
    };
    if host.is_empty() || guest == Some("") {
        return Err("expected HOST, HOST::GUEST, and perhaps :ro or :rw after it".to_owned());
    }
    let bad = |error: capsule_spec::PathError| error.to_string();
    let destination = match guest {
        Some(guest) if guest.contains(':') => {
            return Err("expected ro or rw after the last colon".to_owned());
        }
        Some(guest) => GuestPath::new(guest).map_err(bad)?,
        None if host.starts_with('/') => GuestPath::new(host).map_err(bad)?,
        None => GuestPath::new(&format!("/{host}")).map_err(bad)?,
    };
    let source = std::path::absolute(Path::new(host)).map_err(|_| {
        "it is relative, and the current folder is not known: name the whole path".to_owned()
    })?;
    let source = source.to_str().ok_or("the path is not valid UTF-8")?;
    Ok(Mount { source: HostPath::new(source).map_err(bad)?, destination, access })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn mounts_are_read_only_unless_they_say_otherwise() {
        let here = std::env::current_dir().unwrap();
        let here = here.to_str().unwrap();
        let below = format!("{here}/a/b");
        for (text, source, destination, access) in [
            (".", here, "/", Access::ReadOnly),
            (".:rw", here, "/", Access::ReadWrite),
            ("./a/b", &below, "/a/b", Access::ReadOnly),
            ("a/b::/x:ro", &below, "/x", Access::ReadOnly),
            ("a/b::/:rw", &below, "/", Access::ReadWrite),
            ("/a", "/a", "/a", Access::ReadOnly),
            ("/a:b::/c", "/a:b", "/c", Access::ReadOnly),
        ] {
            let mount = parse_mount(text).unwrap();
            let found = (mount.source.to_string(), mount.destination.to_string(), mount.access);
            assert_eq!(found, (source.to_owned(), destination.to_owned(), access), "{text}");
        }
        for bad in ["", ":rw", "::/x", "/a::", "/a::x", "/a::/x:rx", "../a", "/a/../b", "/a::/x/.."]
        {
            assert!(parse_mount(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn work_that_is_no_number_is_an_error() {
        assert_eq!(parse_compute("HIGH"), Ok(Fuel::HIGH));
        assert_eq!(parse_compute("1000000").map(Fuel::units), Ok(1_000_000));
        for bad in
            ["", "0", "999999", "-1", "+1000000", "1e9", "high", "MAX", "1000000000000000000000"]
        {
            assert!(parse_compute(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(
            parse_compute("high").unwrap_err(),
            "expected LOW, MEDIUM, HIGH or a whole number; did you mean HIGH?"
        );
    }
}
