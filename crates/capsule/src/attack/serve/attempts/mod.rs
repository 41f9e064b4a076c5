//! The table of attempts, one file a family.

mod frames;
mod keys;
mod limits;
mod pages;
mod paths;
mod slow;
mod tenants;
mod text;

use super::attempt::Attempt;

/// Every attempt, in the order of the report.
pub(crate) fn all() -> impl Iterator<Item = &'static Attempt> + Clone {
    [
        text::ATTEMPTS,
        paths::ATTEMPTS,
        pages::ATTEMPTS,
        frames::ATTEMPTS,
        slow::ATTEMPTS,
        limits::ATTEMPTS,
        keys::ATTEMPTS,
        tenants::ATTEMPTS,
    ]
    .into_iter()
    .flatten()
}
