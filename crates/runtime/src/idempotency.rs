//! Idempotency keys: what tells two deliveries of one event from two events.
//!
//! INVARIANT: two events get the same [`DedupKey`] only if they came through routes of the same name and have equal
//! idempotency keys, short of a collision of 128-bit hashes. Every part is hashed with its length, so that no two
//! lists of parts read the same.

use std::fmt;
use std::hash::Hasher;
use std::sync::Arc;

use bytes::Bytes;
use siphasher::sip128::{Hasher128, SipHasher24};
use tidemill_core::Event;

/// Tells the idempotency key of an event, if it has one.
pub type KeyFunction = dyn Fn(&Event) -> Option<Bytes> + Send + Sync;

/// Where an event's idempotency key comes from. It must be the same in every delivery of one event and different in any
/// two events. With [`Dedup`](crate::dedup::Dedup), what has the key of an event that was handled before is acknowledged
/// and **not handled**. As the key of records ([`Route::idempotency_key`](crate::Route::idempotency_key)), an idempotent
/// sink writes what has a known key **not again**.
///
/// An event that lacks the key, or whose key is empty, is not deduplicated, and its records get no key.
#[derive(Clone)]
#[non_exhaustive]
pub enum IdempotencyKey {
    /// An MQTT 5 user property, such as an event ID that the publisher stamps.
    UserProperty(String),
    /// A string, number, array or object inside a JSON payload, by JSON pointer (`/event/id`); parses the payload.
    JsonPointer(String),
    /// Everything that the route captured from the topic, where the topic names one event: `orders/{id}/created`.
    Captures,
    /// Whatever the function says. It runs in the dispatcher: keep it short and free of waiting.
    Function(Arc<KeyFunction>),
    /// A hash of topic and payload.
    ///
    /// **Loses events that look alike.** Two true readings of one device may be equal, byte for byte: a temperature
    /// that has not changed, a button that was pressed twice. The second is taken for a duplicate and dropped. Right
    /// only where payloads are known to differ, because they carry a time or a sequence number, say.
    TopicAndPayload,
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserProperty(name) => f.debug_tuple("UserProperty").field(name).finish(),
            Self::JsonPointer(pointer) => f.debug_tuple("JsonPointer").field(pointer).finish(),
            Self::Captures => f.write_str("Captures"),
            Self::Function(_) => f.write_str("Function"),
            Self::TopicAndPayload => f.write_str("TopicAndPayload"),
        }
    }
}

impl IdempotencyKey {
    /// The key of an event that came through the route of this name; `None` when it has none.
    #[must_use]
    pub fn of(&self, route: &str, event: &Event) -> Option<DedupKey> {
        // The tag keeps keys of different kinds apart, should the setting change while a shared store lives on.
        let parts = |tag: u8| Parts::new(route).byte(tag);
        let key = match self {
            Self::UserProperty(name) => parts(0).part(filled(event.user_property(name)?.as_bytes())?),
            Self::JsonPointer(pointer) => {
                let document: serde_json::Value = event.json().ok()?;
                match document.pointer(pointer)? {
                    serde_json::Value::Null => return None,
                    serde_json::Value::String(text) => parts(1).part(filled(text.as_bytes())?),
                    other => parts(2).part(other.to_string().as_bytes()),
                }
            }
            Self::Captures => {
                let mut captures = event.captures().peekable();
                captures.peek()?;
                captures.fold(parts(3), |parts, (name, level)| parts.part(name.as_bytes()).part(level.as_bytes()))
            }
            Self::Function(key) => parts(4).part(filled(&key(event)?)?),
            Self::TopicAndPayload => parts(5).part(event.topic().as_bytes()).part(event.payload()),
        };
        Some(key.finish())
    }
}

fn filled(bytes: &[u8]) -> Option<&[u8]> {
    (!bytes.is_empty()).then_some(bytes)
}

/// What a store remembers of an event: a 128-bit hash of the route's name and the idempotency key. The same on every
/// replica and in every version of this crate that does not say otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DedupKey([u8; 16]);

impl DedupKey {
    /// The key of these bytes, for tests of stores.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The key that this event's records have in one sink: another one in every sink, so that a target that two sinks
    /// write to does not take the record of one for a repeated record of the other.
    pub(crate) fn in_sink(self, sink: &str) -> Self {
        Parts::new("").byte(RECORD).part(&self.0).part(sink.as_bytes()).finish()
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for DedupKey {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for DedupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DedupKey({self})")
    }
}

/// The tag of keys of records, beside those of [`IdempotencyKey::of`].
const RECORD: u8 = 6;

/// A hash of parts. SipHash rather than a faster one: publishers choose what is hashed, and whoever finds a second input
/// with the hash of another publisher's event can make that event disappear.
struct Parts(SipHasher24);

impl Parts {
    fn new(route: &str) -> Self {
        // Not a secret: all replicas must agree on it without being told.
        Self(SipHasher24::new_with_key(b"tidemill dedup 1")).part(route.as_bytes())
    }

    fn byte(mut self, byte: u8) -> Self {
        self.0.write(&[byte]);
        self
    }

    fn part(mut self, part: &[u8]) -> Self {
        // Little-endian on every machine, unlike `write_usize`.
        self.0.write(&(part.len() as u64).to_le_bytes());
        self.0.write(part);
        self
    }

    fn finish(self) -> DedupKey {
        DedupKey(self.0.finish128().as_u128().to_be_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use smallvec::SmallVec;
    use tidemill_core::topic::TopicName;
    use tidemill_core::{Captures, Properties, Span};

    use super::*;

    fn event(topic: &str, payload: impl Into<Bytes>) -> Event {
        Event::new(TopicName::new(topic).unwrap(), payload)
    }

    fn with_property(name: &str, value: &str) -> Event {
        let mut properties = Properties::default();
        properties.user.push((name.into(), value.into()));
        event("t", "").with_properties(Some(Box::new(properties)))
    }

    fn captured(topic: &str, spans: &[Span]) -> Event {
        let names = ["a", "b"].map(Box::from);
        event(topic, "").with_captures(Captures::new(Arc::from(names), SmallVec::from_slice(spans)))
    }

    fn json(payload: &'static str) -> Option<DedupKey> {
        IdempotencyKey::JsonPointer("/id".into()).of("r", &event("t", payload))
    }

    #[test]
    fn an_event_without_a_key_has_none() {
        let property = IdempotencyKey::UserProperty("id".into());
        let function = IdempotencyKey::Function(Arc::new(|event| Some(event.payload().clone())));
        assert_eq!(property.of("r", &event("t", "")), None);
        assert_eq!(property.of("r", &with_property("id", "")), None, "an empty key names nothing");
        assert_eq!(json("{}"), None);
        assert_eq!(json("no json"), None);
        assert_eq!(json(r#"{"id":null}"#), None);
        assert_eq!(json(r#"{"id":""}"#), None);
        assert_eq!(IdempotencyKey::Captures.of("r", &event("t", "")), None);
        assert_eq!(function.of("r", &event("t", "")), None);
    }

    #[test]
    fn the_same_key_is_another_one_on_another_route() {
        let key = IdempotencyKey::UserProperty("id".into());
        let event = with_property("id", "7");
        assert_eq!(key.of("r", &event), key.of("r", &event));
        assert_ne!(key.of("r", &event), key.of("s", &event));
    }

    #[test]
    fn the_same_event_has_another_key_in_another_sink() {
        let key = DedupKey::from_bytes([7; 16]);
        assert_eq!(key.in_sink("raw"), key.in_sink("raw"));
        assert_ne!(key.in_sink("raw"), key.in_sink("alerts"));
        assert_ne!(key.in_sink("raw"), key);
        assert_ne!(key.in_sink("raw"), DedupKey::from_bytes([8; 16]).in_sink("raw"));
    }

    #[test]
    fn json_values_that_differ_in_type_differ() {
        assert_ne!(json(r#"{"id":"7"}"#), json(r#"{"id":7}"#));
        assert_eq!(json(r#"{"id":7}"#), json(r#"{"time":1,"id": 7}"#));
        assert_eq!(json(r#"{"id":{"a":1,"b":2}}"#), json(r#"{"id":{"b":2,"a":1}}"#), "the order of members is nothing");
    }

    #[test]
    fn levels_do_not_run_into_each_other() {
        let first = captured("ab/c", &[Span { start: 0, end: 2 }, Span { start: 3, end: 4 }]);
        let second = captured("a/bc", &[Span { start: 0, end: 1 }, Span { start: 2, end: 4 }]);
        assert_ne!(IdempotencyKey::Captures.of("r", &first), IdempotencyKey::Captures.of("r", &second));
    }

    #[test]
    fn a_key_is_the_same_in_every_version() {
        // A shared store outlives an update: this value may only change with the hash's own key.
        let key = IdempotencyKey::TopicAndPayload.of("route", &event("a/b", "payload")).unwrap();
        assert_eq!(key.to_string(), "3d02601cdc941c30cc39d492b02cc8bb");
    }

    proptest! {
        #[test]
        fn equal_keys_come_from_equal_events(
            a in ("[ab]{0,2}", "[ab/]{1,3}", "[ab]{0,2}"),
            b in ("[ab]{0,2}", "[ab/]{1,3}", "[ab]{0,2}"),
        ) {
            let key = |(route, topic, payload): &(String, String, String)| {
                IdempotencyKey::TopicAndPayload.of(route, &event(topic, payload.clone()))
            };
            prop_assert_eq!(key(&a) == key(&b), a == b);
        }
    }
}
