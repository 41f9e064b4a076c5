//! Default profile: sockets. Whether a packet gets anywhere is the network namespace's
//! business; this decides only which kernel code a guest can reach.

use crate::seccomp::checks;
use crate::seccomp::rule::{ALLOW, Group, rule};

pub(super) const GROUP: Group = Group {
    title: "sockets",
    rules: &[
        rule!(
            checks::SOCKET,
            "unix sockets, TCP, UDP and ping, and route netlink (getifaddrs needs it); other \
             families reach past the network namespace (vsock) or are rarely tested kernel \
             code"
            => [SYS_socket]
        ),
        rule!(
            checks::SOCKETPAIR,
            "pairs exist usefully only for unix sockets"
            => [SYS_socketpair]
        ),
        rule!(
            ALLOW,
            "work on sockets that the rule above let through"
            => [
                SYS_bind, SYS_listen, SYS_accept, SYS_accept4, SYS_connect, SYS_getsockname,
                SYS_getpeername, SYS_getsockopt, SYS_setsockopt, SYS_sendto, SYS_recvfrom,
                SYS_sendmsg, SYS_recvmsg, SYS_sendmmsg, SYS_recvmmsg, SYS_shutdown,
            ]
        ),
    ],
};
