//! `capsule sandbox create`.

use std::process::ExitCode;

use capsule_spec::{ErrorCode, Failure, parse_assignment, parse_duration, parse_size};
use clap::Args;
use serde_json::{Map, Value, json};

use super::connect::Connect;
use super::text;

/// A sandbox to make.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The template; capsule template ls shows them [default: python]
    #[arg(short, long, value_name = "NAME")]
    template: Option<String>,
    /// Begin with the files of a snapshot
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Option<String>,
    #[command(flatten)]
    with: With,
    #[command(flatten)]
    connect: Connect,
}

/// What a sandbox is made with, new or as a clone.
#[derive(Debug, Default, Args)]
pub(super) struct With {
    /// How long it lives, such as 10m or 2h [default: 10m]
    #[arg(long, value_name = "TIME")]
    ttl: Option<String>,
    /// End it when nobody has used it for so long
    #[arg(long, value_name = "TIME")]
    idle: Option<String>,
    /// A variable of all its processes (can be given more than once)
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// What it is found by (can be given more than once)
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// What is kept with it (can be given more than once)
    #[arg(long, value_name = "NAME=VALUE")]
    metadata: Vec<String>,
    /// A name for this creation: doing it again answers with the same sandbox
    #[arg(long, value_name = "NAME")]
    once: Option<String>,
    /// Memory, private files included, such as 512M
    #[arg(long, value_name = "SIZE")]
    memory: Option<String>,
    /// Private files, such as 1G
    #[arg(long, value_name = "SIZE")]
    disk: Option<String>,
    /// Processes and threads
    #[arg(long, value_name = "COUNT")]
    max_pids: Option<u32>,
    /// Weight when processors are contended
    #[arg(long, value_name = "WEIGHT")]
    cpu_shares: Option<u32>,
    /// The network: denied, or open
    #[arg(long, value_name = "KIND", value_parser = ["denied", "open"])]
    network: Option<String>,
    /// A host that it may reach, such as pypi.org (can be given more than once)
    #[arg(long, value_name = "HOST", conflicts_with = "network")]
    allow_host: Vec<String>,
    /// A volume to mount: NAME:/PATH, or NAME:/PATH:ro (can be given more than once)
    #[arg(long, value_name = "VOLUME")]
    volume: Vec<String>,
    /// When its time is over: delete it, or pause it and keep its files [default: the template's]
    #[arg(long, value_name = "WHAT", value_parser = ["delete", "pause"])]
    on_expiry: Option<String>,
}

impl Create {
    pub(super) fn run(self) -> ExitCode {
        let params = self.with.fields().map(|mut fields| {
            put(&mut fields, "template", self.template);
            put(&mut fields, "snapshot", self.snapshot);
            Value::Object(fields)
        });
        match params {
            Ok(params) => self.connect.call_and_show("sandbox.v1.create", params, id),
            Err(failure) => self.connect.end(Err(failure)),
        }
    }
}

/// What is shown of a sandbox that was made.
pub(super) fn id(answer: &Value) -> String {
    format!("{}\n", text::of(&answer["id"]))
}

impl With {
    /// The fields of a request. What was not asked for is not there, so that the server's
    /// defaults hold, and one that knows less is not asked for more.
    pub(super) fn fields(&self) -> Result<Map<String, Value>, Failure> {
        let mut fields = Map::new();
        put(&mut fields, "ttl_ms", time("--ttl", self.ttl.as_deref())?);
        put(&mut fields, "idle_ms", time("--idle", self.idle.as_deref())?);
        put(&mut fields, "key", self.once.as_deref());
        for (field, option, given) in [
            ("env", "--env", &self.env),
            ("labels", "--label", &self.label),
            ("metadata", "--metadata", &self.metadata),
        ] {
            if !given.is_empty() {
                fields.insert(field.to_owned(), assignments(option, given)?);
            }
        }
        let mut limits = Map::new();
        put(&mut limits, "memory_bytes", size("--memory", self.memory.as_deref())?);
        put(&mut limits, "disk_bytes", size("--disk", self.disk.as_deref())?);
        put(&mut limits, "max_pids", self.max_pids);
        put(&mut limits, "cpu_shares", self.cpu_shares);
        if !limits.is_empty() {
            fields.insert("limits".to_owned(), limits.into());
        }
        put(&mut fields, "network", self.network.as_deref());
        put(&mut fields, "on_expiry", self.on_expiry.as_deref());
        if !self.allow_host.is_empty() {
            fields.insert("network".to_owned(), json!({ "allow": self.allow_host }));
        }
        if !self.volume.is_empty() {
            let volumes: Result<Vec<_>, _> = self.volume.iter().map(|one| volume(one)).collect();
            fields.insert("volumes".to_owned(), volumes?.into());
        }
        Ok(fields)
    }
}

fn put(fields: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        fields.insert(name.to_owned(), value.into());
    }
}

/// `NAME:/PATH` or `NAME:/PATH:ro`.
fn volume(text: &str) -> Result<Value, Failure> {
    let (rest, mode) = match text.rsplit_once(':') {
        Some((rest, mode @ ("ro" | "rw"))) => (rest, mode),
        _ => (text, "rw"),
    };
    match rest.split_once(':') {
        Some((name, path)) if !name.is_empty() && path.starts_with('/') => {
            Ok(json!({ "volume": name, "path": path, "mode": mode }))
        }
        _ => Err(wrong("--volume", text, "is not NAME:/PATH or NAME:/PATH:ro")),
    }
}

/// A time in milliseconds.
pub(super) fn time(option: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let time = parse_duration(text).map_err(|error| wrong(option, text, &error.to_string()))?;
    Ok(Some(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)))
}

/// A size in bytes.
pub(crate) fn size(option: &str, text: Option<&str>) -> Result<Option<u64>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let size = parse_size(text).map_err(|error| wrong(option, text, &error.to_string()))?;
    Ok(Some(size.bytes()))
}

/// `NAME=VALUE`, each name once.
pub(super) fn assignments(option: &str, given: &[String]) -> Result<Value, Failure> {
    let mut all = Map::new();
    for text in given {
        let pair = parse_assignment(text);
        let (name, value) = pair.map_err(|error| wrong(option, text, &error.to_string()))?;
        if all.insert(name, value.into()).is_some() {
            return Err(wrong(option, text, "names what was named before"));
        }
    }
    Ok(Value::Object(all))
}

fn wrong(option: &str, text: &str, why: &str) -> Failure {
    Failure::new(ErrorCode::InvalidValue, format!("{option} {text:?}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_sent() {
        assert!(With::default().fields().unwrap().is_empty());
        let with = With {
            ttl: Some("1h".into()),
            label: vec!["a=1".into()],
            memory: Some("64M".into()),
            allow_host: vec!["pypi.org".into()],
            volume: vec!["data:/data:ro".into(), "w:/w".into()],
            on_expiry: Some("pause".into()),
            ..With::default()
        };
        assert_eq!(
            Value::Object(with.fields().unwrap()),
            json!({
                "ttl_ms": 3_600_000, "labels": { "a": "1" },
                "limits": { "memory_bytes": 64 << 20 },
                "network": { "allow": ["pypi.org"] }, "on_expiry": "pause",
                "volumes": [
                    { "volume": "data", "path": "/data", "mode": "ro" },
                    { "volume": "w", "path": "/w", "mode": "rw" },
                ],
            })
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        for text in ["data", "data:x", ":/x", "data:ro", ""] {
            assert!(volume(text).is_err(), "{text}");
        }
        assert!(time("--ttl", Some("soon")).is_err());
        assert!(size("--memory", Some("-1")).is_err());
        assert!(assignments("--env", &["a".into()]).is_err());
        assert!(assignments("--env", &["a=1".into(), "a=2".into()]).is_err());
    }
}
