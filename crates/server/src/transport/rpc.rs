//! `POST /rpc`.

use std::sync::Arc;
use std::time::Instant;

use capsule_spec::{ErrorCode, Failure};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::{Request as HttpRequest, Response, StatusCode};
use serde_json::value::RawValue;

use super::answer::{json, plain};
use super::body::{self, Body};
use super::events;
use super::http::{Http, milliseconds};
use crate::log;
use crate::metrics::name_of;
use crate::request::{Answers, Request};
use crate::rpc::{Call, Kind, Message, Refusal, Rejected, answer as answered, error, read};
use crate::service::{Caller, Events, Reply};

/// Largest body.
const LARGEST: usize = 16 << 20;

pub(super) async fn answer(
    http: &Arc<Http>,
    caller: Caller,
    request: HttpRequest<Incoming>,
) -> Result<Response<Body>, Refusal> {
    // A form of a web page can be sent anywhere, but not as JSON.
    if !is_json(request.headers()) {
        let message = "the content type is not application/json";
        return Ok(plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let message = {
        let mut held = http.service.memory.hold();
        match body::whole(request.into_body(), LARGEST, &mut held).await {
            Ok(body) => read(&body),
            Err(refusal) if refusal.kind == Kind::LimitReached => {
                return Ok(json(StatusCode::PAYLOAD_TOO_LARGE, error(None, &refusal)));
            }
            Err(refusal) => return Err(refusal),
        }
    };
    let text = match message {
        Message::One(call) => match one(http, &caller, call).await {
            Some(Answer::Text(text)) => text,
            Some(Answer::Events(events)) => return Ok(events::answer(http, events)),
            None => return Ok(nothing()),
        },
        Message::Batch(calls) => {
            let mut answers: Vec<String> = Vec::new();
            // In order: a file that one call writes is there for the next.
            for call in calls {
                match one(http, &caller, call.and_then(once)).await {
                    Some(Answer::Text(text)) => answers.push(text),
                    Some(Answer::Events(_)) | None => {}
                }
            }
            if answers.is_empty() {
                return Ok(nothing());
            }
            format!("[{}]", answers.join(","))
        }
    };
    Ok(json(StatusCode::OK, text))
}

enum Answer {
    Text(String),
    Events(Events),
}

fn nothing() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// A call whose answer is one; a batch has no room for streams.
fn once(call: Call) -> Result<Call, Rejected> {
    let streams = |name: &str| {
        Request::METHODS
            .iter()
            .any(|method| method.name == name && method.answers == Answers::Stream)
    };
    if !streams(&call.method) {
        return Ok(call);
    }
    let message = format!("{} answers with a stream, which a batch cannot hold", call.method);
    let failure = Failure::new(ErrorCode::InvalidRequest, message);
    Err(Rejected { id: call.id, refusal: Refusal { kind: Kind::InvalidRequest, failure } })
}

/// Answers a call; nothing for a notification.
async fn one(http: &Arc<Http>, caller: &Caller, call: Result<Call, Rejected>) -> Option<Answer> {
    let began = Instant::now();
    let call = match call {
        Ok(call) => call,
        Err(rejected) => {
            told(http, caller, None, Err(&rejected.refusal), began);
            return Some(Answer::Text(error(rejected.id.as_deref(), &rejected.refusal)));
        }
    };
    let (replied, request) = match Request::parse(&call.method, call.params.as_deref()) {
        Ok(request) => {
            let facts = Facts {
                method: name_of(Some(&request)),
                sandbox: request.sandbox().unwrap_or_default().to_owned(),
            };
            drop(call.params);
            (perform(http, caller, request).await, Some(facts))
        }
        Err(wrong) => (Err(Refusal::from(wrong)), None),
    };
    told(http, caller, request.as_ref(), replied.as_ref().map(|_| ()), began);
    let id: &RawValue = call.id.as_deref()?;
    Some(match replied {
        Ok(Reply::Once(text)) => Answer::Text(answered(id, &text)),
        Ok(Reply::Stream(events)) => Answer::Events(events),
        Err(refusal) => Answer::Text(error(Some(id), &refusal)),
    })
}

struct Facts {
    method: &'static str,
    sandbox: String,
}

/// What is changed half-way is changed to the end, whether or not the caller is still there.
/// Everything else stops when it goes.
async fn perform(http: &Arc<Http>, caller: &Caller, request: Request) -> Result<Reply, Refusal> {
    let must_finish = matches!(
        request,
        Request::Create(_)
            | Request::Delete(_)
            | Request::CreateVolume(_)
            | Request::DeleteVolume(_)
            | Request::Snapshot(_)
            | Request::Restore(_)
            | Request::CloneSandbox(_)
            | Request::Start(_)
            | Request::Pause(_)
            | Request::Resume(_)
            | Request::Extend(_)
            | Request::SetEnv(_)
            | Request::SetNetwork(_)
            | Request::ExecStream(_)
    );
    if !must_finish {
        return http.service.answer(caller, request).await;
    }
    let (service, caller) = (Arc::clone(&http.service), caller.clone());
    let done = tokio::spawn(async move { service.answer(&caller, request).await });
    done.await.unwrap_or_else(|_| {
        Err(Refusal::new(Kind::Internal, ErrorCode::SystemFailure, "the server failed"))
    })
}

fn told(
    http: &Http,
    caller: &Caller,
    facts: Option<&Facts>,
    outcome: Result<(), &Refusal>,
    began: Instant,
) {
    let took = began.elapsed();
    let method = facts.map_or("unknown", |facts| facts.method);
    http.service.metrics.answered(method, outcome.is_err(), took);
    let duration = milliseconds(took);
    let sandbox = facts.map_or("", |facts| facts.sandbox.as_str());
    let mut all = vec![
        ("request", &*caller.request),
        ("owner", &*caller.owner),
        ("method", method),
        ("sandbox", sandbox),
        ("duration_ms", &duration),
    ];
    if let Err(refusal) = outcome {
        all.push(("refused", refusal.kind.name()));
        all.push(("error_code", refusal.failure.code.code()));
    }
    log::info("call", &all);
}
