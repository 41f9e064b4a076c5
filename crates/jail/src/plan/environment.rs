//! The environment: a clean base, what the door needs, what the task sets.

use std::collections::BTreeMap;

use capsule_spec::{Network, Task};

use crate::apply::DOOR_PORT;
use crate::door;

/// Nothing of the caller's environment comes in: it holds tokens and paths.
const BASE: [(&str, &str); 6] = [
    ("HOME", "/workspace"),
    ("LANG", "C.UTF-8"),
    ("LOGNAME", "capsule"),
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
    ("TMPDIR", "/tmp"),
    ("USER", "capsule"),
];

pub(super) fn of(task: &Task) -> Vec<String> {
    let mut variables: BTreeMap<&str, String> =
        BASE.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    if let Network::Hosts(rules) = &task.policy.network {
        variables.extend(door::proxy_environment(DOOR_PORT, rules));
    }
    for (name, value) in &task.policy.environment {
        variables.insert(name, value.clone());
    }
    variables.iter().map(|(name, value)| format!("{name}={value}")).collect()
}
