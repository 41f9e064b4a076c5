//! No web page drives the server.

use capsule_spec::ErrorCode;
use hyper::header::{HOST, HeaderMap, ORIGIN};

use crate::rpc::{Kind, Refusal};

/// Which names the server has, and which pages may talk to it.
#[derive(Clone, Debug)]
pub(crate) struct Pages {
    /// Names without a port; none: any name will do, because a key is needed as well.
    hosts: Option<Vec<String>>,
    /// Like `https://example.org:8443`.
    origins: Vec<String>,
}

impl Pages {
    /// Only these names, beside those of loopback.
    pub(crate) fn of_names(names: &[String], origins: Vec<String>) -> Self {
        let own = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
        let given = names.iter().map(|name| name.to_ascii_lowercase());
        Self { hosts: Some(own.into_iter().chain(given).collect()), origins }
    }

    /// Any name.
    pub(crate) fn of_any_name(origins: Vec<String>) -> Self {
        Self { hosts: None, origins }
    }

    /// Looks at the headers of a request for the server's own page. A link to it may stand
    /// anywhere: whoever follows one sees the page, and the place of the link sees nothing.
    ///
    /// # Errors
    /// When the server has another name, or a page wants it for something else than to go there.
    pub(crate) fn check_visit(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let says = |name, value| headers.get(name).is_some_and(|said| said == value);
        let is_followed = says("sec-fetch-mode", "navigate") && says("sec-fetch-dest", "document");
        match is_followed && !headers.contains_key(ORIGIN) {
            true => self.check_name(headers).map(drop),
            false => self.check(headers),
        }
    }

    /// Looks at the headers of a request.
    ///
    /// # Errors
    /// When a page could have sent it.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let host = self.check_name(headers)?;
        if let Some(origin) = headers.get(ORIGIN) {
            let origin = origin.to_str().unwrap_or_default();
            return match self.allows(origin) || is_same(origin, host) {
                true => Ok(()),
                false => {
                    let shown: String = origin.chars().take(100).collect();
                    Err(foreign(format!("pages of {shown:?} may not talk to this server"))
                        .hint("start it with --allow-origin URL if they should"))
                }
            };
        }
        // Images, scripts and links of a page come without Origin, but with this.
        match headers.get("sec-fetch-site").map(|site| site.as_bytes()) {
            None | Some(b"same-origin" | b"none") => Ok(()),
            Some(_) => Err(foreign("the request came from a page of another site".to_owned())),
        }
    }

    /// The server's name as the request has it, if it is one.
    fn check_name<'a>(&self, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
        if hosts.next().is_some() {
            return Err(foreign("the request has several Host headers".to_owned()));
        }
        let name = name_of(host);
        let is_ours = |hosts: &Vec<String>| hosts.iter().any(|one| one.eq_ignore_ascii_case(name));
        if self.hosts.as_ref().is_some_and(|hosts| !is_ours(hosts)) {
            let shown: String = name.chars().take(100).collect();
            return Err(foreign(format!("this server is not called {shown:?}"))
                .hint("call it localhost or 127.0.0.1, or start it with --allow-host NAME"));
        }
        Ok(host)
    }

    /// Whether pages of this origin were allowed by name.
    pub(crate) fn allows(&self, origin: &str) -> bool {
        self.origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
    }
}

fn foreign(message: String) -> Refusal {
    Refusal::new(Kind::ForeignOrigin, ErrorCode::ForeignOrigin, message)
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    let end = match host.starts_with('[') {
        true => host.find(']').map_or(host.len(), |end| end + 1),
        false => host.find(':').unwrap_or(host.len()),
    };
    &host[..end]
}

/// Whether a page of the server itself has this origin.
fn is_same(origin: &str, host: &str) -> bool {
    ["http://", "https://"]
        .iter()
        .filter_map(|scheme| origin.strip_prefix(scheme))
        .any(|rest| !host.is_empty() && rest.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn is_let_in(pages: &Pages, headers: &[(&'static str, &str)]) -> bool {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            map.append(HeaderName::from_static(name), value);
        }
        pages.check(&map).is_ok()
    }

    #[test]
    fn pages_and_rebound_names_are_kept_out() {
        let allowed = vec!["https://app.example".to_owned()];
        let pages = Pages::of_names(&["box.local".to_owned()], allowed.clone());
        for (headers, expected) in [
            (&[("host", "127.0.0.1:8080")][..], true),
            (&[("host", "LOCALHOST")], true),
            (&[("host", "[::1]:8080")], true),
            (&[("host", "box.local:1")], true),
            (&[], false),
            (&[("host", "")], false),
            (&[("host", "attacker.example")], false),
            (&[("host", "localhost.attacker.example")], false),
            (&[("host", "127.0.0.1.attacker.example:8080")], false),
            (&[("host", "localhost"), ("host", "attacker.example")], false),
            (&[("host", "localhost:8080"), ("origin", "http://localhost:8080")], true),
            (&[("host", "localhost:8080"), ("origin", "http://localhost:3000")], false),
            (&[("host", "localhost:8080"), ("origin", "http://attacker.example")], false),
            (&[("host", "localhost:8080"), ("origin", "null")], false),
            (&[("host", "localhost:8080"), ("origin", "")], false),
            (&[("host", "localhost:8080"), ("origin", "https://app.example")], true),
            (&[("host", "localhost:8080"), ("origin", "https://app.example.evil")], false),
            (&[("host", "localhost"), ("sec-fetch-site", "cross-site")], false),
            (&[("host", "localhost"), ("sec-fetch-site", "same-site")], false),
            (&[("host", "localhost"), ("sec-fetch-site", "same-origin")], true),
        ] {
            assert_eq!(is_let_in(&pages, headers), expected, "{headers:?}");
        }
        let link = [
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        let visits = |more: &[(&'static str, &str)]| {
            let mut map = HeaderMap::new();
            // What comes later replaces what came before.
            for (name, value) in link.iter().chain(more) {
                map.insert(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
            }
            pages.check_visit(&map).is_ok()
        };
        assert!(visits(&[("host", "localhost:8080")]), "a link that somebody follows");
        assert!(!visits(&[("host", "attacker.example")]), "a name that was bound again");
        for (name, value) in [
            ("sec-fetch-dest", "iframe"),
            ("sec-fetch-dest", "script"),
            ("sec-fetch-mode", "no-cors"),
            ("origin", "http://attacker.example"),
        ] {
            assert!(!visits(&[("host", "localhost:8080"), (name, value)]), "{name}: {value}");
        }
        let any = Pages::of_any_name(allowed);
        assert!(is_let_in(&any, &[("host", "server.example")]));
        assert!(!is_let_in(&any, &[("host", "server.example"), ("origin", "http://a.example")]));
    }
}
