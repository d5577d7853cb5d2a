//! The route's timeout around a stack: it cuts whatever hangs, and leaves alone what waits for its turn.

use std::sync::Arc;
use std::time::Duration;

use tidemill_core::{Context, Disposition, Event, Handler, HandlerResult, async_trait};
use tidemill_runtime::layer::{Attempt, ConcurrencyLimitLayer, HandlerLayer, Layered, Next, TimeoutLayer, from_fn};
use tokio::time::{Instant, sleep};

use crate::support::*;

const SECOND: Duration = Duration::from_secs(1);

/// A layer that waits for its turn.
fn waiting(turn: Duration) -> impl HandlerLayer {
    from_fn(move |mut attempt: Attempt, next: Next| async move {
        attempt.wait(sleep(turn)).await;
        next.run(attempt).await
    })
}

/// A layer that does something that takes time.
fn busy(time: Duration) -> impl HandlerLayer {
    from_fn(move |attempt: Attempt, next: Next| async move {
        sleep(time).await;
        next.run(attempt).await
    })
}

async fn timed(layered: &Layered) -> (HandlerResult, Duration) {
    let started = Instant::now();
    let result = attempt(layered, &event("t")).await.0;
    (result, started.elapsed())
}

#[track_caller]
fn assert_about(took: Duration, expected: Duration) {
    // Timers are exact to a millisecond.
    assert!(took >= expected && took <= expected + 2 * MS, "{took:?} instead of {expected:?}");
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_cut_and_tried_again() {
    let (result, took) = timed(&Layered::new(Takes(60 * SECOND)).layer(waiting(Duration::ZERO)).timeout(SECOND)).await;
    let error = result.unwrap_err();
    assert_eq!(error.disposition(), Disposition::Retry);
    assert!(error.to_string().contains("timeout"), "{error}");
    assert_about(took, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_layer_that_takes_too_long_is_cut() {
    let (result, took) = timed(&Layered::new(Fine).layer(busy(60 * SECOND)).timeout(SECOND)).await;
    result.unwrap_err();
    assert_about(took, SECOND);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_turn_does_not_use_up_the_timeout() {
    let layered =
        Layered::new(Takes(SECOND)).layer(waiting(60 * SECOND)).layer(busy(SECOND)).layer(waiting(60 * SECOND));
    let (result, took) = timed(&layered.timeout(3 * SECOND)).await;
    result.unwrap();
    assert_about(took, 122 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_of_the_timeout_after_a_wait_is_not_more_than_before() {
    let layered = Layered::new(Takes(5 * SECOND)).layer(busy(SECOND)).layer(waiting(60 * SECOND)).timeout(3 * SECOND);
    let (result, took) = timed(&layered).await;
    result.unwrap_err();
    assert_about(took, 63 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_that_the_handler_sees_moves_along_with_waits() {
    struct Sees;
    #[async_trait]
    impl Handler for Sees {
        async fn handle(&self, _: &Event, cx: &mut Context) -> HandlerResult {
            let left = cx.deadline().unwrap() - Instant::now().into_std();
            assert!(left <= 3 * SECOND && left >= 3 * SECOND - 2 * MS, "{left:?}");
            Ok(())
        }
    }
    let layered = Layered::new(Sees).layer(waiting(SECOND)).layer(waiting(10 * SECOND)).timeout(3 * SECOND);
    timed(&layered).await.0.unwrap();
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_place_of_towers_concurrency_limit_does_not_use_up_the_timeout() {
    let limited = || Layered::new(Takes(SECOND)).timeout(2 * SECOND);
    let outermost = limited().layer(ConcurrencyLimitLayer::new(1));
    let inside = limited().layer(waiting(MS)).layer(ConcurrencyLimitLayer::new(1));
    for layered in [outermost, inside].map(Arc::new) {
        let attempts: Vec<_> = (0..10).map(|_| spawn(&layered, "t")).collect();
        for attempt in attempts {
            attempt.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_layer_cuts_what_is_inside_of_it_and_means_retry() {
    let layered = Layered::new(Takes(60 * SECOND)).layer(emitting("a1", "a2")).layer(TimeoutLayer::new(SECOND));
    let (result, took) = timed(&layered).await;
    assert_eq!(result.unwrap_err().disposition(), Disposition::Retry);
    assert_about(took, SECOND);
}
