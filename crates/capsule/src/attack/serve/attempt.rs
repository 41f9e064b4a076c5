//! The vocabulary: what a stranger tries, and the wall that can be taken away.

use std::io;

use super::scene::Scene;
use crate::attack::stage::summary;
use crate::attack::{Family, Verdict};

/// Something that a stranger tries.
pub(crate) struct Attempt {
    /// Unique, in words with dashes.
    pub(crate) name: &'static str,
    pub(crate) family: Family,
    /// What is tried, in one sentence without a final period.
    pub(crate) tries: &'static str,
    /// Who may come to the server.
    pub(super) access: Access,
    /// Options of the server.
    pub(super) options: &'static [&'static str],
    pub(super) without: Without,
    pub(super) play: fn(&Scene, &mut Tries) -> io::Result<()>,
}

/// Who may come to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everybody on this machine.
    Open,
    /// Who has a key; there are two.
    Keys,
}

/// How the wall of an attempt is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// By these options of the server, in place of the attempt's own.
    Options(&'static [&'static str]),
    /// No key is demanded.
    Keys,
    /// The stranger has the key of the other.
    Tenancy,
    /// What the attempt's own hand does to raise it is left out: [`Scene::is_down`].
    Hand,
    /// It cannot be: it is the server's own code.
    Nothing,
}

/// What was tried, and what became of it.
#[derive(Default)]
pub(super) struct Tries {
    held: Vec<(String, String)>,
    through: Vec<(String, String)>,
    unclear: Vec<(String, String)>,
}

impl Tries {
    /// A wall stood in the way, if `holds`.
    pub(super) fn expect(&mut self, what: &str, holds: bool, evidence: impl Into<String>) {
        let list = if holds { &mut self.held } else { &mut self.through };
        list.push((what.to_owned(), evidence.into()));
    }

    /// What has to work for the attempt to mean anything.
    pub(super) fn need(&mut self, what: &str, works: bool, evidence: impl Into<String>) {
        if !works {
            self.unclear.push((what.to_owned(), evidence.into()));
        }
    }

    pub(super) fn verdict(self) -> Verdict {
        let told = |list: &[(String, String)]| {
            summary(&list.iter().map(|(what, seen)| (&**what, &**seen)).collect::<Vec<_>>())
        };
        if !self.through.is_empty() {
            return Verdict::Escaped(told(&self.through));
        }
        if !self.unclear.is_empty() {
            return Verdict::Inconclusive(told(&self.unclear));
        }
        match self.held.is_empty() {
            true => Verdict::Inconclusive("nothing was tried".to_owned()),
            false => Verdict::Held(told(&self.held)),
        }
    }
}
