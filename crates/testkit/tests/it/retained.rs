//! Retained events.

use std::time::Duration;

use rumqttc::v5::mqttbytes::v5::RetainForwardRule;
use tidemill_testkit::wire::v5;

use crate::support::*;

fn retained(topic: &str, payload: &str) -> v5::Publish {
    v5::Publish { retain: true, ..v5::Publish::new(topic, WireQoS::AtLeastOnce, payload.to_owned(), None) }
}

#[tokio::test(start_paused = true)]
async fn a_new_subscription_gets_the_last_retained_event_of_each_topic() {
    let broker = broker().await;
    let mut publisher = clean(&broker, "publisher").await;
    for (topic, payload) in [("a/1", "old"), ("a/1", "new"), ("a/2", "two"), ("b", "b"), ("a/3", "gone"), ("a/3", "")] {
        publisher.publish_packet(retained(topic, payload)).await;
    }
    publisher.ping_past_acks().await;
    assert_eq!(broker.stats().retained, 3);
    let mut subscriber = clean(&broker, "subscriber").await;
    subscriber.subscribe("a/+", Q1).await;
    let got = subscriber.expect_publishes(2).await;
    assert_eq!(texts(&got), ["new", "two"]);
    assert!(got.iter().all(|publish| publish.retain));
    subscriber.expect_no_packet().await;
}

#[tokio::test(start_paused = true)]
async fn a_retained_event_for_a_subscription_that_exists_is_an_ordinary_one_unless_asked_otherwise() {
    let broker = broker().await;
    let mut plain = subscriber(&broker, "plain", "a").await;
    let mut as_published = clean(&broker, "as published").await;
    let filter = v5::Filter { preserve_retain: true, ..v5::Filter::new("a", WireQoS::AtLeastOnce) };
    as_published.subscribe_with(vec![filter], None).await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_packet(retained("a", "x")).await;
    assert!(!plain.expect_publish().await.retain);
    assert!(as_published.expect_publish().await.retain);
}

#[tokio::test(start_paused = true)]
async fn retain_handling_says_when_retained_events_are_sent() {
    let broker = broker().await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_packet(retained("a", "x")).await;
    publisher.ping_past_acks().await;
    let mut subscriber = clean(&broker, "subscriber").await;
    let sent = [
        (RetainForwardRule::Never, 0),
        (RetainForwardRule::OnNewSubscribe, 0),
        (RetainForwardRule::OnEverySubscribe, 1),
        (RetainForwardRule::OnEverySubscribe, 1),
    ];
    for (rule, count) in sent {
        let filter = v5::Filter { retain_forward_rule: rule, ..v5::Filter::new("a", WireQoS::AtMostOnce) };
        subscriber.subscribe_with(vec![filter], None).await;
        assert_eq!(subscriber.ping().await.len(), count);
    }
    subscriber.unsubscribe("a").await;
    let filter = v5::Filter {
        retain_forward_rule: RetainForwardRule::OnNewSubscribe,
        ..v5::Filter::new("a", WireQoS::AtMostOnce)
    };
    subscriber.subscribe_with(vec![filter], None).await;
    assert_eq!(subscriber.ping().await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_shared_subscription_gets_no_retained_events() {
    let broker = broker().await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_packet(retained("a", "x")).await;
    publisher.ping_past_acks().await;
    let mut member = subscriber(&broker, "member", "$share/g/a").await;
    member.expect_no_packet().await;
}

#[tokio::test(start_paused = true)]
async fn a_retained_event_expires() {
    let broker = broker().await;
    let mut publisher = clean(&broker, "publisher").await;
    let properties = v5::PublishProperties { message_expiry_interval: Some(10), ..Default::default() };
    publisher.publish_packet(v5::Publish { properties: Some(properties), ..retained("a", "x") }).await;
    publisher.ping_past_acks().await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    let mut late = subscriber(&broker, "late", "a").await;
    late.expect_no_packet().await;
    assert_eq!(broker.stats().retained, 0);
}

trait PastAcks {
    async fn ping_past_acks(&mut self);
}

impl PastAcks for tidemill_testkit::client::RawClient {
    /// Waits until all that was published has been acknowledged.
    async fn ping_past_acks(&mut self) {
        self.send(v5::Packet::PingReq(v5::PingReq)).await;
        while !matches!(self.recv().await, v5::Packet::PingResp(_)) {}
    }
}
