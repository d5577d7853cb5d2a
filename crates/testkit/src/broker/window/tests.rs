//! The window against a plain map.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use tidemill_core::QoS;
use tidemill_core::topic::TopicName;

use super::{InFlight, Origin, Window};
use crate::broker::message::{Delivery, Ids, Message};

fn entry(pkid: u16, shared: bool) -> InFlight {
    let message = Message {
        topic: TopicName::new("a").unwrap(),
        payload: Bytes::new(),
        qos: QoS::AtLeastOnce,
        retain: false,
        properties: Bytes::new(),
        expiry: None,
        publisher: 0,
    };
    let delivery = Delivery {
        message: Arc::new(message),
        ids: Ids::new(),
        pkid,
        qos: QoS::AtLeastOnce,
        dup: false,
        retain: false,
    };
    let origin = if shared { Origin::Group { group: 1, seq: u64::from(pkid) } } else { Origin::Plain };
    InFlight { delivery, origin, sent: true }
}

#[derive(Clone, Debug)]
enum Step {
    Push { shared: bool },
    Ack(prop::sample::Index),
    AckUnknown(u16),
    Lose,
    Resend(prop::sample::Index),
    TakeShared,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(|shared| Step::Push { shared }),
        4 => any::<prop::sample::Index>().prop_map(Step::Ack),
        1 => any::<u16>().prop_map(Step::AckUnknown),
        1 => Just(Step::Lose),
        1 => any::<prop::sample::Index>().prop_map(Step::Resend),
        1 => Just(Step::TakeShared),
    ]
}

/// What a slot holds: whether it is shared, sent, and a duplicate.
type Model = BTreeMap<u16, (bool, bool, bool)>;

proptest! {
    #[test]
    fn it_holds_what_a_map_holds(start in any::<u16>(), steps in prop::collection::vec(step(), 0..80)) {
        let mut window = Window::new();
        window.first = start.max(1);
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Push { shared } => {
                    let pkid = window.next_pkid().unwrap();
                    prop_assert!(pkid != 0 && !model.contains_key(&pkid));
                    window.push(entry(pkid, shared));
                    model.insert(pkid, (shared, true, false));
                }
                Step::Ack(at) if !model.is_empty() => {
                    let pkid = *at.get(&model.keys().copied().collect::<Vec<_>>());
                    prop_assert_eq!(window.ack(pkid).unwrap().delivery.pkid, pkid);
                    model.remove(&pkid);
                }
                Step::AckUnknown(pkid) => {
                    prop_assert_eq!(window.ack(pkid).is_some(), model.remove(&pkid).is_some());
                }
                Step::Lose => {
                    window.connection_lost(|_| false);
                    for slot in model.values_mut() {
                        *slot = (slot.0, false, slot.2 || slot.1);
                    }
                }
                Step::Resend(at) if !model.is_empty() => {
                    let pkid = *at.get(&model.keys().copied().collect::<Vec<_>>());
                    let slot = model.get_mut(&pkid).unwrap();
                    slot.1 = true;
                    prop_assert_eq!(window.resend(pkid).unwrap().dup, slot.2);
                }
                Step::TakeShared => {
                    let taken: Vec<u16> = window.take_shared().iter().map(|entry| entry.delivery.pkid).collect();
                    let shared = model.iter().filter(|(_, slot)| slot.0).count();
                    prop_assert_eq!(taken.len(), shared);
                    model.retain(|_, slot| !slot.0);
                }
                Step::Ack(_) | Step::Resend(_) => {}
            }
            let mut pkids: Vec<u16> = window.pkids().collect();
            pkids.sort_unstable();
            prop_assert_eq!(&pkids, &model.keys().copied().collect::<Vec<_>>());
            prop_assert_eq!(window.live(), model.len());
            prop_assert_eq!(window.sent(), model.values().filter(|slot| slot.1).count());
        }
    }
}

#[test]
fn identifiers_run_out_only_when_the_oldest_event_blocks_all_of_them() {
    let mut window = Window::new();
    while let Some(pkid) = window.next_pkid() {
        window.push(entry(pkid, false));
    }
    assert_eq!(window.live(), 65_535);
    assert!(window.ack(2).is_some() && window.next_pkid().is_none());
    assert!(window.ack(1).is_some());
    assert_eq!(window.next_pkid(), Some(1));
}
