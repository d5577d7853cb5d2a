//! The probes: each tries one thing with clients and topics of its own, and says what it saw. They run side by side.

pub(super) mod basics;
pub(super) mod death;
pub(super) mod sharing;
pub(super) mod window;

use std::collections::BTreeMap;
use std::time::Duration;

use tidemill_testkit::wire::v5;
use tokio::time::Instant;

use crate::client::{Client, Trouble};

/// How long one member is listened to before it is the next one's turn.
const TURN: Duration = Duration::from_millis(5);

/// The events that members got, acknowledged: per member how often each number came, and in which order.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    members: Vec<Vec<u32>>,
    times: BTreeMap<u32, usize>,
}

impl Gathered {
    /// Different events.
    fn distinct(&self) -> usize {
        self.times.len()
    }

    /// Different events with numbers of that range.
    fn within(&self, range: std::ops::Range<u32>) -> usize {
        self.times.range(range).count()
    }

    /// How often one came that had come before.
    fn again(&self) -> usize {
        self.times.values().map(|times| times - 1).sum()
    }

    /// Whether every member got its events in the order of their numbers.
    fn in_order(&self) -> bool {
        self.members.iter().all(|numbers| numbers.is_sorted())
    }

    fn add(&mut self, member: usize, number: u32) {
        if self.members.len() <= member {
            self.members.resize_with(member + 1, Vec::new);
        }
        self.members[member].push(number);
        *self.times.entry(number).or_default() += 1;
    }

    /// Takes and acknowledges what comes to these members, until there are `want` different events in all, or nothing
    /// comes for `quiet`. Answers when the last one came.
    async fn gather(&mut self, members: &mut [&mut Client], want: usize, quiet: Duration) -> Result<Instant, Trouble> {
        let mut last = Instant::now();
        while self.distinct() < want && last.elapsed() < quiet {
            for (at, member) in members.iter_mut().enumerate() {
                while let Some(event) = member.event(Instant::now() + TURN).await? {
                    member.ack(&event).await?;
                    last = Instant::now();
                    if let Some(number) = number(&event) {
                        self.add(at, number);
                    }
                }
            }
        }
        Ok(last)
    }
}

/// The number of an event.
fn number(event: &v5::Publish) -> Option<u32> {
    std::str::from_utf8(&event.payload).ok()?.parse().ok()
}
