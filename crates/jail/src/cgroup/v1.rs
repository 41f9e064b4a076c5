//! Version 1: a group in each hierarchy (cgroups(7)).
//!
//! The first move of a process after a quiet time waits for an RCU grace
//! period, 7 ms and more. So a run joins its groups only once it has lived a few
//! milliseconds, and what it used until then is deducted (see `supervisor`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use capsule_spec::Limits;

use super::{Controller, Counts, name_in, read_keyed, read_number};

pub(crate) struct Group {
    paths: Vec<(Controller, PathBuf)>,
}

impl Group {
    pub(super) fn create(parents: &[(Controller, PathBuf)], limits: &Limits) -> io::Result<Self> {
        let mut group = Self { paths: Vec::new() };
        for (controller, parent) in parents {
            let made = name_in(parent).and_then(|path| fs::create_dir(&path).map(|()| path));
            let limited = made.and_then(|path| {
                group.paths.push((*controller, path));
                group.limit(*controller, limits)
            });
            if let Err(error) = limited {
                group.paths().for_each(super::remove);
                return Err(error);
            }
        }
        Ok(group)
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
        self.paths.iter().find(|(found, _)| *found == controller).map(|(_, path)| path.as_path())
    }

    pub(super) fn attach(&self, pid: i32) -> io::Result<()> {
        for path in self.paths() {
            fs::write(path.join("cgroup.procs"), pid.to_string())?;
        }
        Ok(())
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.paths.iter().map(|(_, path)| path.as_path())
    }

    pub(super) fn processes(&self) -> Option<u64> {
        read_number(&self.path(Controller::Pids)?.join("pids.current"))
    }

    pub(super) fn counts(&self) -> Counts {
        let memory = |file| self.path(Controller::Memory).map(|path| path.join(file));
        let pids = |file| self.path(Controller::Pids).map(|path| path.join(file));
        Counts {
            peak_memory: memory("memory.max_usage_in_bytes").and_then(|file| read_number(&file)),
            memory_kills: memory("memory.oom_control")
                .and_then(|file| read_keyed(&file, "oom_kill"))
                .unwrap_or(0),
            refused_forks: pids("pids.events")
                .and_then(|file| read_keyed(&file, "max"))
                .unwrap_or(0),
        }
    }
}
