//! A record as a message.

use std::time::UNIX_EPOCH;

use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureRecord;
use tidemill_core::Record;
use tidemill_core::topic::TopicName;

use super::config::KafkaConfig;
use crate::Escape;

/// The longest name of a topic.
const LONGEST_TOPIC: usize = 249;

/// # Errors
/// Why the record can be no message.
pub(super) fn check(record: &Record) -> Result<(), String> {
    // It would end the program inside of the client library.
    match record.headers.iter().find(|(name, _)| name.contains('\0')) {
        Some((name, _)) => Err(format!("the name of header {name:?} has a null character")),
        None => Ok(()),
    }
}

/// # Errors
/// Why the record has no topic.
pub(super) fn topic(config: &KafkaConfig, record: &Record) -> Result<String, String> {
    let topic = config.topic.render(record, Escape::DottedWord).map_err(|error| error.to_string())?;
    if is_topic(&topic) {
        Ok(topic.into_owned())
    } else {
        Err("the topic has other characters than letters, digits, `.`, `_` and `-`, or is too long".to_owned())
    }
}

/// Whether Kafka takes the name.
pub(super) fn is_topic(topic: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    !matches!(topic, "" | "." | "..") && topic.len() <= LONGEST_TOPIC && topic.bytes().all(is_allowed)
}

/// The message of a record that was checked.
pub(super) fn of<'a>(topic: &'a str, record: &'a Record) -> FutureRecord<'a, [u8], [u8]> {
    let mut message = FutureRecord::to(topic).payload(&*record.payload).headers(headers(record));
    if let Some(key) = &record.key {
        message = message.key(&**key);
    }
    let time = record.time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    match time.and_then(|time| i64::try_from(time.as_millis()).ok()) {
        Some(time) => message.timestamp(time),
        None => message,
    }
}

fn headers(record: &Record) -> OwnedHeaders {
    let topic = record.topic.as_ref().map(TopicName::as_str);
    let own = [
        ("content-type", record.content_type.as_deref()),
        ("tidemill-topic", topic),
        ("tidemill-idempotency-key", record.idempotency_key.as_deref()),
    ];
    let own = own.into_iter().filter_map(|(key, value)| Some((key, value?)));
    let all = own.chain(record.headers.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    all.fold(OwnedHeaders::new(), |headers, (key, value)| headers.insert(Header { key, value: Some(value) }))
}
