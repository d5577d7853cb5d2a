//! A record as a publication.
//!
//! Invariant: what a record says fills a level of the topic and adds none, or the record is refused.

use tidemill_core::topic::{Pattern, Segment, TopicName};
use tidemill_core::{Properties, Publication, Record};

use crate::config::{MqttSinkConfig, MqttVersion};

/// Levels that are no captures.
const TOPIC: &str = "topic";
const KEY: &str = "key";

/// The topic of each record.
pub(super) struct Topic {
    pattern: Pattern,
}

impl Topic {
    /// # Errors
    /// Why the text is none.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let pattern = Pattern::new(text).map_err(|error| error.to_string())?;
        if pattern.segments().iter().any(|segment| matches!(segment, Segment::Plus | Segment::Hash)) {
            return Err("a topic to publish to has no wildcards: name a capture, as in {line}".to_owned());
        }
        Ok(Self { pattern })
    }

    /// Whether all records go to the same topic.
    pub(super) fn is_constant(&self) -> bool {
        self.pattern.captures().next().is_none()
    }

    fn of(&self, record: &Record) -> Result<TopicName, String> {
        let mut topic = String::new();
        for (at, segment) in self.pattern.segments().iter().enumerate() {
            if at > 0 {
                topic.push('/');
            }
            match segment {
                Segment::Literal(level) => topic.push_str(level),
                Segment::Capture(name) => topic.push_str(level(name, record)?),
                _ => return Err("the topic has a wildcard".to_owned()),
            }
        }
        TopicName::new(&topic).map_err(|error| error.to_string())
    }
}

fn level<'a>(name: &str, record: &'a Record) -> Result<&'a str, String> {
    let value = match name {
        TOPIC => return record.topic.as_ref().map(TopicName::as_str).ok_or("the record has no topic".to_owned()),
        KEY => record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok()),
        name => record.capture(name),
    };
    match value {
        Some(value) if !value.is_empty() && !value.contains(['/', '+', '#', '\0']) => Ok(value),
        Some(_) => {
            Err(format!("{{{name}}} is empty or has a `/`, `+`, `#` or null character, which no topic level can have"))
        }
        None => Err(format!("the record has no {{{name}}}: name what its route captures")),
    }
}

/// # Errors
/// Why the record cannot be one.
pub(super) fn of(config: &MqttSinkConfig, topic: &Topic, record: &Record) -> Result<Publication, String> {
    let publication = Publication::new(topic.of(record)?, record.payload.clone());
    let publication = publication.with_qos(config.qos).with_retain(config.retain);
    if config.broker.version == MqttVersion::V3_1_1 {
        return Ok(publication);
    }
    let mut properties = Properties::default();
    properties.content_type.clone_from(&record.content_type);
    properties.message_expiry = (!config.expires.is_zero()).then_some(config.expires);
    properties.user.clone_from(&record.headers);
    let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
    let source = record.topic.as_ref().map(TopicName::as_str);
    let own = [
        ("tidemill-key", key),
        ("tidemill-topic", source),
        ("tidemill-idempotency-key", record.idempotency_key.as_deref()),
    ];
    properties.user.extend(own.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))));
    Ok(publication.with_properties(properties))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    fn topic(text: &str, record: &Record) -> Result<String, String> {
        Topic::new(text)?.of(record).map(|topic| topic.as_str().to_owned())
    }

    #[test]
    fn a_level_is_what_the_record_says() {
        let mut record = Record::new("").with_key("k");
        record.topic = Some(TopicName::new("plant/7").unwrap());
        assert_eq!(topic("out/{key}/{topic}", &record).unwrap(), "out/k/plant/7");
        assert_eq!(topic("out", &record).unwrap(), "out");
        assert!(Topic::new("out").unwrap().is_constant());
        assert!(!Topic::new("out/{key}").unwrap().is_constant());
    }

    #[test]
    fn a_value_that_is_no_level_is_refused() {
        for key in ["a/b", "+", "#", "", "\0"] {
            assert!(topic("out/{key}", &Record::new("").with_key(key)).is_err(), "{key:?}");
        }
        assert!(topic("out/{line}", &Record::new("")).unwrap_err().contains("its route captures"));
        assert!(topic("out/+", &Record::new("")).unwrap_err().contains("no wildcards"));
    }
}
