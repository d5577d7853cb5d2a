//! What must be in a target: no loss, no duplicates where they can be known, order where it is promised.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use tidemill_core::{Record, SinkTraits};

use super::{Seen, Target};

/// Records of these numbers over some keys; all of one key are numbered in order.
pub(super) fn records(target: &dyn Target, numbers: std::ops::Range<u32>) -> Vec<Record> {
    const KEYS: u32 = 7;
    numbers.map(|number| target.record(number, number % KEYS)).collect()
}

/// How strictly duplicates are judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeats {
    /// Nothing was written twice, so there is none.
    None,
    /// A write was repeated: none where the sink is idempotent.
    UnlessIdempotent,
}

/// Checks that the target holds these records: all of them, nothing else, not twice, in order.
///
/// # Panics
/// It does not.
pub(super) async fn holds(target: &dyn Target, wanted: &[Record], repeats: Repeats) {
    let seen = target.read_all().await;
    let traits = target.sink().traits();
    let count = |seen: &[Seen]| {
        let mut counts: BTreeMap<Bytes, usize> = BTreeMap::new();
        seen.iter().for_each(|one| *counts.entry(one.payload.clone()).or_default() += 1);
        counts
    };
    let counts = count(&seen);
    let lost: Vec<&Record> = wanted.iter().filter(|record| !counts.contains_key(&record.payload)).collect();
    assert!(lost.is_empty(), "{} of {} records are lost, the first: {:?}", lost.len(), wanted.len(), lost.first());
    let known: HashMap<&Bytes, &Record> = wanted.iter().map(|record| (&record.payload, record)).collect();
    for one in &seen {
        let record = known.get(&one.payload);
        assert!(record.is_some(), "the target holds what was never written: {one:?}");
        let key = record.and_then(|record| record.key.as_ref());
        assert!(one.key.is_none() || one.key.as_ref() == key, "the key of {one:?} should be {key:?}");
    }
    if repeats == Repeats::None || traits.idempotent {
        let twice = counts.iter().find(|(_, count)| **count > 1);
        assert!(twice.is_none(), "a record is there more than once: {twice:?}");
    }
    assert_order(&seen, wanted, traits);
}

/// In an ordered target the first occurrences of the records of a key are in the order in which they were written.
fn assert_order(seen: &[Seen], wanted: &[Record], traits: SinkTraits) {
    if !traits.ordered {
        return;
    }
    let mut first: HashMap<&Bytes, usize> = HashMap::new();
    for (place, one) in seen.iter().enumerate() {
        first.entry(&one.payload).or_insert(place);
    }
    let mut last_of_key: HashMap<Option<&Bytes>, usize> = HashMap::new();
    for record in wanted {
        let place = first.get(&record.payload).copied().unwrap_or(usize::MAX);
        let before = last_of_key.insert(record.key.as_ref(), place);
        assert!(before.is_none_or(|before| before < place), "out of order within its key: {record:?}");
    }
}

/// Says that a case asks for what the target has not.
#[expect(clippy::print_stderr, reason = "for tests")]
pub(super) fn does_not_apply(why: &str) {
    eprintln!("does not apply: {why}");
}
