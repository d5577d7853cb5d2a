//! Batches under way: how many, how large, how fast, and what becomes of those that the target does not take.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{Event, Record, Sink, SinkError, SinkTraits, async_trait};
use tidemill_runtime::SinkSettings;
use tokio::time::Instant;

use crate::support::*;

const SOON: Duration = Duration::from_millis(100);

fn settings(change: impl FnOnce(&mut SinkSettings)) -> SinkSettings {
    let mut settings = SinkSettings::default();
    change(&mut settings);
    settings
}

/// A worker whose handler emits its event's payload to `out`.
fn echoing(target: &Target, settings: SinkSettings) -> Rig {
    let mut config = config();
    config.mqtt.window = 1000;
    config.mqtt.keep_alive = Duration::ZERO;
    let out = target.clone();
    let echo = does(|event: &Event, cx| Ok(cx.emit("out", Record::new(event.payload().clone()))?));
    Rig::start(config, |worker| worker.sink_with("out", out, settings).add_route(route(echo)))
}

async fn publish_all(broker: &mut tidemill_testkit::script::ScriptedBroker, events: u16) {
    for pkid in 1..=events {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, pkid.to_string()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_writes_are_under_way_as_the_settings_and_the_sink_allow() {
    for (traits, expected) in [
        (SinkTraits::default(), 3),
        // Twenty keys over three partitions.
        (SinkTraits::default().ordered(), 3),
        (SinkTraits::default().ordered().serial(), 1),
    ] {
        let target = Target::slow(SOON).with_traits(traits);
        let settings = settings(|s| (s.in_flight, s.max_batch_records) = (3, 1));
        let mut rig = echoing(&target, settings);
        let mut broker = rig.subscribed().await;
        publish_all(&mut broker, 20).await;
        broker.expect_pubacks(1..=20).await;
        assert_eq!(target.most_at_once(), expected, "{traits:?}");
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_lingers_gathers_what_comes_within_its_time() {
    let target = Target::slow(Duration::ZERO);
    let mut rig = echoing(&target, settings(|s| s.linger = SOON));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=3 {
        broker.publish(pkid, "t/a", Q1, "x").await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    broker.expect_pubacks(1..=3).await;
    assert_eq!(target.writes().iter().map(|write| write.records.len()).collect::<Vec<_>>(), [3]);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn the_queue_holds_no_more_records_and_bytes_than_it_may() {
    for (change, records) in [
        ((|s| s.queue_records = 7) as fn(&mut SinkSettings), 7.0),
        (|s| s.queue_bytes = 1000, 3.0),
        // A record that is larger than all room goes alone.
        (|s| s.queue_bytes = 100, 1.0),
    ] {
        let target = Target::slow(Duration::from_secs(1));
        let mut rig = echoing(&target, settings(change));
        let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
        for pkid in 1..=20 {
            // The key is the topic: 303 bytes in all.
            broker.publish(pkid, "t/a", Q1, vec![b'x'; 300]).await;
        }
        rig.received(20).await;
        settle().await;
        let held = rig.metric("tidemill_sink_queue_records", &[("sink", "out")]);
        assert!((held - records).abs() < 0.1, "{held}");
        let bytes = rig.metric("tidemill_sink_queue_bytes", &[("sink", "out")]);
        assert!(bytes > 0.0 && bytes <= records * 303.0, "{bytes}");
        broker.expect_pubacks(1..=20).await;
        assert!(rig.metric("tidemill_sink_queue_bytes", &[("sink", "out")]).abs() < 0.1);
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn records_leave_at_the_rate_that_is_set() {
    let target = Target::slow(Duration::ZERO);
    let settings = settings(|s| (s.max_rate, s.burst) = (100, 50));
    let mut rig = echoing(&target, settings);
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(60));
    let began = Instant::now();
    publish_all(&mut broker, 300).await;
    broker.expect_pubacks(1..=300).await;
    let took = began.elapsed();
    assert!((Duration::from_millis(2450)..Duration::from_millis(3000)).contains(&took), "{took:?}");
    assert!(target.writes().iter().all(|write| write.records.len() <= 50));
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_halved_until_the_culprit_is_alone() {
    const RECORDS: u16 = 256;
    let target = Target::new(|number, batch| {
        let bad = batch.iter().any(|record| record.payload == "77");
        let result = if bad { Err(SinkError::batch_refused("value out of range")) } else { Ok(()) };
        // The first write holds the sink until all the others wait.
        (if number == 0 { SOON } else { Duration::ZERO }, result)
    });
    let mut rig = echoing(&target, SinkSettings::default());
    let mut broker = rig.subscribed().await;
    publish_all(&mut broker, RECORDS).await;
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    assert_eq!(&letter.payload[..], b"77");
    let told = letter.properties.unwrap().user_properties;
    let error = told.iter().find(|(name, _)| name == "tidemill-error").unwrap();
    assert!(error.1.contains("value out of range"), "{error:?}");
    dead.puback(letter.pkid).await;
    broker.expect_pubacks(1..=RECORDS).await;
    let others: Vec<_> = (1..=RECORDS).filter(|number| *number != 77).map(|number| number.to_string()).collect();
    assert_eq!(target.payloads(), others, "in order");
    // The first one alone, the rest, and two halves per level.
    assert!(target.begun() <= 2 + 2 * 8, "{}", target.begun());
    assert!((rig.metric("tidemill_sink_splits_total", &[("sink", "out")]) - 8.0).abs() < 1.1);
    assert_eq!((rig.finished("handled"), rig.finished("dead_lettered")), (u64::from(RECORDS) - 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_that_names_no_record_of_the_batch_counts_as_a_refused_batch() {
    let target = Target::new(|number, _| {
        let rejection = tidemill_core::Rejection { index: 9, reason: "which?".to_owned() };
        (Duration::ZERO, if number == 0 { Err(SinkError::rejected(vec![rejection])) } else { Ok(()) })
    });
    let mut rig = echoing(&target, SinkSettings::default());
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    broker.expect_no_packet().await;
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_target_that_asks_to_be_left_alone_is() {
    let target = Target::new(|number, _| {
        let busy = SinkError::unavailable("429").with_retry_after(Duration::from_secs(40));
        (Duration::ZERO, if number == 0 { Err(busy) } else { Ok(()) })
    });
    let mut rig = echoing(&target, SinkSettings::default());
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(100));
    broker.publish(1, "t/a", Q1, "x").await;
    broker.expect_pubacks([1]).await;
    let writes = target.writes();
    assert_eq!(writes[1].began - writes[0].began, Duration::from_secs(40));
    assert!((rig.metric("tidemill_sink_retries_total", &[("sink", "out")]) - 1.0).abs() < 0.1);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_write_that_hangs_is_cut_and_tried_again() {
    let target = Target::new(|number, _| (if number == 0 { Duration::MAX } else { Duration::ZERO }, Ok(())));
    let mut rig = echoing(&target, settings(|s| s.write_timeout = Duration::from_secs(7)));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(100));
    let began = Instant::now();
    broker.publish(1, "t/a", Q1, "x").await;
    broker.expect_pubacks([1]).await;
    assert!(began.elapsed() >= Duration::from_secs(7) && began.elapsed() < Duration::from_secs(8));
    let status = rig.handle.status();
    let error = status.sinks[0].last_error.as_deref().unwrap();
    assert!(error.contains("longer than 7s"), "{error}");
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn leaving_waits_for_what_lingers_and_loses_nothing() {
    let target = Target::slow(SOON);
    let mut rig = echoing(&target, settings(|s| s.linger = Duration::from_secs(3)));
    let mut broker = rig.subscribed().await;
    publish_all(&mut broker, 10).await;
    rig.received(10).await;
    rig.stop();
    broker.accept_unsubscribe().await;
    broker.expect_pubacks(1..=10).await;
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    assert_eq!(rig.ended().await.unwrap().handled, 10);
    assert_eq!(target.payloads().len(), 10);
}

/// All batches but the last are full and the target is quick, so that one lands as soon as it has left.
#[tokio::test(start_paused = true)]
async fn what_is_due_leaves_and_others_get_their_turn_while_full_batches_come_and_go() {
    const MANY: usize = 3000;
    let (turns, order) = (Arc::new(AtomicUsize::new(0)), Arc::<Mutex<Vec<(String, usize)>>>::default());
    let sink = Quick { turns: Arc::clone(&turns), order: Arc::clone(&order) };
    let handler = does(|_, cx| {
        for key in ["lone"; 3].into_iter().chain(["busy"; MANY]) {
            cx.emit("out", Record::new(key).with_key(key))?;
        }
        Ok(())
    });
    let settings = settings(|s| (s.in_flight, s.max_batch_records) = (4, 2));
    let mut rig = Rig::start(config(), |worker| worker.sink_with("out", sink, settings).add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    let other = tokio::spawn(async move {
        loop {
            turns.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
    });
    broker.publish(1, "t/a", Q1, "x").await;
    // Not `until`: time stands still while the other task always has something to do.
    for _ in 0..1_000_000 {
        if order.lock().unwrap().len() == 2 + MANY / 2 {
            break;
        }
        tokio::task::yield_now().await;
    }
    let order = order.lock().unwrap().clone();
    let last = order.iter().rposition(|(key, _)| key == "lone").unwrap();
    assert!(last < 10, "what was due waited for {last} others");
    let in_a_row = order.chunk_by(|a, b| a.1 == b.1).map(<[_]>::len).max().unwrap();
    // A task has 128 steps until others get their turn, in each of which all that may be under way at a time can land.
    assert!(in_a_row <= 128 * 4, "{in_a_row} writes without a turn for anyone else");
    other.abort();
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

/// A sink that never waits. Keeps of each write the first payload, and how many turns another task has had.
#[derive(Debug)]
struct Quick {
    turns: Arc<AtomicUsize>,
    order: Arc<Mutex<Vec<(String, usize)>>>,
}

#[async_trait]
impl Sink for Quick {
    fn traits(&self) -> SinkTraits {
        SinkTraits::default().ordered()
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let first = String::from_utf8(batch[0].payload.to_vec()).unwrap();
        self.order.lock().unwrap().push((first, self.turns.load(Ordering::SeqCst)));
        Ok(())
    }
}
