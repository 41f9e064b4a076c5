//! Version 2: one group, with the process born inside it (cgroups(7)).

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use capsule_spec::Limits;

use super::{Claim, Controller, Counts, read_keyed, read_number};

pub(crate) struct Group {
    claim: Claim,
}

impl Group {
    pub(super) fn create(parent: &Path, limits: &Limits) -> io::Result<Self> {
        give_controllers(parent)?;
        let group = Self { claim: Claim::make(parent)? };
        group.limit(limits).inspect_err(|_| group.claim.remove())?;
        Ok(group)
    }

    pub(super) fn of(claim: Claim) -> Self {
        Self { claim }
    }

    /// Since Linux 5.2. Answers when all stand (cgroup.events).
    pub(super) fn freeze(&self, frozen: bool) -> io::Result<()> {
        fs::write(self.path().join("cgroup.freeze"), u8::from(frozen).to_string())?;
        for _ in 0..1000 {
            let stands = read_keyed(&self.path().join("cgroup.events"), "frozen") == Some(1);
            if !frozen || stands {
                return Ok(());
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Err(io::ErrorKind::TimedOut.into())
    }

    fn limit(&self, limits: &Limits) -> io::Result<()> {
        let write = |file: &str, value: String| match fs::write(self.path().join(file), value) {
            // The controller is missing: the plan has said so, or has refused.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        write("memory.max", limits.memory.bytes().to_string())?;
        // Swap would be memory over the limit.
        write("memory.swap.max", "0".to_owned())?;
        write("pids.max", (limits.max_pids + 1).to_string())?;
        write("cpu.weight", weight(limits.cpu_shares).to_string())?;
        if let Some(quota) = limits.cpus {
            write("cpu.max", format!("{} 100000", u64::from(quota.thousandths()) * 100))?;
        }
        Ok(())
    }

    pub(super) fn descriptor(&self) -> BorrowedFd<'_> {
        self.claim.directory.as_fd()
    }

    pub(super) fn attach(&self, pid: i32) -> io::Result<()> {
        fs::write(self.path().join("cgroup.procs"), pid.to_string())
    }

    pub(super) fn path(&self) -> &Path {
        self.claim.path()
    }

    pub(super) fn remove(&self) {
        self.claim.remove();
    }

    pub(super) fn memory_kills(&self) -> u64 {
        read_keyed(&self.path().join("memory.events"), "oom_kill").unwrap_or(0)
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            // Since Linux 5.19; before, the largest process has to do.
            peak_memory: read_number(&self.path().join("memory.peak")),
            memory_kills: self.memory_kills(),
            refused_forks: read_keyed(&self.path().join("pids.events"), "max").unwrap_or(0),
        }
    }
}

/// The conversion of the OCI runtimes: 2..262144 shares to 1..10000.
fn weight(shares: u32) -> u64 {
    1 + (u64::from(shares.max(2)) - 2) * 9999 / 262_142
}

/// Lets children of `parent` have the controllers, moving this process to a leaf if it must.
fn give_controllers(parent: &Path) -> io::Result<()> {
    let file = parent.join("cgroup.subtree_control");
    let available = fs::read_to_string(parent.join("cgroup.controllers"))?;
    let given = fs::read_to_string(&file)?;
    let has = |text: &str, name: &str| text.split_whitespace().any(|word| word == name);
    let missing: Vec<_> = Controller::ALL
        .into_iter()
        .map(Controller::name)
        .filter(|name| has(&available, name) && !has(&given, name))
        .map(|name| format!("+{name}"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(" ");
    match fs::write(&file, &missing) {
        Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
            let leaf = parent.join(super::LEAF);
            match fs::create_dir(&leaf) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            fs::write(leaf.join("cgroup.procs"), std::process::id().to_string())?;
            fs::write(&file, &missing)
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn weights_span_the_range() {
        assert_eq!((weight(2), weight(1024), weight(262_144)), (1, 39, 10_000));
    }
}
