//! Where a server is.

use std::fmt;
use std::path::PathBuf;

use capsule_spec::{ErrorCode, Failure};

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A name or an address, and a port.
    Tcp {
        /// Without brackets.
        host: String,
        port: u16,
    },
    /// A socket in the file system.
    Unix(PathBuf),
}

impl Place {
    /// Where `capsule serve` listens unless told otherwise.
    pub(crate) const DEFAULT: &'static str = "http://127.0.0.1:8080";

    /// `http://HOST[:PORT]`, or what a server prints: `unix:PATH`.
    ///
    /// # Errors
    /// When it is anything else.
    pub(crate) fn parse(url: &str) -> Result<Self, Failure> {
        let wrong = |why: &str| {
            let message = format!("the server's address {url:?} {why}");
            Failure::new(ErrorCode::InvalidValue, message)
                .hint("it is like http://127.0.0.1:8080, or unix:/run/capsule.sock")
        };
        if let Some(path) = url.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return match path.is_empty() {
                true => Err(wrong("names no socket")),
                false => Ok(Self::Unix(path.into())),
            };
        }
        if url.starts_with("https://") {
            return Err(wrong("asks for TLS, which this command does not speak"));
        }
        let rest = url.strip_prefix("http://").unwrap_or(url);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, "80"),
            Some((host, port)) => {
                (host, port.strip_prefix(':').ok_or_else(|| wrong("has no port where one goes"))?)
            }
            None => rest.split_once(':').unwrap_or((rest, "80")),
        };
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_host) {
            return Err(wrong("has no host name that can be used"));
        }
        let port = port.parse().map_err(|_| wrong("has no port that can be used"))?;
        Ok(Self::Tcp { host: host.to_owned(), port })
    }

    /// What the `Host` header says.
    pub(crate) fn authority(&self) -> String {
        match self {
            Self::Tcp { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Tcp { host, port } => format!("{host}:{port}"),
            Self::Unix(_) => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { .. } => write!(f, "http://{}", self.authority()),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_or_refused() {
        for (url, place) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://box.local/", "http://box.local:80"),
            ("localhost:9", "http://localhost:9"),
            ("http://[::1]:8080", "http://[::1]:8080"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
            ("unix:///run/a.sock", "unix:/run/a.sock"),
        ] {
            assert_eq!(Place::parse(url).unwrap().to_string(), place, "{url}");
        }
        for bad in [
            "",
            "http://",
            "https://127.0.0.1",
            "http://a:b",
            "http://a:99999",
            "http://a/b:1",
            "http://a\r\nX: y",
            "http://user@host:1",
            "unix:",
            "http://[::1",
            "http://[::1]x",
        ] {
            assert_eq!(Place::parse(bad).unwrap_err().code, ErrorCode::InvalidValue, "{bad}");
        }
    }
}
