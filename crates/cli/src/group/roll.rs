//! The roll: the last message of every worker that has one.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;
use tidemill::presence::{Presence, SCHEMA, State};
use tidemill_testkit::wire::v5;

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Roll {
    /// By topic, so that the replicas of a group stand together.
    workers: BTreeMap<String, Presence>,
    /// Topics with a message that is no presence.
    others: BTreeMap<String, ()>,
}

/// A worker and how old its message is.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Seen<'a> {
    pub(super) topic: &'a str,
    #[serde(flatten)]
    pub(super) presence: &'a Presence,
    /// Seconds since it said so, by the worker's clock and this one.
    pub(super) age: u64,
    /// Seconds since it started.
    pub(super) up: u64,
    /// It should have said more by now: it is gone, and nothing has removed its message.
    pub(super) stale: bool,
}

impl Seen<'_> {
    /// Whether it counts as present: neither lost nor silent for too long.
    pub(super) fn is_there(&self) -> bool {
        !self.stale && self.presence.state != State::Lost
    }
}

impl Roll {
    /// Takes in a message; an empty one clears that of its topic.
    pub(super) fn take(&mut self, event: &v5::Publish) {
        let topic = String::from_utf8_lossy(&event.topic).into_owned();
        self.workers.remove(&topic);
        self.others.remove(&topic);
        if event.payload.is_empty() {
            return;
        }
        match serde_json::from_slice::<Presence>(&event.payload) {
            Ok(presence) if presence.schema >= 1 && !presence.id.is_empty() => {
                self.workers.insert(topic, presence);
            }
            _ => {
                self.others.insert(topic, ());
            }
        }
    }

    /// Whether anybody is present now.
    pub(super) fn has_anybody(&self, now: SystemTime) -> bool {
        self.seen(now).any(|seen| seen.is_there())
    }

    /// How many messages are none of a worker.
    pub(super) fn others(&self) -> usize {
        self.others.len()
    }

    /// Whether somebody says what this version may misunderstand.
    pub(super) fn is_newer(&self) -> bool {
        self.workers.values().any(|presence| presence.schema > SCHEMA)
    }

    pub(super) fn seen(&self, now: SystemTime) -> impl Iterator<Item = Seen<'_>> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs();
        self.workers.iter().map(move |(topic, presence)| {
            // Clocks differ: what comes from the future has just been said.
            let age = now.saturating_sub(presence.at);
            let lost = presence.state == State::Lost;
            let stale = !lost && presence.every > 0 && age > presence.every.saturating_mul(3);
            Seen { topic, presence, age, up: now.saturating_sub(presence.since), stale }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(topic: &str, payload: &str) -> v5::Publish {
        v5::Publish::new(topic, rumqttc::v5::mqttbytes::QoS::AtMostOnce, payload.to_owned(), None)
    }

    #[test]
    fn the_last_word_of_a_worker_counts_and_an_empty_one_takes_it_away() {
        let mut roll = Roll::default();
        roll.take(&event("g/a", r#"{"schema":1,"id":"a","state":"joining","at":100,"every":10,"since":40}"#));
        roll.take(&event("g/b", r#"{"schema":1,"id":"b","state":"ready","at":160,"every":10}"#));
        roll.take(&event("g/a", r#"{"schema":1,"id":"a","state":"ready","at":150,"every":10,"since":40}"#));
        roll.take(&event("g/c", "hello"));
        roll.take(&event("g/d", "{}"));
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let seen: Vec<_> = roll.seen(at(181)).map(|seen| (seen.topic, seen.age, seen.up, seen.stale)).collect();
        assert_eq!(seen, [("g/a", 31, 141, true), ("g/b", 21, 181, false)]);
        assert_eq!((roll.others(), roll.is_newer()), (2, false));
        assert!(roll.seen(at(0)).all(|seen| seen.age == 0 && !seen.stale), "clocks differ");
        assert!(roll.has_anybody(at(181)) && !roll.has_anybody(at(191)), "silence of thirty seconds is too long");
        roll.take(&event("g/b", r#"{"schema":1,"id":"b","state":"lost","at":190,"every":10}"#));
        assert!(!roll.has_anybody(at(191)) && roll.seen(at(191)).count() == 2, "the lost are shown and do not count");
        roll.take(&event("g/a", ""));
        roll.take(&event("g/b", ""));
        assert_eq!(roll.seen(at(181)).count(), 0);
        roll.take(&event("g/d", r#"{"schema":2,"id":"d"}"#));
        assert_eq!((roll.others(), roll.is_newer()), (1, true));
    }
}
