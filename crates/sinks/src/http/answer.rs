//! What a status means for the records of a request.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};

use super::error::HttpError;

/// A server that asks for more is asked again after this: nobody waits for a day because of one wrong header.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(3600);

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

pub(super) fn error(host: &str, status: StatusCode, headers: &HeaderMap) -> HttpError {
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
    // Without what may be secret in it.
    let location = location.filter(|_| status.is_redirection());
    let location = location.map(|location| location.split(['?', '#']).next().unwrap_or_default().chars().take(200));
    HttpError::Status { host: host.to_owned(), status, location: location.map(Iterator::collect) }
}

/// How long the server asks to be left alone: seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date: Timestamp = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
            SystemTime::from(date).duration_since(now).unwrap_or_default()
        }
    };
    Some(delay.min(LONGEST_RETRY_AFTER))
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

    #[test]
    fn the_server_may_ask_to_be_left_alone_in_seconds_or_until_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_445_412_400);
        let ask = |text: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
            retry_after(&headers, now)
        };
        assert_eq!(ask("7"), Some(Duration::from_secs(7)));
        assert_eq!(ask("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(80)));
        assert_eq!(ask("Wed, 21 Oct 2014 07:28:00 GMT"), None, "a weekday that does not fit its date");
        assert_eq!(ask("Tue, 21 Oct 2014 07:28:00 GMT"), Some(Duration::ZERO));
        assert_eq!(ask("99999999"), Some(LONGEST_RETRY_AFTER));
        assert_eq!(ask("soon"), None);
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
