//! Keys: what order is kept by. A key comes from the event alone, so that every instance finds the same one.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use tidemill_core::Event;

use super::lanes::LaneKey;

/// Where a route's key comes from. An event that lacks it (no such capture, property or pointer) is keyed by its topic.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Key {
    /// The whole topic. The default.
    #[default]
    Topic,
    /// One named level of the topic.
    Capture(String),
    /// An MQTT 5 user property.
    UserProperty(String),
    /// A value inside a JSON payload, by JSON pointer (`/device/id`); parses the payload.
    JsonPointer(String),
    /// Whatever the function says. It runs in the dispatcher: keep it short and free of waiting. Where it panics, the topic.
    Function(Arc<dyn Fn(&Event) -> Bytes + Send + Sync>),
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic => f.write_str("Topic"),
            Self::Capture(name) => f.debug_tuple("Capture").field(name).finish(),
            Self::UserProperty(name) => f.debug_tuple("UserProperty").field(name).finish(),
            Self::JsonPointer(pointer) => f.debug_tuple("JsonPointer").field(pointer).finish(),
            Self::Function(_) => f.write_str("Function"),
        }
    }
}

impl Key {
    /// The key of an event.
    pub(crate) fn of(&self, event: &Event) -> Bytes {
        let text = match self {
            Self::Topic => None,
            Self::Capture(name) => event.capture(name),
            Self::UserProperty(name) => event.user_property(name),
            Self::JsonPointer(pointer) => return json_key(event, pointer).unwrap_or_else(|| topic(event)),
            Self::Function(key) => {
                // It is the user's, and a panic here would take the whole instance down, again and again.
                return catch_unwind(AssertUnwindSafe(|| key(event))).unwrap_or_else(|_| topic(event));
            }
        };
        text.map_or_else(|| topic(event), |text| Bytes::copy_from_slice(text.as_bytes()))
    }

    /// The lane of an event of the route with this number.
    #[inline]
    pub(crate) fn lane(&self, route: u16, event: &Event) -> LaneKey {
        let mut hasher = foldhash::fast::FixedState::with_seed(u64::from(route)).build_hasher();
        match self {
            Self::Topic => hasher.write(event.topic().as_bytes()),
            _ => hasher.write(&self.of(event)),
        }
        LaneKey(hasher.finish())
    }
}

fn topic(event: &Event) -> Bytes {
    event.topic_name().as_bytes().clone()
}

fn json_key(event: &Event, pointer: &str) -> Option<Bytes> {
    let document: serde_json::Value = event.json().ok()?;
    let value = document.pointer(pointer)?;
    Some(match value {
        serde_json::Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
        other => Bytes::from(other.to_string()),
    })
}

#[cfg(test)]
mod tests {
    use tidemill_core::topic::TopicName;

    use super::*;

    fn event(topic: &str, payload: &'static str) -> Event {
        Event::new(TopicName::new(topic).unwrap(), payload)
    }

    #[test]
    fn a_json_pointer_reads_strings_and_numbers() {
        let key = Key::JsonPointer("/device/id".to_owned());
        assert_eq!(key.of(&event("t", r#"{"device":{"id":"a7"}}"#)), "a7");
        assert_eq!(key.of(&event("t", r#"{"device":{"id":7}}"#)), "7");
    }

    #[test]
    fn an_event_without_the_key_is_keyed_by_its_topic() {
        for key in [Key::JsonPointer("/id".into()), Key::Capture("id".into()), Key::UserProperty("id".into())] {
            assert_eq!(key.of(&event("a/b", "not json")), "a/b", "{key:?}");
        }
    }

    #[test]
    fn lanes_differ_by_route_and_by_key() {
        let (a, b) = (event("a", ""), event("b", ""));
        assert_ne!(Key::Topic.lane(0, &a), Key::Topic.lane(1, &a));
        assert_ne!(Key::Topic.lane(0, &a), Key::Topic.lane(0, &b));
        assert_eq!(Key::Topic.lane(0, &a), Key::Topic.lane(0, &a));
    }
}
