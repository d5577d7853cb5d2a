//! Who may connect, and what they may publish and subscribe to.

use std::collections::HashMap;
use std::fmt;

use tidemill_core::topic::{TopicFilter, TopicName};

/// Users and denials. The default lets everybody do everything.
#[derive(Clone, Default)]
pub struct Access {
    users: Option<HashMap<String, String>>,
    deny_publish: Vec<TopicFilter>,
    deny_subscribe: Vec<TopicFilter>,
}

impl Access {
    /// Lets in only users that are named, and this is one.
    #[must_use]
    pub fn with_user(mut self, name: impl Into<String>, password: impl Into<String>) -> Self {
        self.users.get_or_insert_default().insert(name.into(), password.into());
        self
    }

    /// Refuses events on topics that the filter matches.
    #[must_use]
    pub fn deny_publish(mut self, filter: TopicFilter) -> Self {
        self.deny_publish.push(filter);
        self
    }

    /// Refuses subscriptions that could receive an event which the filter matches.
    #[must_use]
    pub fn deny_subscribe(mut self, filter: TopicFilter) -> Self {
        self.deny_subscribe.push(filter);
        self
    }

    pub(super) fn lets_in(&self, login: Option<(&str, &str)>) -> bool {
        let Some(users) = &self.users else { return true };
        login.is_some_and(|(name, password)| users.get(name).is_some_and(|known| known == password))
    }

    pub(super) fn may_publish(&self, topic: &TopicName) -> bool {
        !self.deny_publish.iter().any(|denied| denied.matches(topic.as_str()))
    }

    pub(super) fn may_subscribe(&self, filter: &TopicFilter) -> bool {
        !self.deny_subscribe.iter().any(|denied| denied.overlaps(filter))
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let users: Option<Vec<&String>> = self.users.as_ref().map(|users| users.keys().collect());
        f.debug_struct("Access")
            .field("users", &users)
            .field("deny_publish", &self.deny_publish)
            .field("deny_subscribe", &self.deny_subscribe)
            .finish()
    }
}
