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
    let sink = target.sink();
    if sink.traits().serial {
        return does_not_apply("the engine writes one batch at a time");
    }
    open(&*sink).await;
    let mut all = Vec::new();
    for round in 0..ROUNDS {
        let batches: Vec<(Vec<Record>, Option<usize>)> = (0..WRITES)
            .map(|write| {
                let first = (round * WRITES + write) * RECORDS;
                let mut batch: Vec<Record> =
                    (first..first + RECORDS).map(|number| target.record(number, write)).collect();
                all.extend(batch.iter().cloned());
                // A bad one in every other batch, at different places.
                let bad = target.bad_record().filter(|_| write % 2 == 0);
                let place = bad.map(|mut bad| {
                    let place = batch.len() / 2 + write as usize;
                    bad.key.clone_from(&batch[0].key);
                    batch.insert(place, bad);
                    place
                });
                (batch, place)
            })
            .collect();
        let results = join_all(batches.iter().map(|(batch, _)| deliver(&*sink, batch))).await;
        for (refused, (_, bad)) in results.iter().zip(&batches) {
            let places: Vec<usize> = refused.iter().map(|refused| refused.index).collect();
            assert_eq!(
                places,
                bad.iter().copied().collect::<Vec<_>>(),
                "another write's record is blamed: {refused:?}"
            );
        }
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
