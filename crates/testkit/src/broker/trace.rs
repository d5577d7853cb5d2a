//! A bounded record of what happened, in the order in which the broker saw it, for tests that check invariants.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tidemill_core::QoS;
use tokio::time::Instant;

use super::conn::Close;
use super::message::Delivery;

/// One line of the trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traced {
    /// Since the broker was started.
    pub at: Duration,
    /// The client identifier.
    pub client: Arc<str>,
    /// What happened.
    pub what: What,
}

/// What happened to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// It connected.
    Connected {
        /// Whether its session was there.
        session_present: bool,
    },
    /// Its connection ended.
    Disconnected {
        /// Why.
        why: Close,
    },
    /// It asked for a subscription.
    Subscribed {
        /// As it stood in the SUBSCRIBE.
        filter: String,
        /// The reason code of the answer.
        code: u8,
    },
    /// It gave a subscription up.
    Unsubscribed {
        /// As it stood in the UNSUBSCRIBE.
        filter: String,
    },
    /// It published.
    Published {
        /// The topic.
        topic: String,
        /// The packet identifier, 0 at QoS 0.
        pkid: u16,
        /// The QoS it published at.
        qos: QoS,
    },
    /// It was handed an event.
    Sent {
        /// The topic.
        topic: String,
        /// The packet identifier, 0 at QoS 0.
        pkid: u16,
        /// Whether the event may have been handed out before.
        dup: bool,
        /// Whether it came from a sharing group.
        shared: bool,
    },
    /// It acknowledged.
    Acked {
        /// The packet identifier.
        pkid: u16,
        /// Whether the identifier was in use.
        known: bool,
    },
    /// It sent a PINGREQ.
    Pinged,
}

impl What {
    pub(super) fn sent(delivery: &Delivery, shared: bool) -> Self {
        let topic = delivery.message.topic.as_str().to_owned();
        Self::Sent { topic, pkid: delivery.pkid, dup: delivery.dup, shared }
    }
}

#[derive(Debug)]
pub(super) struct Trace {
    capacity: usize,
    start: Instant,
    lines: VecDeque<Traced>,
}

impl Trace {
    pub(super) fn new(capacity: usize, start: Instant) -> Self {
        Self { capacity, start, lines: VecDeque::new() }
    }

    /// Adds a line; the oldest goes when there are too many. Costs a comparison when the trace is off.
    pub(super) fn record(&mut self, client: &Arc<str>, what: impl FnOnce() -> What) {
        if self.capacity == 0 {
            return;
        }
        if self.lines.len() == self.capacity {
            self.lines.pop_front();
        }
        self.lines.push_back(Traced { at: self.start.elapsed(), client: Arc::clone(client), what: what() });
    }

    pub(super) fn lines(&self) -> Vec<Traced> {
        self.lines.iter().cloned().collect()
    }
}

/// The acknowledgements that a client did not send in the order of the events `[MQTT-4.6.0-2]`, or that named no
/// event at all. Give it a whole trace.
#[must_use]
pub fn ack_order_violations(trace: &[Traced]) -> Vec<Traced> {
    let mut owed: HashMap<&str, VecDeque<u16>> = HashMap::new();
    let mut violations = Vec::new();
    for line in trace {
        let owed = owed.entry(&line.client).or_default();
        match &line.what {
            What::Connected { .. } | What::Disconnected { .. } => owed.clear(),
            What::Sent { pkid, .. } if *pkid != 0 => owed.push_back(*pkid),
            What::Acked { pkid, .. } if owed.front() == Some(pkid) => drop(owed.pop_front()),
            What::Acked { pkid, .. } => {
                owed.retain(|other| other != pkid);
                violations.push(line.clone());
            }
            _ => {}
        }
    }
    violations
}
