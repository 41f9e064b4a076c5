//! The address of a webhook.

use capsule_backend::address::Host;
use capsule_spec::host_rule::canonical_port;

/// Longest address.
const LONGEST: usize = 2_048;

/// An address as far as it matters to whoever connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) is_secure: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
    /// Path and query, in characters that need no care.
    pub(crate) target: String,
}

impl Url {
    /// Reads `http://` and `https://` addresses without a user name. None for all the rest.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\\\"<>^`{|}".contains(&byte);
        if text.len() > LONGEST || !text.bytes().all(is_plain) {
            return None;
        }
        let (is_secure, rest) = match text.strip_prefix("https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("http://")?),
        };
        let rest = rest.split('#').next()?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let from = authority.rfind(']').unwrap_or(0);
        let (host, port) = match authority[from..].rfind(':') {
            Some(colon) => {
                let (host, port) = authority.split_at(from + colon);
                (host, canonical_port(&port[1..]).ok()?.get())
            }
            None => (authority, if is_secure { 443 } else { 80 }),
        };
        let target = match target {
            "" => "/".to_owned(),
            query if query.starts_with('?') => format!("/{query}"),
            path => path.to_owned(),
        };
        Some(Self { is_secure, host: Host::parse(host)?, port, target })
    }

    /// The `Host` header.
    pub(crate) fn authority(&self) -> String {
        match (self.is_secure, self.port) {
            (true, 443) | (false, 80) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        for (text, secure, authority, target) in [
            ("https://a.Example", true, "a.example", "/"),
            ("http://a.example:81/x?y=z#f", false, "a.example:81", "/x?y=z"),
            ("https://a.example?x", true, "a.example", "/?x"),
            ("http://10.0.0.1:80/", false, "10.0.0.1", "/"),
            ("https://[fd00::1]:8443/a", true, "[fd00::1]:8443", "/a"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!(
                (url.is_secure, url.authority(), &*url.target),
                (secure, authority.to_owned(), target)
            );
        }
        for wrong in [
            "",
            "a.example",
            "ftp://a",
            "http://",
            "http:///x",
            "http://u:p@a.example/",
            "http://u@127.0.0.1/",
            "http://2130706433/",
            "http://127.1/",
            "http://0x7f.1/",
            "http://a:0/",
            "http://a:99999/",
            "http://a:/",
            "http://a b/",
            "http://a/\r\nX: y",
            "http://a/ü",
            "http://a\\@b/",
            "HTTP://a/",
            "http://[::1%25lo]/",
        ] {
            assert_eq!(Url::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Url::parse(&format!("http://a/{}", "x".repeat(LONGEST))), None);
    }
}
