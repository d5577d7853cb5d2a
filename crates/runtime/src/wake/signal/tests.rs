//! A signal against every order of telling and waiting, and between two threads.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::yield_now;

use super::Signal;

#[test]
fn what_is_told_before_anybody_waits_is_found_once() {
    let signal = Signal::default();
    signal.tell();
    signal.tell();
    assert_eq!(signal.told().now_or_never(), Some(()));
    assert_eq!(signal.told().now_or_never(), None);
}

#[test]
fn a_wait_that_is_given_up_takes_nothing_with_it() {
    let signal = Signal::default();
    assert_eq!(signal.told().now_or_never(), None);
    signal.tell();
    assert_eq!(signal.told().now_or_never(), Some(()));
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_woken() {
    let signal = Arc::new(Signal::default());
    let told = Arc::clone(&signal);
    let waiting = tokio::spawn(async move { told.told().await });
    yield_now().await;
    signal.tell();
    tokio::time::timeout(Duration::from_secs(1), waiting).await.unwrap().unwrap();
}

/// Tells and waits on two threads: were one lost, this would not end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_between_threads() {
    const ROUNDS: usize = 20_000;
    let (there, back) = (Arc::new(Signal::default()), Arc::new(Signal::default()));
    let (other_there, other_back) = (Arc::clone(&there), Arc::clone(&back));
    let other = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            other_there.told().await;
            other_back.tell();
        }
    });
    let this = tokio::spawn(async move {
        for _ in 0..ROUNDS {
            there.tell();
            back.told().await;
        }
    });
    tokio::time::timeout(Duration::from_secs(60), async { (this.await.unwrap(), other.await.unwrap()) }).await.unwrap();
}
