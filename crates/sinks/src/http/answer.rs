//! What a status means for the records of a request.

use reqwest::StatusCode;
use reqwest::header::LOCATION;

use super::error::HttpError;
use crate::http_client::Answer;

/// What a status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Written,
    /// The records are to blame.
    Refused,
    /// Somebody must mend the settings.
    Misconfigured,
    Unavailable,
}

impl Verdict {
    /// `is_fixed` says that all requests go to the same URL: then one that does not exist is nobody's record's fault.
    pub(super) fn of(status: StatusCode, is_fixed: bool) -> Self {
        match status.as_u16() {
            200..=299 => Self::Written,
            // Not followed: a redirected POST becomes a GET, and another host may be anyone's.
            300..=399 => Self::Misconfigured,
            401 | 403 | 405 | 407 => Self::Misconfigured,
            404 if is_fixed => Self::Misconfigured,
            // Too slow, too early, too often: the same request may be taken later.
            408 | 425 | 429 => Self::Unavailable,
            400..=499 => Self::Refused,
            _ => Self::Unavailable,
        }
    }
}

pub(super) fn error(host: &str, answer: &Answer) -> HttpError {
    let status = answer.status;
    let location = answer.headers.get(LOCATION).and_then(|location| location.to_str().ok());
    // Without what may be secret in it.
    let location = location.filter(|_| status.is_redirection());
    let location = location.map(|location| location.split(['?', '#']).next().unwrap_or_default().chars().take(200));
    HttpError::Status { host: host.to_owned(), status, location: location.map(Iterator::collect) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_blames_the_right_one() {
        for (status, verdict) in [
            (200, Verdict::Written),
            (204, Verdict::Written),
            (302, Verdict::Misconfigured),
            (401, Verdict::Misconfigured),
            (403, Verdict::Misconfigured),
            (404, Verdict::Misconfigured),
            (400, Verdict::Refused),
            (409, Verdict::Refused),
            (413, Verdict::Refused),
            (422, Verdict::Refused),
            (408, Verdict::Unavailable),
            (429, Verdict::Unavailable),
            (500, Verdict::Unavailable),
            (503, Verdict::Unavailable),
        ] {
            assert_eq!(Verdict::of(StatusCode::from_u16(status).unwrap(), true), verdict, "{status}");
        }
        assert_eq!(Verdict::of(StatusCode::NOT_FOUND, false), Verdict::Refused);
    }
}
