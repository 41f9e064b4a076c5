//! Files that a process reads to find hosts and to know them.

use std::path::PathBuf;

/// What the C library's resolver reads, and where distributions keep certificates.
/// Each link is followed now, so what a resolver daemon replaces later is not seen.
pub(super) const FILES: [&str; 9] = [
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/nsswitch.conf",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cert.pem",
];

/// Certificates, and what they are links to.
pub(super) const FOLDERS: [&str; 7] = [
    "/etc/ssl/certs",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/usr/share/pki",
];

/// The certificates that the caller's environment names.
pub(super) fn named_by_the_caller() -> Vec<PathBuf> {
    let named = ["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().filter_map(std::env::var_os);
    named.flat_map(|paths| std::env::split_paths(&paths).collect::<Vec<_>>()).collect()
}
