//! What an answer means. Invariant: nothing of what the server quotes is passed on, since it quotes lines.

use std::fmt;

use reqwest::StatusCode;
use tidemill_core::SinkError;

use crate::http_client::{Answer, unavailable};

#[derive(Debug)]
pub(super) struct InfluxError {
    host: String,
    status: StatusCode,
    why: Option<&'static str>,
}

/// What servers say that is worth passing on, and in our words.
const KNOWN: [(&str, &str); 6] = [
    ("field type conflict", "a field has another type than in the points before"),
    ("retention policy", "a point is older than what the retention keeps"),
    ("beyond retention", "a point is older than what the retention keeps"),
    ("max-values-per-tag", "a tag has too many values: take what is different in every record into a field"),
    ("max-series-per-database", "there are too many series: take what is different in every record into a field"),
    ("too large", "the request is too large"),
];

impl InfluxError {
    pub(super) fn new(host: &str, answer: &Answer) -> Self {
        let text = answer.text.to_ascii_lowercase();
        let why = KNOWN.iter().find(|(said, _)| text.contains(said)).map(|(_, ours)| *ours);
        Self { host: host.to_owned(), status: answer.status, why }
    }

    /// `None` is success.
    pub(super) fn into_sink(self, answer: &Answer) -> Option<SinkError> {
        Some(match self.status.as_u16() {
            200..=299 => return None,
            // Not followed: another host may be anyone's.
            300..=399 | 401 | 403 | 404 | 405 | 407 => SinkError::misconfigured(self),
            408 | 425 | 429 => unavailable(self, answer),
            // Points that were taken all the same are overwritten by themselves when the halves come.
            400..=499 => SinkError::batch_refused(self),
            // InfluxDB 1 has no other status for a point that it will never take.
            500 if self.why.is_some() => SinkError::batch_refused(self),
            _ => unavailable(self, answer),
        })
    }
}

impl fmt::Display for InfluxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} answered {}", self.host, self.status)?;
        let hint = match (self.status.as_u16(), self.why) {
            (_, Some(why)) => why,
            (401 | 403, None) => "set the right token, and the user where there is one",
            (404, None) => "create the database or bucket, or set the right url and api",
            (300..=399, None) => "it redirects, which is not followed; set url to the final one",
            (405, None) => "set the api that the server has",
            _ => return Ok(()),
        };
        write!(f, ": {hint}")
    }
}

impl std::error::Error for InfluxError {}
