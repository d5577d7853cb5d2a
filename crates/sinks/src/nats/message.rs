//! A record as a message.
//!
//! Invariant: what a record says stays within a word of the subject or a header's value, or the record is refused.

use async_nats::header::{HeaderMap, HeaderName, HeaderValue, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use tidemill_core::Record;
use tidemill_core::topic::TopicName;

use super::config::{NatsConfig, NatsMode};
use crate::Escape;

const CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");
const KEY: HeaderName = HeaderName::from_static("tidemill-key");
const TOPIC: HeaderName = HeaderName::from_static("tidemill-topic");

/// A message to be sent.
pub(super) struct Message {
    pub(super) subject: String,
    pub(super) headers: HeaderMap,
}

/// # Errors
/// Why the record cannot be one.
pub(super) fn of(config: &NatsConfig, record: &Record) -> Result<Message, String> {
    let subject = config.subject.render(record, Escape::DottedWord).map_err(|error| error.to_string())?;
    // One that is the same for all was looked at when the sink was opened.
    if !config.subject.is_constant() && !is_subject(&subject) {
        return Err("the subject has an empty word: a record's topic may have an empty level".to_owned());
    }
    let mut headers = HeaderMap::new();
    if let NatsMode::JetStream { stream, .. } = &config.mode {
        add(&mut headers, NATS_EXPECTED_STREAM, stream)?;
        if let Some(key) = &record.idempotency_key {
            add(&mut headers, NATS_MESSAGE_ID, key)?;
        }
    }
    let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
    let topic = record.topic.as_ref().map(TopicName::as_str);
    let own = [(CONTENT_TYPE, record.content_type.as_deref()), (KEY, key), (TOPIC, topic)];
    for (name, value) in own {
        if let Some(value) = value {
            add(&mut headers, name, value)?;
        }
    }
    for (name, value) in &record.headers {
        // The server acts on them: what a record says must not.
        if name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")) {
            return Err(format!("header {name:?} is one that the server acts on: name it otherwise"));
        }
        add(&mut headers, name.parse().map_err(|_| bad(name))?, value)?;
    }
    Ok(Message { subject: subject.into_owned(), headers })
}

/// Whether it can be published to: words between dots, none of them empty, no wildcards or white space.
pub(super) fn is_subject(subject: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && !matches!(word, "*" | ">");
    subject.split('.').all(is_word) && !subject.contains(|c: char| c.is_whitespace() || c.is_control())
}

/// Whether a stream with this filter takes the subject.
pub(super) fn is_within(subject: &str, filter: &str) -> bool {
    let mut words = subject.split('.');
    for wanted in filter.split('.') {
        match (wanted, words.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(word)) if wanted == word => {}
            _ => return false,
        }
    }
    words.next().is_none()
}

fn bad(name: &str) -> String {
    format!("header {name:?} has a name or value that NATS does not allow")
}

fn add(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), String> {
    // The client's own check knows line breaks alone.
    let is_fit = !value.contains(char::is_control) && value.trim() == value;
    match value.parse::<HeaderValue>() {
        Ok(value) if is_fit => headers.append(name, value),
        _ => return Err(bad(name.as_ref())),
    }
    Ok(())
}
