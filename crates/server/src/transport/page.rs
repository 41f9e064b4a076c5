//! `GET /` and its files: the same for everybody, so without a key.

use std::collections::HashMap;
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_NONE_MATCH, REFERRER_POLICY,
};
use hyper::{Response, StatusCode};

use super::answer::typed;
use super::body::Body;
use crate::page::{File, POLICY};

/// What every file says beside its type: the policy, and that no other page may have it, as a
/// part or as a window that it opened.
const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_SECURITY_POLICY, POLICY),
    (REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    // A browser keeps a file and asks each time whether it is still the same: another binary
    // may have another page.
    (CACHE_CONTROL, "no-cache"),
];

pub(super) fn answer(file: &'static File, headers: &HeaderMap) -> Response<Body> {
    let tag = tag(file);
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known = known
        .flat_map(|value| value.split(','))
        .any(|one| one.trim().trim_start_matches("W/").as_bytes() == tag.as_bytes());
    let mut response = match is_known {
        true => typed(StatusCode::NOT_MODIFIED, file.kind, Body::empty()),
        false => {
            typed(StatusCode::OK, file.kind, Body::Whole(Some(Bytes::from_static(file.bytes))))
        }
    };
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(ETAG, tag);
    response
}

/// Names the bytes of a file.
fn tag(file: &'static File) -> HeaderValue {
    static TAGS: LazyLock<std::sync::Mutex<HashMap<&'static str, HeaderValue>>> =
        LazyLock::new(Default::default);
    let make = || {
        let hash = blake3::hash(file.bytes).to_hex();
        HeaderValue::try_from(format!("\"{}\"", &hash[..32])).expect("hexadecimal is ASCII")
    };
    crate::live::lock(&TAGS).entry(file.path).or_insert_with(make).clone()
}
