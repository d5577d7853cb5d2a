//! Retained events: the last one of each topic, in memory of their own.

use std::collections::HashMap;
use std::sync::Arc;

use tidemill_core::topic::{TopicFilter, TopicName};
use tokio::time::Instant;

use super::message::Message;

#[derive(Debug, Default)]
pub(super) struct Retained(HashMap<TopicName, Arc<Message>, foldhash::fast::RandomState>);

impl Retained {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keeps the event in place of the one before it; an empty payload only removes that. Beyond `limit` topics
    /// nothing new is kept.
    pub(super) fn store(&mut self, message: &Message, limit: usize) {
        if message.payload.is_empty() {
            self.0.remove(&message.topic);
        } else if self.0.len() < limit || self.0.contains_key(&message.topic) {
            let kept = message.detached();
            self.0.insert(kept.topic.clone(), Arc::new(kept));
        }
    }

    /// The retained events that a new subscription gets, by topic. Expired ones go for good.
    pub(super) fn matching(&mut self, filter: &TopicFilter, now: Instant) -> Vec<Arc<Message>> {
        self.0.retain(|_, message| !message.expired(now));
        let found = self.0.values().filter(|message| filter.matches(message.topic.as_str()));
        let mut found: Vec<_> = found.cloned().collect();
        found.sort_unstable_by(|a, b| a.topic.as_str().cmp(b.topic.as_str()));
        found
    }
}
