//! Durable instances: an ID and a session that outlive the connection (G8).

use std::time::Duration;

use tidemill_runtime::config::IdentityMode;
use tidemill_runtime::{MqttVersion, Phase, RunErrorKind};

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

/// Lets a durable instance in whose session the broker has kept, and sees it leave without joining. For how long the
/// broker keeps its session.
async fn takes_leave(rig: &mut Rig) -> Option<u32> {
    let mut broker = rig.connection().await;
    assert!(!broker.expect_connect().await.connect.clean_start);
    broker.send_connack(true, None).await;
    assert_eq!(broker.accept_unsubscribe().await.filters, ["$share/g/t/#"]);
    broker.accept_ping().await;
    broker.expect_disconnect().await.properties.and_then(|all| all.session_expiry_interval)
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

#[tokio::test(start_paused = true)]
async fn a_scale_in_that_fails_is_tried_again_until_the_session_is_ended() {
    let mut config = durable(MqttVersion::V5);
    config.instances = 2.into();
    config.mqtt.keep_alive = Duration::ZERO;
    let mut rig = Rig::with_handler(config, Fine);
    let (mut leaving, mut staying) = (None, None);
    for _ in 0..2 {
        let mut broker = rig.connection().await;
        let id = broker.accept().await.connect.client_id;
        broker.accept_subscribe().await;
        *(if id.ends_with("-1") { &mut leaving } else { &mut staying }) = Some(broker);
    }
    let (mut leaving, staying) = (leaving.unwrap(), staying.unwrap());
    rig.handle.settled().await;
    rig.handle.scale(1).unwrap();
    leaving.expect_unsubscribe().await;
    leaving.cut();
    // What would end a worker that wants this instance.
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    let code = v5::ConnectReturnCode::NotAuthorized;
    broker.send(v5::Packet::ConnAck(v5::ConnAck { session_present: false, code, properties: None })).await;
    assert_eq!(takes_leave(&mut rig).await, Some(0));
    rig.handle.settled().await;
    rig.leave(staying).await;
}

#[tokio::test(start_paused = true)]
async fn a_durable_member_that_is_told_to_leave_while_it_is_being_replaced_gives_up_its_subscription() {
    for finishes_first in [false, true] {
        let (handler, mut calls) = Calls::new();
        let mut config = durable(MqttVersion::V5);
        config.mqtt.max_connection_age = Duration::from_secs(100);
        config.mqtt.keep_alive = Duration::ZERO;
        let mut rig = Rig::with_handler(config, handler);
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/a", Q1, "x").await;
        let call = calls.next().await;
        tokio::time::sleep(Duration::from_secs(85)).await;
        until(|| rig.handle.status().instances[0].phase == Phase::Leaving).await;
        if finishes_first {
            call.ok();
            broker.expect_pubacks([1]).await;
            broker.expect_disconnect().await;
            rig.stop();
            takes_leave(&mut rig).await;
        } else {
            rig.stop();
            settle().await;
            call.ok();
            broker.expect_pubacks([1]).await;
            broker.accept_unsubscribe().await;
            broker.accept_ping().await;
            broker.expect_disconnect().await;
        }
        rig.ended().await.unwrap();
    }
}
