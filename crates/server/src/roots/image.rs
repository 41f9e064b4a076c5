//! Images, as the Open Container Initiative lays them out, and as `docker save` does.
//!
//! ```text
//!  index.json ─▶ (index ─▶) manifest ─┬▶ config: architecture, variables, diff ids
//!  manifest.json ─▶ config, names ────┴▶ layers, each a tar, compressed or not
//! ```
//!
//! Each is named by the digest of its bytes, which is compared before it is believed. Source:
//! github.com/opencontainers/image-spec (image-layout.md, image-index.md, manifest.md, config.md,
//! layer.md), and what engines write.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::RootError;
use super::layout::Layout;
use super::stream::{Digest, Hashed, Part, decompressed};
use super::unpack::{Layer, Unpacker};

/// How deep indexes lie in each other.
const DEEPEST: usize = 3;
const MOST_LAYERS: usize = 512;
const MOST_VARIABLES: usize = 256;
const LONGEST_VARIABLE: usize = 32 << 10;

const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// What a layer may be. How it is compressed is seen from its bytes.
const LAYERS: [&str; 8] = [
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    config: Option<Settings>,
    rootfs: RootFiles,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    #[serde(default)]
    env: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RootFiles {
    #[serde(default)]
    diff_ids: Vec<String>,
}

/// An entry of what `docker save` wrote before it wrote layouts.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

/// An image that was found to be one for this host.
#[derive(Debug)]
pub(crate) struct Image {
    /// Of its manifest, or configuration: whatever names all the rest.
    pub(crate) digest: Digest,
    /// Variables of its processes.
    pub(crate) environment: BTreeMap<String, String>,
    layers: Vec<LayerFile>,
}

#[derive(Debug)]
struct LayerFile {
    name: String,
    /// Of the file as it is; none where only what it holds has one.
    stored: Option<(Digest, u64)>,
    /// Of what it holds.
    plain: Digest,
}

impl Image {
    /// Finds the image for this host.
    pub(crate) fn find(layout: &Layout) -> Result<Self, RootError> {
        if let Some(text) = layout.text("index.json")? {
            let index: Index = parsed("index.json", &text)?;
            return Self::of_index(layout, index.manifests, 0);
        }
        match layout.text("manifest.json")? {
            Some(text) => Self::saved(layout, &text),
            None => Err(broken("there is no index.json in it")),
        }
    }

    fn of_index(
        layout: &Layout,
        manifests: Vec<Descriptor>,
        depth: usize,
    ) -> Result<Self, RootError> {
        let descriptor = chosen(manifests)?;
        let text = blob(layout, &descriptor)?;
        if INDEXES.contains(&descriptor.media_type.as_str()) {
            if depth == DEEPEST {
                return Err(broken("its indexes lie too deep in each other"));
            }
            let index: Index = parsed("an index", &text)?;
            return Self::of_index(layout, index.manifests, depth + 1);
        }
        let manifest: Manifest = parsed("the manifest", &text)?;
        let mut layers = Vec::new();
        for layer in &manifest.layers {
            if !LAYERS.contains(&layer.media_type.as_str()) {
                let kind: String = layer.media_type.chars().take(100).collect();
                return Err(broken(&format!("a layer is {kind:?}, which is not known here")));
            }
            let digest = Digest::parse(&layer.digest)?;
            layers.push((blob_name(&digest), Some((digest, layer.size))));
        }
        let configuration = parsed("the configuration", &blob(layout, &manifest.config)?)?;
        Self::assemble(Digest::parse(&descriptor.digest)?, configuration, layers)
    }

    fn saved(layout: &Layout, text: &[u8]) -> Result<Self, RootError> {
        let mut images: Vec<Saved> = parsed("manifest.json", text)?;
        let saved = match (images.pop(), images.is_empty()) {
            (Some(saved), true) => saved,
            _ => return Err(several()),
        };
        let missing = || broken(&format!("there is no {:?} in it", cut(&saved.config)));
        let text = layout.text(&saved.config)?.ok_or_else(missing)?;
        let digest = Digest::of(&text);
        let named = saved.config.strip_prefix("blobs/sha256/").unwrap_or(&saved.config);
        if named.strip_suffix(".json").unwrap_or(named) != digest.hex() {
            return Err(RootError::Digest { what: "the configuration".to_owned() });
        }
        let configuration = parsed("the configuration", &text)?;
        let layers = saved.layers.into_iter().map(|name| (name, None)).collect();
        Self::assemble(digest, configuration, layers)
    }

    fn assemble(
        digest: Digest,
        configuration: Configuration,
        layers: Vec<(String, Option<(Digest, u64)>)>,
    ) -> Result<Self, RootError> {
        let Configuration { architecture, os, config, rootfs } = configuration;
        let own = architecture_here();
        if !is_or_unsaid(&os, "linux") || !is_or_unsaid(&architecture, own) {
            let what = format!("it is for {}/{}", cut(&os), cut(&architecture));
            return Err(broken(&format!("{what}, and this host is linux/{own}")));
        }
        if layers.len() > MOST_LAYERS || layers.len() != rootfs.diff_ids.len() {
            return Err(broken("its layers are not those that its configuration names"));
        }
        let layer = |((name, stored), plain): ((String, _), String)| {
            Ok(LayerFile { name, stored, plain: Digest::parse(&plain)? })
        };
        let layers: Result<_, RootError> =
            layers.into_iter().zip(rootfs.diff_ids).map(layer).collect();
        let variables = config.unwrap_or_default().env.unwrap_or_default();
        Ok(Self { digest, environment: variables_of(variables)?, layers: layers? })
    }

    /// Unpacks its layers, one over the other.
    pub(crate) fn unpack(
        &self,
        layout: &Layout,
        unpacker: &mut Unpacker,
        told: &mut dyn FnMut(u64),
    ) -> Result<(), RootError> {
        for (number, layer) in self.layers.iter().enumerate() {
            let what = format!("layer {} of {}", number + 1, self.layers.len());
            let missing = || broken(&format!("{what} is not in it: {:?}", cut(&layer.name)));
            let part = layout.open(&layer.name)?.ok_or_else(missing)?;
            check_size(&part, layer.stored.as_ref().map(|(_, size)| *size), &what)?;
            let mut stored = Hashed::new(part);
            let mut plain = Hashed::new(decompressed(&mut stored)?);
            unpacker.layer(&mut plain, Layer::Difference, told)?;
            plain.finish(&layer.plain, &what)?;
            if let Some((digest, _)) = &layer.stored {
                stored.finish(digest, &what)?;
            }
        }
        Ok(())
    }
}

/// The one for this host, in an index of several.
fn chosen(manifests: Vec<Descriptor>) -> Result<Descriptor, RootError> {
    let is_image = |one: &Descriptor| {
        INDEXES.contains(&one.media_type.as_str()) || MANIFESTS.contains(&one.media_type.as_str())
    };
    let is_here = |one: &Descriptor| {
        one.platform.as_ref().is_none_or(|platform| {
            is_or_unsaid(&platform.os, "linux")
                && is_or_unsaid(&platform.architecture, architecture_here())
        })
    };
    let mut others = Vec::new();
    let mut found: Vec<Descriptor> = Vec::new();
    for one in manifests.into_iter().filter(is_image) {
        if is_here(&one) {
            // The same image under several names is one.
            if found.iter().all(|other| other.digest != one.digest) {
                found.push(one);
            }
        } else if let Some(platform) = one.platform {
            others.push(format!("{}/{}", cut(&platform.os), cut(&platform.architecture)));
        }
    }
    // One that says so is for this host before one that says nothing.
    if found.len() > 1 && found.iter().any(|one| one.platform.is_some()) {
        found.retain(|one| one.platform.is_some());
    }
    match (found.pop(), found.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(_), false) => Err(several()),
        (None, _) => {
            others.truncate(16);
            let here = architecture_here();
            let what = format!("no image in it is for linux/{here}, only {}", others.join(", "));
            Err(broken(if others.is_empty() { "there is no image in it" } else { &what }))
        }
    }
}

/// A small file that is named by its digest.
fn blob(layout: &Layout, descriptor: &Descriptor) -> Result<Vec<u8>, RootError> {
    let digest = Digest::parse(&descriptor.digest)?;
    let name = blob_name(&digest);
    let text = layout.text(&name)?.ok_or_else(|| broken(&format!("there is no {name} in it")))?;
    match text.len() as u64 == descriptor.size && Digest::of(&text) == digest {
        true => Ok(text),
        false => Err(RootError::Digest { what: name }),
    }
}

fn check_size(part: &Part, size: Option<u64>, what: &str) -> Result<(), RootError> {
    match size.is_none_or(|size| size == part.length()) {
        true => Ok(()),
        false => Err(RootError::Digest { what: what.to_owned() }),
    }
}

fn variables_of(variables: Vec<String>) -> Result<BTreeMap<String, String>, RootError> {
    let is_odd = |one: &String| one.len() > LONGEST_VARIABLE || one.contains('\0');
    if variables.len() > MOST_VARIABLES || variables.iter().any(is_odd) {
        return Err(broken("it has more or longer variables than a process is given"));
    }
    let pairs = variables.iter().filter_map(|one| one.split_once('='));
    let named = pairs.filter(|(name, _)| !name.is_empty());
    Ok(named.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// As images call the processor that this program is for.
fn architecture_here() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn is_or_unsaid(said: &str, own: &str) -> bool {
    said.is_empty() || said == own
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

fn parsed<T: DeserializeOwned>(what: &str, text: &[u8]) -> Result<T, RootError> {
    serde_json::from_slice(text).map_err(|_| broken(&format!("{what} is not what it should be")))
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}

fn several() -> RootError {
    broken("it holds several images: save one of them")
}

fn broken(what: &str) -> RootError {
    RootError::Image(what.to_owned())
}
