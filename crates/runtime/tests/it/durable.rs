//! Durable instances: an ID and a session that outlive the connection (G8).

use std::time::Duration;

use tidemill_runtime::config::IdentityMode;
use tidemill_runtime::{MqttVersion, RunErrorKind};

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_durable_session_that_is_taken_over_stops_the_worker() {
    let mut rig = Rig::with_handler(durable(MqttVersion::V5), Fine);
    let mut broker = rig.subscribed().await;
    broker.send_raw(&[0xE0, 1, 0x8E]).await;
    let error = rig.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Broker);
    assert!(told(&error).contains("session taken over"), "{}", told(&error));
}

fn durable(version: MqttVersion) -> tidemill_runtime::Config {
    let mut config = config_of(version);
    config.identity.mode = IdentityMode::Durable;
    config.identity.replica = Some("pod-3".to_owned());
    config.mqtt.session_expiry = Duration::from_secs(600);
    config
}

#[tokio::test(start_paused = true)]
async fn a_durable_instance_resumes_its_session_and_takes_what_comes_before_the_suback() {
    for version in BOTH {
        let (handler, mut calls) = Calls::new();
        let mut rig = Rig::with_handler(durable(version), handler);
        let mut broker = rig.connection().await;
        let connect = broker.expect_connect().await.connect;
        assert_eq!((&*connect.client_id, connect.clean_start), ("tidemill-pod-3-0", false));
        if version == MqttVersion::V5 {
            assert_eq!(connect.properties.unwrap().session_expiry_interval, Some(600));
        }
        broker.send_connack(true, None).await;
        broker.republish(5, "t/a", "from before").await;
        let call = calls.next().await;
        assert!(call.event.dup());
        call.ok();
        broker.expect_subscribe().await;
        broker.expect_pubacks([5]).await;
        broker.cut();
        // An event of the lost session that is still being handled, and the same one again.
        let mut broker = rig.connection().await;
        broker.expect_connect().await;
        broker.send_connack(true, None).await;
        broker.accept_subscribe().await;
        broker.publish(6, "t/a", Q1, "x").await;
        let old = calls.next().await;
        broker.cut();
        let mut broker = rig.connection().await;
        broker.expect_connect().await;
        broker.send_connack(true, None).await;
        broker.accept_subscribe().await;
        broker.republish(6, "t/a", "x").await;
        settle().await;
        old.ok();
        let again = calls.next().await;
        broker.expect_no_packet().await;
        again.ok();
        broker.expect_pubacks([6]).await;
        rig.leave(broker).await;
    }
}

/// Lets a durable instance in whose session the broker has kept, and sees it leave without joining.
async fn takes_leave(rig: &mut Rig) {
    let mut broker = rig.connection().await;
    assert!(!broker.expect_connect().await.connect.clean_start);
    broker.send_connack(true, None).await;
    assert_eq!(broker.accept_unsubscribe().await.filters, ["$share/g/t/#"]);
    broker.accept_ping().await;
    broker.expect_disconnect().await;
}

#[tokio::test(start_paused = true)]
async fn a_durable_worker_told_to_leave_without_a_connection_comes_back_to_unsubscribe() {
    for version in BOTH {
        let mut config = durable(version);
        config.mqtt.reconnect.min = Duration::from_secs(5);
        let mut rig = Rig::with_handler(config, Fine);
        rig.subscribed().await.cut();
        settle().await;
        rig.stop();
        takes_leave(&mut rig).await;
        rig.ended().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_durable_worker_that_loses_its_connection_before_the_unsuback_comes_back_to_unsubscribe() {
    let mut rig = Rig::with_handler(durable(MqttVersion::V5), Fine);
    let mut broker = rig.subscribed().await;
    rig.stop();
    broker.expect_unsubscribe().await;
    broker.cut();
    takes_leave(&mut rig).await;
    rig.ended().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_durable_worker_whose_broker_stays_away_leaves_with_the_drains_deadline() {
    let mut rig = Rig::with_handler(durable(MqttVersion::V5), Fine);
    rig.subscribed().await.cut();
    settle().await;
    rig.stop();
    let began = tokio::time::Instant::now();
    let error = rig.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::DrainDeadline);
    assert!(began.elapsed() <= Duration::from_secs(25), "{:?}", began.elapsed());
}
