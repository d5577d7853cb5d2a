//! Leaving ends in time, whatever hangs; what is left stays unacknowledged and is counted (G10).

use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerResult, Record, Sink, SinkError, async_trait};
use tidemill_runtime::{Execution, RunErrorKind, Shutdown, WorkerBuilder};
use tokio_util::sync::CancellationToken;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_ends_with_the_drains_deadline_and_its_event_stays_unacknowledged() {
    for version in BOTH {
        let (handler, mut calls) = Calls::new();
        let mut config = config_of(version);
        config.drain.deadline = Duration::from_secs(12);
        let mut rig = Rig::with_handler(config, handler);
        let mut broker = rig.subscribed().await;
        for (pkid, text) in [(1, "fine"), (2, "hangs"), (3, "fine too")] {
            broker.publish(pkid, &format!("t/{pkid}"), Q1, text).await;
        }
        let mut held = calls.take(3).await;
        rig.stop();
        let began = tokio::time::Instant::now();
        broker.accept_unsubscribe().await;
        held.remove(2).ok();
        held.remove(0).ok();
        broker.expect_pubacks([1]).await;
        let mut broker = broker.with_patience(Duration::from_secs(60));
        broker.expect_closed().await;
        let registry = rig.registry.clone();
        let error = rig.ended().await.unwrap_err();
        assert_eq!((error.kind(), error.exit_code()), (RunErrorKind::DrainDeadline, 75));
        assert!(told(&error).contains("12s") && told(&error).contains("1 event"), "{}", told(&error));
        let took = began.elapsed();
        assert!(took >= Duration::from_secs(12) && took < Duration::from_secs(14), "{took:?}");
        assert!(held[0].is_cut());
        assert_balanced(&registry);
        assert_eq!(count(&registry, "tidemill_events_finished_total", &[("outcome", "abandoned")]), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_hangs_ends_with_the_deadline_and_its_events_count_as_abandoned() {
    let sink = Recording::new();
    let (handler, mut calls) = Calls::new();
    let out = sink.clone();
    let mut rig = Rig::start(quiet(), |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    sink.block(true);
    broker.publish(1, "t/1", Q1, "x").await;
    broker.publish(2, "t/2", Q1, "x").await;
    calls.next().await.emit("out", &["a", "b"]);
    calls.next().await.emit("out", &["c"]);
    until(|| sink.attempts() == 1).await;
    rig.stop();
    let began = tokio::time::Instant::now();
    broker.accept_unsubscribe().await;
    broker.expect_closed().await;
    let registry = rig.registry.clone();
    let error = rig.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::DrainDeadline);
    assert!(began.elapsed() <= Duration::from_secs(25), "{:?}", began.elapsed());
    assert_balanced(&registry);
    assert_eq!(count(&registry, "tidemill_events_finished_total", &[("outcome", "abandoned")]), 2);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_fails_for_ever_ends_with_the_deadline() {
    let sink = Recording::new();
    for _ in 0..1000 {
        sink.answer(SinkError::unavailable("down"));
    }
    let out = sink.clone();
    let handler = does(|_, cx| Ok(cx.emit("out", Record::new("r"))?));
    let mut rig = Rig::start(quiet(), |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    broker.publish(1, "t/1", Q1, "x").await;
    until(|| sink.attempts() > 3).await;
    rig.stop();
    broker.accept_unsubscribe().await;
    broker.expect_closed().await;
    let registry = rig.registry.clone();
    assert_eq!(rig.ended().await.unwrap_err().kind(), RunErrorKind::DrainDeadline);
    assert_balanced(&registry);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_never_answers_the_unsubscribe_costs_the_deadline_and_no_more() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    rig.stop();
    broker.expect_unsubscribe().await;
    broker.expect_closed().await;
    let error = rig.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::DrainDeadline);
    let text = told(&error);
    assert!(text.contains("no event was unfinished") && !text.contains("raise `drain.deadline` above"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn the_last_call_of_the_sinks_still_acknowledges_what_they_write() {
    let sink = Recording::new();
    let (handler, mut calls) = Calls::new();
    let out = sink.clone();
    let mut rig = Rig::start(quiet(), |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    sink.block(true);
    broker.publish(1, "t/1", Q1, "x").await;
    broker.publish(2, "t/2", Q1, "x").await;
    calls.next().await.emit("out", &["a"]);
    let held = calls.next().await;
    until(|| sink.attempts() == 1).await;
    rig.stop();
    let began = tokio::time::Instant::now();
    broker.accept_unsubscribe().await;
    until(|| held.is_cut()).await;
    assert!(began.elapsed() >= Duration::from_secs(20), "handlers are cut at the deadline");
    sink.block(false);
    broker.expect_pubacks([1]).await;
    broker.expect_closed().await;
    let registry = rig.registry.clone();
    let text = told(&rig.ended().await.unwrap_err());
    assert!(text.contains("1 event(s) unfinished"), "{text}");
    assert_balanced(&registry);
    assert_eq!(count(&registry, "tidemill_events_finished_total", &[("outcome", "handled")]), 1);
}

/// Neither `close` of a sink nor `stop` of a handler comes back.
#[derive(Debug)]
struct Clinging;

#[async_trait]
impl Sink for Clinging {
    async fn write(&self, _: &[Record]) -> Result<(), SinkError> {
        std::future::pending().await
    }

    async fn close(&self) -> Result<(), SinkError> {
        std::future::pending().await
    }
}

#[async_trait]
impl Handler for Clinging {
    async fn handle(&self, _: &Event, cx: &mut Context) -> HandlerResult {
        Ok(cx.emit("out", Record::new("r"))?)
    }

    async fn stop(&self) {
        std::future::pending::<()>().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_end_takes_no_longer_than_both_deadlines_whatever_hangs() {
    for unfinished in [true, false] {
        let mut config = quiet();
        config.drain.deadline = Duration::from_secs(7);
        config.drain.force = Duration::from_secs(2);
        let mut rig = Rig::start(config, |worker| worker.sink("out", Clinging).add_route(route(Clinging)));
        let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
        if unfinished {
            broker.publish(1, "t/1", Q1, "x").await;
            settle().await;
        }
        rig.stop();
        let began = tokio::time::Instant::now();
        broker.accept_unsubscribe().await;
        if unfinished {
            broker.expect_closed().await;
        } else {
            broker.accept_ping().await;
            broker.expect_disconnect().await;
        }
        assert_eq!(rig.ended().await.is_err(), unfinished);
        assert!(began.elapsed() <= Duration::from_millis(9_010), "{:?}", began.elapsed());
    }
}

/// Some are in the sink, some wait for room in it, and all of them are cut.
#[tokio::test(start_paused = true)]
async fn events_that_are_cut_while_they_wait_for_room_in_a_sink_are_counted_once() {
    let mut config = quiet();
    config.drain.deadline = Duration::from_secs(1);
    let mut settings = tidemill_runtime::SinkSettings::default();
    settings.queue_records = 1;
    let sink = Recording::new();
    sink.block(true);
    let emits = does(|_, cx| Ok(cx.emit("out", Record::new("r"))?));
    let mut rig = Rig::start(config, |worker| worker.sink_with("out", sink, settings).add_route(route(emits)));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    for pkid in 1..=5 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    rig.received(5).await;
    rig.stop();
    broker.accept_unsubscribe().await;
    broker.expect_closed().await;
    let registry = rig.registry.clone();
    rig.ended().await.unwrap_err();
    assert_eq!(count(&registry, "tidemill_events_finished_total", &[("outcome", "abandoned")]), 5);
    assert_balanced(&registry);
}

/// Asked a second time when it is told.
struct Twice(CancellationToken);

impl Shutdown for Twice {
    async fn again(self) {
        self.0.cancelled().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_request_cuts_at_once() {
    let (handler, mut calls) = Calls::new();
    let (first, second) = (CancellationToken::new(), CancellationToken::new());
    let (once, twice) = (first.clone(), Twice(second.clone()));
    let mut rig = Rig::start_until(quiet(), |worker| worker.add_route(route(handler)), async move {
        once.cancelled().await;
        twice
    });
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    broker.publish(1, "t/1", Q1, "x").await;
    let held = calls.next().await;
    first.cancel();
    broker.accept_unsubscribe().await;
    broker.expect_no_packet_for(Duration::from_secs(3)).await;
    let began = tokio::time::Instant::now();
    second.cancel();
    broker.expect_closed().await;
    let error = rig.ended().await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (RunErrorKind::Forced, 75));
    assert!(told(&error).contains("1 event(s) unfinished (t: 1)"), "{}", told(&error));
    assert!(held.is_cut() && began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// Whoever counts it, its ladder or its ticket: the cut comes at every point between the attempt's end and the write.
#[tokio::test(start_paused = true)]
async fn an_event_whose_record_is_written_while_the_drain_is_cut_counts_once() {
    for (steps, execution) in (0..12).flat_map(|steps| [(steps, Execution::Inline), (steps, Execution::Spawn)]) {
        let (handler, mut calls) = Calls::new();
        let (first, second) = (CancellationToken::new(), CancellationToken::new());
        let (once, twice) = (first.clone(), Twice(second.clone()));
        let assemble =
            |worker: WorkerBuilder| worker.sink("out", Recording::new()).add_route(route(handler).execution(execution));
        let mut rig = Rig::start_until(quiet(), assemble, async move {
            once.cancelled().await;
            twice
        });
        let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
        broker.publish(1, "t/1", Q1, "x").await;
        let call = calls.next().await;
        first.cancel();
        broker.accept_unsubscribe().await;
        settle().await;
        // The cut takes some steps to come to the dispatcher, and the record to come to the sink.
        if steps < 6 {
            second.cancel();
            for _ in 0..steps {
                tokio::task::yield_now().await;
            }
            call.emit("out", &["a"]);
        } else {
            call.emit("out", &["a"]);
            for _ in 6..steps {
                tokio::task::yield_now().await;
            }
            second.cancel();
        }
        let registry = rig.registry.clone();
        _ = rig.ended().await;
        assert_balanced(&registry);
        assert_eq!(count(&registry, "tidemill_events_finished_total", &[]), 1, "{steps} {execution:?}");
    }
}

/// A handler that blocks its thread cannot be cut: the worker ends without it. Real time and threads, as only those can be
/// blocked.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_handler_that_blocks_its_thread_does_not_keep_the_worker() {
    let (release, released) = std::sync::mpsc::sync_channel::<()>(1);
    let released = std::sync::Mutex::new(released);
    let (blocks, mut blocked) = tokio::sync::mpsc::channel::<()>(1);
    let handler = does(move |_, _| {
        let _ = blocks.try_send(());
        let _ = released.lock().unwrap().recv();
        Ok(())
    });
    let mut config = quiet();
    config.drain.deadline = Duration::from_millis(200);
    config.drain.force = Duration::from_millis(500);
    let sink = Recording::new();
    let out = sink.clone();
    let mut rig = Rig::start(config, |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/1", Q1, "x").await;
    blocked.recv().await.unwrap();
    rig.stop();
    broker.accept_unsubscribe().await;
    broker.expect_closed().await;
    let ended = tokio::time::timeout(Duration::from_secs(60), rig.ended()).await;
    // Before anything can fail: the runtime waits for its threads.
    drop(release);
    let error = ended.expect("the worker waits for the handler").unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::DrainDeadline);
    assert!(told(&error).contains("blocked its thread"), "{}", told(&error));
    assert_eq!(sink.with(|all| all.closed), 1);
}

/// Nobody pings.
fn quiet() -> tidemill_runtime::Config {
    let mut config = config();
    config.mqtt.keep_alive = Duration::ZERO;
    config
}

#[tokio::test(start_paused = true)]
async fn a_route_may_say_that_its_attempts_have_all_the_time_there_is() {
    for execution in [Execution::Inline, Execution::Spawn] {
        let (handler, mut calls) = Calls::new();
        let route = route(handler).timeout(Duration::MAX).max_age(Duration::MAX).execution(execution);
        let mut rig = Rig::start(config(), |worker| worker.add_route(route));
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/a", Q1, "x").await;
        calls.next().await.fail("once more");
        calls.next().await.ok();
        broker.expect_pubacks([1]).await;
        rig.leave(broker).await;
    }
}
