//! Properties of an MQTT 5 PUBLISH, without those that only the transport needs.

use std::time::Duration;

use bytes::Bytes;

/// What an MQTT 5 publisher attached to an event; all empty on MQTT 3.1.1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Properties {
    /// The publisher says that the payload is UTF-8 text.
    pub utf8_payload: bool,
    /// How long the event had left to live when the broker sent it.
    pub message_expiry: Option<Duration>,
    /// MIME type of the payload.
    pub content_type: Option<String>,
    /// Where the publisher awaits an answer.
    pub response_topic: Option<String>,
    /// What the publisher wants to see in the answer.
    pub correlation_data: Option<Bytes>,
    /// Free name-value pairs, in order; names may repeat.
    pub user: Vec<(String, String)>,
    /// Which of the session's subscriptions the event matched.
    pub subscription_ids: Vec<u32>,
}

impl Properties {
    /// The first user property of that name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&str> {
        self.user.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}
