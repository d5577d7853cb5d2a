//! Rate limits: evenly spaced, first come, first served, for all or for each key, and never a wait that counts against
//! the handler.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidemill_core::{Event, Handler};
use tidemill_runtime::layer::{Layered, Rate, RateLimitLayer};
use tokio::time::{Instant, sleep};

use crate::support::*;

async fn all(attempts: Vec<tokio::task::JoinHandle<tidemill_core::HandlerResult>>) {
    for attempt in attempts {
        attempt.await.unwrap().unwrap();
    }
}

fn per_topic(rate: Rate) -> RateLimitLayer {
    RateLimitLayer::new(rate).per_key(|event: &Event| event.topic().to_owned())
}

#[tokio::test(start_paused = true)]
async fn attempts_are_spaced_evenly() {
    let begins = Begins::new();
    let layered = Arc::new(Layered::new(begins.clone()).layer(RateLimitLayer::new(Rate::per_second(10))));
    all((0..5).map(|_| spawn(&layered, "t")).collect()).await;
    let expected = [0, 100, 200, 300, 400];
    for (time, expected) in begins.times().into_iter().zip(expected) {
        assert!((expected..=expected + 5).contains(&time), "{time} instead of {expected}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_goes_at_once_and_fills_up_again() {
    let begins = Begins::new();
    let layered = Arc::new(Layered::new(begins.clone()).layer(RateLimitLayer::new(Rate::per_second(10).burst(3))));
    all((0..4).map(|_| spawn(&layered, "t")).collect()).await;
    assert_eq!(begins.times()[..3], [0, 0, 0]);
    assert!((100..=102).contains(&begins.times()[3]), "{:?}", begins.times());
    sleep(Duration::from_secs(10)).await;
    let before = Instant::now();
    all((0..3).map(|_| spawn(&layered, "t")).collect()).await;
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn first_come_first_served() {
    let begins = Begins::new();
    let layered = Arc::new(Layered::new(begins.clone()).layer(RateLimitLayer::new(Rate::per_second(100))));
    let mut attempts = Vec::new();
    for number in 0..50 {
        attempts.push(spawn(&layered, &number.to_string()));
        // So that some come while others wait, at odd times.
        sleep(MS * (number % 4)).await;
    }
    all(attempts).await;
    assert_eq!(begins.topics(), (0..50).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_just_when_there_is_room_does_not_overtake() {
    let layered = Layered::new(Fine).layer(RateLimitLayer::new(Rate::per_second(10)));
    attempt(&layered, &event("t")).await.0.unwrap();
    let event = event("t");
    let (mut first_cx, mut second_cx) = (context(), context());
    let mut first = layered.handle(&event, &mut first_cx);
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    // There is room now, and the first has not been asked again yet.
    tokio::time::advance(150 * MS).await;
    let mut second = layered.handle(&event, &mut second_cx);
    assert!(futures_util::poll!(second.as_mut()).is_pending());
    assert!(futures_util::poll!(first.as_mut()).is_ready());
    second.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_key_over_its_limit_slows_no_other() {
    let begins = Begins::new();
    let layered = Arc::new(Layered::new(begins.clone()).layer(per_topic(Rate::per_second(1))));
    let mut attempts: Vec<_> = (0..30).map(|_| spawn(&layered, "hot")).collect();
    settle().await;
    attempts.extend((0..10_000).map(|device| spawn(&layered, &format!("device/{device}"))));
    sleep(MS).await;
    let begun = begins.topics().iter().filter(|topic| topic.starts_with("device/")).count();
    assert_eq!(begun, 10_000);
    assert_eq!(begins.times_of("hot"), [0]);
    all(attempts).await;
    assert!(*begins.times_of("hot").last().unwrap() >= 29_000);
}

#[tokio::test(start_paused = true)]
async fn handlers_with_the_same_layer_share_its_limit() {
    let begins = Begins::new();
    for layer in [RateLimitLayer::new(Rate::per_second(10)), per_topic(Rate::per_second(10))] {
        let started = Instant::now();
        let (one, two) = (Layered::new(begins.clone()).layer(layer.clone()), Layered::new(begins.clone()).layer(layer));
        for _ in 0..5 {
            attempt(&one, &event("t")).await.0.unwrap();
            attempt(&two, &event("t")).await.0.unwrap();
        }
        assert!(started.elapsed() >= Duration::from_millis(900), "{:?}", started.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_cut_while_it_waits_takes_nothing() {
    let begins = Begins::new();
    let layered = Arc::new(Layered::new(begins.clone()).layer(RateLimitLayer::new(Rate::per_second(1))));
    attempt(&layered, &event("first")).await.0.unwrap();
    let cut: Vec<_> = (0..100).map(|_| spawn(&layered, "cut")).collect();
    settle().await;
    let last = spawn(&layered, "last");
    sleep(500 * MS).await;
    cut.iter().for_each(tokio::task::JoinHandle::abort);
    last.await.unwrap().unwrap();
    assert_eq!(begins.topics(), ["first", "last"]);
    assert!((1000..=1002).contains(&begins.times()[1]), "{:?}", begins.times());
}

#[tokio::test(start_paused = true)]
async fn waiting_for_the_rate_is_not_held_against_the_handler() {
    let layered = Layered::new(Takes(500 * MS)).layer(RateLimitLayer::new(Rate::per_minute(1))).timeout(1000 * MS);
    let layered = Arc::new(layered);
    all((0..10).map(|_| spawn(&layered, "t")).collect()).await;
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_thousands_is_reached() {
    let layered = Layered::new(Fine).layer(RateLimitLayer::new(Rate::per_second(20_000)));
    let started = Instant::now();
    let (event, mut cx) = (event("t"), context());
    for _ in 0..20_000 {
        layered.handle(&event, &mut cx).await.unwrap();
    }
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(940) && took <= Duration::from_millis(1010), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn keys_beyond_those_remembered_begin_anew() {
    let layered = Layered::new(Fine).layer(per_topic(Rate::per_hour(1)).max_keys(100));
    let started = Instant::now();
    for key in 0..1000 {
        attempt(&layered, &event(&format!("key/{key}"))).await.0.unwrap();
    }
    attempt(&layered, &event("key/0")).await.0.unwrap();
    assert_eq!(started.elapsed(), Duration::ZERO);
    attempt(&layered, &event("key/999")).await.0.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(3599));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the arrivals: in no stretch of time do more begin than the burst and what the rate adds meanwhile, and
    /// nobody waits while there is room.
    #[test]
    fn never_faster_than_the_rate_and_hardly_slower(
        rate in 1_u32..300,
        burst in 1_u32..20,
        gaps in prop::collection::vec(prop_oneof![Just(0_u32), 0_u32..50, 100_u32..3000], 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let begins = runtime.block_on(async {
            let begins = Begins::new();
            let limit = RateLimitLayer::new(Rate::per_second(rate).burst(burst));
            let layered = Arc::new(Layered::new(begins.clone()).layer(limit));
            let mut attempts = Vec::new();
            for gap in &gaps {
                sleep(MS * *gap).await;
                attempts.push(spawn(&layered, "t"));
                settle().await;
            }
            all(attempts).await;
            begins.times()
        });
        let (rate, burst) = (f64::from(rate), f64::from(burst));
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let begins: Vec<f64> = begins.into_iter().map(|ms| ms as f64 / 1000.0).collect();
        for (first, from) in begins.iter().enumerate() {
            for (last, to) in begins.iter().enumerate().skip(first) {
                let begun = f64::from(u32::try_from(last - first + 1).unwrap());
                prop_assert!(begun <= burst + rate * (to - from + 0.002) + 0.01, "{begun} from {from} to {to}");
            }
        }
        // A bucket of tokens, walked along the arrivals; one that waits may be two milliseconds late.
        let mut arrived = 0.0;
        let (mut tokens, mut at) = (burst, 0.0);
        for (gap, begun) in gaps.iter().zip(&begins) {
            arrived += f64::from(*gap) / 1000.0;
            let from = f64::max(arrived, at);
            tokens = f64::min(burst, tokens + (from - at) * rate);
            let ideal = if tokens >= 1.0 { from } else { from + (1.0 - tokens) / rate };
            prop_assert!(*begun <= ideal + 0.003, "{begun} instead of {ideal}");
            // Go on from what really happened, so that lateness does not add up.
            tokens = f64::min(burst, tokens + (begun - from).max(0.0) * rate) - 1.0;
            at = *begun;
        }
    }
}
