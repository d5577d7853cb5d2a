//! From a topic to everything that its events go to, remembered per topic until a subscription changes.

use std::collections::HashMap;
use std::sync::Arc;

use tidemill_core::QoS;
use tidemill_core::topic::TopicName;

use super::message::{GroupId, Ids, SessionId};
use super::session::Grant;
use super::trie::Trie;

/// Topics whose routes are remembered at most.
const REMEMBERED: usize = 16_384;

#[derive(Debug)]
enum Entry {
    Plain { session: SessionId, grant: Grant },
    Group(GroupId),
}

/// Where the events of one topic go.
#[derive(Debug, Default)]
pub(super) struct Route {
    pub(super) plain: Vec<Target>,
    pub(super) groups: Vec<GroupId>,
}

/// A session that gets the events once, however many of its subscriptions match.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) session: SessionId,
    any: Terms,
    /// Without the subscriptions that do not want the session's own events; `None` when no others match.
    own: Option<Terms>,
}

/// How a session gets the events: all its matching subscriptions together.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) qos: QoS,
    pub(super) retain_as_published: bool,
    pub(super) ids: Ids,
}

impl Target {
    /// The terms for an event of that publisher; `None` when the session must not get it.
    pub(super) fn terms(&self, publisher: SessionId) -> Option<&Terms> {
        if publisher == self.session { self.own.as_ref() } else { Some(&self.any) }
    }
}

#[derive(Debug, Default)]
pub(super) struct Routes {
    trie: Trie<Entry>,
    remembered: HashMap<TopicName, Arc<Route>, foldhash::fast::RandomState>,
}

impl Routes {
    pub(super) fn subscribe(&mut self, filter: &str, session: SessionId, grant: Grant) {
        self.unsubscribe(filter, session);
        self.trie.insert(filter, Entry::Plain { session, grant });
    }

    pub(super) fn unsubscribe(&mut self, filter: &str, session: SessionId) {
        self.remembered.clear();
        self.trie.remove(filter, |entry| matches!(entry, Entry::Plain { session: other, .. } if *other == session));
    }

    pub(super) fn add_group(&mut self, filter: &str, group: GroupId) {
        self.remembered.clear();
        self.trie.insert(filter, Entry::Group(group));
    }

    pub(super) fn remove_group(&mut self, filter: &str, group: GroupId) {
        self.remembered.clear();
        self.trie.remove(filter, |entry| matches!(entry, Entry::Group(other) if *other == group));
    }

    pub(super) fn find(&mut self, topic: &TopicName) -> Arc<Route> {
        if let Some(route) = self.remembered.get(topic) {
            return Arc::clone(route);
        }
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        let route = Arc::new(self.build(topic));
        // A copy of the name: the given one may be a slice of a read buffer.
        if let Ok(topic) = TopicName::new(topic.as_str()) {
            self.remembered.insert(topic, Arc::clone(&route));
        }
        route
    }

    fn build(&self, topic: &TopicName) -> Route {
        let mut route = Route::default();
        let mut plain: Vec<(SessionId, Grant)> = Vec::new();
        self.trie.matches(topic.as_str(), |entry| match entry {
            Entry::Plain { session, grant } => plain.push((*session, *grant)),
            Entry::Group(group) => route.groups.push(*group),
        });
        plain.sort_by_key(|(session, _)| *session);
        for grants in plain.chunk_by(|(a, _), (b, _)| a == b) {
            let merge = |terms: Option<Terms>, grant: &Grant| {
                let mut terms =
                    terms.unwrap_or_else(|| Terms { qos: grant.qos, retain_as_published: false, ids: Ids::new() });
                terms.qos = terms.qos.max(grant.qos);
                terms.retain_as_published |= grant.retain_as_published;
                terms.ids.extend(grant.id);
                Some(terms)
            };
            let all = grants.iter().map(|(_, grant)| grant);
            if let Some(any) = all.clone().fold(None, merge) {
                let own = all.filter(|grant| !grant.no_local).fold(None, merge);
                route.plain.push(Target { session: grants[0].0, any, own });
            }
        }
        route
    }
}
