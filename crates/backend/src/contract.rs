//! The trait and its promises.

use capsule_spec::{Event, Failure, Outcome, Task, WallStatus};

/// What a backend can do on this host, found out by trying.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The backend's name: `jail`.
    pub name: &'static str,
    /// Whether a task can run at all, and if not, why and what would help.
    pub usable: Result<(), Failure>,
    /// What was found on this host, for people: name and value.
    pub facts: Vec<(String, String)>,
    /// Every wall that this kind of sandbox has, and how well it would stand.
    pub walls: Vec<WallStatus>,
}

/// Capsule's own failure: the task did not run, or its end is not known.
///
/// A command that fails, is killed or reaches a limit is not an error but an
/// [`Outcome`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{failure}")]
pub struct BackendError {
    /// What an outsider may see.
    pub failure: Failure,
    /// The whole story, host paths and errno included, for logs.
    pub internal: String,
}

/// Where the streams of a task go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Kept in the outcome, up to `Limits::max_output` each.
    Captured,
    /// Written to the caller's own standard output and error as it comes, up to the same limit.
    Inherited,
}

/// Hears what happens while a task runs.
pub trait Observer {
    /// Called in order, from the thread that runs the task. Must not block: the
    /// task's timeout does not wait for it, but its output does.
    fn observe(&mut self, event: Event);
}

/// An observer that does not care.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn observe(&mut self, _: Event) {}
}

/// A kind of sandbox.
pub trait Backend {
    /// What this host allows, found out by trying. Called by `capsule doctor` and
    /// before choosing a backend; may take tens of milliseconds. Leaves nothing behind.
    fn capabilities(&self) -> Capabilities;

    /// Runs a task to its end.
    ///
    /// Before: the task came from [`capsule_spec::TaskSpec::resolve`].
    ///
    /// After, however it ends: no process of the task lives, and nothing of it is
    /// left on the host but what it wrote into writable mounts. Output that was
    /// made before a timeout or a signal is kept, and so are the metrics.
    ///
    /// Every limit and every denial of the task's policy holds, or the task is
    /// refused, or [`Outcome::weaker`] says which wall stood less than fully; a
    /// wall in [`Task::require`] that would stand less than fully refuses the task.
    ///
    /// Not promised: that output of standard output and standard error keeps its
    /// order between the two.
    ///
    /// # Errors
    /// [`BackendError`] when the sandbox could not be built or its end could not be seen.
    fn run(
        &self,
        task: &Task,
        output: Output,
        observer: &mut dyn Observer,
    ) -> Result<Outcome, BackendError>;
}
