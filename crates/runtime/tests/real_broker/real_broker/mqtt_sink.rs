//! The sink that publishes: what every sink must hold, on Mosquitto behind a proxy that cuts connections.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidemill_core::{QoS, Record, Sink, SinkErrorKind, async_trait, report};
use tidemill_runtime::{Config, MqttSink, MqttSinkConfig, MqttVersion};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::fault::FaultProxy;
use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig};
use tidemill_testkit::sink_conformance::{Misconfigured, Seen, Target};
use tokio::sync::Mutex;

use super::support::mosquitto;

struct Broker {
    _mosquitto: Mosquitto,
    proxy: FaultProxy,
    version: MqttVersion,
    /// Subscribed to what the sinks publish, and what it has got so far.
    reader: Mutex<(RawClient, Vec<Seen>)>,
}

impl Broker {
    async fn start(version: MqttVersion) -> Option<Self> {
        let user = Some(("worker".to_owned(), "s3cret".to_owned()));
        let extra = vec!["max_packet_size 65536".to_owned()];
        let broker = mosquitto(MosquittoConfig { user, extra, ..MosquittoConfig::default() }).await?;
        let proxy = FaultProxy::start(broker.addr()).await.unwrap();
        let mut reader = RawClient::tcp(broker.addr()).await.unwrap().with_patience(Duration::from_secs(20));
        reader.connect(ConnectOptions::new("reader").login("worker", "s3cret")).await;
        reader.subscribe("out/#", QoS::AtMostOnce).await;
        Some(Self { _mosquitto: broker, proxy, version, reader: Mutex::new((reader, Vec::new())) })
    }

    fn sink_with(&self, change: impl FnOnce(&mut MqttSinkConfig)) -> Arc<dyn Sink> {
        let mut broker = Config::default().mqtt;
        broker.url = self.proxy.url();
        broker.username = Some("worker".to_owned());
        broker.password = Some("s3cret".into());
        broker.version = self.version;
        (broker.reconnect.min, broker.reconnect.max) = (Duration::from_millis(10), Duration::from_millis(200));
        let mut config = MqttSinkConfig::new(broker, "out/{key}");
        config.timeout = Duration::from_secs(2);
        change(&mut config);
        Arc::new(MqttSink::new(config))
    }
}

#[async_trait]
impl Target for Broker {
    fn sink(&self) -> Arc<dyn Sink> {
        self.sink_with(|_| {})
    }

    async fn read_all(&self) -> Vec<Seen> {
        let mut reader = self.reader.lock().await;
        let (client, seen) = &mut *reader;
        for publish in client.ping().await {
            let topic = String::from_utf8(publish.topic.to_vec()).unwrap();
            let key = topic.strip_prefix("out/").unwrap().to_owned();
            seen.push(Seen::new(publish.payload).with_key(key));
        }
        seen.clone()
    }

    async fn outage(&self) {
        self.proxy.faults().refuse(true);
        self.proxy.faults().cut_all();
    }

    async fn recover(&self) {
        self.proxy.faults().refuse(false);
    }

    fn proxy(&self) -> Option<&FaultProxy> {
        Some(&self.proxy)
    }

    fn bad_record(&self) -> Option<Record> {
        Some(Record::new("bad").with_key("two/levels"))
    }

    fn oversize_record(&self) -> Option<Record> {
        // MQTT 3.1.1 has no way to say it: the broker would cut the connection.
        (self.version == MqttVersion::V5).then(|| Record::new(vec![b'x'; 70_000]).with_key("key-1"))
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let says = |change: fn(&mut MqttSinkConfig), says| Misconfigured::new(self.sink_with(change), says);
        vec![
            says(|config| config.broker.password = Some("wr0ng".into()), "check the credentials").hides("wr0ng"),
            says(|config| config.broker.url = "http://h".to_owned(), "mqtt"),
            says(|config| config.topic = "out/#".to_owned(), "name a capture"),
            says(|config| config.topic = "out/{a".to_owned(), "topic of the MQTT sink"),
            says(|config| config.qos = QoS::ExactlyOnce, "set 0 or 1"),
        ]
    }
}

mod version_5 {
    use super::{Broker, MqttVersion};

    tidemill_testkit::conformance!(|| Broker::start(MqttVersion::V5));
}

mod version_3 {
    use super::{Broker, MqttVersion};

    tidemill_testkit::conformance!(|| Broker::start(MqttVersion::V3_1_1));
}

#[tokio::test]
async fn a_publication_has_what_the_record_says() {
    let Some(broker) = Broker::start(MqttVersion::V5).await else { return };
    let sink = broker.sink_with(|config| {
        config.retain = true;
        config.expires = Duration::from_secs(1000);
    });
    let record = Record::new("x").with_key("k").with_header("unit", "C").with_content_type("text/plain");
    sink.write(&[record.with_idempotency_key("id-1")]).await.unwrap();
    let mut later = RawClient::tcp(broker._mosquitto.addr()).await.unwrap();
    later.connect(ConnectOptions::new("later").login("worker", "s3cret")).await;
    later.subscribe("out/k", QoS::AtLeastOnce).await;
    let publish = later.expect_publish().await;
    assert_eq!((publish.payload, publish.retain), (Bytes::from_static(b"x"), true));
    let properties = publish.properties.unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("text/plain"));
    assert!(properties.message_expiry_interval.is_some_and(|seconds| seconds > 900));
    for (name, value) in [("unit", "C"), ("tidemill-key", "k"), ("tidemill-idempotency-key", "id-1")] {
        assert!(properties.user_properties.contains(&(name.to_owned(), value.to_owned())), "{name}");
    }
}

#[tokio::test]
async fn a_topic_that_may_not_be_published_to_is_said_in_a_sentence() {
    let directory = tempfile::tempdir().unwrap();
    let acl = directory.path().join("acl");
    std::fs::write(&acl, "topic read out/#\ntopic write out/allowed\n").unwrap();
    let extra = vec![format!("acl_file {}", acl.display())];
    let Some(broker) = mosquitto(MosquittoConfig { extra, ..MosquittoConfig::default() }).await else { return };
    let sink = |topic: &str| {
        let mut config = Config::default().mqtt;
        config.url = broker.url();
        MqttSink::new(MqttSinkConfig::new(config, topic))
    };
    let error = sink("out/forbidden").write(&[Record::new("x")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Misconfigured, "{}", report(&error));
    assert!(report(&error).contains("allow this client to publish"), "{}", report(&error));
    let batch = ["forbidden", "allowed"].map(|key| Record::new("x").with_key(key));
    let error = sink("out/{key}").write(&batch).await.unwrap_err();
    assert_eq!(error.rejections().iter().map(|rejection| rejection.index).collect::<Vec<_>>(), [0]);
}
