//! One run of rolldown: files in, a script and its map out.
//!
//! Not to be called in a process that matters: rolldown recurses as deeply as a source is
//! nested, panics where it finds itself wrong, and leaves threads behind. [`super::serve`]
//! is the process for it.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use oxc_resolver::TsConfig;
use rolldown::plugin::__inner::SharedPluginable;
use rolldown::{
    AttachDebugInfo, Bundler, BundlerOptions, BundlerTransformOptions, CommentsOptions,
    DecoratorOptions, Either, ExperimentalOptions, GeneratedCodeOptions, InputItem, JsxOptions,
    OutputExports, OutputFormat, Platform, SourceMapType, TypeScriptOptions,
};
use rolldown_common::{Output, RawMinifyOptions};
use rolldown_error::{BatchedBuildDiagnostic, BuildDiagnostic, DiagnosticOptions, EventKind};

use super::folder::{Exceeded, Folder, ROOT};
use super::locate;
use super::plugin::{Confined, file_of};
use super::resolve::Resolvers;
use capsule_bundle::limits::{MOST_OUTPUT, MOST_PROBLEMS, STACK};
use capsule_bundle::order::Compiled;
use capsule_bundle::{Problem, visible};

/// Bundles the file `entry` of the folder `root`, or the text that stands for it.
pub(super) fn compile(
    root: OwnedFd,
    entry: &str,
    text: Option<Vec<u8>>,
    threads: usize,
) -> Compiled {
    let folder = Folder::new(root);
    let folder = Arc::new(match text {
        Some(text) => folder.with_text(entry, text),
        None => folder,
    });
    let outcome = run(&folder, entry, threads);
    if let Some(Exceeded { what, most }) = folder.exceeded() {
        return Compiled::TooLarge { what: what.to_owned(), most };
    }
    match outcome {
        Ok((script, map, _)) if script.len().max(map.len()) > MOST_OUTPUT => {
            let what = "the size of the script in bytes".to_owned();
            Compiled::TooLarge { what, most: MOST_OUTPUT as u64 }
        }
        Ok((script, map, warnings)) => {
            Compiled::Done { script, map, warnings, trace: folder.traced() }
        }
        Err(mut problems) => {
            problems.dedup();
            let more = problems.len().saturating_sub(MOST_PROBLEMS);
            problems.truncate(MOST_PROBLEMS);
            Compiled::Wrong { problems, more }
        }
    }
}

type Made = (String, String, Vec<Problem>);

fn run(folder: &Arc<Folder>, entry: &str, threads: usize) -> Result<Made, Vec<Problem>> {
    let resolvers = Resolvers::new(folder.clone());
    let settings =
        resolvers.settings(entry).map_err(|why| vec![Problem::of("tsconfig.json", &why)])?;
    let transform = transform(settings.as_deref());
    let has_decorators = settings
        .as_ref()
        .is_some_and(|settings| settings.compiler_options.experimental_decorators == Some(true));
    let plugin = Arc::new(Confined::new(folder.clone(), resolvers, entry, has_decorators));
    let failed = |why: String| vec![Problem::of("", &why)];
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_stack_size(STACK)
        .build()
        .map_err(|error| failed(format!("no threads: {error}")))?;
    let plugins: Vec<SharedPluginable> = vec![plugin.clone()];
    let made = runtime.block_on(async {
        let mut bundler = Bundler::with_plugins(options(transform), plugins)?;
        bundler.generate().await
    });
    // Nothing of it is waited for: the process ends soon.
    runtime.shutdown_background();
    let found = found_by_us(folder, &plugin);
    if !found.is_empty() {
        return Err(found);
    }
    let output = made.map_err(|errors| told(errors, folder))?;
    let warnings = output.warnings.iter().filter_map(|warning| warned(warning, folder)).collect();
    let mut chunks = output.assets.into_iter().filter_map(|asset| match asset {
        Output::Chunk(chunk) => Some(chunk),
        Output::Asset(_) => None,
    });
    match (chunks.next(), chunks.next()) {
        (Some(chunk), None) => {
            let map = chunk.map.clone().map(|mut map| {
                let sources: Vec<String> = map.get_sources().map(plain).collect();
                map.set_sources(sources);
                map.to_json_string()
            });
            Ok((chunk.code.clone(), map.unwrap_or_default(), warnings))
        }
        _ => Err(failed("the program does not become one script".to_owned())),
    }
}

fn options(transform: BundlerTransformOptions) -> BundlerOptions {
    BundlerOptions {
        input: Some(vec![InputItem { name: Some("main".to_owned()), import: "main".to_owned() }]),
        cwd: Some(PathBuf::from(ROOT)),
        dir: Some(ROOT.to_owned()),
        // Node's way to say `import.meta.url` and `require`; what packages offer for Node is
        // the resolver's matter, which is ours.
        platform: Some(Platform::Node),
        format: Some(OutputFormat::Cjs),
        exports: Some(OutputExports::Named),
        // What a guest has it has by `require`: an `import()` would be its engine's to answer.
        dynamic_import_in_cjs: Some(false),
        // What is left to Node has the path at which it is mounted, whoever asks for it.
        make_absolute_externals_relative: Some(rolldown::MakeAbsoluteExternalsRelative::Bool(
            false,
        )),
        // One script: what is imported dynamically is in it.
        code_splitting: Some(rolldown::CodeSplittingMode::Bool(false)),
        sourcemap: Some(SourceMapType::Hidden),
        sourcemap_exclude_sources: Some(true),
        define: Some(
            [("process.env.NODE_ENV".to_owned(), "\"production\"".to_owned())]
                .into_iter()
                .collect(),
        ),
        // Without marks of `Symbol.toStringTag`: rolldown writes them with the global's name,
        // which a module of lodash-es has for itself.
        generated_code: Some(GeneratedCodeOptions::es5()),
        // Tree shaking leaves little that is dead, and to look for that would mean to read and
        // write all of it once more.
        minify: Some(RawMinifyOptions::Bool(false)),
        comments: Some(CommentsOptions { legal: false, annotation: false, jsdoc: false }),
        experimental: Some(ExperimentalOptions {
            attach_debug_info: Some(AttachDebugInfo::None),
            ..ExperimentalOptions::default()
        }),
        transform: Some(transform),
        tsconfig: Some(rolldown::TsConfig::Auto(false)),
        ..BundlerOptions::default()
    }
}

/// What the settings of TypeScript say about the meaning of sources, as tsc has it.
fn transform(settings: Option<&TsConfig>) -> BundlerTransformOptions {
    let default = oxc_resolver::CompilerOptions::default();
    let options = settings.map_or(&default, |settings| &settings.compiler_options);
    let is_classic = options.jsx.as_deref() == Some("react");
    let jsx = JsxOptions {
        runtime: Some(if is_classic { "classic" } else { "automatic" }.to_owned()),
        pragma: options.jsx_factory.clone().filter(|_| is_classic),
        pragma_frag: options.jsx_fragment_factory.clone().filter(|_| is_classic),
        import_source: options.jsx_import_source.clone().filter(|_| !is_classic),
        ..JsxOptions::default()
    };
    let decorator = DecoratorOptions {
        legacy: options.experimental_decorators,
        emit_decorator_metadata: options.emit_decorator_metadata,
        strict_null_checks: options.strict_null_checks.or(options.strict),
    };
    // Fields are defined since ES2022, and assigned before, unless somebody says so.
    let is_old = options.target.as_deref().is_some_and(|target| {
        let year = target.to_ascii_lowercase();
        let year = year.strip_prefix("es").and_then(|year| year.parse::<u32>().ok());
        year.is_some_and(|year| year < 2022)
    });
    let has_assigned_fields = !options.use_define_for_class_fields.unwrap_or(!is_old);
    let typescript = TypeScriptOptions {
        only_remove_type_imports: Some(
            options.verbatim_module_syntax == Some(true)
                || options.preserve_value_imports == Some(true),
        ),
        remove_class_fields_without_initializer: Some(has_assigned_fields),
        ..TypeScriptOptions::default()
    };
    BundlerTransformOptions {
        jsx: Some(Either::Right(jsx)),
        // What the engine of the guest knows; `using` is newer, and is lowered.
        target: Some(Either::Left("es2024".to_owned())),
        assumptions: Some(rolldown::CompilerAssumptions {
            set_public_class_fields: Some(has_assigned_fields),
            ..Default::default()
        }),
        decorator: Some(decorator),
        typescript: Some(typescript),
        ..BundlerTransformOptions::default()
    }
}

/// What the plugin refused, and where that stands.
fn found_by_us(folder: &Folder, plugin: &Confined) -> Vec<Problem> {
    let mut problems = Vec::new();
    for fault in plugin.faults.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let source = fault.offset.and_then(|offset| Some((offset, text(folder, &fault.file)?)));
        let problem = match source {
            Some((offset, source)) => Problem::at_offset(&fault.file, &fault.why, &source, offset),
            None => Problem::of(&fault.file, &fault.why),
        };
        problems.push(problem.hinted(fault.hint));
    }
    for miss in plugin.misses.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let Some(source) = text(folder, &miss.importer) else {
            problems.push(Problem::of(&miss.importer, &miss.why));
            continue;
        };
        problems.extend(locate::missed(miss, &source));
    }
    problems.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    problems
}

/// What rolldown found.
fn told(errors: BatchedBuildDiagnostic, folder: &Folder) -> Vec<Problem> {
    errors.into_vec().iter().map(|error| problem(error, folder)).collect()
}

fn problem(diagnostic: &BuildDiagnostic, folder: &Folder) -> Problem {
    let options = DiagnosticOptions { cwd: PathBuf::from(ROOT) };
    let told = diagnostic.to_diagnostic_with(&options);
    let message = plain(&diagnostic.to_message_with(&options));
    let place = told.get_primary_location();
    let Some((file, line, column, _)) = place else {
        let id = diagnostic.id().unwrap_or_default();
        return Problem::of(file_of(&id).unwrap_or_default(), &message);
    };
    let file = plain(&file);
    match text(folder, &file) {
        Some(source) => Problem::at(&file, &message, &source, line, column),
        None => Problem::of(&file, &message),
    }
}

/// Few warnings are worth the user's time, and none those about packages.
fn warned(diagnostic: &BuildDiagnostic, folder: &Folder) -> Option<Problem> {
    let is_useful = matches!(
        diagnostic.kind(),
        EventKind::ImportIsUndefined
            | EventKind::AssignToImportError
            | EventKind::CircularReexportError
    );
    let problem = is_useful.then(|| problem(diagnostic, folder))?;
    (!super::resolve::is_packaged(&problem.file)).then_some(problem)
}

/// Without what things are called inside.
fn plain(text: &str) -> String {
    let text = text.replace("?.mjs", "").replace(&format!("{ROOT}/"), "");
    visible(text.trim(), 1000)
}

fn text(folder: &Folder, file: &str) -> Option<String> {
    let bytes = folder.read(file).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(match text.strip_prefix('\u{feff}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}
