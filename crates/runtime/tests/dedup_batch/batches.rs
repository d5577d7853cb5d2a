//! When batches are handed out, and who gets which result.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tidemill_core::{Context, Disposition, Handler, HandlerResult};
use tidemill_runtime::batch::{BatchSettings, Batched};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::support::{Does, MS, context, emitted, event};

fn batched(settings: BatchSettings) -> (Does, Arc<Batched>) {
    let does = Does::default();
    (does.clone(), Arc::new(Batched::new(does, settings)))
}

fn patient() -> BatchSettings {
    BatchSettings::default().linger(MS * 100)
}

/// One attempt: how it ended, and what it emitted.
async fn attempt(batched: &Batched, payload: &str) -> (HandlerResult, Vec<String>) {
    attempt_in(batched, payload, context()).await
}

async fn attempt_in(batched: &Batched, payload: &str, mut cx: Context) -> (HandlerResult, Vec<String>) {
    let result = batched.handle(&event(payload), &mut cx).await;
    (result, emitted(&mut cx))
}

fn told(result: &HandlerResult) -> String {
    result.as_ref().map_or_else(ToString::to_string, |()| "ok".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_waits_for_nothing() {
    let (does, batched) = batched(patient().max_events(3));
    let began = Instant::now();
    let all = join_all(["a", "b", "c"].map(|payload| attempt(&batched, payload))).await;
    assert!(all.iter().all(|(result, _)| result.is_ok()));
    assert_eq!(does.batches(), [["a", "b", "c"]]);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn bytes_fill_a_batch_too_and_a_giant_comes_alone() {
    // The topic counts as one.
    let (does, batched) = batched(patient().max_bytes(10));
    let began = Instant::now();
    let all = ["vwxyz", "abc", "abcdefghijklmnop", "klmnopqrs"];
    join_all(all.map(|payload| attempt(&batched, payload))).await;
    let mut batches = does.batches();
    batches.sort();
    let expected: [&[&str]; 3] = [&["abcdefghijklmnop"], &["klmnopqrs"], &["vwxyz", "abc"]];
    assert_eq!(batches, expected);
    assert_eq!(began.elapsed(), Duration::ZERO, "what has no room for more goes at once");
}

#[tokio::test(start_paused = true)]
async fn the_first_waits_no_longer_than_the_linger() {
    let (does, batched) = batched(patient());
    let began = Instant::now();
    let late = async {
        sleep(MS * 70).await;
        assert!(attempt(&batched, "b").await.0.is_ok());
        began.elapsed()
    };
    let ((), (), waited) = tokio::join!(
        async {
            assert!(attempt(&batched, "a").await.0.is_ok());
            assert_eq!(began.elapsed(), MS * 100);
        },
        async {
            sleep(MS * 101).await;
            assert!(attempt(&batched, "c").await.0.is_ok());
            assert_eq!(began.elapsed(), MS * 201, "the next batch lingers from its own first event on");
        },
        late
    );
    assert_eq!(waited, MS * 100);
    assert_eq!(does.batches(), [vec!["a", "b"], vec!["c"]]);
}

#[tokio::test(start_paused = true)]
async fn without_a_linger_a_batch_is_what_is_there() {
    let (does, batched) = batched(BatchSettings::default().linger(Duration::ZERO));
    let began = Instant::now();
    join_all((0..250).map(|_| attempt(&batched, "x"))).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(does.batches().iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
}

#[tokio::test(start_paused = true)]
async fn settings_of_zero_and_without_end_are_bearable() {
    let (does, one) = batched(BatchSettings::default().max_events(0).max_bytes(0));
    join_all((0..3).map(|_| attempt(&one, "x"))).await;
    assert_eq!(does.batches().len(), 3);
    let (does, endless) = batched(BatchSettings::default().max_events(2).linger(Duration::MAX));
    join_all((0..2).map(|_| attempt(&endless, "x"))).await;
    assert_eq!(does.batches().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_fails_does_not_fail_its_neighbours() {
    let (does, batched) = batched(patient());
    let all = join_all(["a", "b err", "c permanent", "d"].map(|payload| attempt(&batched, payload))).await;
    let results: Vec<_> = all.iter().map(|(result, records)| (told(result), records.join(","))).collect();
    let of = |result: &str, records: &str| (result.to_owned(), records.to_owned());
    assert_eq!(results, [of("ok", "a"), of("b err", ""), of("c permanent", ""), of("ok", "d")]);
    assert_eq!(all[2].0.as_ref().unwrap_err().disposition(), Disposition::Permanent);
    assert_eq!(does.batches().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_batch_may_be_sorted() {
    let (_, batched) = batched(patient());
    let all = join_all(["a sort", "b err", "c"].map(|payload| attempt(&batched, payload))).await;
    assert_eq!(all.iter().map(|(result, _)| told(result)).collect::<Vec<_>>(), ["ok", "b err", "ok"]);
    assert_eq!((&*all[0].1, &*all[2].1), (&["a sort".to_owned()][..], &["c".to_owned()][..]));
}

#[tokio::test(start_paused = true)]
async fn a_missing_result_is_a_failed_attempt() {
    let (_, batched) = batched(patient());
    let all = join_all(["a", "b short", "c"].map(|payload| attempt(&batched, payload))).await;
    let missing = "the batch handler gave 1 results for 3 events; this one has none";
    assert_eq!(all.iter().map(|(result, _)| told(result)).collect::<Vec<_>>(), ["ok", missing, missing]);
    assert_eq!(all[1].0.as_ref().unwrap_err().disposition(), Disposition::Retry);
}

#[tokio::test(start_paused = true)]
async fn with_one_result_too_many_all_have_failed() {
    let (_, batched) = batched(patient());
    for (result, records) in join_all(["a long", "b"].map(|payload| attempt(&batched, payload))).await {
        assert!(told(&result).contains("gave 3 results for 2 events"), "{result:?}");
        assert!(records.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_the_batch_and_nothing_else() {
    let (_, batched) = batched(patient().max_events(2));
    let all = join_all(["a panic", "b", "c", "d"].map(|payload| attempt(&batched, payload))).await;
    let panicked = "the batch handler panicked: out of luck";
    assert_eq!(all.iter().map(|(result, _)| told(result)).collect::<Vec<_>>(), [panicked, panicked, "ok", "ok"]);
}

#[tokio::test(start_paused = true)]
async fn what_failed_once_is_tried_again_alone() {
    let (does, batched) = batched(patient());
    let again = || {
        let mut cx = context();
        cx.next_attempt(std::time::SystemTime::UNIX_EPOCH);
        cx
    };
    let began = Instant::now();
    let all = join_all(["a", "b short", "c err"].map(|payload| attempt_in(&batched, payload, again()))).await;
    assert_eq!(does.batches(), [["a"], ["b short"], ["c err"]]);
    assert_eq!(began.elapsed(), Duration::ZERO, "and waits for nobody");
    assert_eq!((told(&all[0].0), &*all[0].1), ("ok".to_owned(), &["a".to_owned()][..]));
    assert!(told(&all[1].0).contains("gave 0 results for 1 events"), "{:?}", all[1]);
    assert_eq!((told(&all[2].0), all[2].1.len()), ("c err".to_owned(), 0));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_cut_while_its_batch_gathers_leaves_it() {
    let (does, batched) = batched(patient().max_events(3));
    let cut = timeout(MS * 10, attempt(&batched, "cut"));
    let others = async {
        sleep(MS * 20).await;
        let all = join_all(["a", "b", "c"].map(|payload| attempt(&batched, payload))).await;
        assert!(all.iter().all(|(result, _)| result.is_ok()));
    };
    let (cut, ()) = tokio::join!(cut, others);
    assert!(cut.is_err());
    assert_eq!(does.batches(), [["a", "b", "c"]], "its seat is free again");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_everybody_left_is_not_handled() {
    let (does, batched) = batched(patient());
    assert!(timeout(MS * 10, attempt(&batched, "cut")).await.is_err());
    sleep(MS * 200).await;
    assert!(does.batches().is_empty());
    let (result, _) = attempt(&batched, "next").await;
    assert!(result.is_ok());
    assert_eq!(does.batches(), [["next"]]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_cut_while_its_batch_is_handled_does_not_disturb_the_others() {
    let (does, batched) = batched(patient().max_events(2));
    let (cut, kept) = tokio::join!(timeout(MS * 10, attempt(&batched, "cut 50")), attempt(&batched, "kept"));
    assert!(cut.is_err());
    assert!(kept.0.is_ok());
    assert_eq!(does.cut(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_nobody_waits_for_any_more_is_cut() {
    let (does, batched) = batched(patient().max_events(2));
    let began = Instant::now();
    let (a, b) = tokio::join!(timeout(MS * 10, attempt(&batched, "hang")), timeout(MS * 20, attempt(&batched, "b")));
    assert!(a.is_err() && b.is_err());
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert_eq!(does.cut(), 1, "when the last had left");
    assert_eq!(began.elapsed(), MS * 20);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_hangs_does_not_hold_back_the_next() {
    let (_, batched) = batched(patient().max_events(1));
    let hanging = tokio::spawn({
        let batched = Arc::clone(&batched);
        async move { attempt(&batched, "hang").await }
    });
    let (result, _) = attempt(&batched, "next").await;
    assert!(result.is_ok());
    hanging.abort();
}

#[test]
fn a_batch_whose_runtime_is_gone_does_not_trap_the_next_attempts() {
    let (does, batched) = batched(BatchSettings::default().linger(Duration::from_secs(3600)).max_events(2));
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let first = runtime();
    first.block_on(async {
        let other = Arc::clone(&batched);
        tokio::spawn(async move { attempt(&other, "gone").await });
        tokio::task::yield_now().await;
    });
    drop(first);
    runtime().block_on(async {
        advance(MS).await;
        let all = join_all(["a", "b"].map(|payload| attempt(&batched, payload))).await;
        assert!(all.iter().all(|(result, _)| result.is_ok()));
    });
    assert_eq!(does.batches(), [["a", "b"]]);
}
