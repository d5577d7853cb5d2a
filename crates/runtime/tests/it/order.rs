//! Order: events of one key one after another, retries included (G4).

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerError, HandlerResult, async_trait};
use tidemill_runtime::{Execution, Key, Order};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn an_event_waits_for_the_one_before_it_with_the_same_key_even_while_that_is_retried() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "a1").await;
    broker.publish(2, "t/a", Q1, "a2").await;
    broker.publish(3, "t/b", Q1, "b1").await;
    let first = calls.next().await;
    let other = calls.next().await;
    assert_eq!((first.text(), other.text()), ("a1", "b1"), "another key does not wait");
    other.ok();
    first.fail("once more");
    let again = calls.next().await;
    assert_eq!((again.text(), again.attempt), ("a1", 2));
    calls.expect_none_for(Duration::from_secs(1)).await;
    again.ok();
    broker.expect_pubacks([1]).await;
    let second = calls.next().await;
    assert_eq!(second.text(), "a2");
    second.ok();
    broker.expect_pubacks([2, 3]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn an_unordered_route_waits_for_nobody() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler).order(Order::Unordered)));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=4 {
        broker.publish(pkid, "t/a", Q1, pkid.to_string()).await;
    }
    let mut held = calls.take(4).await;
    held.remove(0).fail("once more");
    held.into_iter().for_each(Call::ok);
    broker.expect_no_packet().await;
    calls.next().await.ok();
    broker.expect_pubacks(1..=4).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_on_its_way_lets_the_next_of_the_key_start() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "bad").await;
    broker.publish(2, "t/a", Q1, "good").await;
    calls.next().await.permanent("bad");
    let good = calls.next().await;
    assert_eq!(good.text(), "good");
    good.ok();
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    broker.expect_no_packet().await;
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1, 2]).await;
}

#[tokio::test(start_paused = true)]
async fn no_more_handlers_run_at_once_than_allowed() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.dispatch.concurrency = 3;
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await;
    for pkid in 1..=9 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, pkid.to_string()).await;
    }
    let mut done = 0;
    let mut held = calls.take(3).await;
    while !held.is_empty() {
        assert!(calls.waiting().await.is_empty());
        assert_eq!(rig.handle.status().instances[0].running, held.len());
        held.remove(0).ok();
        done += 1;
        if done <= 6 {
            held.push(calls.next().await);
        }
    }
    broker.expect_pubacks(1..=9).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_key_may_come_from_a_capture_a_property_the_payload_or_a_function() {
    let keys = [
        Key::Capture("device".to_owned()),
        Key::UserProperty("device".to_owned()),
        Key::JsonPointer("/device".to_owned()),
        Key::Function(Arc::new(|event: &Event| {
            bytes::Bytes::copy_from_slice(event.topic().split('/').nth(1).unwrap().as_bytes())
        })),
    ];
    for key in keys {
        let (handler, mut calls) = Calls::new();
        let keyed = tidemill_runtime::Route::new("t/{device}/+", handler).key(key);
        let mut rig = Rig::start(config(), |worker| worker.add_route(keyed));
        let mut broker = rig.subscribed().await;
        for (pkid, device, kind) in [(1, "a", "x"), (2, "a", "y"), (3, "b", "x")] {
            let properties = v5::PublishProperties {
                user_properties: vec![("device".to_owned(), device.to_owned())],
                ..crate::protocol::no_properties()
            };
            let payload = format!("{{\"device\":\"{device}\"}}");
            let event =
                v5::Publish { properties: Some(properties), ..publish(pkid, &format!("t/{device}/{kind}"), payload) };
            broker.send(v5::Packet::Publish(event)).await;
        }
        let mut held = calls.take(2).await;
        assert_eq!(held.iter().map(|call| call.event.topic()).collect::<Vec<_>>(), ["t/a/x", "t/b/x"]);
        assert!(calls.waiting().await.is_empty());
        held.remove(0).ok();
        calls.next().await.ok();
        held.remove(0).ok();
        broker.expect_pubacks(1..=3).await;
        rig.leave(broker).await;
    }
}

/// Fails half of all attempts after a while, and notes when an event of a key begins out of turn.
#[derive(Debug, Default)]
struct Careful {
    running: Mutex<HashMap<String, u32>>,
    last: Mutex<HashMap<String, u32>>,
    wrong: Mutex<Vec<String>>,
}

#[async_trait]
impl Handler for Careful {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let key = event.topic().to_owned();
        let number: u32 = std::str::from_utf8(event.payload()).unwrap().parse().unwrap();
        if let Some(other) = self.running.lock().unwrap().insert(key.clone(), number) {
            self.wrong.lock().unwrap().push(format!("{key}: {number} began while {other} ran"));
        }
        let wait = fastrand::u64(0..50);
        if wait > 10 {
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
        self.running.lock().unwrap().remove(&key);
        if cx.attempt() < 3 && fastrand::bool() {
            return Err(HandlerError::retry("try again"));
        }
        let before = self.last.lock().unwrap().insert(key.clone(), number);
        if before.is_some_and(|before| before >= number) {
            self.wrong.lock().unwrap().push(format!("{key}: {number} after {before:?}"));
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn keys_stay_in_order_through_failures_at_random() {
    for execution in [Execution::Inline, Execution::Spawn] {
        fastrand::seed(7);
        let handler = Arc::new(Careful::default());
        let mut config = config();
        config.dispatch.concurrency = 8;
        config.mqtt.keep_alive = Duration::ZERO;
        let shared = Arc::clone(&handler);
        let mut rig = Rig::start(config, |worker| worker.add_route(route(shared).execution(execution)));
        let mut broker = rig.subscribed().await;
        for round in 0..8_u16 {
            for pkid in 1..=100_u16 {
                let number = u32::from(round) * 100 + u32::from(pkid);
                broker.publish(pkid, &format!("t/{}", fastrand::u8(0..7)), Q1, number.to_string()).await;
            }
            broker.expect_pubacks(1..=100).await;
        }
        assert_eq!(*handler.wrong.lock().unwrap(), Vec::<String>::new());
        let summary = rig.leave(broker).await;
        assert_eq!(summary.handled, 800);
    }
}
