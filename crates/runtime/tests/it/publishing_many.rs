//! Publications that are handed over together, through the embedded broker.

use tidemill_core::topic::TopicName;
use tidemill_core::{Publication, QoS};
use tidemill_runtime::{Config, PublishError, Publisher, Settled};
use tidemill_testkit::broker::{Broker, BrokerConfig};

/// More than the queue holds, so that handing over has to wait.
const MANY: usize = 3000;

fn publications(qos: QoS) -> impl Iterator<Item = Publication> {
    let topic = TopicName::new("out").unwrap();
    (0..MANY).map(move |at| Publication::new(topic.clone(), at.to_string()).with_qos(qos))
}

fn publisher(broker: &Broker) -> Publisher {
    let mut config = Config::default();
    config.mqtt.url = broker.url();
    Publisher::start_with(&config, "many").unwrap()
}

#[tokio::test]
async fn the_answer_comes_when_all_are_acknowledged_and_names_those_that_nobody_heard() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let publisher = publisher(&broker);
    let mut settled = publisher.start_many(publications(QoS::AtLeastOnce)).await.unwrap().settled().await;
    settled.unheard.sort_unstable();
    assert_eq!(settled.failed, []);
    assert_eq!(settled.unheard, (0..MANY).collect::<Vec<_>>());
    // At QoS 0 nobody says so.
    let settled = publisher.start_many(publications(QoS::AtMostOnce)).await.unwrap().settled().await;
    assert_eq!(settled, Settled::default());
    let none = publisher.start_many([]).await.unwrap().settled().await;
    assert_eq!(none, Settled::default());
    publisher.close().await;
    broker.shutdown().await;
}

#[tokio::test]
async fn what_waits_when_the_connection_ends_for_good_is_named_as_failed() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let publisher = publisher(&broker);
    assert!(publisher.connected().await);
    let mut started = publisher.start_many(publications(QoS::AtLeastOnce).take(500)).await.unwrap();
    publisher.abort();
    let settled = started.settled().await;
    assert_eq!(settled.failed.len(), 500);
    assert!(settled.failed.iter().all(|(_, error)| *error == PublishError::Closed));
    assert!(matches!(publisher.start_many(publications(QoS::AtLeastOnce)).await, Err(PublishError::Closed)));
}
