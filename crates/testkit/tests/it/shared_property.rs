//! Whatever members and publishers of a group do: no event is lost, none is with two members at once, none comes
//! again without DUP, and no window is exceeded.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use tidemill_testkit::broker::Broker;
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::v5;

use crate::support::*;

const MEMBERS: usize = 3;

#[derive(Clone, Debug)]
enum Step {
    Publish(u8),
    Join {
        member: usize,
        window: u16,
        durable: bool,
    },
    /// Acknowledges the oldest so many.
    Ack {
        member: usize,
        count: usize,
    },
    /// Acknowledges one out of order.
    AckOne {
        member: usize,
        at: prop::sample::Index,
    },
    Unsubscribe {
        member: usize,
    },
    Cut {
        member: usize,
    },
    Disconnect {
        member: usize,
    },
    CutAll,
}

fn step() -> impl Strategy<Value = Step> {
    let member = || 0..MEMBERS;
    prop_oneof![
        4 => (1..20_u8).prop_map(Step::Publish),
        3 => (member(), 1..8_u16, any::<bool>())
            .prop_map(|(member, window, durable)| Step::Join { member, window, durable }),
        4 => (member(), 1..6_usize).prop_map(|(member, count)| Step::Ack { member, count }),
        1 => (member(), any::<prop::sample::Index>()).prop_map(|(member, at)| Step::AckOne { member, at }),
        1 => member().prop_map(|member| Step::Unsubscribe { member }),
        1 => member().prop_map(|member| Step::Cut { member }),
        1 => member().prop_map(|member| Step::Disconnect { member }),
        1 => Just(Step::CutAll),
    ]
}

/// A member as the test sees it.
struct Member {
    client: RawClient,
    window: usize,
    /// Unacknowledged events: identifier and number, in the order of their coming.
    held: Vec<(u16, u32)>,
}

/// The group as it must look from outside.
struct World {
    broker: Broker,
    publisher: RawClient,
    members: BTreeMap<usize, Member>,
    published: u32,
    acked: BTreeSet<u32>,
    /// Everything that was with a member at some time.
    seen: BTreeSet<u32>,
}

impl World {
    async fn new() -> Self {
        let broker = broker().await;
        // It holds the group together, and takes nothing itself.
        let mut anchor = client(&broker, ConnectOptions::new("anchor").expiry(10_000)).await;
        anchor.subscribe("$share/g/a", Q1).await;
        anchor.disconnect().await;
        let publisher = clean(&broker, "publisher").await;
        Self {
            broker,
            publisher,
            members: BTreeMap::new(),
            published: 0,
            acked: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    async fn apply(&mut self, step: Step) {
        match step {
            Step::Publish(count) => {
                for _ in 0..count {
                    self.publisher.publish_acked("a", self.published.to_string()).await;
                    self.published += 1;
                }
            }
            Step::Join { member, window, durable } => {
                let id = format!("member-{member}");
                let options = ConnectOptions::new(id).receive_maximum(window);
                let options = if durable { options.resume(1000) } else { options };
                let mut client = client(&self.broker, options).await;
                client.subscribe("$share/g/a", Q1).await;
                // An earlier connection of the same client is over, whether it knows it or not.
                self.members.insert(member, Member { client, window: usize::from(window), held: Vec::new() });
            }
            Step::Ack { member, count } => {
                if let Some(member) = self.members.get_mut(&member) {
                    for (pkid, number) in member.held.drain(..count.min(member.held.len())).collect::<Vec<_>>() {
                        member.client.puback(pkid).await;
                        self.acked.insert(number);
                    }
                }
            }
            Step::AckOne { member, at } => {
                if let Some(member) = self.members.get_mut(&member)
                    && !member.held.is_empty()
                {
                    let (pkid, number) = member.held.remove(at.index(member.held.len()));
                    member.client.puback(pkid).await;
                    self.acked.insert(number);
                }
            }
            Step::Unsubscribe { member } => {
                if let Some(member) = self.members.get_mut(&member) {
                    member.client.unsubscribe("$share/g/a").await;
                }
            }
            Step::Cut { member } => {
                if self.members.remove(&member).is_some() {
                    let left = self.members.len() + 1;
                    until(|| self.broker.stats().connections == left).await;
                }
            }
            Step::Disconnect { member } => {
                if let Some(mut member) = self.members.remove(&member) {
                    member.client.disconnect().await;
                }
            }
            Step::CutAll => {
                self.broker.kill();
                self.members.clear();
                self.publisher = clean(&self.broker, "publisher").await;
            }
        }
        self.look().await;
    }

    /// Reads what every member was given, and checks it.
    async fn look(&mut self) {
        let mut came = Vec::new();
        for (at, member) in &mut self.members {
            for publish in member.client.ping().await {
                came.push((*at, publish));
            }
        }
        for (at, publish) in came {
            self.check(at, &publish);
        }
    }

    fn check(&mut self, at: usize, publish: &v5::Publish) {
        let number: u32 = text(publish).parse().unwrap();
        assert!(!self.acked.contains(&number), "event {number} came again after it was acknowledged");
        let holders = self.members.values().filter(|member| member.held.iter().any(|(_, other)| *other == number));
        assert_eq!(holders.count(), 0, "event {number} is with two members");
        assert_eq!(publish.dup, !self.seen.insert(number), "DUP of event {number}");
        let member = self.members.get_mut(&at).unwrap();
        member.held.push((publish.pkid, number));
        assert!(member.held.len() <= member.window, "window of {} exceeded", member.window);
        let ids: BTreeSet<u16> = member.held.iter().map(|(pkid, _)| *pkid).collect();
        assert_eq!(ids.len(), member.held.len(), "an identifier is in use twice");
    }

    async fn finish(&mut self) {
        self.apply(Step::Join { member: 0, window: 7, durable: false }).await;
        for _ in 0..2000 {
            for member in 0..MEMBERS {
                self.apply(Step::Ack { member, count: 100 }).await;
            }
            if self.acked.len() == self.published as usize {
                break;
            }
        }
        assert_eq!(self.acked.iter().copied().collect::<Vec<_>>(), (0..self.published).collect::<Vec<_>>());
        let stats = self.broker.stats();
        assert_eq!((stats.queued, stats.inflight, stats.dropped), (0, 0, 0));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

proptest! {
    #[test]
    fn a_group_loses_nothing_and_hands_nothing_out_twice(steps in prop::collection::vec(step(), 1..40)) {
        runtime().block_on(async {
            let mut world = World::new().await;
            for step in steps {
                world.apply(step).await;
            }
            world.finish().await;
        });
    }
}
