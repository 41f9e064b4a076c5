//! Sandboxes that live now, and what runs in them.
//!
//! Owns: each sandbox's state, lease and processes, and the one task that leads it through
//! its life. Refuses to know: requests, and how they came.

mod context;
mod exec;
mod keeper;
mod pool;
mod program;
mod registry;
mod running;
mod sandbox;

pub(crate) use context::{Context, MOST_CONTEXTS, command as context_command, take_up};
pub(crate) use exec::{Finished, Limits as ExecLimits, kill_tree, run};
pub(crate) use program::{code_command, login_shells, program};
pub(crate) use registry::{AdoptError, Bounds, Order, Registry};
pub(crate) use running::{Attached, Heard, Hook, Outlives, Running, lost};
pub(crate) use sandbox::{Foreground, InUse, Live, ended, lock};

use capsule_backend::guest::Pending;
use capsule_backend::sandbox::Recipe;
use capsule_spec::Failure;

use crate::request::Language;
use crate::roots::Origin;

/// What puts files into a sandbox that nobody uses yet.
pub(crate) type Fill = Box<dyn FnOnce(InUse) -> Pending<'static, Result<(), Failure>> + Send>;

/// A named recipe for sandboxes.
#[derive(Clone, Debug)]
pub struct Template {
    /// Its name.
    pub name: String,
    /// What a sandbox of it is made of.
    pub recipe: Recipe,
    /// The language of code that names none.
    pub language: Language,
    /// For people.
    pub description: Option<String>,
    /// Spare sandboxes that are kept ready; templates of one recipe share the largest number.
    pub pool: usize,
    /// What its files are made from.
    pub origin: Origin,
}
