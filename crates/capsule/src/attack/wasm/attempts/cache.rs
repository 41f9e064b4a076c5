//! Attempts at code from somewhere else.

use super::super::attempt::{Attempt, Expect};
use super::super::checks;
use super::super::stages;
use super::program;

pub(super) const ATTEMPTS: &[Attempt] = &[
    program!(
        "shipped-cache",
        Cache,
        "ship a cache folder, byte code and settings that point at them",
        Expect::Staged(stages::shipped_cache)
    ),
    program!(
        "settings-for-caches",
        Cache,
        "name a cache folder in capsule.toml",
        Expect::StagedFails(stages::settings_for_caches, &["E1007"])
    ),
    program!(
        "linked-settings",
        Cache,
        "have capsule.toml be a link, so that it is left out",
        Expect::StagedFails(stages::linked_settings, &["E1007"])
    ),
    program!(
        "pip-in-the-project",
        Cache,
        "ship modules that pip would import when it runs on the host",
        Expect::StagedFails(stages::pip_in_the_project, &["E2008"])
    ),
    program!(
        "requirements-with-options",
        Cache,
        "ask pip for other indexes, folders, files and options",
        Expect::Plays(checks::odd_requirements)
    ),
    program!(
        "shadowed-library",
        Cache,
        "ship modules named like those of the library and of Capsule",
        Expect::Staged(stages::shadows)
    ),
    program!(
        "open-cache",
        Cache,
        "have the cache be a folder that others can write, or a link",
        Expect::Plays(checks::open_cache)
    ),
    program!(
        TypeScript,
        "shipped-bundle-ts",
        Cache,
        "ship bundles, and files that were built, beside the source",
        Expect::Staged(stages::shipped_bundle)
    ),
    program!(
        TypeScript,
        "stale-bundle-ts",
        Cache,
        "change a module, and give it the size and time that it had",
        Expect::Plays(checks::stale_bundle)
    ),
];
