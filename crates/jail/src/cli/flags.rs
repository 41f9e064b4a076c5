//! The names of one thing on the wire and on the command line.

use capsule_spec::Failure;

/// Field and flag. Longer names first: one may hold another.
const NAMES: [(&str, &str); 13] = [
    ("max_output_bytes", "--max-output"),
    ("working_directory", "--workdir"),
    ("readonly_paths", "--readonly"),
    ("writable_paths", "--writable"),
    ("allowed_hosts", "--allow-host"),
    ("memory_bytes", "--memory"),
    ("bind_mounts", "--bind"),
    ("environment", "--env"),
    ("disk_bytes", "--disk"),
    ("cpu_shares", "--cpu"),
    ("timeout_ms", "--timeout"),
    ("max_pids", "--max-pids"),
    ("cpus ", "--cpus "),
];

/// A failure as somebody sees it who typed flags.
pub(super) fn instead_of_fields(mut failure: Failure) -> Failure {
    for (field, flag) in NAMES {
        failure.message = failure.message.replace(field, flag);
    }
    // Too common a word to be replaced wherever it stands.
    if let Some(rest) = failure.message.strip_prefix("network and") {
        failure.message = format!("--network and{rest}");
    }
    failure
}
