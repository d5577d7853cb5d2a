//! What several test modules use.

use std::time::Duration;

use tidemill_core::QoS;
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::{Version, v5};

pub(crate) use rumqttc::v5::mqttbytes::QoS as WireQoS;

pub(crate) const Q0: QoS = QoS::AtMostOnce;
pub(crate) const Q1: QoS = QoS::AtLeastOnce;
pub(crate) const Q2: QoS = QoS::ExactlyOnce;

pub(crate) async fn broker() -> Broker {
    broker_with(BrokerConfig::in_memory()).await
}

pub(crate) async fn broker_with(config: BrokerConfig) -> Broker {
    Broker::start(config).await.unwrap()
}

/// A connected MQTT 5 client.
pub(crate) async fn client(broker: &Broker, options: ConnectOptions) -> RawClient {
    let mut client = RawClient::new(broker.connect());
    let ack = client.connect(options).await;
    assert_eq!(ack.code, v5::ConnectReturnCode::Success);
    client
}

/// A connected MQTT 5 client with a clean session.
pub(crate) async fn clean(broker: &Broker, id: &str) -> RawClient {
    client(broker, ConnectOptions::new(id)).await
}

/// A connected MQTT 3.1.1 client.
pub(crate) async fn client_v4(broker: &Broker, options: ConnectOptions) -> RawClient {
    let mut client = RawClient::with_version(broker.connect(), Version::V4);
    let ack = client.connect(options).await;
    assert_eq!(ack.code, v5::ConnectReturnCode::Success);
    client
}

/// A clean MQTT 5 client that has one subscription.
pub(crate) async fn subscriber(broker: &Broker, id: &str, filter: &str) -> RawClient {
    let mut client = clean(broker, id).await;
    client.subscribe(filter, Q1).await;
    client
}

pub(crate) fn text(publish: &v5::Publish) -> &str {
    std::str::from_utf8(&publish.payload).unwrap()
}

pub(crate) fn texts(publishes: &[v5::Publish]) -> Vec<&str> {
    publishes.iter().map(text).collect()
}

/// Waits until it holds, which it does soon.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    for _ in 0..5000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("it never came true");
}
