//! Version 1: a group in each hierarchy (cgroups(7)).
//!
//! The first move of a process after a quiet time waits for an RCU grace
//! period, 7 ms and more. So a run joins its groups only once it has lived a few
//! milliseconds, and what it used until then is deducted (see `supervisor`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use capsule_spec::Limits;

use super::{Claim, Controller, Counts, read_cached, read_keyed, read_number};

pub(crate) struct Group {
    claims: Vec<(Controller, Claim)>,
}

impl Group {
    pub(super) fn create(parents: &[(Controller, PathBuf)], limits: &Limits) -> io::Result<Self> {
        let mut group = Self { claims: Vec::new() };
        for (controller, parent) in parents {
            let limited = Claim::make(parent).and_then(|claim| {
                group.claims.push((*controller, claim));
                group.limit(*controller, limits)
            });
            limited.inspect_err(|_| group.remove())?;
        }
        Ok(group)
    }

    pub(super) fn of(claims: Vec<(Controller, Claim)>) -> Self {
        Self { claims }
    }

    pub(super) fn places(&self) -> Vec<(Option<Controller>, PathBuf)> {
        let place = |(controller, claim): &(Controller, Claim)| {
            (Some(*controller), claim.path().to_owned())
        };
        self.claims.iter().map(place).collect()
    }

    pub(super) fn memory(&self) -> Option<u64> {
        read_number(&self.path(Controller::Memory)?.join("memory.usage_in_bytes"))
    }

    pub(super) fn cached(&self) -> Option<u64> {
        read_cached(&self.path(Controller::Memory)?.join("memory.stat"), "total_")
    }

    pub(super) fn remove(&self) {
        self.claims.iter().for_each(|(_, claim)| claim.remove());
    }

    fn limit(&self, controller: Controller, limits: &Limits) -> io::Result<()> {
        match controller {
            Controller::Memory => self.limit_memory(limits.memory.bytes()),
            Controller::Pids => self.write(controller, "pids.max", u64::from(limits.max_pids) + 1),
            Controller::Cpu => {
                self.write(controller, "cpu.shares", u64::from(limits.cpu_shares))?;
                match limits.cpus {
                    None => Ok(()),
                    Some(quota) => {
                        self.write(controller, "cpu.cfs_period_us", 100_000)?;
                        let quota = u64::from(quota.thousandths()) * 100;
                        self.write(controller, "cpu.cfs_quota_us", quota)
                    }
                }
            }
        }
    }

    /// Limits memory and, where swap is counted, memory and swap together.
    pub(super) fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        // Together must never be less than memory alone, so the order depends on the direction.
        let memory = || self.write(Controller::Memory, "memory.limit_in_bytes", bytes);
        let together = || match self.write(Controller::Memory, "memory.memsw.limit_in_bytes", bytes)
        {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        };
        if together().is_ok() { memory() } else { memory().and_then(|()| together()) }
    }

    fn write(&self, controller: Controller, file: &str, value: u64) -> io::Result<()> {
        match self.path(controller) {
            Some(path) => fs::write(path.join(file), value.to_string()),
            None => Ok(()),
        }
    }

    fn path(&self, controller: Controller) -> Option<&Path> {
        self.claims.iter().find(|(found, _)| *found == controller).map(|(_, claim)| claim.path())
    }

    pub(super) fn attach(&self, pid: i32) -> io::Result<()> {
        for (_, claim) in &self.claims {
            fs::write(claim.path().join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    pub(super) fn processes(&self) -> Option<u64> {
        read_number(&self.path(Controller::Pids)?.join("pids.current"))
    }

    /// Where `cpuacct` shares the hierarchy of `cpu`, as on most hosts.
    pub(super) fn processor_time(&self) -> Option<Duration> {
        let usage = self.path(Controller::Cpu)?.join("cpuacct.usage");
        read_number(&usage).map(Duration::from_nanos)
    }

    pub(super) fn memory_kills(&self) -> u64 {
        self.path(Controller::Memory)
            .and_then(|path| read_keyed(&path.join("memory.oom_control"), "oom_kill"))
            .unwrap_or(0)
    }

    pub(super) fn counts(&self) -> Counts {
        let memory = |file| self.path(Controller::Memory).map(|path| path.join(file));
        let pids = |file| self.path(Controller::Pids).map(|path| path.join(file));
        Counts {
            peak_memory: memory("memory.max_usage_in_bytes").and_then(|file| read_number(&file)),
            memory_kills: self.memory_kills(),
            refused_forks: pids("pids.events")
                .and_then(|file| read_keyed(&file, "max"))
                .unwrap_or(0),
        }
    }
}
