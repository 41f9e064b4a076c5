//! Where rolldown asks for files: it gets them from here, and nowhere else.
//!
//! Every specifier is answered and every module is loaded by this plugin. It never says
//! "ask the next one": that would be rolldown's own resolver, which reads the file system
//! of the host.

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use oxc::ast::ast::Decorator;
use oxc::ast_visit::{Visit, VisitMut};
use oxc::span::GetSpan;
use rolldown_common::side_effects::HookSideEffects;
use rolldown_common::{ModuleType, ResolvedExternal};
use rolldown_plugin::{
    HookLoadArgs, HookLoadOutput, HookLoadReturn, HookResolveIdArgs, HookResolveIdOutput,
    HookResolveIdReturn, HookTransformAstArgs, HookTransformAstReturn, HookUsage, Plugin,
    PluginContext, SharedLoadPluginContext,
};

use super::folder::{Folder, ROOT};
use super::properties::{self, Properties};
use super::resolve::{Resolvers, Target, Unresolved, is_packaged};
use capsule_bundle::limits::MOST_MODULES;

/// The ending of a module's id that makes rolldown treat it as an ES module, as Node does
/// for packages of `"type": "module"`: it knows endings, and would read package.json itself.
const MODULE: &str = "?.mjs";
/// The id of what a package says is nothing here.
const NOTHING: &str = "\0capsule:nothing:";

/// A specifier that means nothing.
#[derive(Clone, Debug)]
pub(super) struct Miss {
    pub(super) importer: String,
    pub(super) specifier: String,
    pub(super) why: String,
    /// It is refused even where the program is ready for it to fail.
    pub(super) is_refused: bool,
}

/// A place in a file that cannot be bundled.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) file: String,
    /// In bytes; None if it is about the whole file.
    pub(super) offset: Option<u32>,
    pub(super) why: String,
    pub(super) hint: Option<&'static str>,
}

/// What rolldown is given.
pub(super) struct Confined {
    folder: Arc<Folder>,
    resolvers: Resolvers,
    entry: String,
    /// Whether decorators are those of TypeScript before the standard.
    has_decorators: bool,
    modules: AtomicU64,
    pub(super) misses: Mutex<Vec<Miss>>,
    pub(super) faults: Mutex<Vec<Fault>>,
}

impl std::fmt::Debug for Confined {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Confined").field("entry", &self.entry).finish_non_exhaustive()
    }
}

impl Confined {
    pub(super) fn new(
        folder: Arc<Folder>,
        resolvers: Resolvers,
        entry: &str,
        has_decorators: bool,
    ) -> Self {
        Self {
            folder,
            resolvers,
            entry: entry.to_owned(),
            has_decorators,
            modules: AtomicU64::new(0),
            misses: Mutex::default(),
            faults: Mutex::default(),
        }
    }

    fn answer(&self, args: &HookResolveIdArgs<'_>) -> HookResolveIdOutput {
        let importer = args.importer.and_then(file_of);
        let found = match importer {
            None if args.is_entry => self.resolvers.entry(&self.entry),
            None => Err(Unresolved::Refused(format!("{:?} has no file", args.specifier))),
            Some(importer) => self.resolvers.resolve(importer, args.specifier, args.kind),
        };
        match found {
            // Native code is nothing to bundle: Node loads it from where packages are mounted.
            Ok(Target::File { path, .. }) if path.ends_with(".node") && is_packaged(&path) => {
                external(&format!("/{path}"))
            }
            Ok(Target::File { path, is_module, has_side_effects }) => HookResolveIdOutput {
                id: id_of(&path, is_module).into(),
                side_effects: has_side_effects.map(|has| match has {
                    true => HookSideEffects::True,
                    false => HookSideEffects::False,
                }),
                ..HookResolveIdOutput::default()
            },
            Ok(Target::Nothing) => {
                HookResolveIdOutput::from_id(format!("{NOTHING}{}", args.specifier))
            }
            Ok(Target::Guest(name)) => external(&name),
            Err(unresolved) => {
                let (why, is_refused) = match unresolved {
                    Unresolved::Missing(why) => (why, false),
                    Unresolved::Refused(why) => (why, true),
                };
                let miss = Miss {
                    importer: importer.unwrap_or(&self.entry).to_owned(),
                    specifier: args.specifier.to_owned(),
                    why,
                    is_refused,
                };
                self.misses.lock().unwrap_or_else(PoisonError::into_inner).push(miss);
                external(args.specifier)
            }
        }
    }

    fn fetch(&self, path: &str) -> Result<HookLoadOutput, (String, Option<&'static str>)> {
        if self.modules.fetch_add(1, Ordering::Relaxed) >= MOST_MODULES {
            return Err((
                self.folder.exceed("the number of modules", MOST_MODULES).to_string(),
                None,
            ));
        }
        let module_type = kind_of(path)?;
        let bytes = self.folder.read(path).map_err(|error| (unread(&error), None))?;
        let code = String::from_utf8(bytes)
            .map_err(|_| ("it is not text in UTF-8".to_owned(), Some("save the file as UTF-8")))?;
        let code = match (code.strip_prefix('\u{feff}').unwrap_or(&code), &module_type) {
            // The line for the shell would stand in the middle of the script.
            (text, kind) if *kind != ModuleType::Text && text.starts_with("#!") => {
                format!("//{}", &text[2..])
            }
            (text, _) if text.len() < code.len() => text.to_owned(),
            _ => code,
        };
        Ok(HookLoadOutput {
            code: code.into(),
            module_type: Some(module_type),
            ..HookLoadOutput::default()
        })
    }

    fn blame(&self, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }
}

impl Plugin for Confined {
    fn name(&self) -> Cow<'static, str> {
        Cow::Borrowed("capsule")
    }

    fn register_hook_usage(&self) -> HookUsage {
        HookUsage::ResolveId | HookUsage::Load | HookUsage::TransformAst
    }

    async fn resolve_id(
        &self,
        _: &PluginContext,
        args: &HookResolveIdArgs<'_>,
    ) -> HookResolveIdReturn {
        Ok(Some(self.answer(args)))
    }

    async fn load(&self, _: SharedLoadPluginContext, args: &HookLoadArgs<'_>) -> HookLoadReturn {
        let nothing = |module_type| HookLoadOutput {
            module_type: Some(module_type),
            ..HookLoadOutput::default()
        };
        let Some(path) = file_of(args.id) else {
            // Whatever it is, rolldown must not go and look for it.
            return Ok(Some(nothing(ModuleType::Empty)));
        };
        match self.fetch(path) {
            Ok(output) => Ok(Some(output)),
            Err((why, hint)) => {
                self.blame(Fault { file: path.to_owned(), offset: None, why, hint });
                Ok(Some(nothing(ModuleType::Empty)))
            }
        }
    }

    async fn transform_ast(
        &self,
        _: &PluginContext,
        mut args: HookTransformAstArgs<'_>,
    ) -> HookTransformAstReturn {
        let may_have = !self.has_decorators && args.ast.source().contains('@');
        if may_have && let Some(file) = file_of(args.id) {
            let mut found = FirstDecorator(None);
            found.visit_program(args.ast.program());
            if let Some(offset) = found.0 {
                self.blame(Fault {
                    file: file.to_owned(),
                    offset: Some(offset),
                    why: "decorators of the standard are not known to the JavaScript engine".to_owned(),
                    hint: Some(
                        "set \"experimentalDecorators\": true in the compilerOptions of tsconfig.json",
                    ),
                });
            }
        }
        if properties::may_have(args.ast.source()) {
            args.ast.program.with_mut(|parts| {
                Properties::new(parts.allocator).visit_program(parts.program);
            });
        }
        Ok(args.ast)
    }
}

struct FirstDecorator(Option<u32>);

impl<'a> Visit<'a> for FirstDecorator {
    fn visit_decorator(&mut self, decorator: &Decorator<'a>) {
        self.0.get_or_insert(decorator.span().start);
    }
}

fn external(name: &str) -> HookResolveIdOutput {
    HookResolveIdOutput {
        id: name.into(),
        external: Some(ResolvedExternal::Bool(true)),
        ..HookResolveIdOutput::default()
    }
}

/// What a file is called inside of rolldown.
pub(super) fn id_of(path: &str, is_module: bool) -> String {
    let follows_package = [".js", ".jsx", ".ts", ".tsx"].iter().any(|end| path.ends_with(end));
    let ending = if is_module && follows_package { MODULE } else { "" };
    format!("{ROOT}/{path}{ending}")
}

/// The file of an id.
pub(super) fn file_of(id: &str) -> Option<&str> {
    let path = id.strip_prefix(ROOT)?.strip_prefix('/')?;
    Some(path.strip_suffix(MODULE).unwrap_or(path))
}

/// How a file is read, by its ending.
fn kind_of(path: &str) -> Result<ModuleType, (String, Option<&'static str>)> {
    let name = capsule_bundle::trace::split(path).1;
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    Ok(match ending {
        "ts" | "mts" | "cts" => ModuleType::Ts,
        "tsx" => ModuleType::Tsx,
        "jsx" => ModuleType::Jsx,
        // Packages have JSX in .js files at times, the project's own do at any time.
        "js" if !is_packaged(path) => ModuleType::Jsx,
        // No ending: the file of a command, which is JavaScript.
        "js" | "mjs" | "cjs" | "" => ModuleType::Js,
        "json" => ModuleType::Json,
        "txt" | "md" => ModuleType::Text,
        "node" => {
            return Err((
                "it is native code, which is loaded from packages only".to_owned(),
                Some("install its package; a task with isolation: \"jail\" can load it"),
            ));
        }
        ending => {
            return Err((
                format!("files that end in .{ending} cannot be imported"),
                Some("read it as a file of the task: allowedFiles, files.readText(…)"),
            ));
        }
    })
}

fn unread(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such file in the project's folder".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be read".to_owned(),
        _ => format!("it cannot be read: {error}"),
    }
}
