//! Dedup in a worker: what comes again after it was finished is acknowledged and not handled.

use std::sync::{Arc, Mutex};

use tidemill_core::{Context, Event, HandlerResult, Record, handler_fn};
use tidemill_runtime::Route;
use tidemill_runtime::dedup::{Dedup, DedupStore, IdempotencyKey, MemoryLimits, MemoryStore};

use crate::rig::{Rig, config};
use crate::support::{Mood, Moody};

/// What was handled, in order.
type Handled = Arc<Mutex<Vec<String>>>;

/// A route whose handler emits every payload to `out`, unless that says `quiet`.
fn route(store: Arc<dyn DedupStore>) -> (Handled, Route) {
    let handled = Handled::default();
    let noted = Arc::clone(&handled);
    let handler = handler_fn(move |event: Event, mut cx: Context| {
        let payload = String::from_utf8(event.payload().to_vec()).unwrap();
        noted.lock().unwrap().push(payload.clone());
        let emitted = if payload.contains("quiet") { Ok(()) } else { cx.emit("out", Record::new(payload)) };
        async move { HandlerResult::Ok(emitted?) }
    });
    let dedup = Dedup::new(IdempotencyKey::JsonPointer("/id".to_owned()), store);
    (handled, Route::new("t/#", handler).named("t").dedup(dedup))
}

/// Waits until so many events were handled.
async fn times(handled: &Handled, times: usize) {
    for _ in 0..10_000 {
        if handled.lock().unwrap().len() == times {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{handled:?} never grew to {times}");
}

fn memory() -> Arc<dyn DedupStore> {
    Arc::new(MemoryStore::new(MemoryLimits::default()))
}

#[tokio::test(start_paused = true)]
async fn an_event_that_comes_again_after_it_was_finished_is_acknowledged_and_not_handled() {
    for store in [memory(), Moody::new(Mood::Fine)] {
        for payload in [r#"{"id":1}"#, r#"{"id":1,"quiet":true}"#] {
            let (handled, route) = route(Arc::clone(&store));
            let mut rig = Rig::start(config(), route.named(payload)).await;
            rig.publish(1, "t/a", payload).await;
            rig.broker.expect_pubacks([1]).await;
            // The acknowledgement is lost, as far as the broker is concerned.
            rig.reconnect().await;
            rig.broker.republish(1, "t/a", payload).await;
            rig.publish(2, "t/a", r#"{"id":2}"#).await;
            rig.broker.expect_pubacks([1, 2]).await;
            assert_eq!(*handled.lock().unwrap(), [payload, r#"{"id":2}"#]);
            let summary = rig.leave().await;
            assert_eq!((summary.received, summary.handled), (3, 3));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_records_are_not_written_is_no_reason_to_drop_its_copy() {
    let (handled, route) = route(memory());
    let mut rig = Rig::start(config(), route).await;
    rig.written.blocked.send_replace(true);
    rig.publish(1, "t/a", r#"{"id":1}"#).await;
    times(&handled, 1).await;
    // Lost before the record is written: it must be handled again.
    rig.reconnect().await;
    rig.broker.republish(1, "t/b", r#"{"id":1}"#).await;
    times(&handled, 2).await;
    rig.written.blocked.send_replace(false);
    rig.broker.expect_pubacks([1]).await;
    assert_eq!(rig.written.payloads(), [r#"{"id":1}"#, r#"{"id":1}"#]);
    rig.leave().await;
}

#[tokio::test(start_paused = true)]
async fn events_go_on_whatever_the_store_does() {
    for mood in [Mood::Fails, Mood::Hangs, Mood::Panics] {
        let (handled, route) = route(Moody::new(mood));
        let mut rig = Rig::start(config(), route).await;
        for pkid in 1..=100 {
            rig.publish(pkid, &format!("t/{pkid}"), &format!(r#"{{"id":{pkid}}}"#)).await;
        }
        rig.broker.expect_pubacks(1..=100).await;
        assert_eq!(handled.lock().unwrap().len(), 100);
        rig.leave().await;
    }
}
