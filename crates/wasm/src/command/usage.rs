//! What this process has used, as the kernel counts it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use super::sys::process_times;

/// The kernel's counters, asked for once: later the files may be out of reach.
pub(super) struct Counters {
    memory: Option<File>,
    transfers: Option<File>,
    page: u64,
}

/// What they said at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) user: Duration,
    pub(super) kernel: Duration,
    pub(super) read: u64,
    pub(super) written: u64,
}

impl Counters {
    pub(super) fn open() -> Self {
        let open = |path| File::open(path).ok();
        let page = rustix::param::page_size() as u64;
        Self { memory: open("/proc/self/statm"), transfers: open("/proc/self/io"), page }
    }

    /// Memory of this process alone: what it shares with files is not counted. Zero
    /// where the kernel does not say.
    pub(super) fn private_memory(&self) -> u64 {
        let text = read(self.memory.as_ref());
        // proc_pid_statm(5): size, resident, shared, all in pages.
        let mut pages = text.split(' ').map(|number| number.parse::<u64>().unwrap_or(0)).skip(1);
        let (resident, shared) = (pages.next().unwrap_or(0), pages.next().unwrap_or(0));
        resident.saturating_sub(shared) * self.page
    }

    pub(super) fn read(&self) -> Usage {
        let text = read(self.transfers.as_ref());
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
                .unwrap_or_default()
        };
        let (user, kernel) = process_times();
        Usage { user, kernel, read: field("rchar:"), written: field("wchar:") }
    }
}

impl Usage {
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            kernel: self.kernel.saturating_sub(before.kernel),
            read: self.read.saturating_sub(before.read),
            written: self.written.saturating_sub(before.written),
        }
    }
}

fn read(file: Option<&File>) -> String {
    let mut bytes = [0; 512];
    let length = file.and_then(|file| file.read_at(&mut bytes, 0).ok()).unwrap_or(0);
    String::from_utf8_lossy(&bytes[..length]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_answers() {
        let counters = Counters::open();
        assert!(counters.private_memory() > 100_000);
        let before = counters.read();
        let begun = std::time::Instant::now();
        while begun.elapsed() < Duration::from_millis(60) {
            std::hint::black_box(std::fs::read("/proc/self/status").unwrap());
        }
        let used = counters.read().since(&before);
        assert!(used.user + used.kernel > Duration::from_millis(5), "{used:?}");
        assert!(used.read > 500, "{used:?}");
    }
}
