//! Events: what a handler sees. Topic and payload share the buffer that they were received in.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use smallvec::SmallVec;

use crate::Properties;
use crate::topic::TopicName;

/// Quality of service of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum QoS {
    /// At most once: never acknowledged, lost with the connection.
    #[default]
    AtMostOnce = 0,
    /// At least once: acknowledged after the work is done.
    AtLeastOnce = 1,
    /// Exactly once on the wire; refused on shared subscriptions.
    ExactlyOnce = 2,
}

impl QoS {
    /// The number on the wire.
    #[must_use]
    pub const fn level(self) -> u8 {
        self as u8
    }

    /// The QoS of that number.
    #[must_use]
    pub const fn from_level(level: u8) -> Option<Self> {
        match level {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// Where a capture stands in the topic, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u16,
    /// One past the last byte.
    pub end: u16,
}

/// The named levels of an event's topic, as its route captured them.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Captures {
    names: Option<Arc<[Box<str>]>>,
    spans: SmallVec<[Span; 4]>,
}

impl Clone for Captures {
    fn clone(&self) -> Self {
        // All spans at once: derived, it would copy one by one, for every record.
        Self { names: self.names.clone(), spans: SmallVec::from_slice(&self.spans) }
    }
}

impl Captures {
    /// Captures with these names at these places of the topic.
    ///
    /// A name without a span, or a span outside the topic, reads as absent.
    #[must_use]
    pub fn new(names: Arc<[Box<str>]>, spans: SmallVec<[Span; 4]>) -> Self {
        Self { names: Some(names), spans }
    }

    pub(crate) fn get<'t>(&self, topic: &'t str, name: &str) -> Option<&'t str> {
        let at = self.names.as_ref()?.iter().position(|known| **known == *name)?;
        let span = self.spans.get(at)?;
        topic.get(usize::from(span.start)..usize::from(span.end))
    }

    fn iter<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let names = self.names.as_deref().unwrap_or_default();
        names
            .iter()
            .zip(&self.spans)
            .filter_map(|(name, span)| Some((&**name, topic.get(usize::from(span.start)..usize::from(span.end))?)))
    }
}

/// One event, as a handler sees it. Cloning shares the bytes.
#[derive(Clone)]
pub struct Event {
    arrival: Arrival,
    captures: Captures,
    received_at: SystemTime,
}

/// Everything that an event is made of, for code that receives events.
#[derive(Debug)]
pub struct EventParts {
    /// The topic it was published to.
    pub topic: TopicName,
    /// The payload.
    pub payload: Bytes,
    /// The MQTT 5 properties.
    pub properties: Option<Box<Properties>>,
    /// What the route captured from the topic.
    pub captures: Captures,
    /// When it arrived.
    pub received_at: SystemTime,
    /// Quality of service.
    pub qos: QoS,
    /// The broker has sent this event before.
    pub dup: bool,
    /// It was retained.
    pub retain: bool,
}

/// What of an event comes over the wire, for code that receives events into the same place again and again.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The topic it was published to.
    pub topic: TopicName,
    /// The payload.
    pub payload: Bytes,
    /// The MQTT 5 properties.
    pub properties: Option<Box<Properties>>,
    /// Quality of service.
    pub qos: QoS,
    /// The broker has sent this event before.
    pub dup: bool,
    /// It was retained.
    pub retain: bool,
}

impl From<EventParts> for Event {
    #[inline]
    fn from(parts: EventParts) -> Self {
        let EventParts { topic, payload, properties, captures, received_at, qos, dup, retain } = parts;
        Self { arrival: Arrival { topic, payload, properties, qos, dup, retain }, captures, received_at }
    }
}

impl Event {
    /// An event at QoS 0 without properties, received at the Unix epoch; the `with_` methods set the rest.
    #[must_use]
    pub fn new(topic: TopicName, payload: impl Into<Bytes>) -> Self {
        let (payload, qos) = (payload.into(), QoS::AtMostOnce);
        Self {
            arrival: Arrival { topic, payload, properties: None, qos, dup: false, retain: false },
            captures: Captures::default(),
            received_at: SystemTime::UNIX_EPOCH,
        }
    }

    /// Becomes another event of the same route, where it stands: the names of the captures stay, `spans` are their places
    /// in the new topic. Cheaper than to make an event and to move it there.
    #[inline(always)]
    pub fn renew(&mut self, next: Arrival, spans: SmallVec<[Span; 4]>, received_at: SystemTime) {
        self.arrival = next;
        self.captures.spans = spans;
        self.received_at = received_at;
    }

    /// Sets the quality of service.
    #[must_use]
    pub fn with_qos(mut self, qos: QoS) -> Self {
        self.arrival.qos = qos;
        self
    }

    /// Sets the dup flag: the broker has sent this event before.
    #[must_use]
    pub fn with_dup(mut self, dup: bool) -> Self {
        self.arrival.dup = dup;
        self
    }

    /// Sets the retain flag.
    #[must_use]
    pub fn with_retain(mut self, retain: bool) -> Self {
        self.arrival.retain = retain;
        self
    }

    /// Sets the MQTT 5 properties.
    #[must_use]
    pub fn with_properties(mut self, properties: Option<Box<Properties>>) -> Self {
        self.arrival.properties = properties;
        self
    }

    /// Sets what the route captured from the topic.
    #[must_use]
    pub fn with_captures(mut self, captures: Captures) -> Self {
        self.captures = captures;
        self
    }

    /// Sets when the event arrived.
    #[must_use]
    pub fn with_received_at(mut self, received_at: SystemTime) -> Self {
        self.received_at = received_at;
        self
    }

    /// The topic it was published to.
    #[inline]
    #[must_use]
    pub fn topic(&self) -> &str {
        self.arrival.topic.as_str()
    }

    /// The topic it was published to, to keep.
    #[must_use]
    pub fn topic_name(&self) -> &TopicName {
        &self.arrival.topic
    }

    /// The payload. A clone shares the receive buffer and keeps all of it alive: copy what is kept for long.
    #[inline]
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.arrival.payload
    }

    /// The MQTT 5 properties; `None` when there were none.
    #[must_use]
    pub fn properties(&self) -> Option<&Properties> {
        self.arrival.properties.as_deref()
    }

    /// The first MQTT 5 user property of that name.
    #[must_use]
    pub fn user_property(&self, name: &str) -> Option<&str> {
        self.properties()?.user(name)
    }

    /// The topic level that the route captured as `{name}`.
    #[must_use]
    pub fn capture(&self, name: &str) -> Option<&str> {
        self.captures.get(self.topic(), name)
    }

    /// The captures as places in the topic, for whatever takes the topic along.
    #[must_use]
    pub fn captured(&self) -> &Captures {
        &self.captures
    }

    /// All captures, as names and levels.
    pub fn captures(&self) -> impl Iterator<Item = (&str, &str)> {
        self.captures.iter(self.topic())
    }

    /// Quality of service it was delivered with.
    #[must_use]
    pub fn qos(&self) -> QoS {
        self.arrival.qos
    }

    /// Whether the broker says that it may have delivered this event before.
    #[must_use]
    pub fn dup(&self) -> bool {
        self.arrival.dup
    }

    /// Whether the broker sent it as a retained event.
    #[must_use]
    pub fn retain(&self) -> bool {
        self.arrival.retain
    }

    /// When it arrived at this worker.
    #[must_use]
    pub fn received_at(&self) -> SystemTime {
        self.received_at
    }

    /// Reads the payload as JSON.
    ///
    /// # Errors
    /// A [`PayloadError`] naming the topic and the place of the mistake, without what stands there; bad payloads do not
    /// get better, so `.permanent()?` is the usual answer.
    #[cfg(feature = "json")]
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, PayloadError> {
        serde_json::from_slice(&self.arrival.payload)
            .map_err(|error| PayloadError { topic: self.topic_name().clone(), source: without_content(&error).into() })
    }
}

/// What the parser says, without what it quotes of the payload: `invalid type: string "..", expected u64` loses the string.
#[cfg(feature = "json")]
#[cold]
fn without_content(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // What is quoted may say the same: the last one is the parser's own.
    let Some(end) = [", expected ", ", there are no "].iter().filter_map(|mark| text.rfind(mark)).max() else {
        return text;
    };
    let (found, wanted) = text.split_at(end);
    let quote = found.find(['"', '`']).unwrap_or(found.len());
    format!("{}{wanted}", found[..quote].trim_end())
}

impl fmt::Debug for Event {
    /// Without the payload's content: it may be private.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("topic", &self.topic())
            .field("payload_bytes", &self.payload().len())
            .field("qos", &self.qos())
            .field("dup", &self.dup())
            .field("retain", &self.retain())
            .finish_non_exhaustive()
    }
}

/// A payload that is not what the handler expects.
#[derive(Debug)]
pub struct PayloadError {
    topic: TopicName,
    source: crate::BoxError,
}

impl fmt::Display for PayloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read the payload of {:?}", self.topic)
    }
}

impl std::error::Error for PayloadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(payload: &'static str) -> Event {
        Event::new(TopicName::new("plant/7/temperature").unwrap(), payload)
    }

    #[test]
    fn captures_read_the_topic_by_name() {
        let spans = SmallVec::from_slice(&[Span { start: 6, end: 7 }]);
        let event = event("").with_captures(Captures::new(Arc::from(["line".into()]), spans));
        assert_eq!(event.capture("line"), Some("7"));
        assert_eq!(event.capture("plant"), None);
        assert_eq!(event.captures().collect::<Vec<_>>(), [("line", "7")]);
    }

    #[test]
    fn a_renewed_event_is_the_next_one_with_the_names_of_the_one_before() {
        let at = |start, end| SmallVec::from_slice(&[Span { start, end }]);
        let mut event = event("old").with_dup(true).with_captures(Captures::new(Arc::from(["line".into()]), at(6, 7)));
        let next = Arrival {
            topic: TopicName::new("plant/12/pressure").unwrap(),
            payload: Bytes::from_static(b"new"),
            properties: None,
            qos: QoS::AtLeastOnce,
            dup: false,
            retain: true,
        };
        event.renew(next, at(6, 8), SystemTime::now());
        assert!(event.received_at() > SystemTime::UNIX_EPOCH);
        assert_eq!((event.topic(), event.payload().as_ref()), ("plant/12/pressure", b"new".as_slice()));
        assert_eq!((event.qos(), event.dup(), event.retain()), (QoS::AtLeastOnce, false, true));
        assert_eq!(event.captures().collect::<Vec<_>>(), [("line", "12")]);
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_error_names_the_topic_but_not_the_payload() {
        let error = event("secret").json::<f64>().unwrap_err();
        let text = crate::report(&error);
        assert!(text.contains("plant/7/temperature") && text.contains("line 1"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        assert!(!format!("{:?}", event("secret")).contains("secret"));
    }

    #[cfg(feature = "json")]
    #[test]
    fn json_that_does_not_fit_is_told_without_what_it_says() {
        #[derive(Debug, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "read by nobody")]
        struct Reading {
            celsius: Option<f64>,
            scale: Option<Scale>,
            #[serde(default)]
            level: u8,
        }
        #[derive(Debug, serde::Deserialize)]
        enum Scale {
            Kelvin,
        }
        for (payload, says) in [
            (r#"{"celsius":"secret"}"#, "invalid type: string, expected f64 at line 1 column 19"),
            (r#"{"celsius":"secret, expected `secret`"}"#, "invalid type: string, expected f64 at line 1 column 38"),
            (r#"{"level":7777}"#, "invalid value: integer, expected u8 at line 1 column 13"),
            (r#"{"scale":"secret"}"#, "unknown variant, expected `Kelvin` at line 1 column 17"),
            (r#"{"secret":1}"#, "unknown field, expected one of `celsius`, `scale`, `level` at line 1 column 9"),
            (r#"{"celsius":null,"celsius":1}"#, "duplicate field `celsius` at line 1 column 25"),
            ("7777", "invalid type: integer, expected struct Reading at line 1 column 4"),
        ] {
            let error = event(payload).json::<Reading>().unwrap_err();
            assert_eq!(std::error::Error::source(&error).unwrap().to_string(), says, "{payload}");
        }
    }
}
