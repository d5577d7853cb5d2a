//! Every way to a broker: connect, share, handle, leave.

use std::time::Duration;

use tidemill_runtime::config::Secret;
use tidemill_runtime::{Config, MqttVersion};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::mosquitto::MosquittoConfig;
use tidemill_testkit::script::ScriptedBroker;

use super::support::*;

/// Two instances share some hundred events, handle each once, and leave.
async fn works(mut config: Config) {
    const EVENTS: u32 = 300;
    config.instances = 2.into();
    let counted = Counted::default();
    let worker = Running::joined(config.clone(), Slow(counted.clone(), Duration::ZERO)).await;
    let publisher = publisher(&config);
    publish(&publisher, events(0..EVENTS)).await;
    until(|| counted.distinct() == EVENTS as usize).await;
    until(|| worker.handle.status().instances.iter().map(|i| i.acked).sum::<u64>() == u64::from(EVENTS)).await;
    let shares: Vec<u64> = worker.handle.status().instances.iter().map(|instance| instance.received).collect();
    assert!(shares.iter().all(|share| *share > 0), "both have a share: {shares:?}");
    publisher.close().await;
    let summary = worker.leave().await;
    assert_eq!((summary.received, summary.handled, counted.repeated()), (u64::from(EVENTS), u64::from(EVENTS), 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_in_both_versions() {
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    for version in BOTH {
        let mut config = config(broker.url());
        config.mqtt.version = version;
        works(config).await;
    }
    let log = broker.log();
    assert!(!log.contains("protocol error") && !log.contains("malformed"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_everything_in_connect_that_can_be() {
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    for version in BOTH {
        let mut config = config(broker.url());
        config.mqtt.version = version;
        config.mqtt.username = Some("ada".to_owned());
        config.mqtt.password = Some(Secret::new("lovelace"));
        config.mqtt.will = Some(Default::default());
        config.mqtt.will.as_mut().unwrap().topic = "gone".to_owned();
        if version == MqttVersion::V5 {
            config.mqtt.user_properties.insert("site".to_owned(), "north".to_owned());
        }
        works(config).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_with_certificates_on_both_sides() {
    let certificates = certificates();
    let tls = Some(certificates.mosquitto_asking());
    let Some(broker) = mosquitto(MosquittoConfig { tls, ..MosquittoConfig::default() }).await else { return };
    for version in BOTH {
        let mut config = config(format!("mqtts://{}", broker.tls_addr().unwrap()));
        config.mqtt.version = version;
        config.mqtt.tls.ca_file = Some(certificates.ca());
        config.mqtt.tls.cert_file = Some(certificates.client().cert);
        config.mqtt.tls.key_file = Some(certificates.client().key);
        works(config).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_without_verification_where_that_is_asked_for() {
    let certificates = certificates();
    let tls = Some(certificates.mosquitto());
    let Some(broker) = mosquitto(MosquittoConfig { tls, ..MosquittoConfig::default() }).await else { return };
    let mut config = config(format!("mqtts://{}", broker.tls_addr().unwrap()));
    config.mqtt.tls.insecure_skip_verify = true;
    works(config).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_websocket() {
    let Some(broker) = mosquitto(MosquittoConfig { websockets: true, ..MosquittoConfig::default() }).await else {
        return;
    };
    for version in BOTH {
        let mut config = config(format!("ws://{}/mqtt", broker.websocket_addr().unwrap()));
        config.mqtt.version = version;
        works(config).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_websocket_with_tls() {
    let certificates = certificates();
    let port = free_port();
    let extra = vec![
        format!("listener {port} 127.0.0.1"),
        "protocol websockets".to_owned(),
        format!("certfile {}", certificates.server().cert.display()),
        format!("keyfile {}", certificates.server().key.display()),
    ];
    let Some(broker) = mosquitto(MosquittoConfig { extra, ..MosquittoConfig::default() }).await else { return };
    let mut config = config(format!("wss://127.0.0.1:{port}/mqtt"));
    config.mqtt.tls.ca_file = Some(certificates.ca());
    works(config).await;
    drop(broker);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_password_and_with_one_from_a_file() {
    let user = Some(("ada".to_owned(), "lovelace".to_owned()));
    let Some(broker) = mosquitto(MosquittoConfig { user, ..MosquittoConfig::default() }).await else { return };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "lovelace\n").unwrap();
    for version in BOTH {
        let mut config = config(broker.url());
        config.mqtt.version = version;
        config.mqtt.username = Some("ada".to_owned());
        config.mqtt.password = Some(Secret::new("lovelace"));
        works(config.clone()).await;
        config.mqtt.password = None;
        config.mqtt.password_file = Some(file.clone());
        works(config).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_next_address_where_the_first_cannot_be_reached_or_does_not_answer() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let refusing = format!("mqtt://127.0.0.1:{}", free_port());
    // It takes connections and says nothing: TLS waits for it, and so does CONNECT.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    for first in [refusing, format!("mqtts://{address}"), format!("mqtt://{address}"), format!("ws://{address}")] {
        let mut config = config(&first);
        // They all find out at once, and must not pass the good one by.
        config.instances = 2.into();
        config.mqtt.tls.insecure_skip_verify = first.starts_with("mqtts");
        config.mqtt.fallback_urls = vec![broker.url()];
        config.mqtt.connect_timeout = Duration::from_millis(300);
        let counted = Counted::default();
        let worker = Running::joined(config, Slow(counted.clone(), Duration::ZERO)).await;
        let publisher = publisher(&super::support::config(broker.url()));
        publish(&publisher, events(0..10)).await;
        until(|| counted.distinct() == 10).await;
        publisher.close().await;
        worker.leave().await;
    }
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_server_that_the_broker_names_instead_of_itself() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let reference = broker.addr().unwrap().to_string();
    let mut config = config(format!("mqtt://{}", other.local_addr().unwrap()));
    // One connection alone is told.
    config.group.verify = tidemill_runtime::config::Verify::Never;
    let counted = Counted::default();
    let worker = Running::start(config, |worker| worker.route("t/#", Slow(counted.clone(), Duration::ZERO)));
    let (stream, _) = other.accept().await.unwrap();
    let mut scripted = ScriptedBroker::new(stream);
    scripted.expect_connect().await;
    // Use another server, and its name.
    let length = u8::try_from(reference.len()).unwrap();
    let mut refusal = vec![0x20, 3 + 3 + length, 0, 0x9C, 3 + length, 0x1C, 0, length];
    refusal.extend(reference.bytes());
    scripted.send_raw(&refusal).await;
    worker.ready().await;
    let publisher = publisher(&super::support::config(broker.url()));
    publish(&publisher, events(0..10)).await;
    until(|| counted.distinct() == 10).await;
    publisher.close().await;
    worker.leave().await;
    broker.shutdown().await;
}
