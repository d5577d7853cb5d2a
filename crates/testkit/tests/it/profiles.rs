//! The ways of known brokers: who is given an event, and what becomes of it when that member is gone.

use tidemill_testkit::broker::{Broker, BrokerConfig, Distribution, Profile, Quirks};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::{Version, v5};

use crate::support::*;

async fn with(quirks: Quirks) -> Broker {
    broker_with(BrokerConfig::in_memory().with_quirks(quirks)).await
}

fn lossy(distribution: Distribution) -> Quirks {
    Quirks { distribution, redeliver_on_member_loss: false, ..Quirks::default() }
}

async fn member(broker: &Broker, options: ConnectOptions) -> RawClient {
    let mut member = client(broker, options).await;
    member.subscribe("$share/g/a", Q1).await;
    member
}

async fn publish(broker: &Broker, count: usize) {
    let mut publisher = clean(broker, "publisher").await;
    for number in 0..count {
        publisher.publish_acked("a", number.to_string()).await;
    }
    publisher.disconnect().await;
}

#[tokio::test(start_paused = true)]
async fn a_queue_of_its_own_is_lost_with_a_member_whose_session_ends() {
    let broker = with(lossy(Distribution::Everyone)).await;
    let mut slow = member(&broker, ConnectOptions::new("slow").receive_maximum(2)).await;
    let mut other = member(&broker, ConnectOptions::new("other")).await;
    publish(&broker, 20).await;
    assert_eq!(slow.ping().await.len(), 2);
    assert_eq!(other.ping().await.len(), 10, "it is not asked for what the other one cannot take");
    slow.cut();
    other.expect_no_packet().await;
    assert_eq!(broker.stats().dropped, 10);
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ends_leaves_all_it_had_to_the_others_where_the_broker_moves_it() {
    let broker = with(Quirks { redeliver_on_session_end: true, ..lossy(Distribution::Everyone) }).await;
    let mut slow = member(&broker, ConnectOptions::new("slow").receive_maximum(2)).await;
    let mut other = member(&broker, ConnectOptions::new("other")).await;
    publish(&broker, 20).await;
    assert_eq!(slow.ping().await.len(), 2);
    assert_eq!(other.ping().await.len(), 10);
    slow.cut();
    assert_eq!(other.expect_publishes(10).await.len(), 10);
    other.expect_no_packet().await;
    assert_eq!(broker.stats().dropped, 0);
}

#[tokio::test(start_paused = true)]
async fn an_expired_session_leaves_what_it_had_to_the_others() {
    let broker = with(Quirks { redeliver_on_session_end: true, ..lossy(Distribution::Everyone) }).await;
    let mut durable = member(&broker, ConnectOptions::new("durable").expiry(30)).await;
    let mut other = member(&broker, ConnectOptions::new("other")).await;
    publish(&broker, 4).await;
    durable.cut();
    assert_eq!(other.ping().await.len(), 2);
    other.expect_no_packet().await;
    tokio::time::sleep(std::time::Duration::from_secs(31)).await;
    other.expect_publishes(2).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_away_is_picked_always_or_only_when_it_must_be() {
    for (distribution, with_other, alone) in
        [(Distribution::Everyone, 5, 4), (Distribution::OnlineFirst, 0, 4), (Distribution::Online, 0, 0)]
    {
        let broker = with(lossy(distribution)).await;
        let mut away = member(&broker, ConnectOptions::new("away").expiry(600)).await;
        let mut other = member(&broker, ConnectOptions::new("other")).await;
        away.cut();
        publish(&broker, 10).await;
        assert_eq!(other.ping().await.len(), 10 - with_other, "{distribution:?}");
        other.disconnect().await;
        publish(&broker, 4).await;
        let mut away = client(&broker, ConnectOptions::new("away").resume(600)).await;
        assert_eq!(away.ping().await.len(), with_other + alone, "{distribution:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_may_not_keep_sessions_nor_speak_the_newer_version_nor_take_wide_filters() {
    let broker = with(Quirks {
        keeps_sessions: false,
        forbid_multi_level: true,
        max_filters_per_subscribe: Some(2),
        ..Quirks::default()
    })
    .await;
    let mut first = client(&broker, ConnectOptions::new("c").expiry(600)).await;
    assert_eq!(first.subscribe("a/#", Q1).await, v5::SubscribeReasonCode::NotAuthorized);
    assert_eq!(first.subscribe("a/+", Q1).await, v5::SubscribeReasonCode::Success(WireQoS::AtLeastOnce));
    let filters = ["x", "y", "z"].map(|filter| v5::Filter::new(filter, WireQoS::AtLeastOnce));
    let codes = first.subscribe_with(filters.to_vec(), None).await;
    assert_eq!(codes, [v5::SubscribeReasonCode::QuotaExceeded; 3]);
    first.cut();
    let mut again = RawClient::new(broker.connect());
    assert!(!again.connect(ConnectOptions::new("c").resume(600)).await.session_present);

    let broker = with(Profile::Nats.quirks()).await;
    let mut newer = RawClient::new(broker.connect());
    let answer = newer.connect(ConnectOptions::new("c")).await;
    assert_eq!(answer.code, v5::ConnectReturnCode::UnsupportedProtocolVersion);
    let mut older = RawClient::with_version(broker.connect(), Version::V4);
    assert_eq!(older.connect(ConnectOptions::new("c")).await.code, v5::ConnectReturnCode::Success);
}

#[tokio::test(start_paused = true)]
async fn a_cap_may_hold_for_the_older_version_alone() {
    let broker = with(Profile::Mosquitto.quirks()).await;
    for (version, expected) in [(Version::V4, 20), (Version::V5, 50)] {
        let mut reader = RawClient::with_version(broker.connect(), version);
        reader.connect(ConnectOptions::new("reader")).await;
        reader.subscribe("a", Q1).await;
        publish(&broker, 50).await;
        assert_eq!(reader.ping().await.len(), expected, "{version:?}");
        reader.cut();
    }
}

#[test]
fn every_profile_is_found_by_its_name() {
    for profile in Profile::ALL {
        assert_eq!(Profile::named(profile.name()), Some(profile));
    }
    assert_eq!(Profile::named("generic"), None);
}
