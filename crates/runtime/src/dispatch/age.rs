//! Age of events: when they were published, if the publisher says so, and whether they are too old to be handled.

use std::time::{Duration, SystemTime};

use tidemill_core::Event;
use tokio::time::Instant;

/// Where the publisher's time stamp stands. It is a number of seconds, milli-, micro- or nanoseconds since the Unix epoch
/// (told apart by size) or text as in RFC 3339.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stamp {
    /// In an MQTT 5 user property.
    UserProperty(String),
    /// Inside a JSON payload, by JSON pointer (`/ts`); parses the payload.
    JsonPointer(String),
}

impl Stamp {
    /// When the event was published; `None` without a readable stamp.
    pub(crate) fn of(&self, event: &Event) -> Option<SystemTime> {
        match self {
            Self::UserProperty(name) => parse(event.user_property(name)?),
            Self::JsonPointer(pointer) => {
                let document: serde_json::Value = event.json().ok()?;
                match document.pointer(pointer)? {
                    serde_json::Value::String(text) => parse(text),
                    serde_json::Value::Number(number) => {
                        number.as_u64().and_then(since_epoch).or_else(|| fraction(number.as_f64()?))
                    }
                    _ => None,
                }
            }
        }
    }
}

fn parse(text: &str) -> Option<SystemTime> {
    match text.parse::<u64>() {
        Ok(number) => since_epoch(number),
        Err(_) => humantime::parse_rfc3339_weak(text).ok(),
    }
}

/// A number since the epoch. A stamp of this century in one unit cannot be taken for one in another.
fn since_epoch(number: u64) -> Option<SystemTime> {
    let since = match number {
        0..=99_999_999_999 => Duration::from_secs(number),
        100_000_000_000..=99_999_999_999_999 => Duration::from_millis(number),
        100_000_000_000_000..=99_999_999_999_999_999 => Duration::from_micros(number),
        _ => Duration::from_nanos(number),
    };
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// Seconds with a fraction.
fn fraction(seconds: f64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
}

/// What a route says about old events.
#[derive(Clone, Debug, Default)]
pub(crate) struct AgeLimit {
    pub(crate) stamp: Option<Stamp>,
    pub(crate) max_age: Option<Duration>,
}

impl AgeLimit {
    /// Whether there is nothing to look at, short of the event's own expiry.
    #[inline]
    pub(crate) fn is_off(&self) -> bool {
        self.stamp.is_none() && self.max_age.is_none()
    }

    /// The event's age by its stamp, and whether it is too old. A clock that is behind the publisher's reads as no age.
    pub(crate) fn look(&self, event: &Event, received: Instant) -> (Option<Duration>, bool) {
        let stamped = self.stamp.as_ref().and_then(|stamp| stamp.of(event));
        let age = stamped.map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
        let old = self.max_age.is_some_and(|max| age.unwrap_or_else(|| received.elapsed()) > max);
        (age, old || is_expired(event, received))
    }
}

/// Whether the event has outlived the Message Expiry Interval that it came with `[MQTT-3.3.2.3.3]`.
pub(crate) fn is_expired(event: &Event, received: Instant) -> bool {
    event.properties().and_then(|properties| properties.message_expiry).is_some_and(|left| received.elapsed() >= left)
}

#[cfg(test)]
mod tests {
    use tidemill_core::topic::TopicName;

    use super::*;

    fn stamped(payload: &'static str) -> Option<u64> {
        let event = Event::new(TopicName::new("t").unwrap(), payload);
        let at = Stamp::JsonPointer("/ts".into()).of(&event)?;
        Some(u64::try_from(at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap())
    }

    #[test]
    fn stamps_are_read_in_every_unit_and_as_text() {
        for payload in [
            r#"{"ts":1700000000}"#,
            r#"{"ts":1700000000000}"#,
            r#"{"ts":1700000000000000}"#,
            r#"{"ts":1700000000000000000}"#,
            r#"{"ts":"1700000000000"}"#,
            r#"{"ts":"2023-11-14T22:13:20Z"}"#,
            r#"{"ts":1700000000.0}"#,
        ] {
            assert_eq!(stamped(payload), Some(1_700_000_000_000), "{payload}");
        }
    }

    #[test]
    fn what_is_no_stamp_reads_as_none() {
        for payload in ["", "{}", r#"{"ts":true}"#, r#"{"ts":"yesterday"}"#, r#"{"ts":-1}"#, r#"{"ts":1e300}"#] {
            assert_eq!(stamped(payload), None, "{payload}");
        }
    }
}
