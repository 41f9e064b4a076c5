//! What bounds a whole run.

/// Limits of a run, beside those of each task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunLimits {
    /// Calls within calls. Default 16.
    pub depth: usize,
    /// Calls in all, retries included. Default 100,000.
    pub calls: usize,
    /// Calls that run at one time at one depth; more of them wait. Default 32.
    pub parallel: usize,
    /// Bytes of memory of all sandboxes at once, and of the values that wait to be heard,
    /// beside what each sandbox starts with. Default 4 GiB.
    pub memory: usize,
    /// Bytes of arguments of the calls that wait or run. Default 256 MiB.
    pub arguments: usize,
    /// Bytes of output that are passed on. Default 10 MiB.
    pub output: u64,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            depth: 16,
            calls: 100_000,
            parallel: 32,
            memory: 4 << 30,
            arguments: 256 << 20,
            output: 10 << 20,
        }
    }
}
