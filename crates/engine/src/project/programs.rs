//! The programs of a project that may call each other: `[programs]` of `capsule.toml`.
//!
//! Who wrote the project wrote that file, too, and may be hostile: no name of a file leaves
//! the folder, by itself or through a link, and none reaches into another project.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use capsule_spec::{ErrorCode, Failure};

use super::{Language, Project, folder_of_settings};
use crate::settings::FILE;

/// The files of the programs that a project's settings name, below its root.
pub(super) fn find(project: &Project) -> Result<BTreeMap<String, String>, Failure> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for (name, file) in &project.settings.programs {
        let failed = |code, what: &str| {
            let message = format!("{FILE}: programs.{name}: {file:?} {what}");
            Failure::new(code, message).detail("file", FILE)
        };
        let invalid = |what: &str| failed(ErrorCode::InvalidConfig, what);
        let path =
            beneath(file).ok_or_else(|| invalid("is no file below the folder of capsule.toml"))?;
        let entry = match &project.bundle {
            Some(bundle) if bundle.files.contains_key(&path) => path,
            Some(_) => return Err(failed(ErrorCode::ProgramNotFound, "is not in the export")),
            None => {
                let root = project.root();
                let real = std::fs::canonicalize(root.join(&path)).map_err(|error| {
                    failed(ErrorCode::ProgramNotFound, &format!("cannot be opened: {error}"))
                })?;
                let inside = real.strip_prefix(root).map_err(|_| {
                    failed(ErrorCode::UnsafePath, "leaves the project's folder through a link")
                })?;
                if folder_of_settings(real.parent().unwrap_or(root)) != Some(root) {
                    return Err(invalid(
                        "belongs to another project, with a capsule.toml nearer to it",
                    ));
                }
                if !real.is_file() {
                    return Err(failed(ErrorCode::ProgramNotFound, "is no file"));
                }
                inside
                    .to_str()
                    .ok_or_else(|| invalid("leads to a name that is no text"))?
                    .to_owned()
            }
        };
        if Language::of(Path::new(&entry)).is_none() {
            return Err(invalid("is not a program in Python, TypeScript or JavaScript"));
        }
        if let Some((other, _)) = found.iter().find(|(_, known)| **known == entry) {
            return Err(invalid(&format!("is the program {other:?} already")));
        }
        found.insert(name.clone(), entry);
    }
    Ok(found)
}

/// A relative path in normal form; None if it is none, or climbs.
fn beneath(file: &str) -> Option<String> {
    let mut parts = Vec::new();
    for component in Path::new(file).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => parts.push(name.to_str()?),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let path = parts.join("/");
    (!path.is_empty() && !path.contains('\0')).then_some(path)
}

impl Project {
    /// What `capsule.toml` calls this program; empty if nothing.
    pub fn name(&self) -> &str {
        let own = self.programs.iter().find(|(_, entry)| **entry == self.entry);
        own.map_or("", |(name, _)| name)
    }

    /// The other programs whose tasks this one may call, with their names. What the caller
    /// granted this one so far, they are granted, too.
    ///
    /// # Errors
    /// This process has no descriptor left.
    pub fn others(&self) -> Result<Vec<(String, Self)>, Failure> {
        let others = self.programs.iter().filter(|(_, entry)| **entry != self.entry);
        others.map(|(name, entry)| Ok((name.clone(), self.beside(entry)?))).collect()
    }

    fn beside(&self, entry: &str) -> Result<Self, Failure> {
        let folder = self.folder.as_ref().map(|folder| folder.try_clone()).transpose();
        let folder = folder.map_err(|error| {
            Failure::new(ErrorCode::OutOfResources, format!("{entry} cannot be opened: {error}"))
        })?;
        Ok(Self {
            place: self.place.clone(),
            root: self.root.clone(),
            folder,
            bundle: self.bundle.clone(),
            entry: entry.to_owned(),
            language: Language::of(Path::new(entry)).unwrap_or(self.language),
            script: None,
            prefix: self.prefix.clone(),
            mounts: self.mounts.clone(),
            packages: None,
            programs: self.programs.clone(),
            settings: self.settings.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A project whose `capsule.toml` names one program `other`.
    fn open(file: &str) -> (tempfile::TempDir, Result<Project, Failure>) {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for (path, text) in [
            ("main.py", "1"),
            ("sub/render.ts", "2"),
            ("notes.txt", "3"),
            ("inner/capsule.toml", ""),
            ("inner/own.py", "4"),
            ("folder.py/x", ""),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        symlink("/etc/passwd", root.join("leak.py")).unwrap();
        symlink("../../../../../../../../../../etc/hostname", root.join("sub/up.py")).unwrap();
        symlink("sub/render.ts", root.join("inside.ts")).unwrap();
        symlink("notes.txt", root.join("text.py")).unwrap();
        symlink("loop.py", root.join("loop.py")).unwrap();
        let file = serde_json::json!(file);
        fs::write(root.join("capsule.toml"), format!("[programs]\nother = {file}\n")).unwrap();
        let project = Project::open(root.join("main.py").to_str());
        (folder, project.map_err(super::super::ProjectError::into_failure))
    }

    #[test]
    fn others_are_found_by_their_names() {
        for file in ["sub/render.ts", "./sub/./render.ts", "inside.ts"] {
            let (_folder, project) = open(file);
            let project = project.unwrap();
            assert_eq!(project.name(), "");
            let others = project.others().unwrap();
            let [(name, other)] = &others[..] else { panic!("{file}") };
            assert_eq!(
                (name.as_str(), other.entry(), other.name()),
                ("other", "sub/render.ts", "other")
            );
            assert_eq!(other.language(), Language::JavaScript);
            // Seen from there, it is the only one that has a name.
            assert!(other.others().unwrap().is_empty());
        }
        let (_folder, project) = open("main.py");
        let project = project.unwrap();
        assert_eq!(project.name(), "other");
        assert!(project.others().unwrap().is_empty());
    }

    #[test]
    fn no_file_leaves_the_project_or_is_none() {
        use ErrorCode::{InvalidConfig, ProgramNotFound, UnsafePath};
        for (file, code) in [
            ("", InvalidConfig),
            (".", InvalidConfig),
            ("../main.py", InvalidConfig),
            ("sub/../main.py", InvalidConfig),
            ("/etc/passwd", InvalidConfig),
            ("/etc/x.py", InvalidConfig),
            ("sub/a\0b.py", InvalidConfig),
            ("notes.txt", InvalidConfig),
            ("text.py", InvalidConfig),
            ("inner/own.py", InvalidConfig),
            ("leak.py", UnsafePath),
            ("sub/up.py", UnsafePath),
            ("loop.py", ProgramNotFound),
            ("missing.py", ProgramNotFound),
            ("folder.py", ProgramNotFound),
            ("main.py/x.py", ProgramNotFound),
        ] {
            let failure = open(file).1.err().unwrap_or_else(|| panic!("{file:?} was taken"));
            assert_eq!(failure.code, code, "{file:?}: {failure}");
            assert!(failure.message.starts_with("capsule.toml: programs.other: "), "{failure}");
        }
    }

    #[test]
    fn one_file_is_one_program() {
        let folder = tempfile::tempdir().unwrap();
        let main = folder.path().join("main.py");
        fs::write(&main, "").unwrap();
        let text = "[programs]\na = \"main.py\"\nb = \"./main.py\"\n";
        fs::write(folder.path().join("capsule.toml"), text).unwrap();
        let failure = Project::open(main.to_str()).err().unwrap().into_failure();
        assert!(failure.message.ends_with("is the program \"a\" already"), "{failure}");
    }
}
