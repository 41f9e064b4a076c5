//! From a method and a path to a door. Pure.

use std::collections::BTreeMap;

use hyper::Method;

use crate::page::{File, find};

/// A door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `POST /rpc`
    Rpc,
    /// `GET /health`
    Health,
    /// `GET /metrics`
    Metrics,
    /// `GET /doctor`
    Doctor,
    /// `GET /` and what belongs to it
    Page(&'static File),
    /// `PUT /sandbox/{id}/files?path=`
    Upload(String),
    /// `GET /sandbox/{id}/files?path=`
    Download(String),
    /// `GET /terminal/{id}` or `GET /sandbox/{id}/stream`: a WebSocket
    Terminal(String),
    /// `GET /sandbox/{id}/exec`: a WebSocket
    Exec(String),
    /// There is something here, but not for this method.
    OtherMethod(&'static str),
    /// There is nothing here.
    Nothing,
}

impl Route {
    pub(super) fn of(method: &Method, path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let only = |wanted: Method, route: Self| match *method == wanted {
            true => route,
            false if wanted == Method::POST => Self::OtherMethod("POST"),
            false => Self::OtherMethod("GET"),
        };
        match parts[..] {
            ["rpc"] => only(Method::POST, Self::Rpc),
            ["health"] => only(Method::GET, Self::Health),
            ["metrics"] => only(Method::GET, Self::Metrics),
            ["doctor"] => only(Method::GET, Self::Doctor),
            ["terminal", id] | ["sandbox", id, "stream"] => {
                only(Method::GET, Self::Terminal(id.to_owned()))
            }
            ["sandbox", id, "exec"] => only(Method::GET, Self::Exec(id.to_owned())),
            ["sandbox", id, "files"] => match *method {
                Method::GET => Self::Download(id.to_owned()),
                Method::PUT => Self::Upload(id.to_owned()),
                _ => Self::OtherMethod("GET, PUT"),
            },
            _ => find(path).map_or(Self::Nothing, |file| only(Method::GET, Self::Page(file))),
        }
    }

    /// The name that requests are counted under, and logged.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Rpc => "rpc",
            Self::Health => "health",
            Self::Metrics => "metrics",
            Self::Doctor => "doctor",
            Self::Page(_) => "page",
            Self::Upload(_) => "upload",
            Self::Download(_) => "download",
            Self::Terminal(_) => "terminal",
            Self::Exec(_) => "exec",
            Self::OtherMethod(_) | Self::Nothing => "nothing",
        }
    }

    /// The sandbox that it is about.
    pub(super) fn sandbox(&self) -> Option<&str> {
        match self {
            Self::Upload(id) | Self::Download(id) | Self::Terminal(id) | Self::Exec(id) => Some(id),
            _ => None,
        }
    }
}

/// The values after `?`, decoded; none if one cannot be.
pub(super) fn query(text: Option<&str>) -> Option<BTreeMap<String, String>> {
    let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
    let decoded = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((decode(name)?, decode(value)?))
    });
    decoded.collect()
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(rest.next())?, digit(rest.next())?);
                u8::try_from(high * 16 + low).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_to_one_door() {
        let of = |method: Method, path| Route::of(&method, path);
        assert_eq!(of(Method::POST, "/rpc"), Route::Rpc);
        assert_eq!(of(Method::GET, "/rpc"), Route::OtherMethod("POST"));
        assert_eq!(of(Method::POST, "/rpc/"), Route::Nothing);
        assert_eq!(of(Method::GET, "/terminal/a"), Route::Terminal("a".into()));
        assert_eq!(of(Method::GET, "/sandbox/a/stream"), Route::Terminal("a".into()));
        assert_eq!(of(Method::PUT, "/sandbox/a/files"), Route::Upload("a".into()));
        assert_eq!(of(Method::GET, "/sandbox/../../etc/files"), Route::Nothing);
        assert_eq!(of(Method::GET, "//rpc"), Route::Nothing);
        assert_eq!(of(Method::GET, ""), Route::Nothing);
        assert!(matches!(of(Method::GET, "/"), Route::Page(_)));
        assert!(matches!(of(Method::GET, "/assets/app.js"), Route::Page(_)));
        assert_eq!(of(Method::POST, "/"), Route::OtherMethod("GET"));
        for path in ["/assets", "/assets/", "//", "/assets/../rpc", "/assets/%61pp.js"] {
            assert_eq!(of(Method::GET, path), Route::Nothing, "{path}");
        }
    }

    #[test]
    fn values_are_decoded_or_refused() {
        let found = query(Some("path=%2Fa%20b+c&x&%41=1")).unwrap();
        assert_eq!(found["path"], "/a b c");
        assert_eq!((found["x"].as_str(), found["A"].as_str()), ("", "1"));
        for bad in ["a=%", "a=%4", "a=%zz", "a=%ff", "%=1", "a=%+1"] {
            assert_eq!(query(Some(bad)), None, "{bad}");
        }
        assert!(query(None).unwrap().is_empty());
    }
}
