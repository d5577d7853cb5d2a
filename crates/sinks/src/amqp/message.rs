//! A record as a message.
//!
//! Invariant: what a record says stays within a word of the routing key, or the record is refused.

use std::time::UNIX_EPOCH;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use tidemill_core::Record;

use super::config::AmqpConfig;
use crate::{Escape, Fields};

/// A message to be published.
pub(super) struct Message {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
}

/// Text where the protocol has room for 255 bytes.
pub(super) fn short(text: &str) -> Option<ShortString> {
    ShortString::try_new(text).ok()
}

/// # Errors
/// Why the record cannot be one.
pub(super) fn of(config: &AmqpConfig, record: &Record) -> Result<Message, String> {
    let fields = Fields::new(record);
    let mut exchange = String::new();
    config.exchange.render_into(&mut exchange, &fields, Escape::DottedWord).map_err(|error| error.to_string())?;
    let mut routing_key = String::new();
    config.routing_key.render_into(&mut routing_key, &fields, Escape::DottedWord).map_err(|error| error.to_string())?;
    let fit = |what: &str, text: &str| short(text).ok_or_else(|| format!("{what} is longer than 255 bytes"));

    let mut properties = BasicProperties::default().with_delivery_mode(if config.persistent { 2 } else { 1 });
    if let Some(key) = &record.idempotency_key {
        properties = properties.with_message_id(fit("the idempotency key", key)?);
    }
    if let Some(content_type) = &record.content_type {
        properties = properties.with_content_type(fit("the content type", content_type)?);
    }
    if let Some(time) = record.time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()) {
        properties = properties.with_timestamp(time.as_secs());
    }
    let mut headers = FieldTable::default();
    let mut add = |name: &str, value: &[u8]| {
        let value = AMQPValue::LongString(LongString::from(value.to_vec()));
        headers.insert(fit("the name of a header", name)?, value);
        Ok::<(), String>(())
    };
    if let Some(key) = &record.key {
        add("tidemill-key", key)?;
    }
    if let Some(topic) = &record.topic {
        add("tidemill-topic", topic.as_str().as_bytes())?;
    }
    for (name, value) in &record.headers {
        add(name, value.as_bytes())?;
    }
    Ok(Message {
        exchange: fit("the exchange's name", &exchange)?,
        routing_key: fit("the routing key", &routing_key)?,
        properties: properties.with_headers(headers),
    })
}
