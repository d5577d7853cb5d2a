//! The Redis store against a real Redis server.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tidemill_runtime::dedup::{Check, Dedup, DedupKey, DedupStore, IdempotencyKey};
use tidemill_runtime::dedup::{RedisSettings, RedisStore, RedisStoreError, RedisStoreErrorKind};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep, timeout};

use crate::redis_server::Redis;
use crate::support::{event, key};

const PATIENCE: Duration = Duration::from_secs(20);

fn store(server: &Redis, prefix: &str) -> RedisStore {
    RedisStore::new(RedisSettings::new(server.url(), prefix)).unwrap()
}

/// The numbers of the connections to the server, without the one that asks for them.
async fn connections(server: &Redis) -> Vec<String> {
    let list = server.cli(&["CLIENT", "LIST", "TYPE", "normal"]).await;
    let others = list.lines().filter(|line| !line.contains("cmd=client"));
    others.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// Waits until it holds.
async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("what is awaited never came true");
}

#[tokio::test]
async fn replicas_share_what_they_have_handled_under_one_prefix() {
    let Some(server) = Redis::start(None).await else { return };
    let (one, two, other) = (store(&server, "g:"), store(&server, "g:"), store(&server, "h:"));
    assert!(!one.contains(&key(1)).await.unwrap());
    one.insert(&key(1)).await.unwrap();
    assert!(two.contains(&key(1)).await.unwrap());
    assert!(!two.contains(&key(2)).await.unwrap());
    assert!(!other.contains(&key(1)).await.unwrap());
    assert_eq!(server.cli(&["KEYS", "*"]).await, format!("g:{}", "01".repeat(16)));
}

#[tokio::test]
async fn a_key_that_is_inserted_again_keeps_its_age() {
    let Some(server) = Redis::start(None).await else { return };
    let settings = RedisSettings::new(server.url(), "g:").max_age(Duration::from_secs(1000));
    let long = RedisStore::new(settings.clone()).unwrap();
    long.insert(&key(1)).await.unwrap();
    RedisStore::new(settings.max_age(Duration::from_secs(5000))).unwrap().insert(&key(1)).await.unwrap();
    let left: u64 = server.cli(&["PTTL", &format!("g:{}", key(1))]).await.parse().unwrap();
    assert!((900_000..=1_000_000).contains(&left), "{left}");
}

#[tokio::test]
async fn a_key_is_forgotten_at_its_age() {
    let Some(server) = Redis::start(None).await else { return };
    let settings = RedisSettings::new(server.url(), "g:").max_age(Duration::from_millis(1));
    let store = RedisStore::new(settings).unwrap();
    store.insert(&key(1)).await.unwrap();
    until(async || !store.contains(&key(1)).await.unwrap()).await;
}

#[tokio::test]
async fn ages_without_end_are_accepted() {
    let Some(server) = Redis::start(None).await else { return };
    for (number, age) in [(1, Duration::ZERO), (2, Duration::MAX)] {
        let store = RedisStore::new(RedisSettings::new(server.url(), "g:").max_age(age)).unwrap();
        store.insert(&key(number)).await.unwrap();
    }
    assert!(store(&server, "g:").contains(&key(2)).await.unwrap());
}

#[tokio::test]
async fn many_questions_go_over_one_connection() {
    let Some(server) = Redis::start(None).await else { return };
    let store = Arc::new(store(&server, "g:"));
    let tasks = (0..500_u128).map(|number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let key = DedupKey::from_bytes(number.to_be_bytes());
            store.insert(&key).await.unwrap();
            assert!(store.contains(&key).await.unwrap());
        })
    });
    let tasks: Vec<_> = tasks.collect();
    assert!(join_all(tasks).await.into_iter().all(|ended| ended.is_ok()));
    assert_eq!(server.cli(&["DBSIZE"]).await, "500");
    assert_eq!(connections(&server).await.len(), 1);
}

#[tokio::test]
async fn a_wrong_password_is_told_at_once_and_the_right_one_works() {
    let Some(server) = Redis::start(Some("s3cret")).await else { return };
    store(&server, "g:").ping().await.unwrap();
    let url = format!("redis://:wr0ng@127.0.0.1:{}/0", server.port());
    let error = RedisStore::new(RedisSettings::new(url, "g:")).unwrap().ping().await.unwrap_err();
    assert_eq!(error.kind(), RedisStoreErrorKind::Failed);
    let text = format!("{} {error:?}", tidemill_core::report(&error));
    assert!(!text.contains("wr0ng"), "{text}");
}

#[tokio::test]
async fn a_server_that_dies_costs_duplicates_and_one_that_comes_back_is_used_again() {
    let Some(mut server) = Redis::start(None).await else { return };
    let dedup = Dedup::new(IdempotencyKey::JsonPointer("/id".to_owned()), Arc::new(store(&server, "g:")));
    let reading = event(r#"{"id":7}"#);
    let Check::Fresh(key) = dedup.is_duplicate("r", &reading).await else { panic!("it is fresh") };
    dedup.confirm(key).await;
    assert_eq!(dedup.is_duplicate("r", &reading).await, Check::Duplicate);

    server.kill().await;
    let began = Instant::now();
    for _ in 0..1000 {
        assert_eq!(dedup.is_duplicate("r", &reading).await, Check::Unchecked(key));
        dedup.confirm(key).await;
    }
    assert!(began.elapsed() < Duration::from_secs(5), "events waited: {:?}", began.elapsed());

    server.restart().await;
    until(async || matches!(dedup.is_duplicate("r", &reading).await, Check::Fresh(_))).await;
    dedup.confirm(key).await;
    assert_eq!(dedup.is_duplicate("r", &reading).await, Check::Duplicate);
}

#[tokio::test]
async fn a_server_that_freezes_costs_waits_within_the_timeout_and_its_connection_is_replaced() {
    let Some(server) = Redis::start(None).await else { return };
    let settings = RedisSettings::new(server.url(), "g:").timeout(Duration::from_millis(100));
    let store = RedisStore::new(settings.connect_timeout(Duration::from_millis(300))).unwrap();
    store.insert(&key(1)).await.unwrap();
    let first = connections(&server).await;

    server.freeze(true);
    let mut failed = 0;
    until(async || {
        let error = store.contains(&key(1)).await.unwrap_err().downcast::<RedisStoreError>().unwrap();
        assert!(matches!(error.kind(), RedisStoreErrorKind::NoAnswer(_) | RedisStoreErrorKind::Failed), "{error:?}");
        failed += usize::from(error.kind() == RedisStoreErrorKind::Failed);
        // The old connection gave no answer; the next two could not be made.
        failed == 2
    })
    .await;
    server.freeze(false);
    until(async || store.contains(&key(1)).await.is_ok_and(|known| known)).await;
    until(async || connections(&server).await.len() == 1).await;
    assert_ne!(connections(&server).await, first);
}

#[tokio::test]
async fn what_listens_but_is_no_redis_fails_within_the_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}/0", listener.local_addr().unwrap());
    let settings = RedisSettings::new(url, "g:").timeout(Duration::from_millis(100));
    let store = RedisStore::new(settings).unwrap();
    let began = Instant::now();
    let error = store.ping().await.unwrap_err();
    assert_eq!(error.kind(), RedisStoreErrorKind::NoAnswer(Duration::from_millis(100)));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_connection_goes_on_being_made_when_the_question_that_began_it_is_given_up() {
    let Some(server) = Redis::start(None).await else { return };
    let store = store(&server, "g:");
    {
        let mut question = pin!(store.ping());
        // May be answered already, which is as good.
        let _ = futures_util::poll!(question.as_mut());
    }
    until(async || connections(&server).await.len() == 1).await;
    store.ping().await.unwrap();
    assert_eq!(connections(&server).await.len(), 1);
}
