//! The store in memory, against a naive one.

use std::time::Duration;

use proptest::prelude::*;
use tidemill_runtime::dedup::{DedupKey, DedupStore, MemoryLimits, MemoryStore};
use tokio::time::advance;

use crate::support::{MS, key, paused};

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u8),
    Ask(u8),
    Wait(u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => (0_u8..24).prop_map(Step::Insert),
        3 => (0_u8..24).prop_map(Step::Ask),
        1 => (0_u16..4000).prop_map(Step::Wait),
    ]
}

/// Every key with when it was inserted, oldest first.
#[derive(Default)]
struct Model {
    keys: Vec<(DedupKey, u64)>,
    now: u64,
    evicted: u64,
}

impl Model {
    fn expire(&mut self, age: u64) {
        let now = self.now;
        self.keys.retain(|(_, at)| now - at < age);
    }

    fn knows(&self, key: DedupKey) -> bool {
        self.keys.iter().any(|(known, _)| *known == key)
    }

    fn insert(&mut self, key: DedupKey, most: usize) {
        if most == 0 || self.knows(key) {
            return;
        }
        if self.keys.len() == most {
            self.keys.remove(0);
            self.evicted += 1;
        }
        self.keys.push((key, self.now));
    }
}

proptest! {
    #[test]
    fn it_knows_what_a_naive_store_knows(
        entries in 0_usize..30,
        age in prop_oneof![1_u64..3000, Just(u64::MAX)],
        steps in prop::collection::vec(step(), 1..250),
    ) {
        paused(async {
            let limits = MemoryLimits::default().max_entries(entries).max_age(Duration::from_millis(age));
            let store = MemoryStore::new(limits);
            let mut model = Model::default();
            for step in steps {
                match step {
                    Step::Insert(number) => {
                        prop_assert!(store.try_insert(&key(number)));
                        model.insert(key(number), entries);
                    }
                    Step::Ask(number) => {
                        prop_assert_eq!(store.try_contains(&key(number)), Some(model.knows(key(number))));
                    }
                    Step::Wait(millis) => {
                        advance(Duration::from_millis(millis.into())).await;
                        model.now += u64::from(millis);
                        model.expire(age);
                    }
                }
                let stats = store.stats().unwrap();
                prop_assert!(stats.entries <= entries);
                prop_assert!(stats.entries >= model.keys.len());
                prop_assert_eq!(stats.evicted, model.evicted);
            }
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_bound_the_number_of_keys() {
    let limits = MemoryLimits::default().max_bytes(10_000);
    let store = MemoryStore::new(limits);
    for number in 0..100_000_u128 {
        store.try_insert(&DedupKey::from_bytes(number.to_le_bytes()));
    }
    let stats = store.stats().unwrap();
    assert_eq!(stats.entries, limits.capacity());
    assert!((50..100).contains(&stats.entries), "{stats:?}");
    assert_eq!(stats.evicted, 100_000 - stats.entries as u64);
}

#[tokio::test(start_paused = true)]
async fn keys_that_came_of_age_go_a_few_at_a_time() {
    let store = MemoryStore::new(MemoryLimits::default().max_age(MS * 10));
    for number in 0..200 {
        store.try_insert(&key(number));
    }
    advance(MS * 10).await;
    assert_eq!(store.try_contains(&key(199)), Some(false), "forgotten at once");
    let before = store.stats().unwrap().entries;
    store.try_contains(&key(0));
    let after = store.stats().unwrap().entries;
    assert!(before > 150 && before > after && before - after <= 8, "removed little by little: {before}, {after}");
    for _ in 0..50 {
        store.try_contains(&key(0));
    }
    assert_eq!(store.stats().unwrap().entries, 0);
    assert_eq!(store.stats().unwrap().evicted, 0);
}

#[test]
fn many_threads_see_one_store() {
    let store = MemoryStore::new(MemoryLimits::default());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..=255).for_each(|number| assert!(store.try_insert(&key(number)))));
        }
    });
    assert_eq!(store.stats().unwrap().entries, 256);
    assert!((0..=255).all(|number| store.try_contains(&key(number)) == Some(true)));
}
