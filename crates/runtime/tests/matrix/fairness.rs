//! Keys get on with each other: a hot one, many cold ones, and poisoned ones that fail for as long as they are tried.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::prelude::*;
use tidemill_runtime::{Config, Key, Order, Route};
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, config};

/// How long the handler takes.
const TAKES: Duration = Duration::from_millis(5);

/// When which event of which key was through.
#[derive(Clone, Debug, Default)]
struct Through(Arc<Mutex<HashMap<String, Ends>>>);

/// Payload and time, in the order of the ends.
type Ends = Vec<(String, Duration)>;

impl Through {
    fn add(&self, event: &Event, at: Duration) {
        let key = event.capture("key").unwrap().to_owned();
        let text = String::from_utf8(event.payload().to_vec()).unwrap();
        self.0.lock().unwrap().entry(key).or_default().push((text, at));
    }

    /// How many events of a key were through by then.
    fn by(&self, key: &str, then: Duration) -> usize {
        self.0.lock().unwrap().get(key).map_or(0, |events| events.iter().filter(|(_, at)| *at <= then).count())
    }

    /// When the last of the events was through whose keys begin like that, and how many there were.
    fn last(&self, prefix: &str) -> (Duration, usize) {
        let keys = self.0.lock().unwrap();
        let events: Vec<Duration> = keys
            .iter()
            .filter(|(key, _)| key.starts_with(prefix))
            .flat_map(|(_, events)| events.iter().map(|(_, at)| *at))
            .collect();
        (events.iter().max().copied().unwrap_or_default(), events.len())
    }

    /// The payloads of a key in the order they were through.
    fn order(&self, key: &str) -> Vec<usize> {
        self.0.lock().unwrap()[key].iter().map(|(text, _)| text.parse().unwrap()).collect()
    }
}

/// A handler that takes five milliseconds, and fails for every key that begins with `poisoned`.
fn handler(through: &Through) -> impl Handler + use<> {
    let (through, start) = (through.clone(), Instant::now());
    handler_fn(move |event: Event, _: Context| {
        let through = through.clone();
        async move {
            sleep(TAKES).await;
            if event.capture("key").is_some_and(|key| key.starts_with("poisoned")) {
                return Err("poisoned".into());
            }
            through.add(&event, start.elapsed());
            Ok(())
        }
    })
}

fn route(handler: impl Handler) -> Route {
    Route::new("t/{key}", handler).named("t").key(Key::Capture("key".to_owned()))
}

fn event(key: impl std::fmt::Display, number: usize) -> (String, String) {
    (format!("t/{key}"), number.to_string())
}

/// Waits until so many events were handled, and tells how long it took.
async fn handled(bench: &Bench, events: u64) -> Duration {
    let start = Instant::now();
    while bench.handle.status().handled < events {
        assert!(start.elapsed() < Duration::from_secs(24 * 3600), "{:?}", bench.handle.status());
        sleep(Duration::from_millis(50)).await;
    }
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_keys_do_not_wait_for_a_hot_one_nor_it_for_them() {
    for concurrency in [0, 64] {
        let mut config = config(12_000);
        config.dispatch.concurrency = concurrency;
        let through = Through::default();
        let mut bench = Bench::start(config, route(handler(&through))).await;
        // One in eleven is of the hot key.
        let mut events = Vec::new();
        for number in 0..10_000 {
            events.push(event(format!("cold{number}"), 0));
            if number % 10 == 0 {
                events.push(event("hot", number / 10));
            }
        }
        bench.publish(events).await;
        handled(&bench, 11_000).await;

        let places = if concurrency == 0 { 11_000 } else { 64 };
        let (cold, count) = through.last("cold");
        assert_eq!(count, 10_000);
        // All places but one are theirs; each has ceil(10 000 / places) events to handle.
        let ideal = TAKES * (10_000_u32).div_ceil(places - 1);
        assert!(cold <= ideal.mul_f64(1.1) + TAKES * 2, "{concurrency}: the cold keys took {cold:?}, alone {ideal:?}");
        // The hot key has a place all the time.
        let fair = (cold.as_millis() / TAKES.as_millis()) as usize;
        let hot = through.by("hot", cold);
        assert!(hot + 3 >= fair, "{concurrency}: {hot} of the hot key were through, {fair} could be");
        assert!(through.order("hot").is_sorted());
        assert_eq!(through.last("hot").1, 1000);
        let (last, _) = through.last("hot");
        assert!(last <= TAKES * 1001 + TAKES * 2, "{concurrency}: the hot key took {last:?}");
        assert_eq!(bench.leave().await.handled, 11_000);
    }
}

/// A poisoned event is tried three times, with ten minutes in between.
fn patient(window: u16) -> Config {
    let mut config = config(window);
    config.retry.max_attempts = 3;
    config.retry.max_elapsed = Duration::ZERO;
    config.retry.min_delay = Duration::from_secs(600);
    config.retry.max_delay = Duration::from_secs(600);
    config
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_key_holds_back_no_other() {
    let through = Through::default();
    let mut bench = Bench::start(patient(2000), route(handler(&through))).await;
    let mut events = vec![event("poisoned", 0), event("poisoned", 1)];
    events.extend((0..1000).map(|number| event(format!("key{}", number % 50), number)));
    bench.publish(events).await;
    let took = handled(&bench, 1000).await;
    // Twenty of each key, one after another.
    assert!(took <= TAKES * 40, "{took:?}");
    let status = bench.handle.status();
    assert_eq!((status.dead_lettered, status.unfinished), (0, 2), "the poisoned ones are still tried");
    for key in 0..50 {
        assert!(through.order(&format!("key{key}")).is_sorted());
    }
    let summary = bench.leave().await;
    assert_eq!((summary.handled, summary.dead_lettered), (1000, 2));
}

#[tokio::test(start_paused = true)]
async fn what_is_tried_again_holds_back_nothing_where_no_order_is_kept() {
    let through = Through::default();
    let route = route(handler(&through)).order(Order::Unordered);
    let mut bench = Bench::start(patient(2000), route).await;
    let mut events = vec![event("poisoned", 0)];
    events.extend((0..500).map(|number| event("same", number)));
    bench.publish(events).await;
    let took = handled(&bench, 500).await;
    assert!(took <= Duration::from_millis(60), "{took:?}");
    let summary = bench.leave().await;
    assert_eq!((summary.handled, summary.dead_lettered), (500, 1));
}

/// What waits for its next attempt runs no handler, so it takes none of the places.
#[tokio::test(start_paused = true)]
async fn what_waits_for_its_next_attempt_takes_no_place_of_a_handler() {
    for order in [Order::Keyed, Order::Unordered] {
        let mut config = patient(2000);
        config.dispatch.concurrency = 2;
        let through = Through::default();
        let mut bench = Bench::start(config, route(handler(&through)).order(order)).await;
        let mut events: Vec<_> = (0..5).map(|number| event(format!("poisoned{number}"), 0)).collect();
        events.extend((0..100).map(|number| event(format!("key{number}"), 0)));
        bench.publish(events).await;
        let took = handled(&bench, 100).await;
        assert!(took < Duration::from_secs(1), "{order:?}: {took:?}");
        assert_eq!(bench.leave().await.dead_lettered, 5);
    }
}
