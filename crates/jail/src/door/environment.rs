//! The variables by which programs in the jail find the door.

use capsule_spec::HostRule;

/// What to set in the guest's environment for a door that listens on `port`.
///
/// curl, git, pip, npm, cargo, go, apt and wget read the first eight. Node's own
/// `fetch` and `http` read them only if asked to (from 22.21 and 24 on).
/// Java reads none of them, and `JAVA_TOOL_OPTIONS` would print a line into the
/// output of every program, so Java programs need `-Dhttps.proxyHost` by hand.
///
/// Loopback is exempt, so that a guest can talk to servers of its own, unless a
/// rule names the host's loopback: then all of it goes through the door, as no
/// common client can exempt a single port.
#[must_use]
pub(crate) fn proxy_environment(port: u16, rules: &[HostRule]) -> Vec<(&'static str, String)> {
    let door = format!("http://127.0.0.1:{port}");
    let is_loopback = |rule: &HostRule| match rule.address() {
        Some(address) => address.is_loopback(),
        // Refused by its address, but with a hint, which an exempt name would never get.
        None => rule.to_string().split(':').next() == Some("localhost"),
    };
    let names_loopback = rules.iter().any(is_loopback);
    let exempt = if names_loopback { "" } else { "localhost,127.0.0.1,::1" };
    vec![
        ("http_proxy", door.clone()),
        ("https_proxy", door.clone()),
        ("all_proxy", door.clone()),
        ("no_proxy", exempt.to_owned()),
        ("HTTP_PROXY", door.clone()),
        ("HTTPS_PROXY", door.clone()),
        ("ALL_PROXY", door),
        ("NO_PROXY", exempt.to_owned()),
        ("NODE_USE_ENV_PROXY", "1".to_owned()),
    ]
}
