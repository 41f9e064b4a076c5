//! What went wrong with the engine, in words for outside.

use std::io;

use capsule_spec::{ErrorCode, Failure};

use crate::client::{Answer, ClientError};

/// The engine could not be spoken to.
pub(crate) fn unreachable(error: &ClientError) -> Failure {
    let failure = |what: &str| Failure::new(ErrorCode::EngineUnavailable, format!("{error}{what}"));
    match error {
        ClientError::Connect(source) => match source.kind() {
            io::ErrorKind::NotFound => failure(": there is none")
                .hint("install Docker and start it, or name its socket with DOCKER_HOST"),
            io::ErrorKind::ConnectionRefused => {
                failure(": nobody listens there").hint("start the engine")
            }
            io::ErrorKind::PermissionDenied => failure(": this user may not")
                .hint("who may speak to the engine is root on this host: see SECURITY.md"),
            kind => failure(&format!(": {kind}")),
        },
        ClientError::Broken(source) => failure(&format!(": {}", source.kind())),
        ClientError::Malformed | ClientError::TooLong => failure(""),
    }
}

/// The engine said no.
pub(crate) fn refused(what: &str, answer: &Answer) -> Failure {
    let message = format!("the engine could not {what}: {}", first_line(&answer.message()));
    Failure::new(ErrorCode::EngineUnavailable, message).detail("status", answer.status)
}

/// The streams of a container were not to be had.
pub(crate) fn not_attached(status: u16) -> Failure {
    let message = "the engine could not attach to the container";
    Failure::new(ErrorCode::EngineUnavailable, message).detail("status", status)
}

/// A container that was not made, and why in the engine's own words.
pub(crate) struct Refused {
    failure: Failure,
    pub(crate) words: String,
}

impl Refused {
    pub(crate) fn new(what: &str, answer: &Answer) -> Self {
        let failure =
            Failure::new(ErrorCode::EngineUnavailable, format!("the engine could not {what}"))
                .hint(
                    "the server's log has the engine's own words; \"capsule doctor\" tries it out",
                )
                .detail("status", answer.status);
        Self { failure, words: first_line(&answer.message()) }
    }

    /// With the engine's words for somebody who may read them.
    pub(crate) fn into_failure(self, with_words: bool) -> Failure {
        match with_words && !self.words.is_empty() {
            false => self.failure,
            true => {
                let message = format!("{}: {}", self.failure.message, self.words);
                Failure { message, hint: None, ..self.failure }
            }
        }
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { words: String::new(), failure }
    }
}

pub(crate) fn image(name: &str, why: &str) -> Failure {
    let message = format!("the image {name:?} cannot be used: {}", first_line(why));
    Failure::new(ErrorCode::ImageUnavailable, message)
}

/// Words for a terminal, which would obey some of them.
pub(crate) fn plain(text: &str) -> String {
    let text = text.trim();
    first_line(text).chars().filter(|letter| !letter.is_control()).collect()
}

/// An engine's messages can be pages of a runtime's log.
fn first_line(text: &str) -> String {
    const MOST: usize = 400;
    text.lines().next().unwrap_or_default().chars().take(MOST).collect()
}
