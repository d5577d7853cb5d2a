//! What stands in payloads: events carry their number and key, dead letters what happened to them.

use serde_json::{Value, json};
use tidemill_core::Record;

use crate::log::{EventId, Letter};

/// What the topics of dead letters start with.
pub(crate) const DEAD: &str = "tidemill/dead/";

/// The payload of an event.
pub(crate) fn of(event: EventId, key: &str) -> String {
    json!({ "event": event, "at": { "key": key } }).to_string()
}

/// The number in a payload.
pub(crate) fn event(payload: &[u8]) -> Option<EventId> {
    let value: Value = serde_json::from_slice(payload).ok()?;
    EventId::try_from(value.get("event")?.as_u64()?).ok()
}

/// A dead letter of headers and the original payload, or of the envelope that holds both.
pub(crate) fn letter(payload: &[u8], mut headers: Vec<(String, String)>) -> Letter {
    let mut original = payload.to_vec();
    if headers.is_empty()
        && let Ok(envelope) = serde_json::from_slice::<Value>(payload)
    {
        let texts = envelope["headers"].as_object().into_iter().flatten();
        headers = texts.map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned())).collect();
        original = envelope["payload"]["text"].as_str().unwrap_or_default().into();
    }
    let header = |name: &str| {
        headers.iter().find(|(other, _)| other.strip_prefix("tidemill-") == Some(name)).map_or("", |(_, value)| value)
    };
    Letter {
        event: event(&original),
        instance: header("instance").to_owned(),
        reason: header("reason").to_owned(),
        attempts: header("attempts").parse().unwrap_or(u32::MAX),
        topic: header("topic").to_owned(),
    }
}

/// The same for a record in a sink.
pub(crate) fn letter_of(record: &Record) -> Letter {
    letter(&record.payload, record.headers.clone())
}
