//! Answers of HTTP.

use capsule_spec::ErrorCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::body::Body;
use crate::rpc::{Kind, Refusal};

pub(super) const JSON: &str = "application/json";

/// An answer of a type.
pub(super) fn typed(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    // Files of a sandbox are a stranger's: no browser may take them for pages of this server.
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(super) fn json(status: StatusCode, text: String) -> Response<Body> {
    typed(status, JSON, text.into())
}

/// A refusal outside of JSON-RPC: `{"error": {code, message, data}}`.
pub(super) fn refused(refusal: &Refusal) -> Response<Body> {
    #[derive(Serialize)]
    struct Answer<'a> {
        error: &'a Refusal,
    }
    let text = serde_json::to_string(&Answer { error: refusal })
        .expect("strings and numbers have a JSON form");
    let mut response = json(status(refusal), text);
    if refusal.kind == Kind::NotAuthorized {
        response
            .headers_mut()
            .insert(hyper::header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// An answer whose body is not what was asked for, since there is no such thing here.
pub(super) fn plain(status: StatusCode, message: &str) -> Response<Body> {
    let refusal = Refusal::new(Kind::InvalidRequest, ErrorCode::InvalidRequest, message);
    let mut response = refused(&refusal);
    *response.status_mut() = status;
    response
}

fn status(refusal: &Refusal) -> StatusCode {
    match (refusal.kind, refusal.failure.code) {
        (Kind::NotAuthorized, _) => StatusCode::UNAUTHORIZED,
        (Kind::ForeignOrigin, _) | (_, ErrorCode::FileDenied) => StatusCode::FORBIDDEN,
        (Kind::NotFound, _) | (_, ErrorCode::FileNotFound) => StatusCode::NOT_FOUND,
        (Kind::LimitReached, _) | (_, ErrorCode::ProcessLimit) => StatusCode::TOO_MANY_REQUESTS,
        (_, ErrorCode::DiskLimit) => StatusCode::INSUFFICIENT_STORAGE,
        (Kind::Internal, _) => StatusCode::INTERNAL_SERVER_ERROR,
        (Kind::ShuttingDown, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Kind::WrongState, _) | (_, ErrorCode::SandboxEnded | ErrorCode::WrongFileKind) => {
            StatusCode::CONFLICT
        }
        _ => StatusCode::BAD_REQUEST,
    }
}
