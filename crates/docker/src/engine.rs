//! What is asked of the engine, call by call (Docker Engine API 1.41 and later).

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use capsule_spec::Failure;
use serde_json::{Value, json};

use crate::client::{Answer, Body, Client, ClientError, escaped};
use crate::container::{NAME_LABEL, STATE_LABEL};
use crate::errors::{self, Refused};

/// How long the engine may be silent: it does several things at a time, and waits for disks.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same while it fetches an image.
const PULL_PATIENCE: Duration = Duration::from_secs(300);
/// The same while a step of a build runs, or an image is packed.
const BUILD_PATIENCE: Duration = Duration::from_secs(1800);
/// How long the removal of a container may take.
const REMOVAL: Duration = Duration::from_secs(45);
/// The version of the API that this was written for, major and minor.
const API: (u32, u32) = (1, 41);

/// An engine that answers.
pub(crate) struct Engine {
    client: Client,
    /// `/v1.41`
    prefix: String,
    pub(crate) facts: Facts,
    /// One pull at a time: the second one finds the image there.
    pulling: Mutex<()>,
}

/// What an engine is and can do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) version: String,
    pub(crate) runtimes: Vec<String>,
    /// Those of them that are gVisor.
    pub(crate) gvisor: Vec<String>,
    pub(crate) cgroups: String,
    pub(crate) storage: String,
    /// `seccomp`, `apparmor`, `rootless`, …
    pub(crate) security: Vec<String>,
    pub(crate) maps_users: bool,
    pub(crate) limits_memory: bool,
    pub(crate) limits_swap: bool,
    pub(crate) limits_processes: bool,
    pub(crate) limits_processor: bool,
}

/// An image that is there.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) id: String,
    pub(crate) environment: Vec<String>,
    /// Directories that it declares as volumes.
    pub(crate) volumes: Vec<String>,
}

/// A container that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) id: String,
    /// The sandbox's name.
    pub(crate) name: String,
}

impl Engine {
    /// Finds out what there is.
    pub(crate) fn connect(client: Client) -> Result<Self, Failure> {
        let mut engine = Self {
            client,
            prefix: String::new(),
            facts: Facts::default(),
            pulling: Mutex::default(),
        };
        let version = engine.get("tell its version", "/version")?;
        let text = |field: &str| version[field].as_str().unwrap_or_default();
        let api = best_version(text("MinAPIVersion"), text("ApiVersion"));
        let Some((major, minor)) = api else {
            return Err(Failure::new(
                capsule_spec::ErrorCode::EngineUnavailable,
                format!("the engine speaks API {} only", text("ApiVersion")),
            )
            .hint("Docker Engine 20.10 or newer"));
        };
        engine.prefix = format!("/v{major}.{minor}");
        let info = engine.get("tell what it can do", "/info")?;
        engine.facts = facts(text("Version"), &info);
        Ok(engine)
    }

    fn ask(&self, method: &str, path: &str, body: &Body<'_>) -> Result<Answer, Failure> {
        let path = format!("{}{path}", self.prefix);
        self.client.ask(method, &path, body, PATIENCE).map_err(|error| errors::unreachable(&error))
    }

    fn get(&self, what: &str, path: &str) -> Result<Value, Failure> {
        let answer = self.ask("GET", path, &Body::None)?;
        if !answer.is_good() {
            return Err(errors::refused(what, &answer));
        }
        answer.json().map_err(|error| errors::unreachable(&error))
    }

    // ---- Images ----

    /// An image that is there, by its name.
    pub(crate) fn image(&self, name: &str) -> Result<Option<Image>, Failure> {
        let answer = self.ask("GET", &format!("/images/{}/json", in_path(name)), &Body::None)?;
        match answer.status {
            404 => Ok(None),
            400 => Err(errors::image(name, &answer.message())),
            _ if answer.is_good() => {
                let image = answer.json().map_err(|error| errors::unreachable(&error))?;
                Ok(Some(image_from(&image)))
            }
            _ => Err(errors::refused("look for an image", &answer)),
        }
    }

    /// The image of a name, fetched if it is not there. `announce` hears how far that is.
    pub(crate) fn image_or_pull(
        &self,
        name: &str,
        announce: &dyn Fn(&str),
    ) -> Result<Image, Failure> {
        check_image(name)?;
        if let Some(image) = self.image(name)? {
            return Ok(image);
        }
        let _turn = self.pulling.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Somebody else may have had the turn before.
        if let Some(image) = self.image(name)? {
            return Ok(image);
        }
        self.pull(name, announce)?;
        self.image(name)?.ok_or_else(|| errors::image(name, "it was fetched and is not there"))
    }

    fn pull(&self, name: &str, announce: &dyn Fn(&str)) -> Result<(), Failure> {
        let (repository, tag) = reference(name);
        let path = format!(
            "{}/images/create?fromImage={}&tag={}",
            self.prefix,
            escaped(repository),
            escaped(tag)
        );
        announce(&format!("image {name}: fetching"));
        let mut broken = None;
        let mut last = String::new();
        let mut each = |line: &Value| {
            if let Some(error) = line["error"].as_str() {
                broken = Some(error.to_owned());
            }
            // Layers by their state, not byte by byte.
            let state = line["status"].as_str().unwrap_or_default();
            let state = format!("{} {state}", line["id"].as_str().unwrap_or_default());
            if state != last && !state.trim().is_empty() {
                announce(&format!("image {name}: {}", state.trim()));
                last = state;
            }
        };
        let answer = self.client.follow("POST", &path, &Body::None, PULL_PATIENCE, &mut each);
        let answer = answer.map_err(|error| errors::unreachable(&error))?;
        let why = if answer.is_good() { broken } else { Some(answer.message()) };
        match why {
            None => Ok(()),
            Some(why) => {
                // The engine's words name servers of the operator's network.
                announce(&format!("image {name}: {why}"));
                Err(errors::image(name, "it is not on this host, and could not be fetched")
                    .hint("pull or build it on this host, or name another one with --image"))
            }
        }
    }

    /// Makes an image of an archive.
    pub(crate) fn import(&self, name: &str, archive: &[u8]) -> Result<(), Failure> {
        let (repository, tag) = reference(name);
        let path =
            format!("/images/create?fromSrc=-&repo={}&tag={}", escaped(repository), escaped(tag));
        let answer = self.ask("POST", &path, &Body::Tar(archive))?;
        if answer.is_good() { Ok(()) } else { Err(errors::refused("make an image", &answer)) }
    }

    /// Builds an image from a Dockerfile in an archive of its folder. `announce` hears each step.
    pub(crate) fn build(
        &self,
        name: &str,
        dockerfile: &str,
        context: (&File, u64),
        announce: &dyn Fn(&str),
    ) -> Result<(), Failure> {
        let path = format!(
            "{}/build?t={}&dockerfile={}&rm=1&forcerm=1&q=0",
            self.prefix,
            escaped(name),
            escaped(dockerfile)
        );
        let mut broken = None;
        let mut each = |line: &Value| {
            if let Some(error) = line["error"].as_str() {
                broken = Some(errors::plain(error));
            }
            let text = line["stream"].as_str().unwrap_or_default();
            if text.starts_with("Step ") {
                announce(&errors::plain(text));
            }
        };
        let body = Body::File(context.0, context.1);
        let answer = self.client.follow("POST", &path, &body, BUILD_PATIENCE, &mut each);
        let answer = answer.map_err(|error| errors::unreachable(&error))?;
        let why = if answer.is_good() { broken } else { Some(errors::plain(&answer.message())) };
        match why {
            None => Ok(()),
            Some(why) => Err(Failure::new(
                capsule_spec::ErrorCode::ImageUnavailable,
                format!("the engine could not build {dockerfile}: {why}"),
            )
            .hint("\"docker build\" in its folder shows all that the engine says")),
        }
    }

    /// Writes an image into a file, as an archive.
    pub(crate) fn save(&self, name: &str, file: &File, most: u64) -> Result<(), Failure> {
        let path = format!("{}/images/{}/get", self.prefix, in_path(name));
        let answer = self.client.fetch(&path, BUILD_PATIENCE, file, most);
        match answer {
            Ok(answer) if answer.is_good() => Ok(()),
            Ok(answer) => Err(errors::refused("hand out an image", &answer)),
            Err(ClientError::TooLong) => Err(Failure::new(
                capsule_spec::ErrorCode::InvalidArchive,
                format!("the image is larger than {most} bytes, the most that is unpacked"),
            )
            .hint("if it is meant to be as large: unpack = { max_bytes = \"32GiB\" }")),
            Err(error) => Err(errors::unreachable(&error)),
        }
    }

    pub(crate) fn remove_image(&self, name: &str) -> Result<(), Failure> {
        let answer = self.ask("DELETE", &format!("/images/{}", in_path(name)), &Body::None)?;
        match answer.is_good() || answer.status == 404 {
            true => Ok(()),
            false => Err(errors::refused("remove an image", &answer)),
        }
    }

    // ---- Containers ----

    /// Makes a container and starts it; answers the number of its first process.
    pub(crate) fn run(&self, name: &str, container: &Value) -> Result<i32, Refused> {
        let path = format!("/containers/create?name={}", escaped(name));
        let answer = self.ask("POST", &path, &Body::Json(container))?;
        if !answer.is_good() {
            return Err(Refused::new("make the container", &answer));
        }
        let made = answer.json().map_err(|error| errors::unreachable(&error))?;
        let id = made["Id"].as_str().unwrap_or_default().to_owned();
        let answer =
            self.ask("POST", &format!("/containers/{}/start", in_path(&id)), &Body::None)?;
        if !answer.is_good() {
            // A container that never ran is not removed by itself.
            let _ = self.remove(&id);
            return Err(Refused::new("start the container", &answer));
        }
        let found =
            self.get("tell about the container", &format!("/containers/{}/json", in_path(&id)));
        let pid = found.as_ref().ok().and_then(|found| found["State"]["Pid"].as_i64());
        match pid.and_then(|pid| i32::try_from(pid).ok()).filter(|pid| *pid > 0) {
            Some(pid) => Ok(pid),
            None => {
                let _ = self.remove(&id);
                found?;
                let message = "the container ended as soon as it was started";
                Err(Failure::new(capsule_spec::ErrorCode::SetupFailed, message)
                    .hint("\"capsule doctor\" tries the engine and its runtime")
                    .into())
            }
        }
    }

    /// The containers of a state folder; of one name, or all.
    pub(crate) fn containers(
        &self,
        state: &str,
        name: Option<&str>,
    ) -> Result<Vec<Container>, Failure> {
        let mut labels = vec![format!("{STATE_LABEL}={state}")];
        labels.extend(name.map(|name| format!("{NAME_LABEL}={name}")));
        let filters = json!({ "label": labels }).to_string();
        let path = format!("/containers/json?all=true&filters={}", escaped(&filters));
        let found = self.get("list containers", &path)?;
        let container = |one: &Value| {
            Some(Container {
                id: one["Id"].as_str()?.to_owned(),
                name: one["Labels"][NAME_LABEL].as_str()?.to_owned(),
            })
        };
        Ok(found.as_array().into_iter().flatten().filter_map(container).collect())
    }

    /// The standard input and output of a container; none if it is not there, or does not run.
    pub(crate) fn attach(&self, id: &str) -> Result<Option<UnixStream>, Failure> {
        let path =
            format!("{}/containers/{}/attach?stream=1&stdin=1&stdout=1", self.prefix, in_path(id));
        let hijacked = self.client.hijack(&path, PATIENCE);
        match hijacked.map_err(|error| errors::unreachable(&error))? {
            (101 | 200, stream) => Ok(Some(stream)),
            (404 | 409, _) => Ok(None),
            (status, _) => Err(errors::not_attached(status)),
        }
    }

    pub(crate) fn pause(&self, id: &str, paused: bool) -> Result<(), Failure> {
        let verb = if paused { "pause" } else { "unpause" };
        let answer =
            self.ask("POST", &format!("/containers/{}/{verb}", in_path(id)), &Body::None)?;
        // It may be as is wanted already.
        let is_so = answer.message().contains(if paused { "already paused" } else { "not paused" });
        match answer.is_good() || is_so {
            true => Ok(()),
            false => Err(errors::refused(&format!("{verb} the container"), &answer)),
        }
    }

    /// Ends a container and waits until nothing is left of it.
    pub(crate) fn remove(&self, id: &str) -> Result<(), Failure> {
        let deadline = Instant::now() + REMOVAL;
        let mut pause = Duration::from_millis(5);
        // An engine forgets a container that stands still, and leaves its processes standing.
        let _ = self.pause(id, false);
        loop {
            let path = format!("/containers/{}?force=true&v=true", in_path(id));
            let answer = self.ask("DELETE", &path, &Body::None)?;
            match answer.status {
                404 => return Ok(()),
                // It is being removed already, or is still paused.
                409 | 500 if Instant::now() < deadline => {
                    if answer.message().contains("paused") {
                        let _ = self.pause(id, false);
                    }
                }
                _ if answer.is_good() && Instant::now() < deadline => {}
                _ => return Err(errors::refused("remove the container", &answer)),
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(250));
        }
    }
}

/// A name that is no image's would be a path of something else.
fn check_image(name: &str) -> Result<(), Failure> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte);
    let is_name = !name.is_empty() && !name.contains("..") && name.bytes().all(is_plain);
    if is_name { Ok(()) } else { Err(errors::image(name, "that is not the name of an image")) }
}

/// An id or a name in a path; an image's may have slashes.
fn in_path(name: &str) -> String {
    name.split('/').map(escaped).collect::<Vec<_>>().join("/")
}

/// A reference's repository, and its tag or digest.
fn reference(name: &str) -> (&str, &str) {
    if let Some((repository, digest)) = name.split_once('@') {
        return (repository, digest);
    }
    // A port is before the last slash.
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, tag),
        _ => (name, "latest"),
    }
}

/// The version to speak: the one that this was written for, or the engine's oldest if that
/// is newer.
fn best_version(oldest: &str, newest: &str) -> Option<(u32, u32)> {
    let numbers = |text: &str| {
        let (major, minor) = text.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    let newest = numbers(newest)?;
    let oldest = numbers(oldest).unwrap_or(API);
    let wanted = API.max(oldest);
    (wanted <= newest && wanted.0 == API.0).then_some(wanted)
}

fn image_from(image: &Value) -> Image {
    let texts = |value: &Value| -> Vec<String> {
        let list = value.as_array().into_iter().flatten();
        list.filter_map(|text| text.as_str().map(str::to_owned)).collect()
    };
    let config = &image["Config"];
    Image {
        id: image["Id"].as_str().unwrap_or_default().to_owned(),
        environment: texts(&config["Env"]),
        volumes: config["Volumes"]
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys().cloned())
            .collect(),
    }
}

fn facts(version: &str, info: &Value) -> Facts {
    let can = |field: &str| info[field].as_bool().unwrap_or(false);
    let security: Vec<String> = info["SecurityOptions"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|option| option.as_str()?.split(',').next()?.strip_prefix("name="))
        .map(str::to_owned)
        .collect();
    let has = |name: &str| security.iter().any(|option| option == name);
    Facts {
        version: version.to_owned(),
        runtimes: info["Runtimes"]
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys().cloned())
            .collect(),
        gvisor: info["Runtimes"]
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(name, runtime)| is_gvisor(name, runtime["path"].as_str().unwrap_or_default()))
            .map(|(name, _)| name.clone())
            .collect(),
        cgroups: info["CgroupVersion"].as_str().unwrap_or("1").to_owned(),
        storage: info["Driver"].as_str().unwrap_or_default().to_owned(),
        maps_users: has("userns") || has("rootless"),
        security,
        limits_memory: can("MemoryLimit"),
        limits_swap: can("SwapLimit"),
        limits_processes: can("PidsLimit"),
        limits_processor: can("CPUShares") && can("CpuCfsQuota"),
    }
}

/// By the program, or by the name where the engine does not tell the program.
fn is_gvisor(name: &str, path: &str) -> bool {
    let program = path.rsplit('/').next().unwrap_or_default();
    [name, program].iter().any(|text| text.starts_with("runsc") || text.contains("gvisor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_images_are_taken_apart() {
        for (name, expected) in [
            ("python", ("python", "latest")),
            ("python:3.13-slim", ("python", "3.13-slim")),
            ("localhost:5000/a/b", ("localhost:5000/a/b", "latest")),
            ("localhost:5000/a/b:c", ("localhost:5000/a/b", "c")),
            ("a@sha256:12", ("a", "sha256:12")),
        ] {
            assert_eq!(reference(name), expected, "{name}");
        }
        for wrong in ["", "../../info", "a b", "a?x=y", "a\n"] {
            assert!(check_image(wrong).is_err(), "{wrong:?}");
        }
        assert!(check_image("localhost:5000/a/b@sha256:12").is_ok());
    }

    #[test]
    fn a_version_is_agreed_on() {
        assert_eq!(best_version("1.12", "1.41"), Some((1, 41)));
        assert_eq!(best_version("1.24", "1.47"), Some((1, 41)));
        assert_eq!(best_version("1.44", "1.52"), Some((1, 44)));
        assert_eq!(best_version("", "1.41"), Some((1, 41)));
        for (oldest, newest) in [("1.12", "1.40"), ("2.0", "2.1"), ("", ""), ("x", "y.z")] {
            assert_eq!(best_version(oldest, newest), None, "{oldest} {newest}");
        }
    }

    #[test]
    fn what_an_engine_says_of_itself_is_read() {
        let info = json!({
            "Runtimes": { "runc": {}, "runsc": {} }, "CgroupVersion": "2", "Driver": "overlay2",
            "SecurityOptions": ["name=seccomp,profile=default", "name=userns"],
            "MemoryLimit": true, "SwapLimit": false, "PidsLimit": true,
            "CPUShares": true, "CpuCfsQuota": true,
        });
        let facts = facts("20.10", &info);
        assert_eq!(facts.runtimes, ["runc", "runsc"]);
        assert_eq!(facts.gvisor, ["runsc"]);
        assert!(is_gvisor("safe", "/opt/bin/runsc-2026") && is_gvisor("gvisor-kvm", ""));
        assert!(!is_gvisor("runc", "/usr/sbin/runc") && !is_gvisor("crun", ""));
        assert_eq!(facts.security, ["seccomp", "userns"]);
        assert!(facts.maps_users && facts.limits_memory && !facts.limits_swap);
        assert!(facts.limits_processes && facts.limits_processor);
        // One that says nothing can do nothing.
        let nothing = super::facts("", &json!({}));
        assert!(!nothing.limits_memory && nothing.runtimes.is_empty());
    }
}
