//! Dedup in front of any store: nothing is lost and nothing waits, whatever the store does.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidemill_runtime::dedup::{Check, Dedup, DedupStore, IdempotencyKey, MemoryLimits, MemoryStore};
use tokio::time::{Instant, advance};

use crate::support::{MS, Mood, Moody, event, paused};

fn dedup(store: Arc<dyn DedupStore>) -> Dedup {
    Dedup::new(IdempotencyKey::JsonPointer("/id".to_owned()), store).limit(MS * 200)
}

fn numbered(id: usize) -> tidemill_core::Event {
    event(format!(r#"{{"id":{id}}}"#))
}

#[tokio::test(start_paused = true)]
async fn an_event_is_a_duplicate_only_after_it_was_confirmed() {
    let stores: [Arc<dyn DedupStore>; 2] =
        [Arc::new(MemoryStore::new(MemoryLimits::default())), Moody::new(Mood::Fine)];
    for store in stores {
        let dedup = dedup(store);
        let first = dedup.is_duplicate("r", &numbered(1)).await;
        let Check::Fresh(key) = first else { panic!("{first:?}") };
        assert_eq!(dedup.is_duplicate("r", &numbered(1)).await, first, "a crash may have come in between");
        dedup.confirm(key).await;
        assert_eq!(dedup.is_duplicate("r", &numbered(1)).await, Check::Duplicate);
        assert!(!dedup.is_duplicate("other", &numbered(1)).await.is_duplicate(), "another route");
        assert_eq!(dedup.is_duplicate("r", &event("no json")).await, Check::NoKey);
        let stats = dedup.stats();
        assert_eq!((stats.fresh, stats.duplicates, stats.no_key, stats.confirmed), (3, 1, 1, 1));
    }
}

#[test]
fn a_store_in_memory_answers_on_the_spot_and_another_one_gives_the_key_back() {
    paused(async {
        let near = dedup(Arc::new(MemoryStore::new(MemoryLimits::default())));
        let Ok(Check::Fresh(key)) = near.try_is_duplicate("r", &numbered(1)) else { panic!("not on the spot") };
        assert!(near.try_confirm(key));
        assert_eq!(near.try_is_duplicate("r", &numbered(1)), Ok(Check::Duplicate));
        let far = dedup(Moody::new(Mood::Fine));
        assert_eq!(far.try_is_duplicate("r", &numbered(1)), Err(key));
        assert!(!far.try_confirm(key));
        assert_eq!(far.ask(key).await, Check::Fresh(key));
    });
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_is_cut_at_the_limit_and_then_left_alone() {
    let store = Moody::new(Mood::Hangs);
    let dedup = dedup(Arc::clone(&store) as _);
    let began = Instant::now();
    let check = dedup.is_duplicate("r", &numbered(1)).await;
    assert!(matches!(check, Check::Unchecked(_)));
    assert_eq!(began.elapsed(), MS * 200);
    for id in 0..1000 {
        let check = dedup.is_duplicate("r", &numbered(id)).await;
        dedup.confirm(check.to_confirm().unwrap()).await;
    }
    assert_eq!(began.elapsed(), MS * 200, "nobody waited");
    assert_eq!(store.asked(), 1);
    let stats = dedup.stats();
    assert_eq!((stats.unchecked, stats.unconfirmed), (1001, 1000));
}

#[tokio::test(start_paused = true)]
async fn one_event_at_a_time_tries_a_store_that_failed_and_all_use_it_again_when_it_answers() {
    let store = Moody::new(Mood::Fails);
    let dedup = dedup(Arc::clone(&store) as _);
    assert!(matches!(dedup.is_duplicate("r", &numbered(1)).await, Check::Unchecked(_)));
    store.set(Mood::Hangs);
    advance(MS * 1100).await;
    let began = Instant::now();
    let many = (0..50).map(|id| {
        let (dedup, event) = (&dedup, numbered(id));
        async move { dedup.is_duplicate("r", &event).await }
    });
    let checks = futures_util::future::join_all(many).await;
    assert!(checks.iter().all(|check| matches!(check, Check::Unchecked(_))));
    assert_eq!(store.asked(), 2, "one of fifty tried");
    assert_eq!(began.elapsed(), MS * 200);
    store.set(Mood::Fine);
    advance(MS * 1100).await;
    for id in 0..50 {
        let check = dedup.is_duplicate("r", &numbered(id)).await;
        assert!(matches!(check, Check::Fresh(_)));
        dedup.confirm(check.to_confirm().unwrap()).await;
        assert!(dedup.is_duplicate("r", &numbered(id)).await.is_duplicate());
    }
}

#[tokio::test(start_paused = true)]
async fn panics_of_stores_and_key_functions_stay_inside() {
    let dedup_of_panicking_store = dedup(Moody::new(Mood::Panics));
    assert!(matches!(dedup_of_panicking_store.is_duplicate("r", &numbered(1)).await, Check::Unchecked(_)));
    let key = IdempotencyKey::Function(Arc::new(|_| panic!("out of luck")));
    let dedup = Dedup::new(key, Moody::new(Mood::Fine));
    assert_eq!(dedup.is_duplicate("r", &numbered(1)).await, Check::NoKey);
}

#[tokio::test(start_paused = true)]
async fn no_limit_is_too_long() {
    let store = Moody::new(Mood::Fails);
    let dedup = dedup(Arc::clone(&store) as _).limit(Duration::MAX);
    assert!(matches!(dedup.is_duplicate("r", &numbered(1)).await, Check::Unchecked(_)));
    advance(MS * 1100).await;
    assert!(matches!(dedup.is_duplicate("r", &numbered(1)).await, Check::Unchecked(_)));
    assert_eq!(store.asked(), 2);
}

/// What becomes of one delivery of an event.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// The worker crashes before the event is handled.
    CrashBefore,
    /// It is handled and its records are written, and the worker crashes before the key is inserted.
    CrashBeforeConfirm,
    /// The key is inserted, and the acknowledgement is lost.
    AckLost,
    /// All goes well.
    Acked,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::CrashBefore), Just(Fate::CrashBeforeConfirm), Just(Fate::AckLost), Just(Fate::Acked)]
}

fn mood() -> impl Strategy<Value = Mood> {
    prop_oneof![3 => Just(Mood::Fine), 1 => Just(Mood::Fails), 1 => Just(Mood::Hangs), 1 => Just(Mood::Panics)]
}

proptest! {
    /// Deliveries of a few events, each again until it is acknowledged, with a store that comes and goes.
    #[test]
    fn no_event_is_lost_and_one_is_handled_twice_only_for_a_reason(
        deliveries in prop::collection::vec((0_usize..5, fate(), mood(), 0_u64..900), 1..60),
    ) {
        paused(async {
            let store = Moody::new(Mood::Fine);
            let dedup = dedup(Arc::clone(&store) as _);
            let mut handled = [0; 5];
            let mut confirmed = [false; 5];
            let mut acked = [false; 5];
            let last = (0..5).map(|id| (id, Fate::Acked, Mood::Fine, 2000));
            for (id, fate, mood, wait) in deliveries.into_iter().chain(last) {
                if acked[id] {
                    continue;
                }
                advance(Duration::from_millis(wait)).await;
                store.set(mood);
                let began = Instant::now();
                let check = dedup.is_duplicate("r", &numbered(id)).await;
                prop_assert!(began.elapsed() <= MS * 200);
                if check.is_duplicate() {
                    prop_assert!(confirmed[id], "a duplicate of what was never finished is a loss");
                } else if matches!(fate, Fate::CrashBefore) {
                    continue;
                } else {
                    let checked = matches!(check, Check::Fresh(_));
                    prop_assert!(!(checked && confirmed[id]), "the store knew");
                    handled[id] += 1;
                    if matches!(fate, Fate::CrashBeforeConfirm) {
                        continue;
                    }
                    let before = dedup.stats();
                    dedup.confirm(check.to_confirm().unwrap()).await;
                    confirmed[id] |= dedup.stats().confirmed > before.confirmed;
                }
                acked[id] = matches!(fate, Fate::Acked);
            }
            prop_assert!(acked.iter().all(|acked| *acked));
            prop_assert!(handled.iter().all(|times| *times >= 1), "lost: {:?}", handled);
            Ok(())
        })?;
    }
}
