//! Attempts at the host's files.

use super::super::attempt::{Attempt, Expect};
use super::super::checks;
use super::super::stages;
use super::program;

pub(super) const ATTEMPTS: &[Attempt] = &[
    program!(
        "unlocked-paths",
        Paths,
        "open the host's files by every name they may have",
        Expect::Refused
    ),
    program!(
        "long-paths",
        Paths,
        "open paths of a hundred thousand and of ten million characters",
        Expect::Refused
    ),
    program!("no-grant", Paths, "find a file of the project without any grant", Expect::Refused),
    program!(
        "own-links",
        Paths,
        "make links that lead away in a granted folder, and let a task follow them",
        Expect::Refused
    ),
    program!(
        "swapped-folders",
        Paths,
        "swap a folder for a link while another task opens files in it",
        Expect::Refused
    ),
    program!(
        "read-only",
        Paths,
        "change what is granted for reading only, in every way",
        Expect::Staged(stages::read_only)
    ),
    program!(
        "special-files",
        Paths,
        "open pipes, sockets and devices that lie in a granted folder",
        Expect::Staged(stages::special_files)
    ),
    program!("import-outside", Paths, "import what lies outside of the project", Expect::Refused),
    program!(
        "linked-module",
        Paths,
        "ship its program as a link to a file outside",
        Expect::Plays(checks::linked_program)
    ),
    program!(
        "full-disk",
        Paths,
        "fill the host's disk and memory through its private files",
        Expect::Refused
    ),
    program!(
        "private-tmp",
        Paths,
        "leave a file in the host's /tmp, or find one there",
        Expect::Plays(checks::private_tmp)
    ),
    program!(
        TypeScript,
        "module-paths-ts",
        Paths,
        "reach files by require, import, eval and fs, under every name and by links",
        Expect::Refused
    ),
    program!(
        TypeScript,
        "import-outside-ts",
        Paths,
        "import a file outside of the project, so that the bundler reads it",
        Expect::Fails(&["E1013"])
    ),
    program!(
        TypeScript,
        "import-link-ts",
        Paths,
        "import a link that leads out of the project",
        Expect::Fails(&["E1013"])
    ),
    program!(
        TypeScript,
        "import-package-ts",
        Paths,
        "import a package whose settings name files outside of the project",
        Expect::StagedFails(stages::leaky_package, &["E1013"])
    ),
    program!(
        Node,
        "node-files",
        Paths,
        "in Node, open the host's files by every name they may have, and by links",
        Expect::Refused
    ),
    program!(
        Node,
        "node-modules",
        Paths,
        "in Node, change the project's packages, and leave their folder by links",
        Expect::Staged(stages::packages)
    ),
];
