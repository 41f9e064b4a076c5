//! Sandboxes that live now, and what runs in them.
//!
//! Owns: each sandbox's state, lease and processes, and the one task that leads it through
//! its life. Refuses to know: requests, and how they came.

mod aside;
mod context;
mod exec;
mod keeper;
mod logged;
mod mounted;
mod pool;
mod program;
mod registry;
mod running;
mod sandbox;

pub(crate) use context::{Context, MOST_CONTEXTS, command as context_command, take_up};
pub(crate) use exec::{Finished, Limits as ExecLimits, kill_tree, run};
pub(crate) use logged::{Asked, Logged};
pub(crate) use mounted::Mounted;
pub(crate) use program::{code_command, login_shells, program};
pub(crate) use registry::{AdoptError, Bounds, Order, Registry};
pub(crate) use running::{Attached, Heard, Hook, Outlives, Running, lost};
pub(crate) use sandbox::{Foreground, InUse, Live, ended, lock};

use capsule_backend::guest::Pending;
use capsule_backend::sandbox::Recipe;
use capsule_spec::Failure;

use crate::request::{Language, OnExpiry};
use crate::roots::Origin;

/// What puts files into a sandbox that nobody uses yet.
pub(crate) type Fill = Box<dyn FnOnce(InUse) -> Pending<'static, Result<(), Failure>> + Send>;

/// What keeps the files of a sandbox whose processes stand still, as a snapshot of its id.
pub(crate) type Aside = Box<dyn Fn(InUse) -> Pending<'static, Result<(), Failure>> + Send + Sync>;

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
    /// What happens when the time of a sandbox is over.
    pub on_expiry: OnExpiry,
    /// Spare sandboxes that are kept ready; templates of one recipe share the largest number.
    pub pool: usize,
    /// What its files are made from.
    pub origin: Origin,
}
