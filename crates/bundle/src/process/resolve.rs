//! What a specifier means: a file of the project, a package, something of the guest's.
//!
//! The rules are those of bundlers for places that are no Node: of what a package offers,
//! the build that needs nothing of Node is taken (condition `browser`, field `browser`),
//! because the guest has the web's interfaces and only a part of Node's. `worker` comes
//! with it: a browser without a document, which is what the guest is.

use std::path::Path;
use std::sync::Arc;

use oxc_resolver::{
    EnforceExtension, PackageJson, PackageType, Resolution, ResolveError, ResolveOptions,
    ResolverGeneric, TsConfig, TsconfigDiscovery,
};
use rolldown_common::ImportKind;

use super::folder::{Files, Folder, ROOT, below};

/// What a specifier means.
#[derive(Debug)]
pub(super) enum Target {
    /// A file below the root.
    File { path: String, is_module: bool, has_side_effects: Option<bool> },
    /// The guest has it.
    Guest(String),
    /// A package says that it is nothing here.
    Nothing,
}

/// Why a specifier means nothing.
#[derive(Debug)]
pub(super) enum Unresolved {
    /// There is no such file or package. At run time it may not be missed.
    Missing(String),
    /// It can never be had, whoever asks.
    Refused(String),
}

/// The resolvers of a project: one each for sources and packages, imports and requires.
pub(super) struct Resolvers {
    project: [ResolverGeneric<Files>; 2],
    packages: [ResolverGeneric<Files>; 2],
    /// The program is text: it has packages, and no file of the project.
    is_text: bool,
}

/// What the guest answers for.
const SDK: &str = "@capsule-run/sdk";

impl Resolvers {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        let is_text = folder.is_of_text();
        let import = ResolverGeneric::new_with_file_system(Files::new(folder), options("import"));
        let require = import.clone_with_options(options("require"));
        let packaged = |resolver: &ResolverGeneric<Files>, condition| {
            resolver.clone_with_options(ResolveOptions {
                tsconfig: None,
                // What is published is built; sources may lie beside it.
                extensions: listed(&[
                    ".js", ".mjs", ".cjs", ".json", ".jsx", ".ts", ".tsx", ".mts",
                ]),
                extension_alias: aliases(&[".js", ".mjs", ".cjs"], false),
                ..options(condition)
            })
        };
        let packages = [packaged(&import, "import"), packaged(&require, "require")];
        Self { project: [import, require], packages, is_text }
    }

    /// The settings of TypeScript that govern a file.
    pub(super) fn settings(&self, file: &str) -> Result<Option<Arc<TsConfig>>, String> {
        if self.is_text {
            return Ok(None);
        }
        let path = format!("{ROOT}/{file}");
        self.project[0].find_tsconfig(&path).map_err(|error| described(&error))
    }

    /// The program's own file: the one that is named, whatever stands beside it.
    pub(super) fn entry(&self, entry: &str) -> Result<Target, Unresolved> {
        if self.is_text {
            let path = entry.to_owned();
            return Ok(Target::File { path, is_module: false, has_side_effects: None });
        }
        let specifier = format!("./{}", capsule_bundle::trace::split(entry).1);
        self.packages[0]
            .resolve_file(format!("{ROOT}/{entry}"), &specifier)
            .map_err(|error| Unresolved::Missing(described(&error)))
            .and_then(|found| target(&found, &specifier))
    }

    /// What `specifier` means in the file `importer`, both below the root.
    pub(super) fn resolve(
        &self,
        importer: &str,
        specifier: &str,
        kind: ImportKind,
    ) -> Result<Target, Unresolved> {
        if specifier == SDK || specifier.strip_prefix(SDK).is_some_and(|rest| rest.starts_with('/'))
        {
            return Ok(Target::Guest(specifier.to_owned()));
        }
        refuse_strange(specifier)?;
        if leaves_root(importer, specifier) {
            return Err(Unresolved::Refused(format!(
                "{specifier:?} is outside of the project's folder"
            )));
        }
        if self.is_text && !is_packaged(importer) && specifier.starts_with(['.', '#']) {
            let why = format!(
                "{specifier:?} is a file, and a program that is text has no folder; run it as a file"
            );
            return Err(Unresolved::Refused(why));
        }
        let as_package = is_packaged(importer) || self.is_text;
        let resolvers = if as_package { &self.packages } else { &self.project };
        let resolver = &resolvers[usize::from(kind == ImportKind::Require)];
        let found = resolver.resolve_file(format!("{ROOT}/{importer}"), specifier);
        let found = match found {
            Ok(found) => found,
            Err(ResolveError::Ignored(_)) => return Ok(Target::Nothing),
            Err(ResolveError::Builtin { .. }) => return Ok(Target::Guest(specifier.to_owned())),
            Err(error) => return Err(Unresolved::Missing(described(&error))),
        };
        match target(&found, specifier)? {
            Target::File { path, .. } if self.is_text && !is_packaged(&path) => {
                let why = format!(
                    "{specifier:?} is no installed package, and a program that is text can \
                     import nothing else"
                );
                Err(Unresolved::Refused(why))
            }
            target => Ok(target),
        }
    }
}

fn target(found: &Resolution, specifier: &str) -> Result<Target, Unresolved> {
    if found.query().is_some() || found.fragment().is_some() {
        return Err(Unresolved::Refused(format!("{specifier:?} is a file with a query")));
    }
    let Some(path) = below(found.path()) else {
        let why = format!("{specifier:?} is a link out of the project's folder");
        return Err(Unresolved::Refused(why));
    };
    let package = found.package_json();
    let is_module = |package: &Arc<PackageJson>| package.r#type() == Some(PackageType::Module);
    Ok(Target::File {
        path: path.to_owned(),
        is_module: package.is_some_and(is_module),
        has_side_effects: package.and_then(|package| side_effects(package, path)),
    })
}

/// Whether a file belongs to a package that was installed.
pub(super) fn is_packaged(path: &str) -> bool {
    path.split('/').any(|part| part == "node_modules")
}

/// Shapes of specifiers that no file can have.
fn refuse_strange(specifier: &str) -> Result<(), Unresolved> {
    let scheme = specifier.split_once(':').map(|(scheme, _)| scheme);
    let why = match scheme {
        _ if specifier.is_empty() => "the empty text is no module".to_owned(),
        _ if specifier.len() > 4000 || specifier.contains('\0') => {
            "the specifier is no path and no package".to_owned()
        }
        _ if specifier.starts_with('/') => format!(
            "{specifier:?} is an absolute path; a program can only import what is in its folder"
        ),
        Some("http" | "https") => format!(
            "{specifier:?} is an address; install the package, or fetch what it is at run time"
        ),
        Some("file") => format!("{specifier:?} is an address of a file; import a path beside it"),
        Some("npm" | "jsr" | "bun" | "deno" | "cloudflare") => {
            format!("{specifier:?} is known to another runtime only; install the package")
        }
        _ => return Ok(()),
    };
    Err(Unresolved::Refused(why))
}

/// Whether a relative specifier climbs over the root. The kernel would not let it; this
/// only says so in words.
fn leaves_root(importer: &str, specifier: &str) -> bool {
    if !specifier.starts_with('.') {
        return false;
    }
    let mut depth = importer.split('/').count() - 1;
    for part in specifier.split('/') {
        match part {
            "" | "." => {}
            ".." => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            _ => depth += 1,
        }
    }
    false
}

fn side_effects(package: &PackageJson, path: &str) -> Option<bool> {
    let folder = below(package.realpath().parent()?)?;
    let inside = path.strip_prefix(folder)?.trim_start_matches('/');
    rolldown_common::PackageJson::from_oxc_pkg_json(package).check_side_effects_for(inside)
}

/// Without what the root is called inside.
fn described(error: &ResolveError) -> String {
    let text = match error {
        ResolveError::NotFound(specifier) => format!("there is no module {specifier:?}"),
        ResolveError::TsconfigLoadFailed { path, source } => {
            format!("{} cannot be used: {}", path.display(), described(source))
        }
        ResolveError::Json(error) => {
            let path = error.path.display();
            format!("{path} is not JSON: line {}, column {}", error.line, error.column)
        }
        error => error.to_string(),
    };
    text.replace(&format!("{ROOT}/"), "")
}

fn options(condition: &str) -> ResolveOptions {
    ResolveOptions {
        cwd: Some(Path::new(ROOT).to_owned()),
        tsconfig: Some(TsconfigDiscovery::Auto),
        alias: Vec::new(),
        alias_fields: vec![listed(&["browser"])],
        condition_names: listed(&[condition, "worker", "browser", "module", "default"]),
        enforce_extension: EnforceExtension::Auto,
        exports_fields: vec![listed(&["exports"])],
        imports_fields: vec![listed(&["imports"])],
        // A source beside what was built of it is meant: tsc, too, looks for it first.
        extension_alias: aliases(&[".js", ".jsx", ".mjs", ".cjs"], true),
        extensions: listed(&[
            ".ts", ".tsx", ".mts", ".cts", ".js", ".jsx", ".mjs", ".cjs", ".json",
        ]),
        fallback: Vec::new(),
        fully_specified: false,
        main_fields: listed(&["browser", "module", "main"]),
        main_files: listed(&["index"]),
        modules: listed(&["node_modules"]),
        node_path: false,
        resolve_to_context: false,
        prefer_relative: false,
        prefer_absolute: false,
        restrictions: Vec::new(),
        roots: Vec::new(),
        symlinks: true,
        builtin_modules: true,
        module_type: true,
        allow_package_exports_in_directory_resolve: false,
        yarn_pnp: false,
    }
}

/// The files that an extension may stand for.
fn aliases(extensions: &[&str], is_source: bool) -> Vec<(String, Vec<String>)> {
    let typed = |extension: &str| match extension {
        ".js" => vec![".ts", ".tsx"],
        ".jsx" => vec![".tsx"],
        ".mjs" => vec![".mts"],
        _ => vec![".cts"],
    };
    let stands_for = |extension: &&str| {
        let mut names = typed(extension);
        let place = if is_source { names.len() } else { 0 };
        names.insert(place, extension);
        ((*extension).to_owned(), listed(&names))
    };
    extensions.iter().map(stands_for).collect()
}

fn listed(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}
