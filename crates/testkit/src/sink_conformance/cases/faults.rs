//! While something fails. What fails is repeated as the engine repeats it.

use std::time::Duration;

use tidemill_core::{Record, Sink, SinkErrorKind, report};
use tokio::time::{Instant, sleep, timeout};

use super::super::deliver::{PATIENCE, deliver, open, write};
use super::super::judge::{Repeats, does_not_apply, holds, records};
use super::super::{Seen, Target};
use crate::fault::Link;

/// How long a write may take that hears no answer, in the one case that waits for it.
const UNHEARD: Duration = Duration::from_secs(2);
/// The faults of a run are the same every time.
const SEED: u64 = 7;

/// A write during an outage ends as unavailable; repeated after it, everything is there.
///
/// # Panics
/// A record is lost, or the outage is reported as something else.
pub async fn an_outage_loses_nothing(target: &dyn Target) {
    if !target.capabilities().outage {
        return does_not_apply("the target has no outage");
    }
    let sink = target.sink();
    open(&*sink).await;
    let all = records(target, 0..40);
    assert_eq!(deliver(&*sink, &all[..20]).await, []);
    target.outage().await;
    must_be_unavailable(&*sink, &all[20..]).await;
    target.recover().await;
    assert_eq!(deliver(&*sink, &all[20..]).await, []);
    holds(target, &all, Repeats::UnlessIdempotent).await;
}

/// A connection that goes silent does not keep a write for ever, and the next try takes another one.
///
/// # Panics
/// The write hangs, or does not end as unavailable, or a record is lost.
pub async fn silence_ends_as_unavailable(target: &dyn Target) {
    let Some(proxy) = target.proxy() else { return does_not_apply("the sink speaks to no server") };
    let sink = target.sink();
    open(&*sink).await;
    let all = records(target, 0..20);
    assert_eq!(deliver(&*sink, &all[..10]).await, []);
    proxy.faults().links().iter().for_each(Link::half_open);
    // A sink that connects anew for every write does not notice.
    if let Err(error) = write(&*sink, &all[10..]).await {
        assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{}", report(&error));
    }
    assert_eq!(deliver(&*sink, &all[10..]).await, []);
    holds(target, &all, Repeats::UnlessIdempotent).await;
}

/// The connection ends after the server has taken a batch and before the sink has heard so; the batch is repeated.
///
/// # Panics
/// A record is lost, or is there twice although the sink is idempotent.
pub async fn an_answer_that_is_lost_costs_no_record(target: &dyn Target) {
    let Some(proxy) = target.proxy() else { return does_not_apply("the sink speaks to no server") };
    let sink = target.sink();
    open(&*sink).await;
    let all = records(target, 0..20);
    assert_eq!(deliver(&*sink, &all[..10]).await, []);
    let before = target.read_all().await.len();
    proxy.faults().links().iter().for_each(Link::lose_answers);
    let arrival = async {
        let unheard = Instant::now();
        // A server that waits for a second question before it keeps the batch never has more.
        while target.read_all().await.len() == before && unheard.elapsed() < UNHEARD {
            sleep(Duration::from_millis(10)).await;
        }
        proxy.faults().cut_all();
    };
    let (result, ()) = tokio::join!(write(&*sink, &all[10..]), arrival);
    if let Err(error) = result {
        assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{}", report(&error));
    }
    assert_eq!(deliver(&*sink, &all[10..]).await, []);
    holds(target, &all, Repeats::UnlessIdempotent).await;
}

/// Connections are cut at many different moments of a write.
///
/// # Panics
/// A record is lost, or is there twice although the sink is idempotent.
pub async fn cuts_at_any_moment_cost_no_record(target: &dyn Target) {
    let Some(proxy) = target.proxy() else { return does_not_apply("the sink speaks to no server") };
    let sink = target.sink();
    open(&*sink).await;
    let mut random = fastrand::Rng::with_seed(SEED);
    let all = records(target, 0..400);
    for batch in all.chunks(10) {
        let wait = Duration::from_micros(random.u64(..4000));
        let cut = async {
            sleep(wait).await;
            proxy.faults().cut_all();
        };
        let (refused, ()) = tokio::join!(deliver(&*sink, batch), cut);
        assert_eq!(refused, []);
    }
    holds(target, &all, Repeats::UnlessIdempotent).await;
}

/// A write that is given up at any point, and then repeated on the same sink.
///
/// # Panics
/// A record is lost, or is there twice although the sink is idempotent.
pub async fn a_dropped_write_that_is_repeated_loses_nothing(target: &dyn Target) {
    let sink = target.sink();
    open(&*sink).await;
    let mut random = fastrand::Rng::with_seed(SEED);
    let all = records(target, 0..200);
    for batch in all.chunks(10) {
        let patience = Duration::from_micros(random.u64(..2000));
        // Confirmed in time: so it needs no repetition, and gets one all the same.
        _ = timeout(patience, sink.write(batch)).await;
        assert_eq!(deliver(&*sink, batch).await, []);
    }
    settle(target, all.len()).await;
    holds(target, &all, Repeats::UnlessIdempotent).await;
}

/// Waits until what dropped writes began has ended: the target shows the same twice in a row.
async fn settle(target: &dyn Target, least: usize) {
    let began = Instant::now();
    let mut last: Vec<Seen> = target.read_all().await;
    loop {
        sleep(Duration::from_millis(50)).await;
        let now = target.read_all().await;
        if (now == last && now.len() >= least) || began.elapsed() > PATIENCE / 10 {
            return;
        }
        last = now;
    }
}

async fn must_be_unavailable(sink: &dyn Sink, batch: &[Record]) {
    match write(sink, batch).await {
        Ok(()) => assert!(batch.is_empty(), "a write without a server was confirmed"),
        Err(error) => assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{}", report(&error)),
    }
}
