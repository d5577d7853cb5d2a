//! What wakes a dormant future, when it is polled, and that nothing it is told is missed.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::Cell;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::Dormant;

#[test]
fn it_is_polled_when_it_was_woken_and_not_otherwise() {
    let (polls, waker) = (Cell::new(0), Cell::new(None::<Waker>));
    let mut dormant = Dormant::new(poll_fn(|cx| {
        polls.set(polls.get() + 1);
        waker.set(Some(cx.waker().clone()));
        Poll::<()>::Pending
    }));
    let mut cx = Context::from_waker(Waker::noop());
    for _ in 0..3 {
        assert!(dormant.poll_unpin(&mut cx).is_pending());
    }
    assert_eq!(polls.get(), 1);
    waker.take().unwrap().wake();
    for _ in 0..3 {
        assert!(dormant.poll_unpin(&mut cx).is_pending());
    }
    assert_eq!(polls.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken_by_what_it_waits_for() {
    let (sender, receiver) = oneshot::channel();
    let waiting = tokio::spawn(Dormant::new(receiver));
    tokio::task::yield_now().await;
    sender.send(7).unwrap();
    assert_eq!(waiting.await.unwrap(), Ok(7));
}

#[tokio::test(start_paused = true)]
async fn it_wakes_the_task_that_waits_now_and_not_the_one_that_waited_first() {
    let token = CancellationToken::new();
    let child = token.clone();
    let mut dormant = Dormant::new(async move { child.cancelled().await });
    assert!(dormant.poll_unpin(&mut Context::from_waker(Waker::noop())).is_pending());
    let waiting = tokio::spawn(dormant);
    tokio::task::yield_now().await;
    token.cancel();
    tokio::time::timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_is_set_anew_rings_at_its_new_time_each_time() {
    let began = Instant::now();
    let mut timer = Dormant::new(sleep(Duration::from_secs(5)));
    assert!((&mut timer).now_or_never().is_none());
    for second in [1, 3, 4] {
        timer.stir().reset(began + Duration::from_secs(second));
        (&mut timer).await;
        assert_eq!(began.elapsed(), Duration::from_secs(second));
    }
}

#[tokio::test(start_paused = true)]
async fn what_happens_before_its_first_poll_is_seen() {
    let (sender, mut receiver) = watch::channel(0);
    let dormant = Dormant::new(async move { receiver.changed().await });
    sender.send(1).unwrap();
    dormant.await.unwrap();
}
