//! `PUT` and `GET /sandbox/{id}/files?path=`: files of any size, and directories as tar
//! streams, a piece at a time.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use capsule_spec::{ErrorCode, Failure};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue,
    IF_RANGE, RANGE,
};
use hyper::{Request as HttpRequest, Response, StatusCode};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::answer::{json, plain, typed};
use super::body::{self, Body};
use super::http::Http;
use super::route::query;
use crate::request::{ReadFile, Request};
use crate::rpc::{Kind, Refusal};
use crate::service::Caller;

/// Pieces that wait for a slow reader.
const WAITING: usize = 2;

pub(super) async fn upload(
    http: &Arc<Http>,
    caller: &Caller,
    id: &str,
    request: HttpRequest<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let asked = Asked::of(id, request.uri().query())?;
    let mut incoming = request.into_body();
    let mut size = 0_u64;
    if asked.is_archive {
        let mut unpacking = http.service.unpack(caller, id, &asked.path).await?;
        while let Some(bytes) = body::next(&mut incoming).await? {
            size += bytes.len() as u64;
            unpacking.write(bytes).await?;
        }
        let members = unpacking.finish().await?;
        http.service.metrics.uploaded.add(size);
        let text = format!("{{\"ok\":true,\"size\":{size},\"members\":{members}}}");
        return Ok(json(StatusCode::OK, text));
    }
    let mode = asked.mode.unwrap_or(0o644);
    let mut upload = http.service.upload(caller, id, &asked.path, mode).await?;
    while let Some(bytes) = body::next(&mut incoming).await? {
        upload.write(&bytes).await?;
        size += bytes.len() as u64;
    }
    upload.finish().await?;
    http.service.metrics.uploaded.add(size);
    Ok(json(StatusCode::OK, format!("{{\"ok\":true,\"size\":{size}}}")))
}

pub(super) async fn download(
    http: &Arc<Http>,
    caller: &Caller,
    id: &str,
    request: &HttpRequest<Incoming>,
) -> Result<Response<Body>, Refusal> {
    let asked = Asked::of(id, request.uri().query())?;
    if asked.is_archive {
        return archive(http, caller, id, &asked.path).await;
    }
    let mut download = http.service.download(caller, id, &asked.path).await?;
    let size = download.size;
    let (status, from, length) = match range(request.headers(), size) {
        Wanted::All => (StatusCode::OK, 0, size),
        Wanted::Part { from, length } => (StatusCode::PARTIAL_CONTENT, from, length),
        Wanted::Nothing => {
            let message = "the file has nothing in this range";
            let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, message);
            response.headers_mut().insert(CONTENT_RANGE, header(format!("bytes */{size}")));
            return Ok(response);
        }
    };
    download.skip(from).await?;
    let (pieces, body) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    let metrics = Arc::clone(&http.service.metrics);
    tokio::spawn(async move {
        let mut left = length;
        while left > 0 {
            let piece = match download.read().await {
                Ok(bytes) if !bytes.is_empty() => {
                    let mut bytes = Bytes::from(bytes);
                    // It may have grown since its size was told.
                    bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                    left -= bytes.len() as u64;
                    metrics.downloaded.add(bytes.len() as u64);
                    Ok(bytes)
                }
                // It may have shrunk; then the answer breaks off.
                Ok(_) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                Err(refusal) => Err(io::Error::other(refusal.failure.message)),
            };
            let is_over = piece.is_err();
            if pieces.send(piece).await.is_err() || is_over {
                return;
            }
        }
    });
    let mut response = typed(status, "application/octet-stream", Body::Pieces(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    if status == StatusCode::PARTIAL_CONTENT {
        let last = from + length - 1;
        headers.insert(CONTENT_RANGE, header(format!("bytes {from}-{last}/{size}")));
    }
    Ok(response)
}

/// A directory. What fails on the way breaks the answer off, so no part passes for the whole.
async fn archive(
    http: &Arc<Http>,
    caller: &Caller,
    id: &str,
    path: &str,
) -> Result<Response<Body>, Refusal> {
    let mut packing = http.service.pack(caller, id, path).await?;
    let (pieces, body) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    let metrics = Arc::clone(&http.service.metrics);
    let (request, sandbox) = (Arc::clone(&caller.request), id.to_owned());
    tokio::spawn(async move {
        loop {
            let piece = match packing.next().await {
                Ok(None) => return,
                Ok(Some(bytes)) => {
                    metrics.downloaded.add(bytes.len() as u64);
                    Ok(bytes)
                }
                Err(refusal) => {
                    let error = refusal.failure.message;
                    let facts =
                        [("request", &*request), ("sandbox", &*sandbox), ("error", &*error)];
                    crate::log::warn("archive broken off", &facts);
                    Err(io::Error::other(error))
                }
            };
            let is_over = piece.is_err();
            if pieces.send(piece).await.is_err() || is_over {
                return;
            }
        }
    });
    let mut response = typed(StatusCode::OK, "application/x-tar", Body::Pieces(body));
    let attachment = HeaderValue::from_static("attachment; filename=\"files.tar\"");
    response.headers_mut().insert(CONTENT_DISPOSITION, attachment);
    Ok(response)
}

fn header(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("digits and plain letters")
}

/// Which part of a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    All,
    /// Not empty, and within the file.
    Part {
        from: u64,
        length: u64,
    },
    /// A range that the file does not have.
    Nothing,
}

/// Reads `Range` (RFC 9110, 14.2): one range of bytes. Another unit, several ranges, and what
/// cannot be read are as if they were not there; so is a range that holds for another version
/// of the file only, since files here have none.
fn range(headers: &HeaderMap, size: u64) -> Wanted {
    if headers.contains_key(IF_RANGE) || headers.get_all(RANGE).iter().count() != 1 {
        return Wanted::All;
    }
    let text = headers.get(RANGE).and_then(|range| range.to_str().ok()).unwrap_or_default();
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|one| one.split_once('-'))
    else {
        return Wanted::All;
    };
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than any file has is as much as there is.
        true => Some(text.parse().unwrap_or(u64::MAX)),
        false => None,
    };
    let (from, to) = match (first.trim(), last.trim()) {
        ("", "") => return Wanted::All,
        ("", last) => match number(last) {
            Some(0) => return Wanted::Nothing,
            Some(count) => (size.saturating_sub(count), size),
            None => return Wanted::All,
        },
        (first, "") => match number(first) {
            Some(first) => (first, size),
            None => return Wanted::All,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last.saturating_add(1).min(size)),
            _ => return Wanted::All,
        },
    };
    match from < to {
        true => Wanted::Part { from, length: to - from },
        false => Wanted::Nothing,
    }
}

/// The values of a query, checked as those of a request are.
struct Asked {
    path: String,
    mode: Option<u32>,
    is_archive: bool,
}

impl Asked {
    fn of(id: &str, text: Option<&str>) -> Result<Self, Refusal> {
        let wrong = |message: &str| {
            let failure = Failure::new(ErrorCode::InvalidValue, message);
            Refusal::of(Kind::InvalidParams, failure)
        };
        let mut values = query(text).ok_or_else(|| wrong("the query cannot be decoded"))?;
        let path = values.remove("path").ok_or_else(|| wrong("the query has no path"))?;
        let mode = values.remove("mode").map(|mode| u32::from_str_radix(&mode, 8));
        let mode = match mode {
            None => None,
            Some(Ok(mode)) if mode <= 0o777 => Some(mode),
            Some(_) => return Err(wrong("mode is not an octal number up to 777")),
        };
        let is_archive = match values.remove("archive").as_deref() {
            None => false,
            Some("tar") if mode.is_none() => true,
            Some("tar") => return Err(wrong("members of an archive have modes of their own")),
            Some(_) => return Err(wrong("archive can be tar only")),
        };
        if let Some(name) = values.keys().next() {
            return Err(wrong(&format!(
                "there is no value {name:?}; known here: path, mode, archive"
            )));
        }
        let params = serde_json::json!({ "id": id, "path": path }).to_string();
        let params = RawValue::from_string(params).expect("it was just written");
        match Request::parse("sandbox.v1.readFile", Some(&params))? {
            Request::ReadFile(ReadFile { path, .. }) => Ok(Self { path, mode, is_archive }),
            _ => Err(wrong("the query has no path")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read() {
        let part = |from, length| Wanted::Part { from, length };
        let huge = "99999999999999999999999";
        for (text, size, expected) in [
            ("bytes=0-0", 10, part(0, 1)),
            ("bytes=2-5", 10, part(2, 4)),
            ("bytes=2-", 10, part(2, 8)),
            ("bytes=-3", 10, part(7, 3)),
            ("bytes=-30", 10, part(0, 10)),
            ("bytes=5-99", 10, part(5, 5)),
            (&format!("bytes=5-{huge}"), 10, part(5, 5)),
            ("bytes=10-", 10, Wanted::Nothing),
            ("bytes=10-11", 10, Wanted::Nothing),
            (&format!("bytes={huge}-"), 10, Wanted::Nothing),
            ("bytes=-0", 10, Wanted::Nothing),
            ("bytes=0-", 0, Wanted::Nothing),
            ("bytes=-5", 0, Wanted::Nothing),
            ("bytes=5-2", 10, Wanted::All),
            ("bytes=0-1,3-4", 10, Wanted::All),
            ("bytes=-", 10, Wanted::All),
            ("bytes=a-b", 10, Wanted::All),
            ("bytes=+1-2", 10, Wanted::All),
            ("lines=0-1", 10, Wanted::All),
            ("", 10, Wanted::All),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RANGE, HeaderValue::from_str(text).unwrap());
            assert_eq!(range(&headers, size), expected, "{text}");
            headers.insert(IF_RANGE, HeaderValue::from_static("\"x\""));
            assert_eq!(range(&headers, size), Wanted::All);
        }
        let mut twice = HeaderMap::new();
        twice.append(RANGE, HeaderValue::from_static("bytes=0-0"));
        twice.append(RANGE, HeaderValue::from_static("bytes=1-1"));
        assert_eq!(range(&twice, 10), Wanted::All);
        assert_eq!(range(&HeaderMap::new(), 10), Wanted::All);
    }
}
