//! What the runtime fills in: key, topic, captures, time, and an idempotency key that a redelivery has again.

use std::time::{Duration, SystemTime};

use tidemill_core::{Event, Record};
use tidemill_runtime::{IdempotencyKey, Key, Route, Stamp};

use crate::support::*;

fn emitting_three() -> impl tidemill_core::Handler {
    does(|event: &Event, cx| {
        cx.emit("out", Record::new("first"))?;
        cx.emit("archive", Record::new(event.payload().clone()))?;
        cx.emit("out", Record::new("own").with_idempotency_key("mine").with_time(SystemTime::UNIX_EPOCH))?;
        cx.emit("out", Record::new("third"))?;
        Ok(())
    })
}

fn keys(records: &[Record]) -> Vec<Option<String>> {
    records.iter().map(|record| record.idempotency_key.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn records_get_what_they_lack_from_their_event() {
    let (sink, archive) = (Recording::new(), Recording::new());
    let (out, store) = (sink.clone(), archive.clone());
    let route = Route::new("plant/{line}/{sensor}", emitting_three())
        .key(Key::Capture("line".into()))
        .published_at(Stamp::JsonPointer("/ts".into()))
        .idempotency_key(IdempotencyKey::JsonPointer("/id".into()));
    let mut rig = Rig::start(config(), |worker| worker.sink("out", out).sink("archive", store).add_route(route));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "plant/7/heat", Q1, r#"{"id":"a","ts":1700000000}"#).await;
    broker.expect_pubacks([1]).await;
    let records = sink.with(|all| all.written.clone());
    let first = &records[0];
    assert_eq!(
        (first.capture("line"), first.capture("sensor"), first.capture("none")),
        (Some("7"), Some("heat"), None)
    );
    assert_eq!(first.key.as_deref(), Some(&b"7"[..]));
    assert_eq!(first.time, Some(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
    assert_eq!(records[1].time, Some(SystemTime::UNIX_EPOCH), "what the handler set stays");
    let key = first.idempotency_key.clone().unwrap();
    assert_eq!(keys(&records)[1..], [Some("mine".to_owned()), Some(format!("{key}-2"))]);
    let archived = archive.with(|all| keys(&all.written));
    assert_eq!(archived[0].as_ref().map(String::len), Some(32), "the first of its event in that sink: {archived:?}");
    assert_ne!(archived[0].as_ref(), Some(&key), "both may write to one table");

    // The same event again, as after a crash, and another one.
    broker.republish(2, "plant/7/heat", r#"{"id":"a","ts":1700000000}"#).await;
    broker.publish(3, "plant/7/heat", Q1, r#"{"id":"b"}"#).await;
    broker.expect_pubacks([2, 3]).await;
    let again = sink.with(|all| all.written.clone());
    assert_eq!(keys(&again)[..3], keys(&again)[3..6], "the same keys");
    assert_eq!(archive.with(|all| keys(&all.written))[..2], [archived[0].clone(), archived[0].clone()]);
    assert_ne!(keys(&again)[6].as_deref(), Some(&*key));
    let arrived = again[6].time.unwrap();
    assert!(arrived.elapsed().unwrap() < Duration::from_secs(60), "without a stamp, when it arrived");
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn without_a_rule_or_with_one_that_finds_nothing_or_panics_records_have_no_key() {
    let panics = IdempotencyKey::Function(std::sync::Arc::new(|_| panic!("a bug in the key function")));
    for rule in [None, Some(IdempotencyKey::UserProperty("id".into())), Some(panics)] {
        let sink = Recording::new();
        let out = sink.clone();
        let mut route = route(does(|_, cx| Ok(cx.emit("out", Record::new("r"))?)));
        if let Some(rule) = rule {
            route = route.idempotency_key(rule);
        }
        let mut rig = Rig::start(config(), |worker| worker.sink("out", out).add_route(route));
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/a", Q1, "x").await;
        broker.expect_pubacks([1]).await;
        assert_eq!(sink.with(|all| keys(&all.written)), [None]);
        rig.leave(broker).await;
    }
}
