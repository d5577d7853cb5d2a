//! Topics of incoming events, and the aliases that the broker sets for them (MQTT 5).

use bytes::Bytes;
use tidemill_core::topic::{TopicError, TopicName};

use super::error::{SessionError, SessionErrorKind};
use super::reason::Reason;

/// The aliases of one session.
#[derive(Debug)]
pub(super) struct Aliases {
    /// How many were granted.
    max: u16,
    topics: Vec<Option<TopicName>>,
}

impl Aliases {
    pub(super) fn new(max: u16) -> Self {
        Self { max, topics: Vec::new() }
    }

    /// The topic of an event.
    ///
    /// # Errors
    /// It is none, or the alias was not granted or not set; with what to tell the broker.
    #[inline]
    pub(super) fn resolve(&mut self, topic: Bytes, alias: Option<u16>) -> Result<TopicName, (SessionError, Reason)> {
        match alias {
            None => name(topic),
            Some(alias) => self.aliased(&topic, alias),
        }
    }

    fn aliased(&mut self, topic: &Bytes, alias: u16) -> Result<TopicName, (SessionError, Reason)> {
        let invalid = || {
            let text = format!("the broker used topic alias {alias}, which was not granted or not set");
            (SessionError::new(SessionErrorKind::Protocol, text), Reason::TOPIC_ALIAS_INVALID)
        };
        if alias == 0 || alias > self.max {
            return Err(invalid());
        }
        let at = usize::from(alias - 1);
        if topic.is_empty() {
            return self.topics.get(at).cloned().flatten().ok_or_else(invalid);
        }
        // A copy: the alias outlives the read buffer and must not keep all of it alive.
        let name = name(Bytes::copy_from_slice(topic))?;
        if self.topics.len() <= at {
            self.topics.resize(at + 1, None);
        }
        self.topics[at] = Some(name.clone());
        Ok(name)
    }
}

#[inline]
fn name(topic: Bytes) -> Result<TopicName, (SessionError, Reason)> {
    TopicName::from_bytes(topic).map_err(no_name)
}

#[cold]
fn no_name(error: TopicError) -> (SessionError, Reason) {
    let text = "the broker sent an event with an invalid topic";
    let failure = SessionError::new(SessionErrorKind::Protocol, text).with_source(error);
    (failure, Reason::TOPIC_NAME_INVALID)
}
