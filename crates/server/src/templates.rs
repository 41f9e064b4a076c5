//! `[templates.NAME]` of the server's configuration file.
//!
//! ```toml
//! [templates.small]
//! base = "python"
//! limits = { memory_bytes = "128MiB" }
//!
//! [templates.debian]
//! root = "/srv/debian"
//! language = "shell"
//! ```
//!
//! Whoever writes the file runs the server. What cannot be meant is refused all the same,
//! with its line: a limit that was overlooked is none.

mod origin;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use capsule_backend::sandbox::Root;
use capsule_spec::{
    ByteSize, ErrorCode, Failure, HostRule, Limits, Network, SeccompProfile, nearest, parse_size,
};
use serde::Deserialize;
use toml::Spanned;

use self::origin::{GivenBounds, GivenPackages, dockerfile, files};
use crate::Template;
use crate::request::{Language, OnExpiry};
use crate::roots::Files;

/// Its name in a data folder, where it is found without being named.
pub const NAME: &str = "capsule.toml";
/// The most that is read of it.
const MOST_BYTES: u64 = 1 << 20;
const MOST_TEMPLATES: usize = 256;
const MOST_SPARES: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    templates: BTreeMap<String, Spanned<Given>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    base: Option<String>,
    root: Option<PathBuf>,
    dockerfile: Option<PathBuf>,
    #[serde(default)]
    packages: GivenPackages,
    #[serde(default)]
    unpack: GivenBounds,
    language: Option<Language>,
    description: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    limits: GivenLimits,
    seccomp: Option<SeccompProfile>,
    network: Option<GivenNetwork>,
    on_expiry: Option<OnExpiry>,
    pool: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenLimits {
    memory_bytes: Option<Size>,
    disk_bytes: Option<Size>,
    max_pids: Option<u32>,
    cpu_shares: Option<u32>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number of bytes, or a text such as \"512MiB\"")]
enum Size {
    Bytes(u64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected \"denied\", \"open\" or { allow = [\"HOST\", \"HOST:PORT\", \"*.HOST\"] }"
)]
enum GivenNetwork {
    Word(Word),
    Hosts(Hosts),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Denied,
    Open,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Hosts {
    allow: Vec<String>,
}

/// The templates of a server: those that are built in, changed and added to by a file.
///
/// # Errors
/// A file that cannot be read, is no TOML, or says what cannot be meant: each with the file
/// and the line in the message.
pub fn load(file: &Path, built_in: Vec<Template>) -> Result<Vec<Template>, Failure> {
    let shown = file.display();
    let unreadable = |why: &str| {
        Failure::new(ErrorCode::InvalidConfig, format!("the configuration file {shown} {why}"))
    };
    let length = std::fs::metadata(file).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(
            ErrorCode::InvalidConfig,
            format!("there is no configuration file {shown}"),
        ),
        _ => unreadable("cannot be read"),
    })?;
    if length.len() > MOST_BYTES {
        return Err(unreadable("is larger than 1 MiB"));
    }
    let text = std::fs::read_to_string(file).map_err(|_| unreadable("cannot be read"))?;
    let folder = file.parent().unwrap_or(Path::new("."));
    parse(&text, folder, built_in).map_err(|(line, mut failure)| {
        failure.message = format!("{shown}:{line}: {}", failure.message);
        failure
    })
}

/// A failure, and the line that it is about.
type Problem = (usize, Failure);

fn parse(text: &str, folder: &Path, built_in: Vec<Template>) -> Result<Vec<Template>, Problem> {
    let line = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
    let file: File = toml::from_str(text).map_err(|error| {
        (error.span().map_or(1, |span| line(span.start)), malformed(error.message()))
    })?;
    if file.templates.len() > MOST_TEMPLATES {
        let message = format!("there are more than {MOST_TEMPLATES} templates");
        return Err((1, Failure::new(ErrorCode::InvalidConfig, message)));
    }
    let mut all: BTreeMap<String, Template> =
        built_in.iter().map(|one| (one.name.clone(), one.clone())).collect();
    for (name, given) in file.templates {
        let at = line(given.span().start);
        let template = given.into_inner().template(&name, folder, &built_in);
        let template = template.map_err(|mut failure| {
            failure.message = format!("template {name:?}: {}", failure.message);
            (at, failure)
        })?;
        all.insert(name, template);
    }
    Ok(all.into_values().collect())
}

fn malformed(message: &str) -> Failure {
    let Some((_, rest)) = message.split_once("unknown field `") else {
        return Failure::new(ErrorCode::InvalidConfig, message.lines().next().unwrap_or_default());
    };
    let mut names = rest.split('`').step_by(2);
    let unknown = names.next().unwrap_or_default();
    let known: Vec<&str> = names.collect();
    let failure =
        Failure::new(ErrorCode::UnknownOption, format!("there is no key {unknown:?} here"));
    match nearest(unknown, known.iter().copied()) {
        Some(near) => failure.hint(format!("did you mean {near:?}?")),
        None => failure.hint(format!("known here: {}", known.join(", "))),
    }
}

fn invalid(message: impl Into<String>) -> Failure {
    Failure::new(ErrorCode::InvalidValue, message.into())
}

impl Given {
    fn template(
        self,
        name: &str,
        folder: &Path,
        built_in: &[Template],
    ) -> Result<Template, Failure> {
        check_name(name)?;
        let find = |name: &str| built_in.iter().find(|one| one.name == name);
        let given = [
            ("base", self.base.is_some()),
            ("root", self.root.is_some()),
            ("dockerfile", self.dockerfile.is_some()),
        ];
        let given: Vec<&str> =
            given.into_iter().filter_map(|(name, is_given)| is_given.then_some(name)).collect();
        if let [first, second, ..] = *given {
            let message =
                format!("{first} and {second} are both given; each says whose files they are");
            return Err(Failure::new(ErrorCode::ConflictingOptions, message));
        }
        let base = match &self.base {
            Some(base) => find(base).ok_or_else(|| unknown_base(base, built_in))?,
            None if given.is_empty() => find(name).ok_or_else(|| {
                invalid("neither base, root nor dockerfile is given").hint("base = \"python\"")
            })?,
            None => find("shell").ok_or_else(|| unknown_base("shell", built_in))?,
        };
        let mut template = base.clone();
        if name != base.name {
            // Spares are asked for by name: who adds a template may have other plans.
            template.pool = 0;
        }
        name.clone_into(&mut template.name);
        if let Some(root) = &self.root {
            match files(&folder.join(root))? {
                (path, None) => template.recipe.root = Root::Directory(path),
                (_, files) => template.origin.files = files,
            }
        }
        if let Some(path) = &self.dockerfile {
            template.origin.files = Some(Files::Dockerfile(dockerfile(&folder.join(path))?));
        }
        template.origin.packages = self.packages.packages()?;
        template.origin.bounds = self.unpack.bounds()?;
        template.language = self.language.unwrap_or(template.language);
        template.description = self.description.or(template.description);
        template.on_expiry = self.on_expiry.unwrap_or(template.on_expiry);
        if let Some(pool) = self.pool {
            if pool > MOST_SPARES {
                return Err(invalid(format!("pool is {pool}; it can be 0 to {MOST_SPARES}")));
            }
            template.pool = pool;
        }
        self.limits.apply(&mut template.recipe.limits)?;
        let policy = &mut template.recipe.policy;
        for (name, value) in self.env {
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                return Err(invalid(format!("env has {name:?}, which no variable can be")));
            }
            policy.environment.insert(name, value);
        }
        policy.seccomp = self.seccomp.unwrap_or(policy.seccomp);
        if let Some(network) = self.network {
            policy.network = network.network()?;
        }
        Ok(template)
    }
}

/// Names are said on the wire, in metrics and in logs.
fn check_name(name: &str) -> Result<(), Failure> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let is_name = name.len() <= 64
        && name.bytes().all(is_plain)
        && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    match is_name {
        true => Ok(()),
        false => Err(invalid("this is no name for a template")
            .hint("letters, digits, \"-\", \"_\" and \".\", at most 64")),
    }
}

fn unknown_base(base: &str, built_in: &[Template]) -> Failure {
    let names: Vec<&str> = built_in.iter().map(|one| one.name.as_str()).collect();
    let failure = Failure::new(ErrorCode::UnknownTemplate, format!("there is no base {base:?}"));
    failure.hint(format!("it can be {}", names.join(", ")))
}

impl GivenLimits {
    fn apply(self, limits: &mut Limits) -> Result<(), Failure> {
        const MIB: u64 = 1 << 20;
        if let Some(size) = self.memory_bytes {
            limits.memory = size.bytes("memory_bytes", MIB)?;
        }
        if let Some(size) = self.disk_bytes {
            limits.disk = size.bytes("disk_bytes", MIB)?;
            limits.disk_inodes = Limits::inodes_for(limits.disk);
        }
        for (name, given, most, limit) in [
            ("max_pids", self.max_pids, 1 << 20, &mut limits.max_pids),
            ("cpu_shares", self.cpu_shares, 262_144, &mut limits.cpu_shares),
        ] {
            let Some(given) = given else { continue };
            if !(2..=most).contains(&given) {
                return Err(invalid(format!("{name} is {given}; it can be 2 to {most}")));
            }
            *limit = given;
        }
        Ok(())
    }
}

impl Size {
    fn bytes(self, name: &str, least: u64) -> Result<ByteSize, Failure> {
        let size = match self {
            Self::Bytes(bytes) => ByteSize::from_bytes(bytes),
            Self::Text(text) => parse_size(&text)
                .map_err(|error| invalid(format!("{name} is {text:?}: {error}")))?,
        };
        match (least..=1 << 50).contains(&size.bytes()) {
            true => Ok(size),
            false => Err(invalid(format!("{name} is {}; it can be {least} to 2^50", size.bytes()))),
        }
    }
}

impl GivenNetwork {
    fn network(self) -> Result<Network, Failure> {
        let hosts = match self {
            Self::Word(Word::Denied) => return Ok(Network::Denied),
            Self::Word(Word::Open) => return Ok(Network::Open),
            Self::Hosts(hosts) => hosts.allow,
        };
        let rule = |host: &String| -> Result<HostRule, Failure> {
            host.parse().map_err(|error| invalid(format!("network allows {host:?}: {error}")))
        };
        let rules: Vec<HostRule> = hosts.iter().map(rule).collect::<Result<_, _>>()?;
        Ok(if rules.is_empty() { Network::Denied } else { Network::Hosts(rules) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built_in() -> Vec<Template> {
        let languages =
            [("go", Language::Go), ("node", Language::JavaScript), ("python", Language::Python)];
        let template = |(name, language): (&str, Language)| Template {
            name: name.to_owned(),
            recipe: capsule_backend::sandbox::Recipe {
                root: Root::Host,
                limits: Limits::default(),
                policy: capsule_spec::Policy::default(),
                require: Vec::new(),
                volumes: Vec::new(),
            },
            language,
            description: None,
            on_expiry: OnExpiry::Delete,
            pool: 2,
            origin: crate::roots::Origin::default(),
        };
        languages.into_iter().chain([("shell", Language::Shell)]).map(template).collect()
    }

    fn parsed(text: &str) -> Result<BTreeMap<String, Template>, (usize, String, String)> {
        let folder = std::env::temp_dir();
        let parsed = parse(text, &folder, built_in());
        parsed
            .map(|all| all.into_iter().map(|one| (one.name.clone(), one)).collect())
            .map_err(|(line, failure)| (line, failure.code.to_string(), failure.message))
    }

    #[test]
    fn a_template_is_its_base_and_what_is_said() {
        let all = parsed(
            "[templates.small]\nbase = \"node\"\ndescription = \"less\"\npool = 1\n\
             env = { A = \"1\" }\nseccomp = \"strict\"\nnetwork = { allow = [\"a.example:443\"] }\n\
             limits = { memory_bytes = \"64MiB\", disk_bytes = 8388608, max_pids = 7 }\n\
             on_expiry = \"pause\"\n[templates.python]\nlimits.cpu_shares = 2\n",
        )
        .unwrap();
        let small = &all["small"];
        assert_eq!((small.language, small.pool), (Language::JavaScript, 1));
        assert_eq!((small.on_expiry, all["go"].on_expiry), (OnExpiry::Pause, OnExpiry::Delete));
        assert_eq!(small.description.as_deref(), Some("less"));
        let limits = &small.recipe.limits;
        assert_eq!((limits.memory.bytes(), limits.disk.bytes()), (64 << 20, 8 << 20));
        assert_eq!((limits.disk_inodes, limits.max_pids), (2048, 7));
        let policy = &small.recipe.policy;
        assert_eq!(policy.environment["A"], "1");
        assert_eq!(policy.seccomp, SeccompProfile::Strict);
        assert_eq!(policy.network, Network::Hosts(vec!["a.example:443".parse().unwrap()]));
        // One that is built in is changed, and keeps the rest.
        let python = &all["python"];
        assert_eq!((python.recipe.limits.cpu_shares, python.pool), (2, 2));
        assert_eq!(all["go"].recipe, built_in()[0].recipe);
        assert_eq!(all.len(), 5);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (text, line, code, message) in [
            (
                "[templates.a]\nbase = \"pyton\"\n",
                1,
                "E1014",
                "template \"a\": there is no base \"pyton\"",
            ),
            (
                "\n[templates.a]\nbase = \"go\"\nbas = 1\n",
                4,
                "E1002",
                "there is no key \"bas\" here",
            ),
            ("[template.a]\nbase = \"go\"\n", 1, "E1002", "there is no key \"template\" here"),
            (
                "[templates.a]\nbase = \"go\"\nlimits = { memory = 1 }\n",
                3,
                "E1002",
                "there is no key \"memory\" here",
            ),
            (
                "[templates.a]\nbase = \"go\"\nlimits = { max_pids = 1 }\n",
                1,
                "E1003",
                "template \"a\": max_pids is 1; it can be 2 to 1048576",
            ),
            (
                "[templates.a]\nbase = \"go\"\nlimits = { max_pids = -1 }\n",
                3,
                "E1007",
                "invalid value: integer `-1`, expected u32",
            ),
            (
                "[templates.a]\nbase = \"go\"\nlimits = { memory_bytes = 5 }\n",
                1,
                "E1003",
                "template \"a\": memory_bytes is 5; it can be 1048576 to 2^50",
            ),
            (
                "[templates.a]\nbase = \"go\"\nnetwork = \"all\"\n",
                3,
                "E1007",
                "expected \"denied\", \"open\" or { allow = [\"HOST\", \"HOST:PORT\", \"*.HOST\"] }",
            ),
            (
                "[templates.a]\nbase = \"go\"\nroot = \"/srv\"\n",
                1,
                "E1006",
                "template \"a\": base and root are both given; each says whose files they are",
            ),
            (
                "[templates.a]\nroot = \"/\"\n",
                1,
                "E1005",
                "template \"a\": the root / is the host's own",
            ),
            (
                "[templates.a]\nroot = \"/nowhere/at/all\"\n",
                1,
                "E1005",
                "template \"a\": the root /nowhere/at/all is not there",
            ),
            (
                "[templates.a]\nbase = \"go\"\ndockerfile = \"Dockerfile\"\n",
                1,
                "E1006",
                "template \"a\": base and dockerfile are both given; each says whose files they are",
            ),
            (
                "[templates.a]\ndockerfile = \"/nowhere/Dockerfile\"\n",
                1,
                "E1005",
                "template \"a\": the Dockerfile /nowhere/Dockerfile is not there",
            ),
            (
                "[templates.a]\nbase = \"go\"\npackages = { apt = [\"curl\"] }\n",
                1,
                "E1006",
                "template \"a\": packages of apt cannot be added here: apt changes a whole root, as root",
            ),
            (
                "[templates.a]\nbase = \"go\"\npackages = { pip = [\"--pre\"] }\n",
                1,
                "E1003",
                "template \"a\": \"--pre\" is not the name of a package",
            ),
            (
                "[templates.a]\nbase = \"go\"\npackages = { npm = [\"file:..\"] }\n",
                1,
                "E1003",
                "template \"a\": \"file:..\" is not the name of a package",
            ),
            (
                "[templates.a]\nbase = \"go\"\npackages = { gem = [] }\n",
                3,
                "E1002",
                "there is no key \"gem\" here",
            ),
            (
                "[templates.a]\nroot = \"/dev/null\"\n",
                1,
                "E1005",
                "template \"a\": the root /dev/null is no directory, archive or image layout",
            ),
            (
                "[templates.a]\nbase = \"go\"\nunpack = { max_names = 0 }\n",
                1,
                "E1003",
                "template \"a\": max_names is 0; it can be 1 to 100000000",
            ),
            (
                "[templates.a]\n",
                1,
                "E1003",
                "template \"a\": neither base, root nor dockerfile is given",
            ),
            (
                "[templates.\"../a\"]\nbase = \"go\"\n",
                1,
                "E1003",
                "template \"../a\": this is no name for a template",
            ),
            (
                "[templates.a]\nbase = \"go\"\nenv = { \"A=B\" = \"\" }\n",
                1,
                "E1003",
                "template \"a\": env has \"A=B\", which no variable can be",
            ),
            (
                "[templates.a]\nbase = \"go\"\npool = 1000000\n",
                1,
                "E1003",
                "template \"a\": pool is 1000000; it can be 0 to 256",
            ),
            (
                "[templates.a]\nbase = \"go\"\non_expiry = \"keep\"\n",
                3,
                "E1007",
                "unknown variant `keep`, expected `delete` or `pause`",
            ),
        ] {
            let found = parsed(text).unwrap_err();
            assert_eq!((found.0, &*found.1, &*found.2), (line, code, message), "{text}");
        }
        assert_eq!(parsed("templates = 1\n[").unwrap_err().1, "E1007");
    }
}
