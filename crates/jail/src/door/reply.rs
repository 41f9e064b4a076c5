//! What the door itself says to the guest. Only categories: no resolver text, no
//! address that a name resolved to, nothing of the host.

use std::fmt::Display;

use super::visit::Verdict;

/// Answers a CONNECT that was let out.
pub(super) const TUNNEL_IS_OPEN: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";

/// The stable code of a policy refusal, for the network.
const POLICY_CODE: &str = "E5002";

/// Whether the guest's connection lives on after a reply.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    Keep,
    Close,
}

/// The reply for a request that was not let out. `asked` is what the guest asked
/// for, `host:port`, in canonical form.
pub(super) fn refusal(verdict: Verdict, asked: &str, afterwards: Afterwards) -> Vec<u8> {
    let (status, text) = match verdict {
        Verdict::NotListed | Verdict::Allowed | Verdict::Opened => (
            "403 Forbidden",
            format!("host \"{asked}\" is not in the allow-list; hint: --allow-host {asked}"),
        ),
        Verdict::InsideAddress => ("403 Forbidden", inside_text(asked)),
        Verdict::WrongServerName => {
            ("403 Forbidden", format!("TLS inside the tunnel to \"{asked}\" names another server"))
        }
        Verdict::BadRequest => ("400 Bad Request", asked.to_owned()),
        Verdict::SlowRequest => ("408 Request Timeout", "the request took too long".to_owned()),
        Verdict::LongRequest => {
            ("431 Request Header Fields Too Large", "the request head is too long".to_owned())
        }
        Verdict::NameNotFound => {
            ("502 Bad Gateway", format!("the name in \"{asked}\" could not be resolved"))
        }
        Verdict::Unreachable => ("502 Bad Gateway", format!("\"{asked}\" could not be reached")),
        Verdict::BadAnswer => {
            ("502 Bad Gateway", format!("\"{asked}\" gave no complete HTTP answer"))
        }
        Verdict::TimedOut => ("504 Gateway Timeout", format!("\"{asked}\" did not answer in time")),
        Verdict::OverCapacity => (
            "503 Service Unavailable",
            "too many connections at once; hint: use fewer, or close idle ones".to_owned(),
        ),
    };
    // pip, git and others show the reason of a failed CONNECT and not its body.
    let status = if verdict.is_denial() {
        format!("{status} by capsule: {text}")
    } else {
        status.to_owned()
    };
    reply(&status, &text, verdict.is_denial(), afterwards)
}

/// A name rule does not name an address, and `localhost` is where people learn it.
fn inside_text(asked: &str) -> String {
    let (host, port) = asked.rsplit_once(':').unwrap_or((asked, ""));
    if host == "localhost" {
        return format!(
            "host \"{asked}\" is a name for this host's loopback address, and a name rule \
             does not open inside addresses; \
             hint: --allow-host localhost:{port} --allow-host 127.0.0.1:{port}"
        );
    }
    format!(
        "host \"{asked}\" leads to a loopback, private or otherwise inside address, which only a \
         rule with the address itself opens; hint: --allow-host ADDRESS:{port}"
    )
}

fn reply(status: &str, text: &dyn Display, is_denial: bool, afterwards: Afterwards) -> Vec<u8> {
    let body = format!("capsule: {text}\n");
    let code =
        if is_denial { format!("X-Capsule-Error: {POLICY_CODE}\r\n") } else { String::new() };
    let close = match afterwards {
        Afterwards::Keep => "",
        Afterwards::Close => "Connection: close\r\n",
    };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n{code}{close}\r\n{body}",
        body.len()
    )
    .into_bytes()
}
