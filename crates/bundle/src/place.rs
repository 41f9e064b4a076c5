//! Which files a program may be made of.
//!
//! A program imports what is beside it and the packages that are installed for it. Both
//! may lie above its own folder: in the folder of its package.json, or in that of the
//! workspace that the package is a member of. So these folders count as its own, but never
//! the home directory, what is above it, or a folder of somebody else or that all can write to: a
//! package.json was left in those by accident, or by somebody else.
//!
//! A program that is text lies nowhere, and whoever wrote it was given no file of the folder
//! that it is run in. It imports the packages that are installed there, and nothing else.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A program, and the folder that all of it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Without links. Nothing outside is read.
    pub root: PathBuf,
    /// The program's file, below the root.
    pub entry: String,
    /// The program itself, if it is text: then there need be no such file, and of the root
    /// only installed packages are part of it.
    pub text: Option<String>,
}

impl Place {
    /// The place of the program `file` in the project's folder `project`, both absolute and
    /// without links. None if the file is not below the folder, or its path is not text.
    pub fn find(project: &Path, file: &Path) -> Option<Self> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        Self::find_for(project, file, home.as_deref())
    }

    /// The place of a program that is text and is run in `folder`, absolute and without
    /// links. `name` is what it is called: a file's name, or a path below the folder.
    pub fn of_text(folder: &Path, name: &str, text: String) -> Option<Self> {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let owner = std::fs::metadata(folder).ok()?.uid();
        let root = widest(folder, folder, owner, home.as_deref());
        let is_plain = |part: &str| !matches!(part, "" | "." | ".." | "node_modules");
        if !name.split('/').all(is_plain) || name.contains('\0') {
            return None;
        }
        let place = Self::below(root, &folder.join(name))?;
        Some(Self { text: Some(text), ..place })
    }

    fn find_for(project: &Path, file: &Path, home: Option<&Path>) -> Option<Self> {
        file.strip_prefix(project).ok()?;
        let owner = std::fs::metadata(file).ok()?.uid();
        Self::below(widest(project, file.parent()?, owner, home), file)
    }

    fn below(root: &Path, file: &Path) -> Option<Self> {
        let entry = file.strip_prefix(root).ok()?.to_str()?.to_owned();
        let is_text = !entry.is_empty() && root.to_str().is_some();
        is_text.then(|| Self { root: root.to_owned(), entry, text: None })
    }
}

/// The widest folder that is a program's own, whose file is in `folder`.
fn widest<'a>(project: &'a Path, folder: &'a Path, owner: u32, home: Option<&Path>) -> &'a Path {
    let is_own = |folder: &&Path| is_own(folder, owner, home);
    let mut root = project;
    let package = |folder: &&Path| folder.join("package.json").is_file();
    if let Some(package) = folder.ancestors().take_while(is_own).find(package)
        && root.starts_with(package)
    {
        root = package;
    }
    let member = root;
    let above = member.ancestors().skip(1).take_while(is_own);
    above.filter(|folder| has_member(folder, member)).last().unwrap_or(root)
}

fn is_own(folder: &Path, owner: u32, home: Option<&Path>) -> bool {
    let is_above_home = home.is_some_and(|home| home.starts_with(folder));
    let Ok(meta) = std::fs::metadata(folder) else { return false };
    // Whose the program is need not be who runs it: root does, in containers.
    let is_foreign = meta.uid() != owner;
    folder.parent().is_some() && !is_above_home && !is_foreign && meta.mode() & 0o002 == 0
}

/// Whether `folder` is the root of a workspace that `member` belongs to.
fn has_member(folder: &Path, member: &Path) -> bool {
    let Some(member) = member.strip_prefix(folder).ok().and_then(Path::to_str) else {
        return false;
    };
    let patterns = patterns(folder);
    let is_in = |pattern: &str| matches(pattern.trim_start_matches("./"), member);
    let excluded = patterns.iter().filter_map(|pattern| pattern.strip_prefix('!'));
    patterns.iter().any(|pattern| is_in(pattern)) && !excluded.into_iter().any(is_in)
}

/// `workspaces` of npm, yarn and bun; `packages` of pnpm.
fn patterns(folder: &Path) -> Vec<String> {
    const MOST: u64 = 1 << 20;
    let read = |name: &str| {
        use std::io::Read;
        let file = std::fs::File::open(folder.join(name)).ok()?;
        let mut text = String::new();
        file.take(MOST).read_to_string(&mut text).ok()?;
        Some(text)
    };
    let json = read("package.json").and_then(|text| serde_json::from_str(&text).ok());
    let json: serde_json::Value = json.unwrap_or_default();
    let listed = match &json["workspaces"] {
        object @ serde_json::Value::Object(_) => object["packages"].as_array(),
        list => list.as_array(),
    };
    let listed = listed.into_iter().flatten().filter_map(serde_json::Value::as_str);
    let mut patterns: Vec<String> = listed.map(str::to_owned).collect();
    let yaml = read("pnpm-workspace.yaml").unwrap_or_default();
    let mut is_packages = false;
    for line in yaml.lines() {
        match line.trim_start().strip_prefix("- ") {
            Some(item) if is_packages => {
                let item = item.split(" #").next().unwrap_or_default();
                patterns.push(item.trim().trim_matches(['"', '\'']).to_owned());
            }
            None if !line.trim().is_empty() => is_packages = line.trim_end() == "packages:",
            _ => {}
        }
    }
    patterns
}

/// `*` is a part of a path, `**` any number of them.
fn matches(pattern: &str, path: &str) -> bool {
    fn parts(pattern: &[&str], path: &[&str]) -> bool {
        match (pattern, path) {
            ([], path) => path.is_empty(),
            (["**"], _) => true,
            (["**", rest @ ..], path) => (0..=path.len()).any(|skip| parts(rest, &path[skip..])),
            ([part, rest @ ..], [name, names @ ..]) => one(part, name) && parts(rest, names),
            _ => false,
        }
    }
    fn one(pattern: &str, name: &str) -> bool {
        match pattern.split_once('*') {
            None => pattern == name,
            Some((start, end)) => {
                name.len() >= start.len() + end.len()
                    && name.starts_with(start)
                    && name.ends_with(end)
            }
        }
    }
    let pattern: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
    let path: Vec<&str> = path.split('/').collect();
    pattern.len() <= 32
        && pattern.iter().filter(|part| **part == "**").count() <= 2
        && parts(&pattern, &path)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Tree(tempfile::TempDir);

    impl Tree {
        fn new(files: &[(&str, &str)]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for (path, text) in files {
                let path = folder.path().join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Self(folder)
        }

        /// The root that a file gets, below the tree.
        fn root(&self, project: &str, file: &str, home: &str) -> String {
            let base = self.0.path().canonicalize().unwrap();
            let place =
                Place::find_for(&base.join(project), &base.join(file), Some(&base.join(home)));
            let place = place.unwrap();
            assert_eq!(place.root.join(&place.entry), base.join(file));
            place.root.strip_prefix(&base).unwrap().to_str().unwrap().to_owned()
        }
    }

    #[test]
    fn a_program_without_a_package_has_its_folder() {
        let tree = Tree::new(&[("h/p/main.ts", ""), ("h/package.json", "{}")]);
        assert_eq!(tree.root("h/p", "h/p/main.ts", "h"), "h/p");
    }

    #[test]
    fn the_folder_of_the_package_counts() {
        let tree = Tree::new(&[("h/p/src/main.ts", ""), ("h/p/package.json", "{}")]);
        assert_eq!(tree.root("h/p/src", "h/p/src/main.ts", "h"), "h/p");
        // A project that is wider stays so.
        let tree = Tree::new(&[("h/p/src/main.ts", ""), ("h/p/src/package.json", "{}")]);
        assert_eq!(tree.root("h/p", "h/p/src/main.ts", "h"), "h/p");
    }

    #[test]
    fn a_workspace_counts_for_its_members_only() {
        let files = [
            ("h/w/package.json", r#"{"workspaces": ["packages/*", "!packages/out"]}"#),
            ("h/w/packages/a/package.json", "{}"),
            ("h/w/packages/a/src/main.ts", ""),
            ("h/w/packages/out/package.json", "{}"),
            ("h/w/packages/out/main.ts", ""),
            ("h/w/else/package.json", "{}"),
            ("h/w/else/main.ts", ""),
        ];
        let tree = Tree::new(&files);
        let a = tree.root("h/w/packages/a/src", "h/w/packages/a/src/main.ts", "h");
        assert_eq!(a, "h/w");
        let out = tree.root("h/w/packages/out", "h/w/packages/out/main.ts", "h");
        assert_eq!(out, "h/w/packages/out");
        assert_eq!(tree.root("h/w/else", "h/w/else/main.ts", "h"), "h/w/else");
        let yaml = "packages:\n  - 'apps/**' # all\nother:\n  - x\n";
        let tree = Tree::new(&[
            ("h/w/pnpm-workspace.yaml", yaml),
            ("h/w/apps/x/y/package.json", "{}"),
            ("h/w/apps/x/y/main.ts", ""),
        ]);
        assert_eq!(tree.root("h/w/apps/x/y", "h/w/apps/x/y/main.ts", "h"), "h/w");
    }

    #[test]
    fn the_home_directory_never_counts() {
        let all = r#"{"workspaces": ["**"]}"#;
        let tree = Tree::new(&[
            ("package.json", all),
            ("h/package.json", all),
            ("h/evil/package.json", "{}"),
            ("h/evil/main.ts", ""),
        ]);
        assert_eq!(tree.root("h/evil", "h/evil/main.ts", "h"), "h/evil");
    }

    #[test]
    fn a_folder_that_others_can_write_to_never_counts() {
        use std::os::unix::fs::PermissionsExt;
        let tree = Tree::new(&[
            ("t/package.json", r#"{"workspaces": ["*"]}"#),
            ("t/p/main.ts", ""),
            ("h/x", ""),
        ]);
        assert_eq!(tree.root("t/p", "t/p/main.ts", "h"), "t");
        let path = tree.0.path().join("t");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o1777)).unwrap();
        assert_eq!(tree.root("t/p", "t/p/main.ts", "h"), "t/p");
    }

    #[test]
    fn text_is_called_by_a_name_below_the_folder() {
        let tree = Tree::new(&[("h/p/src/x", ""), ("h/p/package.json", "{}")]);
        let folder = tree.0.path().canonicalize().unwrap().join("h/p/src");
        let of = |name: &str| Place::of_text(&folder, name, "1".to_owned());
        let place = of("a/main.ts").unwrap();
        assert_eq!(place.root, folder.parent().unwrap());
        assert_eq!((place.entry.as_str(), place.text.as_deref()), ("src/a/main.ts", Some("1")));
        for name in ["", "/main.ts", "../main.ts", "a/../main.ts", "./main.ts", "a//b.ts", "a\0.ts"]
        {
            assert_eq!(of(name), None, "{name:?}");
        }
        // It would count as a package's.
        assert_eq!(of("node_modules/x/main.ts"), None);
        assert_eq!(Place::of_text(&folder.join("gone"), "main.ts", String::new()), None);
    }

    #[test]
    fn patterns_match_parts() {
        for (pattern, path, is_match) in [
            ("packages/*", "packages/a", true),
            ("packages/*", "packages/a/b", false),
            ("packages/**", "packages/a/b", true),
            ("**/x", "a/b/x", true),
            ("pre-*", "pre-1", true),
            ("pre-*", "pr", false),
            ("a", "a", true),
            ("**/**/**/x", "a/x", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, path), is_match, "{pattern} {path}");
        }
    }
}
