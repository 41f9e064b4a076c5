//! `PUT` and `GET /sandbox/{id}/files?path=`: files of any size, a piece at a time.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use capsule_spec::{ErrorCode, Failure};
use hyper::body::Incoming;
use hyper::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, HeaderValue};
use hyper::{Request as HttpRequest, Response, StatusCode};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use super::answer::{json, typed};
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
    let (path, mode) = asked(id, request.uri().query())?;
    let mut upload = http.service.upload(caller, id, &path, mode.unwrap_or(0o644)).await?;
    let mut incoming = request.into_body();
    let mut size = 0_u64;
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
    let (path, _) = asked(id, request.uri().query())?;
    let mut download = http.service.download(caller, id, &path).await?;
    let size = download.size;
    let (pieces, body) = mpsc::channel::<io::Result<Bytes>>(WAITING);
    let metrics = Arc::clone(&http.service.metrics);
    tokio::spawn(async move {
        let mut left = size;
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
    let mut response = typed(StatusCode::OK, "application/octet-stream", Body::Pieces(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(size));
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    Ok(response)
}

/// The path and the mode of a query, checked as those of a request are.
fn asked(id: &str, text: Option<&str>) -> Result<(String, Option<u32>), Refusal> {
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
    if let Some(name) = values.keys().next() {
        return Err(wrong(&format!("there is no value {name:?}; known here: path, mode")));
    }
    let params = serde_json::json!({ "id": id, "path": path }).to_string();
    let params = RawValue::from_string(params).expect("it was just written");
    match Request::parse("sandbox.v1.readFile", Some(&params))? {
        Request::ReadFile(ReadFile { path, .. }) => Ok((path, mode)),
        _ => Err(wrong("the query has no path")),
    }
}
