//! Tower's own concurrency limits, alone and in a stack.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidemill_core::{Context, Event, Handler, HandlerResult, async_trait};
use tidemill_runtime::layer::{
    ConcurrencyLimitLayer, GlobalConcurrencyLimitLayer, Layered, Rate, RateLimitLayer, ServiceBuilder, TimeoutLayer,
};
use tokio::time::sleep;

use crate::support::*;

/// A handler that takes ten milliseconds and knows how many of it ran at most.
#[derive(Clone, Debug, Default)]
struct Crowd {
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl Crowd {
    fn most(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Handler for Crowd {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        sleep(10 * MS).await;
        self.running.fetch_sub(1, Ordering::SeqCst);
        Ok(())
    }
}

async fn run(stacks: &[Layered; 2]) {
    let event = event("t");
    let attempts = stacks.iter().flat_map(|stack| std::iter::repeat_n(stack, 20)).map(|stack| {
        let event = event.clone();
        async move { stack.handle(&event, &mut context()).await.unwrap() }
    });
    futures_util::future::join_all(attempts).await;
}

#[tokio::test(start_paused = true)]
async fn a_concurrency_limit_holds_for_each_handler_that_it_is_added_to() {
    let crowd = Crowd::default();
    let limit = ConcurrencyLimitLayer::new(3);
    run(&[(); 2].map(|()| Layered::new(crowd.clone()).layer(limit.clone()))).await;
    assert_eq!(crowd.most(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_global_concurrency_limit_holds_for_all_together() {
    let crowd = Crowd::default();
    let limit = GlobalConcurrencyLimitLayer::new(3);
    run(&[(); 2].map(|()| Layered::new(crowd.clone()).layer(limit.clone()))).await;
    assert_eq!(crowd.most(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stack_of_layers_is_a_layer() {
    let crowd = Crowd::default();
    let stack = ServiceBuilder::new()
        .layer(RateLimitLayer::new(Rate::per_second(1000).burst(1000)))
        .layer(ConcurrencyLimitLayer::new(2))
        .layer(TimeoutLayer::new(15 * MS));
    let layered = Arc::new(Layered::new(crowd.clone()).layer(stack));
    let attempts: Vec<_> = (0..20).map(|_| spawn(&layered, "t")).collect();
    for attempt in attempts {
        attempt.await.unwrap().unwrap();
    }
    assert_eq!(crowd.most(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_cut_gives_its_place_back() {
    let layered = Arc::new(
        Layered::new(Takes(60_000 * MS)).layer(ConcurrencyLimitLayer::new(1)).layer(TimeoutLayer::new(10 * MS)),
    );
    for _ in 0..5 {
        spawn(&layered, "t").await.unwrap().unwrap_err();
    }
}
