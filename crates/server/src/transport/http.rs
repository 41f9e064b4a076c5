//! One request, from its head to its answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW,
    HeaderMap, HeaderValue, ORIGIN, VARY,
};
use hyper::{Method, Request as HttpRequest, Response, StatusCode};
use tokio::sync::Semaphore;

use super::answer::{json, plain, refused, typed};
use super::body::Body;
use super::route::Route;
use super::{Doors, Examination, doctor, files, page, rpc, sockets};
use crate::guard::{Identities, Pages, Peer};
use crate::log;
use crate::model::new_id;
use crate::rpc::Refusal;
use crate::service::{Caller, Service};

/// What requests need.
pub(crate) struct Http {
    pub(crate) service: Arc<Service>,
    pub(crate) pages: Pages,
    pub(crate) identities: Identities,
    pub(crate) doors: Arc<Doors>,
    /// One permit for each open WebSocket.
    pub(crate) sockets: Arc<Semaphore>,
    pub(crate) examination: Examination,
}

const REQUEST_ID: &str = "x-request-id";

impl Http {
    /// Answers a request; there is always an answer.
    pub(super) async fn answer(
        self: &Arc<Self>,
        peer: Peer,
        request: HttpRequest<Incoming>,
    ) -> Response<Body> {
        let began = Instant::now();
        let id = request_id(request.headers());
        let route = Route::of(request.method(), request.uri().path());
        let origin = request.headers().get(ORIGIN).cloned();
        let answered = self.pass(peer, request, &route, &id).await;
        let mut response = answered.unwrap_or_else(|refusal| {
            self.service.metrics.turned_away.add(1);
            refused(&refusal)
        });
        let headers = response.headers_mut();
        if let Ok(value) = HeaderValue::from_str(&id) {
            headers.insert(REQUEST_ID, value);
        }
        if let Some(origin) =
            origin.filter(|one| one.to_str().is_ok_and(|one| self.pages.allows(one)))
        {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(VARY, HeaderValue::from_static("Origin"));
        }
        // Calls of JSON-RPC are logged one by one.
        let is_quiet = matches!(route, Route::Rpc | Route::Health | Route::Page(_));
        if !is_quiet || !response.status().is_success() {
            let sandbox: String = route.sandbox().unwrap_or_default().chars().take(64).collect();
            let status = response.status();
            let facts = [
                ("request", &*id),
                ("route", route.name()),
                ("sandbox", &sandbox),
                ("status", status.as_str()),
                ("duration_ms", &milliseconds(began.elapsed())),
            ];
            log::info("request", &facts);
        }
        response
    }

    async fn pass(
        self: &Arc<Self>,
        peer: Peer,
        request: HttpRequest<Incoming>,
        route: &Route,
        id: &str,
    ) -> Result<Response<Body>, Refusal> {
        if *route == Route::Health {
            let version = env!("CARGO_PKG_VERSION");
            let text = format!("{{\"status\":\"ok\",\"version\":\"{version}\"}}");
            return Ok(json(StatusCode::OK, text));
        }
        if let Route::Page(file) = route {
            self.pages.check_visit(request.headers())?;
            return Ok(page::answer(file, request.headers()));
        }
        self.pages.check(request.headers())?;
        if request.method() == Method::OPTIONS {
            return Ok(preflight());
        }
        let tenant = self.identities.of(peer, request.headers()).await?;
        let _turn = tenant.turn()?;
        let caller = Caller { owner: Arc::clone(&tenant.owner), request: id.into() };
        self.dispatch(request, route.clone(), caller).await
    }

    async fn dispatch(
        self: &Arc<Self>,
        request: HttpRequest<Incoming>,
        route: Route,
        caller: Caller,
    ) -> Result<Response<Body>, Refusal> {
        match route {
            Route::Rpc => rpc::answer(self, caller, request).await,
            Route::Upload(id) => files::upload(self, &caller, &id, request).await,
            Route::Download(id) => files::download(self, &caller, &id, &request).await,
            Route::Terminal(id) => sockets::terminal(self, caller, id, request).await,
            Route::Exec(id) => sockets::exec(self, caller, id, request).await,
            Route::Metrics => {
                let text = self.service.metrics.text(&self.service.registry);
                Ok(typed(StatusCode::OK, "text/plain; version=0.0.4", text.into()))
            }
            Route::Doctor => doctor::answer(self).await,
            // Answered before anybody is asked for a key.
            Route::Health | Route::Page(_) | Route::Nothing => {
                Ok(plain(StatusCode::NOT_FOUND, "there is nothing here; requests go to POST /rpc"))
            }
            Route::OtherMethod(methods) => {
                let mut response =
                    plain(StatusCode::METHOD_NOT_ALLOWED, "this path takes other methods");
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
                Ok(response)
            }
        }
    }
}

/// A page that was allowed by name asks whether it may send a request.
fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PUT"));
    let names = HeaderValue::from_static("authorization, content-type, x-request-id");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    response
}

/// The caller's id of the request, if it can stand in a log, or a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_plain = |id: &&str| {
        let may = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
        (1..=64).contains(&id.len()) && id.bytes().all(may)
    };
    given.filter(is_plain).map_or_else(new_id, str::to_owned)
}

pub(super) fn milliseconds(duration: Duration) -> String {
    format!("{:.3}", duration.as_secs_f64() * 1_000.0)
}
