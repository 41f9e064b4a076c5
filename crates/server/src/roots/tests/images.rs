//! Images: found, compared with their digests, and refused when they are not what they say.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use super::*;
use crate::roots::image::Image;
use crate::roots::layout::{Archive, Layout};
use crate::roots::stream::Digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image layout that is put together piece by piece.
struct Made {
    folder: tempfile::TempDir,
}

impl Made {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("blobs/sha256")).unwrap();
        fs::write(folder.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self { folder }
    }

    fn blob(&self, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs::write(self.folder.path().join("blobs/sha256").join(digest.hex()), bytes).unwrap();
        json!({ "digest": format!("sha256:{}", digest.hex()), "size": bytes.len() })
    }

    fn typed(&self, kind: &str, bytes: &[u8]) -> Value {
        let mut descriptor = self.blob(bytes);
        descriptor["mediaType"] = json!(kind);
        descriptor
    }

    fn json(&self, kind: &str, value: &Value) -> Value {
        self.typed(kind, value.to_string().as_bytes())
    }

    /// A manifest of layers; `change` may spoil the configuration.
    fn manifest(&self, layers: &[(Value, &[u8])], change: impl FnOnce(&mut Value)) -> Value {
        let plain: Vec<String> =
            layers.iter().map(|(_, plain)| format!("sha256:{}", Digest::of(plain).hex())).collect();
        let mut configuration = json!({
            "architecture": architecture(), "os": "linux",
            "config": { "Env": ["A=1", "PATH=/own/bin", "odd"], "Entrypoint": ["/x"] },
            "rootfs": { "type": "layers", "diff_ids": plain },
        });
        change(&mut configuration);
        let configuration = self.json("application/vnd.oci.image.config.v1+json", &configuration);
        let layers: Vec<&Value> = layers.iter().map(|(layer, _)| layer).collect();
        self.json(
            MANIFEST,
            &json!({ "schemaVersion": 2, "config": configuration, "layers": layers }),
        )
    }

    fn index(&self, manifests: &[Value]) -> &Self {
        let index = json!({ "schemaVersion": 2, "manifests": manifests });
        fs::write(self.folder.path().join("index.json"), index.to_string()).unwrap();
        self
    }

    fn layout(&self) -> Layout {
        Layout::folder(self.folder.path()).unwrap()
    }

    fn refused(&self) -> String {
        let folder = tempfile::tempdir().unwrap();
        let mut unpacker = Unpacker::new(folder.path(), Bounds::default()).unwrap();
        let layout = self.layout();
        let done = Image::find(&layout)
            .and_then(|image| image.unpack(&layout, &mut unpacker, &mut |_| {}));
        let said = done.unwrap_err().failure("image").to_string();
        assert!(said.starts_with("error[E1020]: image: "), "{said}");
        said
    }
}

fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn unpacked(layout: &Layout) -> Result<(Vec<String>, Image), RootError> {
    let folder = tempfile::tempdir().unwrap();
    let mut unpacker = Unpacker::new(folder.path(), Bounds::default())?;
    let image = Image::find(layout)?;
    image.unpack(layout, &mut unpacker, &mut |_| {})?;
    Ok((listing(folder.path()), image))
}

/// Three layers, each compressed in another way.
fn usual() -> (Made, Value) {
    let made = Made::new();
    let first = archive(&[file("etc/os", "1"), file("gone", "1")]);
    let second = archive(&[file(".wh.gone", ""), file("a", "2")]);
    let third = archive(&[file("a", "3")]);
    let layers = [
        (made.typed(LAYER, &first), first.as_slice()),
        (made.typed(&format!("{LAYER}+gzip"), &gzip(&second)), second.as_slice()),
        (
            made.typed(&format!("{LAYER}+zstd"), &zstd::encode_all(third.as_slice(), 1).unwrap()),
            third.as_slice(),
        ),
    ];
    let manifest = made.manifest(&layers, |_| {});
    made.index(std::slice::from_ref(&manifest));
    (made, manifest)
}

#[test]
fn a_layout_is_unpacked_from_a_folder_and_from_an_archive() {
    let (made, _) = usual();
    let (files, image) = unpacked(&made.layout()).unwrap();
    assert_eq!(files, ["a=3", "etc/", "etc/os=1"]);
    let variables: Vec<_> = image.environment.into_iter().collect();
    assert_eq!(variables, [("A".into(), "1".into()), ("PATH".into(), "/own/bin".into())]);
    // The same as one file.
    let mut members = Vec::new();
    for path in listing(
        made.folder.path().join("blobs/sha256").as_path().parent().unwrap().parent().unwrap(),
    ) {
        let Some((name, _)) = path.split_once('=') else { continue };
        let bytes = fs::read(made.folder.path().join(name)).unwrap();
        members.push(member(name, Kind::File(bytes.len() as u64), 0o644, &bytes));
    }
    let whole = made.folder.path().join("image.tar");
    fs::write(&whole, archive(&members)).unwrap();
    let opened = fs::File::open(&whole).unwrap();
    let found = Archive::index(&opened, 100).unwrap();
    assert!(found.is_image());
    assert_eq!(unpacked(&Layout::Archive(found)).unwrap().0, ["a=3", "etc/", "etc/os=1"]);
    assert!(matches!(Archive::index(&opened, 2), Err(RootError::TooMany { .. })));
}

#[test]
fn what_older_engines_save_is_an_image_and_the_files_of_a_root_are_none() {
    let layer = archive(&[file("a", "1")]);
    let plain = vec![format!("sha256:{}", Digest::of(&layer).hex()); 2];
    let configuration = json!({
        "architecture": architecture(), "os": "linux", "rootfs": { "diff_ids": plain },
    })
    .to_string();
    let name = format!("{}.json", Digest::of(configuration.as_bytes()).hex());
    let saved = |name: &str, layer: &[u8]| {
        let manifest = json!([{ "Config": name, "RepoTags": ["x:1"], "Layers": ["one/layer.tar", "two/layer.tar"] }]);
        let bytes = archive(&[
            member("one/layer.tar", Kind::File(layer.len() as u64), 0o644, layer),
            link("two/layer.tar", "../one/layer.tar"),
            file(name, &configuration),
            file("manifest.json", &manifest.to_string()),
        ]);
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        Archive::index(&file, 100).unwrap()
    };
    let found = saved(&name, &layer);
    assert!(found.is_image());
    assert_eq!(unpacked(&Layout::Archive(found)).unwrap().0, ["a=1"]);
    let other = archive(&[file("a", "2")]);
    let done = unpacked(&Layout::Archive(saved(&name, &other)));
    assert!(matches!(done, Err(RootError::Digest { .. })));
    let done = unpacked(&Layout::Archive(saved("abc.json", &layer)));
    assert!(matches!(done, Err(RootError::Digest { .. })));
    let mut root = tempfile::tempfile().unwrap();
    let members = [file("manifest.json", "[]"), file("etc/index.json", ""), file("bin/sh", "")];
    root.write_all(&archive(&members)).unwrap();
    assert!(!Archive::index(&root, 100).unwrap().is_image());
}

#[test]
fn bytes_that_are_not_what_their_digest_says_are_refused() {
    for (at, expected) in [
        ("manifest", "blobs/sha256/"),
        ("layer", "layer 1 of 3 is not what its digest says"),
        ("gzip", "layer 2 of 3"),
        ("configuration", "blobs/sha256/"),
    ] {
        let (made, manifest) = usual();
        let text = |descriptor: &Value| {
            let name = descriptor["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
            made.folder.path().join(name)
        };
        let inner: Value = serde_json::from_slice(&fs::read(text(&manifest)).unwrap()).unwrap();
        let victim = match at {
            "manifest" => text(&manifest),
            "layer" => text(&inner["layers"][0]),
            "gzip" => text(&inner["layers"][1]),
            _ => text(&inner["config"]),
        };
        let mut bytes = fs::read(&victim).unwrap();
        // A byte of a file, which no tar would notice; when it was compressed, which nobody
        // would; the end of a text.
        let place = match at {
            "layer" => 512,
            "gzip" => 4,
            _ => bytes.len() - 3,
        };
        bytes[place] ^= 1;
        fs::write(&victim, bytes).unwrap();
        let said = made.refused();
        assert!(said.contains(expected), "{at}: {said}");
    }
    // Right in itself, and not what the configuration names.
    let made = Made::new();
    let layer = archive(&[file("a", "1")]);
    let manifest = made.manifest(&[(made.typed(LAYER, &layer), b"another")], |_| {});
    made.index(&[manifest]);
    assert!(made.refused().contains("layer 1 of 1 is not what its digest says"));
}

#[test]
fn an_image_that_is_none_for_this_host_is_refused() {
    let layer = archive(&[file("a", "1")]);
    let one = |change: fn(&mut Value)| {
        let made = Made::new();
        let manifest = made.manifest(&[(made.typed(LAYER, &layer), &layer)], change);
        (made, manifest)
    };
    let (made, manifest) = one(|configuration| configuration["os"] = json!("windows"));
    made.index(&[manifest]);
    assert!(made.refused().contains("it is for windows/"), "{}", made.refused());
    let (made, mut manifest) = one(|_| {});
    manifest["platform"] = json!({ "os": "linux", "architecture": "s390x" });
    made.index(std::slice::from_ref(&manifest));
    assert!(made.refused().contains("only linux/s390x"));
    // One that says so is taken; what engines add about how it was built is passed over.
    let mut own = manifest.clone();
    own["platform"] = json!({ "os": "linux", "architecture": architecture() });
    let mut about = made.json(MANIFEST, &json!({ "x": 1 }));
    about["platform"] = json!({ "os": "unknown", "architecture": "unknown" });
    let inner = json!({ "schemaVersion": 2, "manifests": [manifest, own, about] });
    made.index(&[made.json(INDEX, &inner)]);
    assert_eq!(unpacked(&made.layout()).unwrap().0, ["a=1"]);
    let (_, other) = one(|configuration| configuration["config"]["Env"] = json!(["B=2"]));
    made.index(&[own.clone(), other]);
    // Two that could be meant are none.
    let mut second = made.manifest(&[], |_| {});
    second["platform"] = own["platform"].clone();
    made.index(&[own, second]);
    assert!(made.refused().contains("several images"));
}

#[test]
fn an_image_that_lies_is_refused() {
    let (made, manifest) = usual();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = manifest.clone();
        change(&mut changed);
        made.index(&[changed]);
        made.refused()
    };
    for digest in ["sha256:../../../etc/passwd", "sha256:", "sha512:00", "x", "sha256:ABCDEF"] {
        assert!(with(&|one| one["digest"] = json!(digest)).contains("is no digest"), "{digest}");
    }
    let missing = format!("sha256:{}", "0".repeat(64));
    assert!(with(&|one| one["digest"] = json!(missing)).contains("there is no blobs/sha256/0"));
    assert!(with(&|one| one["size"] = json!(1)).contains("not what its digest says"));
    assert!(with(&|one| one["mediaType"] = json!("text/html")).contains("there is no image"));
    // Indexes in each other, without end.
    let mut inner = manifest.clone();
    for _ in 0..5 {
        inner = made.json(INDEX, &json!({ "manifests": [inner] }));
    }
    made.index(&[inner]);
    assert!(made.refused().contains("too deep"));
    // A layer of another kind, more layers than are named, variables without end.
    let layer = archive(&[file("a", "1")]);
    let odd = made.typed("application/vnd.oci.image.layer.v1.tar+encrypted", &layer);
    made.index(&[made.manifest(&[(odd, &layer)], |_| {})]);
    assert!(made.refused().contains("not known here"));
    let plain = made.typed(LAYER, &layer);
    made.index(&[made.manifest(&[(plain.clone(), &layer)], |one| {
        one["rootfs"]["diff_ids"] = json!([]);
    })]);
    assert!(made.refused().contains("its layers are not those"));
    made.index(&[made.manifest(&[(plain, &layer)], |one| {
        one["config"]["Env"] = json!(vec!["A=1"; 300]);
    })]);
    assert!(made.refused().contains("variables"));
    fs::write(made.folder.path().join("index.json"), "{").unwrap();
    assert!(made.refused().contains("index.json"));
}

/// A file of the layout that is a link could be any file of the host.
#[test]
fn no_link_of_a_layout_is_followed() {
    let (made, manifest) = usual();
    let name = manifest["digest"].as_str().unwrap().replace("sha256:", "blobs/sha256/");
    let (path, elsewhere) = (made.folder.path().join(&name), made.folder.path().join("elsewhere"));
    fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert!(made.refused().contains("through a link"));
    fs::remove_file(&path).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    // It is not waited for.
    assert!(made.refused().contains("is no file"));
}
