//! A record as a message.
//!
//! Invariant: what a record says stays within a word of the subject or a header's value, or the record is refused.

use std::iter::Enumerate;
use std::slice;

use async_nats::Subject;
use async_nats::header::{HeaderMap, HeaderName, HeaderValue, NATS_EXPECTED_STREAM, NATS_MESSAGE_ID};
use tidemill_core::topic::TopicName;
use tidemill_core::{Record, Rejection};

use super::config::{NatsConfig, NatsMode};
use crate::Escape;

const CONTENT_TYPE: HeaderName = HeaderName::from_static("content-type");
const KEY: HeaderName = HeaderName::from_static("tidemill-key");
const TOPIC: HeaderName = HeaderName::from_static("tidemill-topic");

/// A message to be sent.
pub(super) struct Message {
    pub(super) subject: Subject,
    pub(super) headers: HeaderMap,
}

/// The subject that is the same for all records, if it is.
pub(super) fn constant(config: &NatsConfig) -> Option<Subject> {
    config.subject.is_constant().then(|| config.subject.literal_prefix().into())
}

/// # Errors
/// Why the record cannot be one.
pub(super) fn of(config: &NatsConfig, constant: Option<&Subject>, record: &Record) -> Result<Message, String> {
    let subject = match constant {
        // Looked at when the sink was opened.
        Some(subject) => subject.clone(),
        None => {
            let subject = config.subject.render(record, Escape::DottedWord).map_err(|error| error.to_string())?;
            if !is_subject(&subject) {
                return Err("the subject has an empty word: a record's topic may have an empty level".to_owned());
            }
            subject.into_owned().into()
        }
    };
    let mut headers = HeaderMap::new();
    if let NatsMode::JetStream { stream, .. } = &config.mode {
        headers.insert(NATS_EXPECTED_STREAM, value(&NATS_EXPECTED_STREAM, stream)?);
        if let Some(key) = &record.idempotency_key {
            headers.insert(NATS_MESSAGE_ID, value(&NATS_MESSAGE_ID, key)?);
        }
    }
    let key = record.key.as_deref().and_then(|key| std::str::from_utf8(key).ok());
    let topic = record.topic.as_ref().map(TopicName::as_str);
    let own = [(CONTENT_TYPE, record.content_type.as_deref()), (KEY, key), (TOPIC, topic)];
    for (name, text) in own {
        if let Some(text) = text {
            let value = value(&name, text)?;
            headers.insert(name, value);
        }
    }
    for (name, text) in &record.headers {
        // The server acts on them: what a record says must not.
        if name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("nats-")) {
            return Err(format!("header {name:?} is one that the server acts on: name it otherwise"));
        }
        let name: HeaderName = name.parse().map_err(|_| bad(name))?;
        let value = value(&name, text)?;
        headers.append(name, value);
    }
    Ok(Message { subject, headers })
}

/// The messages of a batch, with the places of their records.
pub(super) struct Messages<'a> {
    config: &'a NatsConfig,
    constant: Option<&'a Subject>,
    records: Enumerate<slice::Iter<'a, Record>>,
    /// Records that cannot be one, so far.
    pub(super) unfit: Vec<Rejection>,
}

impl<'a> Messages<'a> {
    pub(super) fn of(config: &'a NatsConfig, constant: Option<&'a Subject>, batch: &'a [Record]) -> Self {
        Self { config, constant, records: batch.iter().enumerate(), unfit: Vec::new() }
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = (usize, Message, &'a Record);

    fn next(&mut self) -> Option<Self::Item> {
        for (index, record) in self.records.by_ref() {
            match of(self.config, self.constant, record) {
                Ok(message) => return Some((index, message, record)),
                Err(reason) => self.unfit.push(Rejection { index, reason }),
            }
        }
        None
    }
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

fn value(name: &HeaderName, text: &str) -> Result<HeaderValue, String> {
    // The client's own check knows line breaks alone.
    let is_fit = !has_control(text) && text.trim() == text;
    text.parse().ok().filter(|_| is_fit).ok_or_else(|| bad(name.as_ref()))
}

/// Whether there is a control character.
fn has_control(text: &str) -> bool {
    // Those above ASCII begin with the byte C2, as few others do: nearly always the bytes say it.
    let may_have = text.bytes().fold(false, |may, byte| may | (byte < b' ') | (byte == 0x7F) | (byte == 0xC2));
    may_have && text.contains(char::is_control)
}
