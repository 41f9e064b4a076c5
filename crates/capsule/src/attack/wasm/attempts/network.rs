//! Attempts at hosts that are not allowed.

use super::super::attempt::{Attempt, Expect};
use super::program;

pub(super) const ATTEMPTS: &[Attempt] = &[
    program!(
        "no-network",
        Network,
        "reach the host's loopback without any allowed host",
        Expect::Silent
    ),
    program!("other-port", Network, "reach another port of an allowed host", Expect::Silent),
    program!(
        "redirect-away",
        Network,
        "be sent from an allowed host to one that is not",
        Expect::Silent
    ),
    program!(
        "other-host-header",
        Network,
        "name a host that is not allowed inside a request to one that is",
        Expect::Silent
    ),
    program!(
        "metadata",
        Network,
        "reach the metadata services of clouds with every host allowed",
        Expect::Silent
    ),
    program!(
        "other-sockets",
        Network,
        "listen, send datagrams, and use sockets of other families",
        Expect::Silent
    ),
    program!(
        "strange-connections",
        Network,
        "speak through connections that it never made",
        Expect::Silent
    ),
    program!(
        TypeScript,
        "no-network-ts",
        Network,
        "reach another port by odd addresses, redirects, headers and modules",
        Expect::Silent
    ),
    program!(
        Node,
        "node-network",
        Network,
        "in Node, reach the host by sockets of every kind, and by the door itself",
        Expect::Silent
    ),
    program!(
        Node,
        "node-inspector",
        Network,
        "in Node, open an inspector on the host's ports, and read files by it",
        Expect::Silent
    ),
];
