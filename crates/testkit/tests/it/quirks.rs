//! The ways of other brokers.

use tidemill_testkit::broker::{Broker, BrokerConfig, Quirks, SharedSubscriptions};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::v5;

use crate::support::*;

async fn with(quirks: Quirks) -> Broker {
    broker_with(BrokerConfig::in_memory().with_quirks(quirks)).await
}

#[tokio::test(start_paused = true)]
async fn a_broker_without_shared_subscriptions_says_so() {
    let broker = with(Quirks { shared_subscriptions: SharedSubscriptions::Unavailable, ..Quirks::default() }).await;
    let mut client = RawClient::new(broker.connect());
    let ack = client.connect(ConnectOptions::new("c")).await;
    assert_eq!(ack.properties.unwrap().shared_subscription_available, Some(0));
    assert_eq!(client.subscribe("$share/g/a", Q1).await, v5::SubscribeReasonCode::SharedSubscriptionsNotSupported);
    assert_eq!(client.subscribe("a", Q1).await, v5::SubscribeReasonCode::Success(WireQoS::AtLeastOnce));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_takes_a_share_for_a_filter_stays_silent() {
    let broker = with(Quirks { shared_subscriptions: SharedSubscriptions::SilentlyPlain, ..Quirks::default() }).await;
    let mut member = clean(&broker, "m").await;
    assert_eq!(member.subscribe("$share/g/a", Q1).await, v5::SubscribeReasonCode::Success(WireQoS::AtLeastOnce));
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "x").await;
    member.expect_no_packet().await;
    member.unsubscribe("$share/g/a").await;
}

#[tokio::test(start_paused = true)]
async fn the_in_flight_cap_holds_below_the_receive_maximum() {
    let broker = with(Quirks { inflight_cap: Some(3), ..Quirks::default() }).await;
    let mut member = client(&broker, ConnectOptions::new("m").receive_maximum(100)).await;
    member.subscribe("$share/g/a", Q1).await;
    let mut publisher = clean(&broker, "publisher").await;
    for _ in 0..10 {
        publisher.publish_acked("a", "x").await;
    }
    assert_eq!(member.ping().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_broker_can_overshoot_the_receive_maximum_as_mosquitto_does() {
    let broker = with(Quirks { overshoot_receive_maximum: true, ..Quirks::default() }).await;
    let mut member = client(&broker, ConnectOptions::new("m").receive_maximum(5)).await;
    member.subscribe("$share/g/a", Q1).await;
    let mut publisher = clean(&broker, "publisher").await;
    for _ in 0..100 {
        publisher.publish_acked("a", "x").await;
    }
    let mut unacknowledged = Vec::new();
    let mut held = member.ping().await.len();
    for pkid in 1..=4 {
        unacknowledged.push(held);
        member.puback(pkid).await;
        held = held - 1 + member.ping().await.len();
    }
    assert_eq!(unacknowledged, [5, 9, 13, 17]);
}

#[tokio::test(start_paused = true)]
async fn without_redelivery_events_stay_with_a_durable_session_and_are_lost_with_a_clean_one() {
    let broker = with(Quirks { redeliver_on_member_loss: false, ..Quirks::default() }).await;
    let mut durable = client(&broker, ConnectOptions::new("durable").expiry(600)).await;
    let mut fleeting = client(&broker, ConnectOptions::new("fleeting")).await;
    let mut heir = client(&broker, ConnectOptions::new("heir")).await;
    for member in [&mut durable, &mut fleeting] {
        member.subscribe("$share/g/a", Q1).await;
    }
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "0").await;
    publisher.publish_acked("a", "1").await;
    heir.subscribe("$share/g/a", Q1).await;
    let held = durable.expect_publish().await;
    durable.cut();
    fleeting.cut();
    heir.expect_no_packet().await;
    assert_eq!(broker.stats().dropped, 1);
    let mut durable = client(&broker, ConnectOptions::new("durable").resume(600)).await;
    let again = durable.expect_publish().await;
    assert_eq!((again.pkid, again.dup, &again.payload), (held.pkid, true, &held.payload));
}

#[tokio::test(start_paused = true)]
async fn filters_can_be_refused_by_their_text() {
    let broker = with(Quirks { refused_filters: vec!["#".into()], ..Quirks::default() }).await;
    let mut client = clean(&broker, "c").await;
    assert_eq!(client.subscribe("#", Q1).await, v5::SubscribeReasonCode::NotAuthorized);
    assert_eq!(client.subscribe("+/#", Q1).await, v5::SubscribeReasonCode::Success(WireQoS::AtLeastOnce));
}
