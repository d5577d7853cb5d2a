//! Load control finds what a dependency can take, and gives places back whatever becomes of an attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerError, HandlerResult, async_trait};
use tidemill_runtime::layer::{Layered, LoadControlLayer, TimeoutLayer};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::support::*;

/// A dependency that serves `capacity` requests at a time in ten milliseconds, and more of them more slowly.
#[derive(Clone, Debug)]
struct Dependency {
    capacity: Arc<AtomicU32>,
    running: Arc<AtomicU32>,
}

impl Dependency {
    fn new(capacity: u32) -> Self {
        Self { capacity: Arc::new(AtomicU32::new(capacity)), running: Arc::default() }
    }
}

#[async_trait]
impl Handler for Dependency {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        let running = self.running.fetch_add(1, Ordering::SeqCst) + 1;
        let slower = f64::from(running) / f64::from(self.capacity.load(Ordering::SeqCst));
        sleep((10 * MS).mul_f64(slower.max(1.0))).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

/// Keeps so many attempts on the way until so many have ended.
async fn load(layered: &Arc<Layered>, at_a_time: usize, attempts: usize) {
    let mut running = JoinSet::new();
    for _ in 0..attempts {
        if running.len() >= at_a_time {
            running.join_next().await.unwrap().unwrap();
        }
        let layered = Arc::clone(layered);
        running.spawn(async move { drop(layered.handle(&event("t"), &mut context()).await) });
    }
    running.join_all().await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_follows_what_the_dependency_can_take() {
    let dependency = Dependency::new(40);
    let control = LoadControlLayer::new(15 * MS).between(1, 400);
    let layered = Arc::new(Layered::new(dependency.clone()).layer(control.clone()));
    assert_eq!(control.limit(), 400);
    for capacity in [40, 10, 80] {
        dependency.capacity.store(capacity, Ordering::SeqCst);
        load(&layered, 500, 30_000).await;
        // Within the target there is room for half as much again.
        let (least, most) = (capacity, capacity * 16 / 10);
        let limit = u32::try_from(control.limit()).unwrap();
        assert!((least..=most).contains(&limit), "{limit} for {capacity}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_that_may_pass_shrink_the_limit_and_permanent_ones_do_not() {
    let cases: [(fn() -> HandlerError, usize); 2] =
        [(|| HandlerError::permanent("bad payload"), 100), (|| HandlerError::retry("refused"), 2)];
    for (fails, expected) in cases {
        let control = LoadControlLayer::new(Duration::from_secs(1)).between(2, 100);
        let handler = Does(move |_: &Event, _: &mut Context| Err(fails()));
        load(&Arc::new(Layered::new(handler).layer(control.clone())), 100, 1000).await;
        assert_eq!(control.limit(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_cut_gives_its_place_back_and_counts_as_overload() {
    let control = LoadControlLayer::new(10 * MS).between(1, 10);
    let hangs = Layered::new(Takes(Duration::from_secs(3600))).layer(TimeoutLayer::new(20 * MS)).layer(control.clone());
    let hangs = Arc::new(hangs);
    load(&hangs, 10, 200).await;
    assert_eq!(control.limit(), 1);
    let fine = Arc::new(Layered::new(Takes(MS)).layer(control.clone()));
    load(&fine, 50, 200).await;
    assert_eq!(control.limit(), 10);
}

#[tokio::test(start_paused = true)]
async fn attempts_that_go_away_while_they_wait_leave_no_hole() {
    let control = LoadControlLayer::new(Duration::from_secs(3600)).between(1, 1);
    let layered = Arc::new(Layered::new(Takes(10 * MS)).layer(control));
    let mut attempts: Vec<_> = (0..100).map(|_| spawn(&layered, "t")).collect();
    settle().await;
    for attempt in attempts.iter().skip(1).step_by(2) {
        attempt.abort();
    }
    for attempt in attempts.drain(..).step_by(2) {
        attempt.await.unwrap().unwrap();
    }
}
