//! Whether a program is still what a process was made ready for: files change between the
//! look of the front and that of the process that runs them.

use std::collections::BTreeMap;

use capsule_backend::guest::Granted;
use capsule_engine::{Backends, Language, Part, Parts, Project};
use capsule_spec::{ErrorCode, Failure};

use crate::script::Bundled;

/// A program that this process was made ready for, or others that need the same.
pub(super) struct Fit {
    name: String,
    entry: String,
    language: Language,
    requirements: Vec<String>,
    has_native: bool,
    /// What every sandbox sees: the packages.
    always: Vec<Granted>,
    backends: Backends,
}

impl Fit {
    pub(super) fn of(part: &Part, has_native: bool) -> Result<Self, Failure> {
        let Part { name, project, backends } = part;
        Ok(Self {
            name: name.clone(),
            entry: project.entry().to_owned(),
            language: project.language(),
            requirements: project.requirements()?,
            has_native,
            always: project.always(),
            backends: backends.clone(),
        })
    }

    fn part(
        &self,
        name: String,
        mut project: Project,
        bundle: Option<Bundled>,
    ) -> Result<Part, Failure> {
        let is_same = project.language() == self.language
            && project.requirements()? == self.requirements
            && (self.has_native || !project.mentions("jail"));
        if !is_same {
            return Err(changed());
        }
        for granted in &self.always {
            project.packages(granted.source.clone(), &granted.destination);
        }
        if let Some(bundle) = bundle {
            bundle.attach(&mut project);
        }
        Ok(Part { name, project, backends: self.backends.clone() })
    }
}

pub(super) fn changed() -> Failure {
    let message = "the program was changed while its run began";
    Failure::new(ErrorCode::RuntimeUnavailable, message).hint("run it again")
}

/// The program and those that it may call, if they are still what this process was made
/// ready for: `made` has the program first.
pub(super) fn parts(
    made: &[Fit],
    project: Project,
    mut bundles: BTreeMap<String, Bundled>,
) -> Result<Parts, Failure> {
    let Some((own, made)) = made.split_first() else { return Err(changed()) };
    let others = project.others()?;
    if others.len() != made.len() {
        return Err(changed());
    }
    let others = made.iter().zip(others).map(|(fit, (name, project))| {
        let bundle = bundles.remove(&name);
        let is_same = fit.name == name && fit.entry == project.entry();
        if is_same { fit.part(name, project, bundle) } else { Err(changed()) }
    });
    let others = others.collect::<Result<_, Failure>>()?;
    let entry = own.part(project.name().to_owned(), project, bundles.remove(""))?;
    Ok(Parts { entry, others })
}
