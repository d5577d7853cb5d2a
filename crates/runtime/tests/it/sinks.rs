//! Records: written before the ack, however long that takes (G1), and never half of them.

use std::time::Duration;

use tidemill_core::{HandlerError, Record, Rejection, SinkError};

use crate::support::*;

fn emitting(payload: &'static str) -> impl tidemill_core::Handler {
    does(move |_, cx| Ok(cx.emit("out", Record::new(payload))?))
}

fn with_sink(sink: &Recording, handler: impl tidemill_core::Handler) -> Rig {
    let out = sink.clone();
    Rig::start(config(), |worker| worker.sink("out", out).add_route(route(handler)))
}

#[tokio::test(start_paused = true)]
async fn records_are_written_before_their_event_is_acknowledged() {
    for version in BOTH {
        let sink = Recording::new();
        sink.block(true);
        let out = sink.clone();
        let mut rig =
            Rig::start(config_of(version), |worker| worker.sink("out", out).add_route(route(emitting("record"))));
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/a", Q1, "x").await;
        until(|| sink.attempts() == 1).await;
        broker.expect_no_packet_for(Duration::from_secs(5)).await;
        sink.block(false);
        broker.expect_pubacks([1]).await;
        assert_eq!(sink.payloads(), ["record"]);
        let record = sink.with(|all| all.written[0].clone());
        assert_eq!((record.topic.unwrap().as_str(), &record.key.unwrap()[..]), ("t/a", &b"t/a"[..]));
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_all_of_its_records_in_all_sinks() {
    let (fast, slow) = (Recording::new(), Recording::new());
    slow.block(true);
    let (out, archive) = (fast.clone(), slow.clone());
    let handler = does(|_, cx| {
        cx.emit("out", Record::new("1"))?;
        cx.emit("archive", Record::new("2"))?;
        cx.emit("out", Record::new("3"))?;
        Ok(())
    });
    let mut rig =
        Rig::start(config(), |worker| worker.sink("out", out).sink("archive", archive).add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    until(|| fast.payloads() == ["1", "3"]).await;
    broker.expect_no_packet().await;
    assert_eq!(rig.handle.status().unfinished, 1);
    slow.block(false);
    broker.expect_pubacks([1]).await;
    assert_eq!(slow.payloads(), ["2"]);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn the_next_event_of_a_key_does_not_wait_for_the_sink() {
    let sink = Recording::new();
    sink.block(true);
    let (handler, mut calls) = Calls::new();
    let mut rig = with_sink(&sink, handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "one").await;
    broker.publish(2, "t/a", Q1, "two").await;
    calls.next().await.emit("out", &["one"]);
    let second = calls.next().await;
    assert_eq!(second.text(), "two");
    second.emit("out", &["two"]);
    broker.expect_no_packet().await;
    sink.block(false);
    broker.expect_pubacks([1, 2]).await;
    assert_eq!(sink.payloads(), ["one", "two"]);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_down_for_a_while_is_tried_until_it_is_up() {
    let sink = Recording::new();
    let mut rig = with_sink(&sink, emitting("record"));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    let began = tokio::time::Instant::now();
    for _ in 0..200 {
        sink.answer(SinkError::unavailable("down"));
    }
    for pkid in 1..=20 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(sink.attempts() > 3 && sink.attempts() < 100, "{}", sink.attempts());
    assert_eq!((rig.finished("handled"), rig.handle.status().unfinished), (0, 20));
    sink.with(|all| all.answers.clear());
    let mut acked = 0;
    while acked < 20 {
        match broker.recv().await {
            v5::Packet::PubAck(ack) => {
                acked += 1;
                assert_eq!(ack.pkid, acked);
            }
            v5::Packet::PingReq(_) => broker.send(v5::Packet::PingResp(v5::PingResp)).await,
            other => panic!("{other:?}"),
        }
    }
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    assert_eq!(sink.payloads().len(), 20, "each record once");
    assert!(rig.metric("tidemill_sink_batches_total", &[("sink", "out"), ("result", "failed")]) >= 3.0);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_is_tried_again() {
    #[derive(Debug, Default)]
    struct Panics(std::sync::atomic::AtomicUsize);
    #[tidemill_core::async_trait]
    impl tidemill_core::Sink for Panics {
        async fn write(&self, _: &[Record]) -> Result<(), SinkError> {
            let before = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            assert!(before > 1, "out of luck");
            Ok(())
        }
    }
    let mut rig = Rig::start(config(), |worker| worker.sink("out", Panics::default()).add_route(route(emitting("r"))));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

/// Panics in every call, the first two times it writes, and before it returns a future.
#[derive(Debug, Default)]
struct PanicsAtOnce(std::sync::atomic::AtomicUsize);

type Writing<'a> = std::pin::Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>;

impl tidemill_core::Sink for PanicsAtOnce {
    fn write<'a: 'f, 'b: 'f, 'f>(&'a self, _: &'b [Record]) -> Writing<'f>
    where
        Self: 'f,
    {
        let before = self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        assert!(before > 1, "out of luck");
        Box::pin(async { Ok(()) })
    }

    fn close<'a: 'f, 'f>(&'a self) -> Writing<'f>
    where
        Self: 'f,
    {
        panic!("out of luck to the end")
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_panics_before_it_returns_a_future_is_tried_again_and_ends_nothing() {
    let sink = PanicsAtOnce::default();
    let mut rig = Rig::start(config(), |worker| worker.sink("out", sink).add_route(route(emitting("r"))));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_a_sink_refuses_sends_its_event_to_the_dead_letters_and_lets_the_others_pass() {
    let sink = Recording::new();
    sink.block(true);
    let (handler, mut calls) = Calls::new();
    let mut rig = with_sink(&sink, handler);
    let mut broker = rig.subscribed().await;
    // The first holds the sink, so that the other three share a batch.
    broker.publish(1, "t/1", Q1, "payload 1").await;
    calls.next().await.emit("out", &["r1"]);
    until(|| sink.attempts() == 1).await;
    for pkid in 2..=4 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, format!("payload {pkid}")).await;
    }
    for (call, payloads) in calls.take(3).await.into_iter().zip([&["r2"], &["r3"], &["r4"]]) {
        call.emit("out", payloads);
    }
    settle().await;
    sink.succeed();
    sink.answer(SinkError::rejected(vec![Rejection { index: 1, reason: "column too short".to_owned() }]));
    sink.block(false);
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    assert_eq!(&letter.payload[..], b"payload 3", "the event, not the record");
    let told = letter.properties.unwrap().user_properties;
    assert!(told.contains(&("tidemill-reason".to_owned(), "rejected".to_owned())), "{told:?}");
    assert!(told.contains(&("tidemill-error".to_owned(), "column too short".to_owned())));
    broker.expect_pubacks([1, 2]).await;
    broker.expect_no_packet().await;
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([3, 4]).await;
    assert_eq!((rig.finished("handled"), rig.finished("dead_lettered")), (3, 1));
    let labels = [("sink", "out"), ("result", "rejected")];
    assert!((rig.metric("tidemill_sink_records_total", &labels) - 1.0).abs() < f64::EPSILON);
}

#[tokio::test(start_paused = true)]
async fn an_event_with_a_refused_and_a_written_record_ends_once_as_dead_lettered() {
    let sink = Recording::new();
    sink.answer(SinkError::rejected(vec![Rejection { index: 0, reason: "no".to_owned() }]));
    let (handler, mut calls) = Calls::new();
    let mut rig = with_sink(&sink, handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.emit("out", &["bad", "good"]);
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    broker.expect_no_packet().await;
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
    assert_eq!(sink.payloads(), ["good"]);
    assert_eq!((rig.finished("handled"), rig.finished("dead_lettered")), (0, 1));
    assert_balanced(&rig.registry);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_set_up_wrongly_is_asked_again_after_a_long_wait() {
    let sink = Recording::new();
    sink.answer(SinkError::misconfigured("no such table"));
    let mut rig = with_sink(&sink, emitting("r"));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    let began = tokio::time::Instant::now();
    broker.publish(1, "t/a", Q1, "x").await;
    broker.expect_pubacks([1]).await;
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn emitting_to_a_sink_that_does_not_exist_is_a_failed_attempt_that_names_it() {
    let handler = does(|_, cx| Ok(cx.emit("nowhere", Record::new("r"))?));
    let sink = Recording::new();
    let out = sink.clone();
    let mut rig = Rig::start(config(), |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    let told = letter.properties.unwrap().user_properties;
    let error = told.iter().find(|(name, _)| name == "tidemill-error").unwrap();
    assert!(error.1.contains("nowhere") && error.1.contains("out"), "{error:?}");
    assert!(told.contains(&("tidemill-attempts".to_owned(), "3".to_owned())));
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
    assert!(sink.payloads().is_empty());
}

#[tokio::test(start_paused = true)]
async fn events_at_qos_0_have_records_too() {
    let sink = Recording::new();
    sink.block(true);
    let mut config = config();
    config.mqtt.window = 3;
    config.mqtt.qos = Q0;
    let out = sink.clone();
    let mut rig = Rig::start(config, |worker| worker.sink("out", out).add_route(route(emitting("r"))));
    let mut broker = rig.subscribed().await;
    for _ in 0..10 {
        broker.publish(0, "t/a", Q0, "x").await;
    }
    settle().await;
    assert_eq!(rig.handle.status().unfinished, 3, "bounded until they are written");
    sink.block(false);
    until(|| sink.payloads().len() == 10).await;
    broker.expect_no_packet().await;
    let summary = rig.leave(broker).await;
    assert_eq!(summary.handled, 10);
}

#[tokio::test(start_paused = true)]
async fn records_that_wait_are_written_in_batches_in_their_order() {
    let sink = Recording::new();
    sink.block(true);
    let handler = does(|event, cx| Ok(cx.emit("out", Record::new(event.payload().clone()))?));
    let mut config = config();
    config.mqtt.window = 2000;
    let out = sink.clone();
    let mut rig = Rig::start(config, |worker| worker.sink("out", out).add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=1200_u16 {
        broker.publish(pkid, "t/a", Q1, pkid.to_string()).await;
    }
    rig.received(1200).await;
    assert!((rig.metric("tidemill_sink_queue_records", &[("sink", "out")]) - 1200.0).abs() < f64::EPSILON);
    sink.block(false);
    broker.expect_pubacks(1..=1200).await;
    assert_eq!(sink.payloads(), (1..=1200).map(|number: u16| number.to_string()).collect::<Vec<_>>());
    let batches = sink.with(|all| all.batches.clone());
    assert!(batches.len() <= 4 && batches.iter().all(|batch| *batch <= 500), "{batches:?}");
    assert!(rig.metric("tidemill_sink_queue_records", &[("sink", "out")]).abs() < f64::EPSILON);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn sinks_are_opened_before_the_connection_and_closed_after_the_last_write() {
    let sink = Recording::new();
    let mut rig = with_sink(&sink, emitting("r"));
    let mut broker = rig.subscribed().await;
    assert_eq!(sink.with(|all| (all.opened, all.closed)), (1, 0));
    broker.publish(1, "t/a", Q1, "x").await;
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
    assert_eq!(sink.with(|all| (all.opened, all.closed)), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_failing_handler_that_emitted_to_a_blocked_sink_waits_for_nobody() {
    let sink = Recording::new();
    sink.block(true);
    let handler = does(|_, cx| {
        cx.emit("out", Record::new("discarded"))?;
        Err(HandlerError::permanent("bad"))
    });
    let mut rig = with_sink(&sink, handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
    assert_eq!(sink.attempts(), 0);
}
