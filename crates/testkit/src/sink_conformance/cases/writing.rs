//! While all is well.

use futures_util::future::join_all;
use tidemill_core::Record;

use super::super::Target;
use super::super::deliver::{deliver, open};
use super::super::judge::{Repeats, does_not_apply, holds, records};

/// What `write` confirmed is in the target at once, batch by batch.
///
/// # Panics
/// It is not.
pub async fn what_was_confirmed_can_be_read(target: &dyn Target) {
    let sink = target.sink();
    open(&*sink).await;
    let mut written = Vec::new();
    for numbers in [0..1, 1..4, 4..24] {
        let batch = records(target, numbers);
        assert_eq!(deliver(&*sink, &batch).await, []);
        written.extend(batch);
        holds(target, &written, Repeats::None).await;
    }
}

/// A batch of thousands of records is written whole.
///
/// # Panics
/// It is not.
pub async fn a_big_batch_is_written_whole(target: &dyn Target) {
    let sink = target.sink();
    open(&*sink).await;
    let batch = records(target, 0..target.capabilities().big_batch);
    assert_eq!(deliver(&*sink, &batch).await, []);
    holds(target, &batch, Repeats::None).await;
}

/// Records of one key are in the target in the order in which they were written.
///
/// # Panics
/// They are not.
pub async fn records_of_a_key_stay_in_order(target: &dyn Target) {
    let sink = target.sink();
    if !sink.traits().ordered {
        return does_not_apply("the sink promises no order");
    }
    open(&*sink).await;
    let all = records(target, 0..210);
    for batch in all.chunks(30) {
        assert_eq!(deliver(&*sink, batch).await, []);
    }
    holds(target, &all, Repeats::None).await;
}

/// Several writes at once do not get into each other's way: each says of its own records what became of them. As the
/// engine keeps it, no two of them hold records of one key.
///
/// # Panics
/// They do.
pub async fn several_writes_at_once_all_arrive(target: &dyn Target) {
    const ROUNDS: u32 = 3;
    const WRITES: u32 = 8;
    const RECORDS: u32 = 20;
    /// Above that of any bad record.
    const FIRST_KEY: u32 = 100;
    let sink = target.sink();
    if sink.traits().serial {
        return does_not_apply("the engine writes one batch at a time");
    }
    open(&*sink).await;
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let mut batches: Vec<Vec<Record>> = Vec::new();
        for write in 0..WRITES {
            let first = (round * WRITES + write) * RECORDS;
            batches.push((first..first + RECORDS).map(|number| target.record(number, FIRST_KEY + write)).collect());
        }
        all.extend(batches.concat());
        let mut bad = vec![Vec::new(); batches.len()];
        // In the write that begins last, so that others hear of theirs before.
        if let (Some(record), Some(batch), Some(bad)) = (target.bad_record(), batches.last_mut(), bad.last_mut()) {
            bad.push(batch.len() / 2);
            batch.insert(batch.len() / 2, record);
        }
        let results = join_all(batches.iter().map(|batch| deliver(&*sink, batch))).await;
        let refused: Vec<Vec<usize>> =
            results.iter().map(|refused| refused.iter().map(|refused| refused.index).collect()).collect();
        assert_eq!(refused, bad, "another write's record is blamed: {results:?}");
    }
    holds(target, &all, Repeats::None).await;
}

/// A record whose idempotency key is known already is in the target once: when its batch is repeated, when another
/// worker writes it, beside new ones.
///
/// # Panics
/// It is there twice, or a new record is not there.
pub async fn a_known_idempotency_key_is_written_once(target: &dyn Target) {
    let (one, other) = (target.sink(), target.sink());
    if !one.traits().idempotent {
        return does_not_apply("the sink promises no idempotence");
    }
    open(&*one).await;
    open(&*other).await;
    let all = records(target, 0..30);
    assert_eq!(deliver(&*one, &all[..20]).await, []);
    assert_eq!(deliver(&*one, &all[..20]).await, []);
    assert_eq!(deliver(&*other, &all[10..]).await, []);
    holds(target, &all, Repeats::UnlessIdempotent).await;
}
