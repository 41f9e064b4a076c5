//! What may be typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser};

use capsule_spec::{
    BindMount, ByteSize, ErrorCode, ExecutionId, Failure, IsolationSpec, ResourceSpec,
    SeccompProfile, TaskSpec, Wall, parse_assignment, parse_duration, parse_size,
};

/// Run a command in a jail
///
/// The command gets a file system of its own with read-only system directories,
/// no network, no capability, and limits on everything. Its streams pass through
/// and its exit code is returned; 124 means timeout, 137 killed, 1 another error,
/// 2 a wrong command line.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "capsule-run", version, max_term_width = 100, after_help = EXAMPLES)]
pub struct Arguments {
    /// The command and its arguments
    ///
    /// What follows the command's name, or "--", belongs to the command.
    #[arg(value_name = "COMMAND", trailing_var_arg = true)]
    command: Vec<String>,

    /// Read a JSON request from stdin, and answer with one JSON object
    #[arg(long)]
    pub(super) json: bool,

    /// Pretty print JSON output
    #[arg(long)]
    pub(super) pretty: bool,

    /// Wall time limit: milliseconds, or with a unit (30s, 2m) [default: 30000]
    #[arg(short, long, value_name = "TIME", value_parser = parse_duration, allow_negative_numbers = true)]
    timeout: Option<Duration>,

    /// Memory limit of all processes together (256M, 1G) [default: 256M]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_size, allow_negative_numbers = true)]
    memory: Option<ByteSize>,

    /// CPU shares, a relative weight of 2 to 262144 [default: 1024]
    #[arg(long, value_name = "SHARES", allow_negative_numbers = true)]
    cpu: Option<u64>,

    /// Processors that may be used at most, such as 0.5 [default: all]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    cpus: Option<f64>,

    /// Output kept of each stream; the rest is dropped and flagged [default: 1M]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, allow_negative_numbers = true)]
    max_output: Option<ByteSize>,

    /// Processes and threads at one time [default: 100]
    #[arg(long, value_name = "NUM", allow_negative_numbers = true)]
    max_pids: Option<u64>,

    /// Size of the private file system (/workspace, /tmp, /dev/shm) [default: 256M]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, allow_negative_numbers = true)]
    disk: Option<ByteSize>,

    /// Share the host's network [default: no network]
    #[arg(long)]
    network: bool,

    /// Let HOST[:PORT] be reached, through a proxy and nothing else (repeatable)
    ///
    /// A name, *.name, or an address. Without a port, any. Addresses of this host
    /// and of private networks must be named as addresses.
    #[arg(long, value_name = "HOST[:PORT]")]
    allow_host: Vec<String>,

    /// Working directory
    #[arg(short, long, value_name = "DIR", default_value = None, hide_default_value = true)]
    workdir: Option<String>,

    /// Environment variable (repeatable); nothing of the caller's is passed on
    #[arg(short, long, value_name = "KEY=VALUE", value_parser = parse_assignment)]
    env: Vec<(String, String)>,

    /// Read-only mount of a host path at the same place (repeatable)
    #[arg(long, value_name = "PATH")]
    readonly: Vec<String>,

    /// Writable mount of a host path at the same place (repeatable)
    #[arg(long, value_name = "PATH")]
    writable: Vec<String>,

    /// Mount of a host path at another place, ro unless rw is given (repeatable)
    #[arg(long, value_name = "SRC:DEST[:MODE]", value_parser = parse_bind)]
    bind: Vec<BindMount>,

    /// Pass standard input on to the command [default: it reads nothing]
    #[arg(long)]
    pub(super) stdin: bool,

    /// System calls: default runs ordinary programs, strict about fifty calls
    #[arg(long, value_name = "PROFILE", value_parser = parse_seccomp)]
    seccomp: Option<SeccompProfile>,

    /// Refuse to run unless WALL stands fully (repeatable)
    ///
    /// user, mount, pid, network, ipc, uts, cgroup, time, capabilities, landlock,
    /// scope, seccomp, memory, pids, cpu, disk.
    #[arg(long, value_name = "WALL", value_parser = parse_wall)]
    require: Vec<Wall>,

    /// Configuration file with defaults and profiles (TOML)
    #[arg(short, long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,

    /// Profile of the configuration file
    #[arg(short, long, value_name = "NAME")]
    pub(super) profile: Option<String>,

    /// Print what would be done, and do nothing
    #[arg(long)]
    pub(super) dry_run: bool,

    /// Execution ID for tracking [default: a random one]
    #[arg(long, value_name = "UUID")]
    pub(super) execution_id: Option<ExecutionId>,

    /// Say on stderr what happens
    #[arg(short, long)]
    pub(super) verbose: bool,
}

const EXAMPLES: &str = "\
Examples:
  capsule-run -- echo \"Hello, World!\"
  capsule-run --memory 256M --timeout 5s --bind \"$PWD:/workspace\" -- python3 script.py
  capsule-run --allow-host pypi.org --allow-host files.pythonhosted.org -- pip download six
  echo '{\"command\":[\"python3\",\"-c\",\"print(42)\"]}' | capsule-run --json";

/// Parses the arguments of the program that people call `name`; prints help, or an
/// error with its code, and exits when there is nothing to run.
pub fn parse_or_exit(
    name: &'static str,
    arguments: impl IntoIterator<Item = OsString>,
) -> Arguments {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some(command) = bare_command(&arguments) {
        return Arguments { command, ..Arguments::default() };
    }
    let parsed = Arguments::command().bin_name(name).try_get_matches_from(&arguments);
    match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(parsed) => parsed,
        Err(error) => super::report::usage_error(&arguments, &error),
    }
}

/// The command of a line without a single option, `capsule-run -- COMMAND...`: it needs
/// no parser, and setting one up costs as much as planning the whole jail.
fn bare_command(arguments: &[OsString]) -> Option<Vec<String>> {
    let (separator, command) = arguments.get(1..)?.split_first()?;
    if separator != "--" || command.is_empty() {
        return None;
    }
    // What is not UTF-8 is an error, which the parser words.
    command.iter().map(|word| word.to_str().map(str::to_owned)).collect()
}

impl Arguments {
    /// The request that was typed.
    pub(super) fn into_spec(self) -> Result<TaskSpec, Failure> {
        let timeout_ms = self.timeout.map(|timeout| timeout.as_millis() as u64);
        let absolute = |paths: Vec<String>| -> Result<Vec<String>, Failure> {
            paths.into_iter().map(absolute).collect()
        };
        let bind_mounts = self
            .bind
            .into_iter()
            .map(|bind| Ok(BindMount { source: self::absolute(bind.source)?, ..bind }));
        Ok(TaskSpec {
            command: (!self.command.is_empty()).then_some(self.command),
            environment: self.env.into_iter().collect(),
            timeout_ms,
            resources: ResourceSpec {
                memory_bytes: self.memory.map(ByteSize::bytes),
                cpu_shares: self.cpu,
                max_output_bytes: self.max_output.map(ByteSize::bytes),
                max_pids: self.max_pids,
                cpus: self.cpus,
                disk_bytes: self.disk.map(ByteSize::bytes),
            },
            isolation: IsolationSpec {
                network: self.network.then_some(true),
                allowed_hosts: self.allow_host,
                readonly_paths: absolute(self.readonly)?,
                writable_paths: absolute(self.writable)?,
                working_directory: self.workdir,
                bind_mounts: bind_mounts.collect::<Result<_, Failure>>()?,
                seccomp: self.seccomp,
                require: self.require,
            },
        })
    }
}

/// A relative host path is meant from where the caller stands.
fn absolute(path: String) -> Result<String, Failure> {
    if path.starts_with('/') {
        return Ok(path);
    }
    let unreadable = || {
        Failure::new(ErrorCode::InvalidPath, format!("{path:?} is relative to no known folder"))
            .hint("name the whole path")
    };
    if path.is_empty() {
        return Err(Failure::new(ErrorCode::InvalidPath, "an empty path was given"));
    }
    let current = std::env::current_dir().map_err(|_| unreadable())?;
    let current = current.to_str().ok_or_else(unreadable)?;
    let rest = path.strip_prefix("./").unwrap_or(&path);
    Ok(if rest == "." || rest.is_empty() {
        current.to_owned()
    } else {
        format!("{current}/{rest}")
    })
}

fn parse_bind(text: &str) -> Result<BindMount, String> {
    let mut parts = text.split(':');
    let (source, destination, mode) = (parts.next(), parts.next(), parts.next());
    let (Some(source), Some(destination), None) = (source, destination, parts.next()) else {
        return Err("expected SRC:DEST or SRC:DEST:MODE".to_owned());
    };
    let readonly = match mode {
        None | Some("ro") => true,
        Some("rw") => false,
        Some(mode) => return Err(format!("the mode {mode:?} is neither ro nor rw")),
    };
    if source.is_empty() || destination.is_empty() {
        return Err("expected SRC:DEST or SRC:DEST:MODE".to_owned());
    }
    Ok(BindMount { source: source.to_owned(), destination: destination.to_owned(), readonly })
}

fn parse_seccomp(text: &str) -> Result<SeccompProfile, String> {
    match text {
        "default" => Ok(SeccompProfile::Default),
        "strict" => Ok(SeccompProfile::Strict),
        _ => Err("expected default or strict".to_owned()),
    }
}

fn parse_wall(text: &str) -> Result<Wall, String> {
    let names = Wall::ALL.iter().map(|wall| wall.name());
    text.parse().map_err(|_| match capsule_spec::nearest(text, names.clone()) {
        Some(name) => format!("no such wall; did you mean {name:?}?"),
        None => format!("expected one of {}", names.collect::<Vec<_>>().join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Arguments {
        Arguments::try_parse_from([&["capsule-run"], arguments].concat()).unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_after_the_command_belong_to_it() {
        for arguments in [
            &["--", "ls", "--json", "-t"][..],
            &["ls", "--json", "-t"],
            &["-v", "ls", "--json", "-t"],
        ] {
            let parsed = parse(arguments);
            assert_eq!(parsed.command, ["ls", "--json", "-t"]);
            assert!(!parsed.json);
        }
        assert_eq!(parse(&["--", "ls", "--", "-a"]).command, ["ls", "--", "-a"]);
    }

    #[test]
    fn a_line_without_options_means_the_same_without_the_parser() {
        let words = |line: &[&str]| -> Vec<OsString> { line.iter().map(Into::into).collect() };
        for line in [
            &["x", "--", "ls"][..],
            &["x", "--", "ls", "--json", "-t"],
            &["x", "--", "ls", "--", "-a"],
            &["x", "--", "--", "ls"],
            &["x", "--", "--help"],
            &["x", "--", "", "a b"],
        ] {
            let command = bare_command(&words(line)).unwrap();
            let short = Arguments { command, ..Arguments::default() };
            let parsed = Arguments::try_parse_from(line).unwrap();
            assert_eq!(format!("{short:?}"), format!("{parsed:?}"), "{line:?}");
        }
        for line in [&["x"][..], &["x", "--"], &["x", "ls"], &["x", "-v", "--", "ls"], &[]] {
            assert_eq!(bare_command(&words(line)), None, "{line:?}");
        }
    }

    #[test]
    fn a_mistyped_flag_never_becomes_the_command() {
        for arguments in [&["--timout", "5", "--", "ls"][..], &["--jsn"], &["-z", "ls"]] {
            let result = Arguments::try_parse_from([&["capsule-run"], arguments].concat());
            assert!(result.is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn binds_are_read_only_unless_they_say_otherwise() {
        assert!(parse_bind("/a:/b").unwrap().readonly);
        assert!(!parse_bind("/a:/b:rw").unwrap().readonly);
        for bad in ["/a", "", ":", "/a:", ":/b", "/a:/b:rx", "/a:/b:ro:x"] {
            assert!(parse_bind(bad).is_err(), "{bad}");
        }
    }
}
