//! Attempts that fail: errors, panics and timeouts are tried again, and then it ends.

use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerError, HandlerResult};
use tidemill_runtime::{Execution, Key};

use crate::support::*;

/// The wait before each attempt after the first.
fn waits(calls: &[(u32, tokio::time::Instant)]) -> Vec<Duration> {
    calls.windows(2).map(|pair| pair[1].1 - pair[0].1).collect()
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_made_again_after_a_growing_wait() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.retry.max_attempts = 12;
    config.retry.min_delay = Duration::from_millis(100);
    config.retry.max_delay = Duration::from_secs(3);
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let mut made = Vec::new();
    for attempt in 1..=11 {
        let call = calls.next().await;
        assert_eq!(call.attempt, attempt);
        made.push((call.attempt, call.at));
        call.fail("no");
    }
    calls.next().await.ok();
    let mut ceiling = Duration::from_millis(100);
    for wait in waits(&made) {
        ceiling = (ceiling * 2).min(Duration::from_secs(3));
        // One millisecond for the granularity of the clock.
        assert!(wait >= Duration::from_millis(100) && wait <= ceiling + Duration::from_millis(1), "{wait:?}");
    }
    loop {
        match broker.recv().await {
            v5::Packet::PubAck(ack) => break assert_eq!(ack.pkid, 1),
            v5::Packet::PingReq(_) => broker.send(v5::Packet::PingResp(v5::PingResp)).await,
            other => panic!("{other:?}"),
        }
    }
    assert!((rig.metric("tidemill_retries_total", &[]) - 11.0).abs() < 0.5);
    assert!((rig.metric("tidemill_attempts_failed_total", &[]) - 11.0).abs() < 0.5);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_can_say_when_to_try_again() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    let began = call.at;
    call.answer(|_| Err(HandlerError::retry_after(Duration::from_secs(7), "busy")));
    let call = calls.next().await;
    assert_eq!((call.at - began).as_secs(), 7);
    call.ok();
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failed_attempt_and_the_worker_goes_on() {
    for execution in [Execution::Inline, Execution::Spawn] {
        let (handler, mut calls) = Calls::new();
        let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler).execution(execution)));
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/a", Q1, "x").await;
        calls.next().await.answer(|_| panic!("out of luck"));
        let again = calls.next().await;
        assert_eq!(again.attempt, 2);
        again.ok();
        broker.expect_pubacks([1]).await;
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_the_spot_is_a_failed_attempt() {
    let handler = does(|_, cx| if cx.attempt() == 1 { panic!("at once") } else { Ok(()) });
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

/// Panics before it returns a future: at its first attempt, and when it stops.
#[derive(Debug)]
struct PanicsAtOnce;

type Handling<'f> = std::pin::Pin<Box<dyn Future<Output = HandlerResult> + Send + 'f>>;

impl Handler for PanicsAtOnce {
    fn handle<'a: 'f, 'b: 'f, 'c: 'f, 'f>(&'a self, _: &'b Event, cx: &'c mut Context) -> Handling<'f>
    where
        Self: 'f,
    {
        assert!(cx.attempt() > 1, "at once");
        Box::pin(async { Ok(()) })
    }

    fn stop<'a: 'f, 'f>(&'a self) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'f>>
    where
        Self: 'f,
    {
        panic!("to the end")
    }
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_before_it_returns_a_future_has_failed_and_the_worker_goes_on() {
    for execution in [Execution::Inline, Execution::Spawn] {
        let mut rig = Rig::start(config(), |worker| worker.add_route(route(PanicsAtOnce).execution(execution)));
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/a", Q1, "x").await;
        broker.expect_pubacks([1]).await;
        assert_eq!(rig.handle.status().instances[0].epoch, 1);
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_function_that_panics_costs_its_event_the_key_and_nothing_else() {
    let key = |event: &Event| match &event.payload()[..] {
        b"bad" => panic!("no key in here"),
        other => bytes::Bytes::copy_from_slice(other),
    };
    let key = Key::Function(std::sync::Arc::new(key));
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(Fine).key(key)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "bad").await;
    broker.publish(2, "t/a", Q1, "good").await;
    broker.expect_pubacks([1, 2]).await;
    assert_eq!(rig.handle.status().instances[0].epoch, 1);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_is_cut_and_made_again() {
    for execution in [Execution::Inline, Execution::Spawn] {
        let (handler, mut calls) = Calls::new();
        let timed = route(handler).timeout(Duration::from_secs(3)).execution(execution);
        let mut rig = Rig::start(config(), |worker| worker.add_route(timed));
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/a", Q1, "x").await;
        let first = calls.next().await;
        let second = calls.next().await;
        assert!(first.is_cut());
        let between = second.at - first.at;
        assert!(between >= Duration::from_secs(3) && between < Duration::from_secs(4), "{between:?}");
        second.ok();
        broker.expect_pubacks([1]).await;
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_attempt_emitted_is_never_written() {
    let sink = Recording::new();
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::start(config(), |worker| worker.sink("out", sink.clone()).add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.answer(|cx| {
        cx.emit("out", tidemill_core::Record::new("of the first attempt"))?;
        Err(HandlerError::retry("after emitting"))
    });
    calls.next().await.emit("out", &["of the second attempt"]);
    broker.expect_pubacks([1]).await;
    assert_eq!(sink.payloads(), ["of the second attempt"]);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn attempts_end_when_their_time_is_over() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.retry.max_attempts = 0;
    config.retry.max_elapsed = Duration::from_secs(20);
    config.retry.min_delay = Duration::from_secs(1);
    config.retry.max_delay = Duration::from_secs(4);
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let began = tokio::time::Instant::now();
    let failing = tokio::spawn(async move {
        loop {
            calls.next().await.fail("never");
        }
    });
    let mut dead = rig.publishing().await;
    assert!(began.elapsed() <= Duration::from_secs(20));
    let letter = dead.expect_publish().await;
    assert!(header(&letter, "tidemill-attempts").parse::<u32>().unwrap() >= 5);
    assert_eq!(header(&letter, "tidemill-reason"), "elapsed");
    dead.puback(letter.pkid).await;
    failing.abort();
    loop {
        match broker.recv().await {
            v5::Packet::PubAck(ack) => break assert_eq!(ack.pkid, 1),
            v5::Packet::PingReq(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn header<'a>(letter: &'a v5::Publish, name: &str) -> &'a str {
    let headers = &letter.properties.as_ref().unwrap().user_properties;
    headers.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_an_event_is_tried_for_ever() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.retry.max_elapsed = Duration::ZERO;
    config.mqtt.keep_alive = Duration::ZERO;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler).max_attempts(0)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    for attempt in 1..=60 {
        let call = calls.next().await;
        assert_eq!(call.attempt, attempt);
        call.fail("no");
    }
    calls.next().await.ok();
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_that_cannot_be_shown_is_dead_lettered_and_the_worker_goes_on() {
    #[derive(Debug)]
    struct Unshown;
    impl std::fmt::Display for Unshown {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Err(std::fmt::Error)
        }
    }
    impl std::error::Error for Unshown {}

    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.answer(|_| Err(HandlerError::permanent(Unshown)));
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    assert_eq!(header(&letter, "tidemill-error"), "an error that cannot be shown");
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn whatever_delay_a_handler_asks_for_the_worker_goes_on() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    // Time has passed since the first attempt began, to which the delay is added.
    tokio::time::advance(Duration::from_millis(5)).await;
    call.answer(|_| Err(HandlerError::retry_after(Duration::MAX, "never")));
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    assert_eq!(header(&letter, "tidemill-reason"), "elapsed");
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_panics_while_it_is_cut_has_failed_and_the_worker_goes_on() {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            panic!("dropped too early");
        }
    }
    struct Waits;
    #[tidemill_core::async_trait]
    impl Handler for Waits {
        async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
            let _guard = Guard;
            std::future::pending().await
        }
    }

    let mut config = config();
    config.dispatch.timeout = Some(Duration::from_secs(1));
    let mut rig = Rig::start(config, |worker| worker.add_route(route(Waits).max_attempts(1)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    assert_eq!(header(&letter, "tidemill-reason"), "attempts");
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}
