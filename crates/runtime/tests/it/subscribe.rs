//! Subscribing: what is asked for, and what a broker may answer.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS as WireQoS;
use tidemill_core::QoS;
use tidemill_runtime::{MqttVersion, Phase, RunErrorKind};

use crate::support::*;

async fn answered(version: MqttVersion, codes: &[u8]) -> Rig {
    let mut rig = Rig::with_handler(config_of(version), Fine);
    let mut broker = rig.connection().await;
    broker.accept().await;
    answer(&mut broker, version, codes).await;
    rig
}

/// Answers a SUBSCRIBE with these codes.
async fn answer(broker: &mut tidemill_testkit::script::ScriptedBroker, version: MqttVersion, codes: &[u8]) {
    let [high, low] = broker.expect_subscribe().await.pkid.to_be_bytes();
    let properties: &[u8] = if version == MqttVersion::V5 { &[0] } else { &[] };
    let remaining = u8::try_from(2 + properties.len() + codes.len()).unwrap();
    broker.send_raw(&[&[0x90, remaining, high, low], properties, codes].concat()).await;
}

#[tokio::test(start_paused = true)]
async fn the_filters_of_all_routes_are_subscribed_to_through_the_share() {
    for version in BOTH {
        let routes = |worker: tidemill_runtime::WorkerBuilder| worker.route("a/{x}/b", Fine).route("c/#", Fine);
        let mut rig = Rig::start(config_of(version), routes);
        let mut broker = rig.connection().await;
        broker.accept().await;
        let subscribe = broker.accept_subscribe().await;
        let mut filters: Vec<_> = subscribe.filters.iter().map(|filter| (&*filter.path, filter.qos)).collect();
        filters.sort_by_key(|filter| filter.0);
        assert_eq!(filters, [("$share/g/a/+/b", WireQoS::AtLeastOnce), ("$share/g/c/#", WireQoS::AtLeastOnce)]);
        assert!(subscribe.filters.iter().all(|filter| !filter.nolocal), "an error on a share");
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_more_filters_are_asked_for_at_once_than_the_broker_takes() {
    let mut config = config();
    config.mqtt.broker = tidemill_runtime::profile::Profile::AwsIot;
    let routes = |worker: tidemill_runtime::WorkerBuilder| {
        (0..20).fold(worker, |worker, number| worker.route(format!("t{number}/x"), Fine))
    };
    let mut rig = Rig::start(config, routes);
    let mut broker = rig.connection().await;
    broker.accept().await;
    let (mut asked, mut sizes) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        assert!(!rig.handle.status().ready);
        let subscribe = broker.accept_subscribe().await;
        sizes.push(subscribe.filters.len());
        asked.extend(subscribe.filters.into_iter().map(|filter| filter.path));
    }
    rig.handle.ready().await;
    assert_eq!(sizes, [8, 8, 4]);
    asked.sort();
    let mut all: Vec<_> = (0..20).map(|number| format!("$share/g/t{number}/x")).collect();
    all.sort();
    assert_eq!(asked, all);
    rig.stop();
    let mut left = Vec::new();
    for size in sizes {
        let unsubscribe = broker.accept_unsubscribe().await;
        assert_eq!(unsubscribe.filters.len(), size);
        left.extend(unsubscribe.filters);
    }
    left.sort();
    assert_eq!(left, all);
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    rig.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_ready_once_its_subscription_is_granted() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.connection().await;
    settle().await;
    assert_eq!(rig.handle.status().instances[0].phase, Phase::Connecting);
    broker.accept().await;
    settle().await;
    assert_eq!(rig.handle.status().instances[0].phase, Phase::Subscribing);
    assert!(!rig.handle.status().ready);
    broker.accept_subscribe().await;
    rig.handle.ready().await;
    assert!(rig.handle.status().ready);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_refused_subscription_stops_the_worker_and_names_the_filter() {
    for (code, word) in [
        (0x80, "unspecified error"),
        (0x83, "implementation specific"),
        (0x87, "not authorized"),
        (0x8F, "topic filter invalid"),
        (0x9E, "shared subscriptions not supported"),
        (0xA1, "subscription identifiers"),
        (0xA2, "wildcard subscriptions"),
    ] {
        let error = answered(MqttVersion::V5, &[code]).await.ended().await.unwrap_err();
        assert_eq!(error.kind(), RunErrorKind::Broker);
        let told = told(&error);
        assert!(told.contains(word) && told.contains("$share/g/t/#"), "{told}");
        assert_eq!(code == 0x9E, told.contains("group.name"), "{told}");
    }
    let error = answered(MqttVersion::V3_1_1, &[0x80]).await.ended().await.unwrap_err();
    assert!(told(&error).contains("$share/g/t/#"), "{}", told(&error));
}

#[tokio::test(start_paused = true)]
async fn one_refused_filter_of_several_stops_the_worker() {
    let mut rig = Rig::start(config(), |worker| worker.route("a/#", Fine).route("b/#", Fine));
    let mut broker = rig.connection().await;
    broker.accept().await;
    answer(&mut broker, MqttVersion::V5, &[1, 0x87]).await;
    let error = rig.ended().await.unwrap_err();
    assert!(told(&error).contains("$share/g/b/#"), "{}", told(&error));
}

#[tokio::test(start_paused = true)]
async fn a_subscription_granted_at_a_lower_qos_stops_the_worker() {
    for version in BOTH {
        let error = answered(version, &[0]).await.ended().await.unwrap_err();
        assert!(told(&error).contains("mqtt.qos = 0"), "{}", told(&error));
    }
    let mut config = config();
    config.mqtt.qos = QoS::AtMostOnce;
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.connection().await;
    broker.accept().await;
    assert_eq!(broker.accept_subscribe().await.filters[0].qos, WireQoS::AtMostOnce);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_subscription_over_a_quota_is_tried_again_later() {
    let mut rig = answered(MqttVersion::V5, &[0x97]).await;
    assert!(rig.stays_away(Duration::from_secs(14)).await);
    let broker = rig.subscribed().await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_suback_that_is_late_or_short_costs_the_connection() {
    let mut config = config();
    config.mqtt.connect_timeout = Duration::from_secs(3);
    let mut rig = Rig::start(config, |worker| worker.route("a/#", Fine).route("b/#", Fine));
    let mut broker = rig.connection().await;
    broker.accept().await;
    broker.expect_subscribe().await;
    let began = tokio::time::Instant::now();
    broker.expect_disconnect().await;
    assert_eq!(began.elapsed().as_secs(), 3);
    let mut broker = rig.connection().await;
    broker.accept().await;
    answer(&mut broker, MqttVersion::V5, &[1]).await;
    broker.expect_disconnect().await;
    let mut broker = rig.connection().await;
    broker.accept().await;
    answer(&mut broker, MqttVersion::V5, &[1, 1]).await;
    rig.handle.ready().await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_suback_for_something_else_is_ignored() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.connection().await;
    broker.accept().await;
    let subscribe = broker.expect_subscribe().await;
    broker.send_raw(&[0x90, 4, 0x77, 0x77, 0, 0x80]).await;
    broker.expect_no_packet().await;
    let [high, low] = subscribe.pkid.to_be_bytes();
    broker.send_raw(&[0x90, 4, high, low, 0, 1]).await;
    rig.handle.ready().await;
    rig.leave(broker).await;
}
