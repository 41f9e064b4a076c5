//! `GET /doctor`: what `capsule doctor --json` tells.
//!
//! The server names no backend, so it is handed a function that looks. Looking starts
//! processes, so it is done once at a time, and what was found stands for a while: nobody
//! makes a server busy by asking.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use capsule_backend::guest::Pending;
use capsule_spec::Failure;
use hyper::{Response, StatusCode};
use tokio::sync::Mutex;

use super::answer::{json, plain};
use super::body::Body;
use super::http::Http;
use crate::rpc::{Kind, Refusal};

/// How long what was found stands.
const FRESH: Duration = Duration::from_secs(10);

/// Looks at the host, and answers with the text of a JSON object.
pub type Doctor = Box<dyn Fn() -> Pending<'static, Result<String, Failure>> + Send + Sync>;

/// What looks at the host, and what it found last.
#[derive(Default)]
pub(crate) struct Examination {
    doctor: OnceLock<Doctor>,
    found: Mutex<Option<(Instant, String)>>,
}

impl Examination {
    pub(crate) fn by(&self, doctor: Doctor) {
        // A second one would be a mistake of this program; the first stays.
        let _ = self.doctor.set(doctor);
    }

    async fn look(&self, doctor: &Doctor) -> Result<String, Failure> {
        let mut found = self.found.lock().await;
        if let Some((when, text)) = &*found
            && when.elapsed() < FRESH
        {
            return Ok(text.clone());
        }
        let text = doctor().await?;
        *found = Some((Instant::now(), text.clone()));
        Ok(text)
    }
}

pub(super) async fn answer(http: &Arc<Http>) -> Result<Response<Body>, Refusal> {
    let http = Arc::clone(http);
    // Whoever goes away does not stop it half-way and begin another.
    let looked = tokio::spawn(async move {
        let examination = &http.examination;
        match examination.doctor.get() {
            Some(doctor) => Some(examination.look(doctor).await),
            None => None,
        }
    });
    match looked.await {
        Ok(Some(found)) => match found {
            Ok(text) => Ok(json(StatusCode::OK, text)),
            Err(failure) => Err(Refusal::of(Kind::Internal, failure)),
        },
        _ => Ok(plain(StatusCode::NOT_FOUND, "this server has nobody who could look")),
    }
}
