//! The ledger against a naive model, and the few cases that the verdict is made of.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn seen(device: u32, seq: u32) -> Seen {
    Seen { device, seq, sent_ns: 0, now_ns: 5_000_000, alert: false }
}

fn handle(ledger: &Ledger, member: usize, device: u32, seq: u32) -> Option<u32> {
    ledger.handled(member, "one", seen(device, seq), 1)
}

#[test]
fn an_event_that_is_handed_out_twice_is_a_duplicate_wherever_it_goes() {
    let ledger = Ledger::new(10, 2, 2).unwrap();
    handle(&ledger, 0, 1, 0);
    handle(&ledger, 1, 1, 0);
    handle(&ledger, 1, 1, 0);
    let total = ledger.total();
    assert_eq!((total.handled, total.duplicated, total.out_of_order), (1, 2, 0));
}

#[test]
fn order_is_kept_by_device_and_instance() {
    let ledger = Ledger::new(40, 2, 2).unwrap();
    // Another instance is ahead with this device, and this instance with another device: neither matters.
    handle(&ledger, 1, 0, 7);
    handle(&ledger, 0, 1, 9);
    handle(&ledger, 0, 0, 3);
    assert_eq!(ledger.total().out_of_order, 0);
    handle(&ledger, 0, 0, 2);
    assert_eq!(ledger.total().out_of_order, 1);
}

#[test]
fn what_the_broker_has_and_nobody_handled_is_missing() {
    let ledger = Ledger::new(10, 2, 1).unwrap();
    ledger.published(0, 0);
    ledger.published(1, 4);
    handle(&ledger, 0, 1, 4);
    // Handled although its publication was never confirmed: not missing, and not taken off what is.
    handle(&ledger, 0, 1, 3);
    assert_eq!(ledger.missing(), 1);
}

#[test]
fn an_event_of_another_run_is_none_of_ours() {
    let ledger = Ledger::new(10, 2, 1).unwrap();
    assert_eq!(handle(&ledger, 0, 2, 0), None);
    assert_eq!(handle(&ledger, 0, 0, 5), None);
    assert_eq!(ledger.total().events(), 0);
}

#[test]
fn an_instance_that_replaces_another_has_a_line_of_its_own() {
    let ledger = Ledger::new(10, 2, 1).unwrap();
    assert_eq!(ledger.members().len(), 1);
    assert_eq!(handle(&ledger, 1, 0, 0), Some(1));
    assert_eq!(ledger.members().len(), 2);
    assert_eq!(handle(&ledger, 1000, 0, 1), None);
}

#[test]
fn places_come_back_in_chunks_and_not_for_duplicates() {
    let ledger = Ledger::new(10, 1, 1).unwrap();
    let returned: Vec<_> =
        [0, 1, 1, 2, 3].iter().map(|seq| ledger.handled(0, "one", seen(0, *seq), 3).unwrap()).collect();
    assert_eq!(returned, [0, 0, 0, 3, 0]);
}

#[test]
fn latencies_are_those_from_publishing_to_handling() {
    let ledger = Ledger::new(10, 1, 1).unwrap();
    handle(&ledger, 0, 0, 0);
    let member = &ledger.members()[0];
    assert_eq!(member.id, "one");
    assert!((4_900_000..=5_100_000).contains(&member.p50_ns), "{}", member.p50_ns);
}

proptest! {
    #[test]
    fn the_ledger_counts_like_a_set_and_a_map(
        published in proptest::collection::vec((0_u32..4, 0_u32..10), 0..60),
        handled in proptest::collection::vec((0_usize..3, 0_u32..4, 0_u32..10), 0..120),
    ) {
        let ledger = Ledger::new(40, 4, 3).unwrap();
        for (device, seq) in &published {
            ledger.published(*device, *seq);
        }
        let mut known = BTreeSet::new();
        let mut latest = BTreeMap::new();
        let mut model = Count { last_ns: if handled.is_empty() { 0 } else { 5_000_000 }, ..Count::default() };
        for (member, device, seq) in &handled {
            handle(&ledger, *member, *device, *seq);
            let late = latest.get(&(*member, *device)).is_some_and(|latest| seq <= latest);
            match known.insert((*device, *seq)) {
                true => {
                    model.handled += 1;
                    model.out_of_order += u64::from(late);
                }
                false => model.duplicated += 1,
            }
            let latest = latest.entry((*member, *device)).or_insert(*seq);
            *latest = (*latest).max(*seq);
        }
        prop_assert_eq!(ledger.total(), model);
        let published: BTreeSet<_> = published.into_iter().collect();
        prop_assert_eq!(ledger.missing(), published.difference(&known).count() as u64);
        prop_assert_eq!(ledger.shares().iter().sum::<u64>(), handled.len() as u64);
    }
}
