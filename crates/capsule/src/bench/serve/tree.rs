//! What a process and all that descends from it use, as the kernel counts it.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context;

/// A process and its descendants.
pub(super) fn descendants(process: u32) -> Vec<u32> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(number) = number else { continue };
        // Gone since it was listed.
        let Ok(text) = fs::read_to_string(format!("/proc/{number}/stat")) else { continue };
        let after_name = text.rsplit(") ").next().unwrap_or_default();
        if let Some(parent) = after_name.split(' ').nth(1).and_then(|one| one.parse::<u32>().ok()) {
            parents.insert(number, parent);
        }
    }
    let mut found = vec![process];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(parents.iter().filter(|(_, one)| **one == parent).map(|(number, _)| *number));
        next += 1;
    }
    found
}

/// Memory of processes together, shared pages by share (Pss), in KiB.
pub(super) fn memory(processes: &[u32]) -> u64 {
    processes.iter().map(|process| pss(*process).unwrap_or_default()).sum()
}

fn pss(process: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// A line of `/proc/PID/status`, in KiB.
pub(super) fn status(process: u32, name: &str) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let value = line.with_context(|| format!("no {name}"))?.trim_start_matches(':');
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}

/// Memory that the kernel could give out, in KiB.
pub(super) fn available() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    Ok(line.context("no MemAvailable")?.trim().trim_end_matches(" kB").parse()?)
}

/// Open descriptors.
pub(super) fn descriptors(process: u32) -> u64 {
    fs::read_dir(format!("/proc/{process}/fd")).map_or(0, |all| all.count() as u64)
}

/// Mounts of this namespace.
pub(super) fn mounts() -> u64 {
    fs::read_to_string("/proc/self/mountinfo").map_or(0, |text| text.lines().count() as u64)
}
