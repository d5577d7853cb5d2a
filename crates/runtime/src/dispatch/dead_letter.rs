//! Dead letters: the original payload, byte for byte, with what happened to it in the headers; and what is left of one
//! that its destination cannot take whole.

use std::time::SystemTime;

use bytes::Bytes;
use sha2::{Digest, Sha256};
use tidemill_core::{Event, Record, Scope};

/// What happened to an event that is given up.
#[derive(Clone, Debug)]
pub(crate) struct Death {
    /// `permanent`, `attempts`, `elapsed`, `expired`, `stalled` or `rejected`.
    pub(crate) reason: &'static str,
    /// The error and its causes.
    pub(crate) error: String,
    pub(crate) attempts: u32,
    /// When it arrived.
    pub(crate) first_seen: SystemTime,
}

/// The record that goes to the dead-letter destination.
pub(crate) fn record(event: &Event, scope: &Scope, death: &Death) -> Record {
    let mut record = Record::new(event.payload().clone());
    record.topic = Some(event.topic_name().clone());
    record.captures = event.captured().clone();
    record.time = Some(death.first_seen);
    record.key = Some(event.topic_name().as_bytes().clone());
    record.content_type = event.properties().and_then(|properties| properties.content_type.clone());
    let mut header = |name: &str, value: String| record.headers.push((name.to_owned(), clean(&value)));
    header("tidemill-reason", death.reason.to_owned());
    header("tidemill-error", death.error.clone());
    header("tidemill-attempts", death.attempts.to_string());
    header("tidemill-route", scope.route.to_string());
    header("tidemill-instance", scope.instance.to_string());
    header("tidemill-topic", event.topic().to_owned());
    header("tidemill-qos", event.qos().level().to_string());
    header("tidemill-first-seen", humantime::format_rfc3339_millis(death.first_seen).to_string());
    header("tidemill-last-seen", humantime::format_rfc3339_millis(SystemTime::now()).to_string());
    debug_assert_eq!(record.headers.len(), ALWAYS);
    if let Some(properties) = event.properties() {
        // As it came: the broker takes what it has given.
        let mut exact = |name: &str, value: String| record.headers.push((name.to_owned(), value));
        if let Some(topic) = &properties.response_topic {
            exact("tidemill-response-topic", topic.clone());
        }
        if let Some(data) = properties.correlation_data.as_ref().filter(|data| data.len() <= LONGEST_CORRELATION) {
            exact("tidemill-correlation-data", hex(data));
        }
        record.headers.extend(properties.user.iter().cloned());
    }
    record
}

/// So many headers of a letter are always there; what the publisher gave comes after them.
const ALWAYS: usize = 9;

/// How much of a letter is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LessOf {
    /// What the publisher gave beside the payload: content type, response topic, correlation data, user properties.
    Properties,
    /// The payload too. Its size and hash are told in its place.
    Payload,
}

/// The letter without a part of it, which it says. `None` when it has no such part: it would be no smaller.
pub(crate) fn less(letter: &Record, of: LessOf) -> Option<Record> {
    if of == LessOf::Properties && letter.content_type.is_none() && letter.headers.len() <= ALWAYS {
        return None;
    }
    let mut short = letter.clone();
    short.content_type = None;
    short.headers.truncate(ALWAYS);
    let mut header = |name: &str, value: String| short.headers.push((name.to_owned(), value));
    match of {
        LessOf::Properties => header("tidemill-left-out", "properties".to_owned()),
        LessOf::Payload => {
            header("tidemill-left-out", "payload".to_owned());
            header("tidemill-payload-bytes", letter.payload.len().to_string());
            header("tidemill-payload-sha256", hex(&Sha256::digest(&letter.payload)));
            short.payload = Bytes::new();
        }
    }
    Some(short)
}

/// Bytes as text.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// In hexadecimal a user property has no room for more. Correlation data are a few bytes.
const LONGEST_CORRELATION: usize = 32_767;

/// A text that every broker takes as a user property: MQTT strings end at 65535 bytes and have no null character, and
/// some brokers close the connection over any control character, such as the line breaks of many errors.
fn clean(text: &str) -> String {
    const LONGEST: usize = 4096;
    let end =
        text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= LONGEST).last().unwrap_or(0);
    let mut clean: String = text[..end].chars().map(|c| if is_forbidden(c) { ' ' } else { c }).collect();
    if end < text.len() {
        clean.push_str("...");
    }
    clean
}

/// Control characters, and the code points that are no characters `[MQTT-1.5.4]`.
fn is_forbidden(c: char) -> bool {
    c.is_control() || matches!(u32::from(c) & 0xFFFF, 0xFFFE | 0xFFFF) || matches!(c, '\u{FDD0}'..='\u{FDEF}')
}
