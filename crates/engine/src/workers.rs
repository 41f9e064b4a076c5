//! The threads that calls run on.
//!
//! Started by the first call that a task makes: a program that calls nothing runs
//! on the thread that it came in on, and starts sooner. Never ended: they are the
//! process's, and go with it.

use std::io;
use std::sync::OnceLock;

use tokio::runtime::{Builder, Runtime};
use tokio::task::AbortHandle;

/// Timers are looked at after so many turns; a running guest stops for breath every
/// fifth of a millisecond.
const TURNS: u32 = 8;

/// A runtime for one thread: the caller's.
///
/// # Errors
/// When the host is out of descriptors.
pub fn own_thread() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().event_interval(TURNS).build()
}

/// Runs `work` on another thread; dropping the answer ends it.
pub(crate) async fn elsewhere<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    struct AbortOnDrop(AbortHandle);
    impl Drop for AbortOnDrop {
        fn drop(&mut self) {
            self.0.abort();
        }
    }
    let task = all().spawn(work);
    let _guard = AbortOnDrop(task.abort_handle());
    match task.await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only its own drop aborts it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// One thread for each processor.
pub fn all() -> &'static Runtime {
    static ALL: OnceLock<Runtime> = OnceLock::new();
    ALL.get_or_init(|| {
        let built = Builder::new_multi_thread()
            .worker_threads(processors())
            .enable_all()
            .event_interval(TURNS)
            .build();
        built.expect("the host has a thread and a few descriptors to spare")
    })
}

/// How many processors this process may use; counted once. A process that locks itself
/// down asks before, as control groups have a say in it.
pub fn processors() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}
