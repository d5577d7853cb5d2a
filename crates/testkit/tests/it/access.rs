//! Who is let in and what they may do.

use tidemill_testkit::broker::{Access, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::{Version, v5};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_refused_in_the_words_of_the_version() {
    let access = Access::default().with_user("ada", "secret");
    let broker = broker_with(BrokerConfig { access, ..BrokerConfig::in_memory() }).await;
    for options in [ConnectOptions::new("c"), ConnectOptions::new("c").login("ada", "wrong")] {
        for version in [Version::V4, Version::V5] {
            let mut client = RawClient::with_version(broker.connect(), version);
            let ack = client.connect(options.clone()).await;
            assert_eq!(ack.code, v5::ConnectReturnCode::BadUserNamePassword);
            client.expect_closed().await;
        }
    }
    client(&broker, ConnectOptions::new("c").login("ada", "secret")).await;
}

#[tokio::test(start_paused = true)]
async fn denied_topics_can_be_neither_published_to_nor_subscribed_to() {
    let access =
        Access::default().deny_publish("secret/#".parse().unwrap()).deny_subscribe("secret/#".parse().unwrap());
    let broker = broker_with(BrokerConfig { access, ..BrokerConfig::in_memory() }).await;
    let mut five = clean(&broker, "five").await;
    assert_eq!(five.publish_acked("secret/a", "x").await, v5::PubAckReason::NotAuthorized);
    for filter in ["secret/a", "#", "+/a", "$share/g/secret/+"] {
        assert_eq!(five.subscribe(filter, Q1).await, v5::SubscribeReasonCode::NotAuthorized);
    }
    assert_eq!(five.subscribe("open/#", Q1).await, v5::SubscribeReasonCode::Success(WireQoS::AtLeastOnce));
    let mut four = client_v4(&broker, ConnectOptions::new("four")).await;
    assert_eq!(four.subscribe("secret/a", Q1).await, v5::SubscribeReasonCode::Unspecified);
    assert_eq!(broker.stats().refused, 1);
}
