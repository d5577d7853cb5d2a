//! What every sink must hold, for streams and lists; values and settings by themselves.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidemill_core::{Record, Sink};
use tidemill_testkit::fault::FaultProxy;
use tidemill_testkit::redis::{RedisConfig as ServerConfig, RedisServer};
use tidemill_testkit::sink_conformance::{Capabilities, Misconfigured, Seen, Target};
use tokio::sync::Mutex;

use super::super::{Redis, RedisConfig, RedisInto};
use crate::{Secret, Template};

struct Store {
    server: Mutex<RedisServer>,
    proxy: FaultProxy,
    into: RedisInto,
}

impl Store {
    async fn start(into: RedisInto) -> Option<Self> {
        let config = ServerConfig { password: Some("s3cret".into()), persistence: true, ..ServerConfig::default() };
        let server = RedisServer::start_or_skip(config).await?;
        let proxy = FaultProxy::start(server.addr()).await.unwrap();
        Some(Self { server: Mutex::new(server), proxy, into })
    }

    fn config(&self) -> RedisConfig {
        let url = format!("redis://{}/0", self.proxy.addr());
        let key = Template::new("out{header:suffix|:all}").unwrap();
        let mut config = RedisConfig::new(url, key).into(self.into).password(Secret::Text("s3cret".into()));
        config.timeout = Duration::from_secs(2);
        config
    }

    async fn cli(&self, words: &[&str]) -> String {
        self.server.lock().await.cli(words).await.unwrap()
    }
}

#[async_trait]
impl Target for Store {
    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(Redis::new(self.config()))
    }

    async fn read_all(&self) -> Vec<Seen> {
        let client = redis::Client::open(self.server.lock().await.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        if self.into == RedisInto::List {
            let mut all = redis::cmd("LRANGE");
            let all = all.arg("out:all").arg(0).arg(-1).query_async::<Vec<Vec<u8>>>(&mut connection).await;
            return all.unwrap().into_iter().map(Seen::new).collect();
        }
        type Entry = (String, Vec<(String, Vec<u8>)>);
        let mut all = redis::cmd("XRANGE");
        let all = all.arg("out:all").arg("-").arg("+").query_async::<Vec<Entry>>(&mut connection).await;
        let entries = all.unwrap().into_iter();
        let field = |fields: &[(String, Vec<u8>)], name: &str| {
            fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap()
        };
        entries.map(|(_, fields)| Seen::new(field(&fields, "payload")).with_key(field(&fields, "key"))).collect()
    }

    async fn outage(&self) {
        self.server.lock().await.kill().await.unwrap();
    }

    async fn recover(&self) {
        self.server.lock().await.restart().await.unwrap();
    }

    fn proxy(&self) -> Option<&FaultProxy> {
        Some(&self.proxy)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let wrong = self.config().password(Secret::Text("wr0ng".into()));
        let mut in_url = self.config();
        in_url.url = format!("redis://:s3cret@{}/0", self.proxy.addr()).into();
        assert!(!format!("{in_url:?} {}", serde_json::to_string(&in_url).unwrap()).contains("s3cret"));
        vec![
            Misconfigured::new(Arc::new(Redis::new(wrong)), "set the right username and password").hides("wr0ng"),
            Misconfigured::new(Arc::new(Redis::new(in_url)), "put them into username and password").hides("s3cret"),
        ]
    }
}

mod stream {
    use super::{RedisInto, Store};

    tidemill_testkit::conformance!(|| Store::start(RedisInto::Stream { max_len: 0 }));
}

mod list {
    use super::{RedisInto, Store};

    tidemill_testkit::conformance!(|| Store::start(RedisInto::List));
}

#[tokio::test]
async fn a_record_whose_key_holds_something_else_is_refused_alone_and_not_remembered() {
    let Some(store) = Store::start(RedisInto::List).await else { return };
    assert_eq!(store.cli(&["SET", "out:taken", "1"]).await, "OK");
    let bad = Record::new("bad").with_header("suffix", ":taken").with_idempotency_key("1");
    let good = Record::new("good").with_idempotency_key("2");
    let sink = store.sink();
    let error = sink.write(&[bad.clone(), good]).await.unwrap_err();
    assert_eq!(error.rejections().len(), 1);
    assert!(error.rejections()[0].reason.contains("WRONGTYPE"), "{:?}", error.rejections());
    assert_eq!(store.cli(&["LRANGE", "out:all", "0", "-1"]).await, "good");
    store.cli(&["DEL", "out:taken"]).await;
    sink.write(&[bad]).await.unwrap();
    assert_eq!(store.cli(&["LRANGE", "out:taken", "0", "-1"]).await, "bad");
}

#[tokio::test]
async fn for_ever_is_not_too_long_to_remember_a_key_or_to_keep_a_value() {
    let Some(store) = Store::start(RedisInto::Value { expires: Duration::MAX }).await else { return };
    for remember in [Duration::MAX, Duration::from_nanos(1)] {
        let mut config = store.config();
        config.remember = remember;
        let record = Record::new("x").with_idempotency_key(format!("{remember:?}"));
        Redis::new(config).write(&[record]).await.unwrap();
        assert_eq!(store.cli(&["GET", "out:all"]).await, "x");
    }
}

/// More words than a script can hand to one command.
#[tokio::test]
async fn a_record_with_very_many_headers_is_not_remembered_unless_it_is_written() {
    let Some(store) = Store::start(RedisInto::Stream { max_len: 0 }).await else { return };
    let sink = store.sink();
    let mut record = Record::new("x").with_key("k").with_idempotency_key("1");
    record.headers = (0..9000).map(|number| (number.to_string(), "v".to_owned())).collect();
    for _ in 0..2 {
        let written = sink.write(std::slice::from_ref(&record)).await;
        let stored = store.cli(&["XLEN", "out:all"]).await;
        assert_eq!(written.is_ok(), stored == "1", "{written:?}, and the stream has {stored}");
    }
}

#[tokio::test]
async fn an_idempotency_key_is_remembered_for_each_list_by_itself() {
    let Some(store) = Store::start(RedisInto::List).await else { return };
    let sink = store.sink();
    let record = |suffix: &str| Record::new("x").with_header("suffix", suffix).with_idempotency_key("order-7");
    sink.write(&[record(":one"), record(":two"), record(":one")]).await.unwrap();
    assert_eq!(store.cli(&["LLEN", "out:one"]).await, "1");
    assert_eq!(store.cli(&["LLEN", "out:two"]).await, "1");
}

#[tokio::test]
async fn a_value_is_set_with_its_expiry() {
    let Some(store) = Store::start(RedisInto::Value { expires: Duration::from_secs(100) }).await else { return };
    store.sink().write(&[Record::new("1"), Record::new("2")]).await.unwrap();
    assert_eq!(store.cli(&["GET", "out:all"]).await, "2");
    let left: u64 = store.cli(&["TTL", "out:all"]).await.parse().unwrap();
    assert!((90..=100).contains(&left), "{left}");
}
