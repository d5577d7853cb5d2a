//! What a replica's earlier runs left on the broker: subscriptions that nobody wants any more, and sessions of instances
//! that are no more. Both are known from a file alone.

use std::path::Path;
use std::time::Duration;

use tidemill_runtime::config::IdentityMode;
use tidemill_runtime::{Config, MqttVersion};

use crate::support::*;

fn durable(directory: Option<&Path>) -> Config {
    let mut config = config();
    config.identity.mode = IdentityMode::Durable;
    config.identity.replica = Some("pod-3".to_owned());
    config.identity.state_dir = directory.map(Into::into);
    config.mqtt.session_expiry = Duration::from_secs(600);
    config
}

fn known(directory: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(directory.join("tidemill-pod-3.json")).unwrap()).unwrap()
}

/// A worker that is gone without a word, as by a crash.
async fn crash(rig: Rig) {
    rig.abort().await;
}

#[tokio::test(start_paused = true)]
async fn subscriptions_that_are_not_wanted_any_more_are_given_up_in_a_kept_session() {
    let directory = tempfile::tempdir().unwrap();
    let mut rig = Rig::start(durable(Some(directory.path())), |w| w.route("a/#", Fine).route("b/#", Fine));
    let _broker = rig.subscribed().await;
    rig.handle.ready().await;
    crash(rig).await;

    let changed = || Rig::start(durable(Some(directory.path())), |worker| worker.route("b/#", Fine).route("c/#", Fine));
    // The broker has lost the session: there is nothing to give up.
    let mut rig = changed();
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_connack(false, None).await;
    assert_eq!(broker.expect_subscribe().await.filters.len(), 2);
    // It never hears the answer: what it has asked for is written down all the same.
    assert_eq!(known(directory.path())["instances"]["0"].as_array().unwrap().len(), 3);
    crash(rig).await;

    let mut rig = changed();
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_connack(true, None).await;
    let unsubscribe = broker.accept_unsubscribe().await;
    assert_eq!(unsubscribe.filters, ["$share/g/a/#"]);
    broker.accept_subscribe().await;
    rig.handle.ready().await;
    let settled = serde_json::json!(["$share/g/b/#", "$share/g/c/#"]);
    until(|| known(directory.path())["instances"]["0"] == settled).await;
    broker.cut();
    // Once is enough.
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_connack(true, None).await;
    broker.accept_subscribe().await;
    rig.leave(broker).await;
    assert_eq!(known(directory.path())["instances"], serde_json::json!({}), "it has left everything, the session too");
}

#[tokio::test(start_paused = true)]
async fn without_a_file_nothing_is_guessed() {
    let mut rig = Rig::with_handler(durable(None), Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_connack(true, None).await;
    broker.accept_subscribe().await;
    assert!(rig.stays_away(Duration::from_secs(20)).await);
    rig.leave(broker).await;
}

/// The sessions of instances that a run of three had, when the next one has one.
#[tokio::test(start_paused = true)]
async fn sessions_of_instances_that_are_no_more_are_emptied_and_ended() {
    let directory = tempfile::tempdir().unwrap();
    let mut three = durable(Some(directory.path()));
    three.instances = 3.into();
    let mut rig = Rig::with_handler(three, Fine);
    let mut brokers = Vec::new();
    for _ in 0..3 {
        brokers.push(rig.subscribed().await);
    }
    rig.handle.settled().await;
    crash(rig).await;

    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(durable(Some(directory.path())), handler);
    let (mut own, mut ghosts) = (None, Vec::new());
    for _ in 0..3 {
        let mut broker = rig.connection().await;
        let connect = broker.expect_connect().await.connect;
        assert!(!connect.clean_start);
        broker.send_connack(true, None).await;
        match &*connect.client_id {
            "tidemill-pod-3-0" => {
                broker.accept_subscribe().await;
                own = Some(broker);
            }
            id => ghosts.push((id.to_owned(), broker)),
        }
    }
    ghosts.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(ghosts.iter().map(|ghost| &*ghost.0).collect::<Vec<_>>(), ["tidemill-pod-3-1", "tidemill-pod-3-2"]);
    rig.handle.ready().await;
    for (id, mut ghost) in ghosts {
        // It does not join: it leaves, and takes what is held for it along.
        let unsubscribe = ghost.accept_unsubscribe().await;
        assert_eq!(unsubscribe.filters, ["$share/g/t/#"]);
        ghost.republish(1, "t/a", id.clone()).await;
        ghost.publish(2, "t/a", Q1, id.clone()).await;
        let first = calls.next().await;
        assert_eq!(first.event.payload(), &*id);
        ghost.expect_no_packet_for(Duration::from_secs(5)).await;
        first.ok();
        calls.next().await.ok();
        ghost.expect_pubacks([1, 2]).await;
        ghost.accept_ping().await;
        let goodbye = ghost.expect_disconnect().await;
        assert_eq!(goodbye.properties.unwrap().session_expiry_interval, Some(0));
        ghost.cut();
    }
    rig.handle.settled().await;
    until(|| known(directory.path())["instances"].as_object().unwrap().len() == 1).await;
    rig.leave(own.unwrap()).await;
}

/// On MQTT 3.1.1 a session is ended by a clean one of the same ID.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_no_more_is_ended_on_mqtt_3_too_and_tried_again_after_a_crash() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = durable(Some(directory.path()));
    config.mqtt.version = MqttVersion::V3_1_1;
    config.instances = 2.into();
    let mut rig = Rig::with_handler(config.clone(), Fine);
    config.instances = 1.into();
    let _brokers = (rig.subscribed().await, rig.subscribed().await);
    rig.handle.settled().await;
    crash(rig).await;

    let mut rig = Rig::with_handler(config.clone(), Fine);
    let mut brokers = vec![rig.connection().await, rig.connection().await];
    for broker in &mut brokers {
        broker.expect_connect().await;
        broker.send_connack(true, None).await;
    }
    settle().await;
    // In the middle of it.
    crash(rig).await;

    let mut rig = Rig::with_handler(config, Fine);
    let (mut own, mut ended) = (None, false);
    while own.is_none() || !ended {
        let mut broker = rig.connection().await;
        let connect = broker.expect_connect().await.connect;
        broker.send_connack(!connect.clean_start, None).await;
        match (&*connect.client_id, connect.clean_start) {
            ("tidemill-pod-3-0", false) => {
                broker.accept_subscribe().await;
                own = Some(broker);
            }
            ("tidemill-pod-3-1", false) => {
                broker.accept_unsubscribe().await;
                broker.accept_ping().await;
                broker.expect_disconnect().await;
            }
            ("tidemill-pod-3-1", true) => {
                broker.expect_disconnect().await;
                ended = true;
            }
            other => panic!("{other:?}"),
        }
    }
    rig.handle.settled().await;
    until(|| known(directory.path())["instances"].as_object().unwrap().len() == 1).await;
    rig.leave(own.unwrap()).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_kept_session_holds_comes_before_the_suback_and_no_more_than_a_window_of_it_is_taken() {
    for version in BOTH {
        let mut config = durable(None);
        config.mqtt.version = version;
        config.mqtt.window = 5;
        let (handler, mut calls) = Calls::new();
        let mut rig = Rig::with_handler(config, handler);
        let mut broker = rig.connection().await;
        broker.expect_connect().await;
        // A broker that keeps to no limit, in the same breath as its CONNACK.
        broker.send_connack(true, None).await;
        for pkid in 1..=50 {
            broker.republish(pkid, "t/a", pkid.to_string()).await;
        }
        let subscribe = broker.expect_subscribe().await;
        let granted = vec![v5::SubscribeReasonCode::Success(subscribe.filters[0].qos)];
        let ack = v5::SubAck { pkid: subscribe.pkid, return_codes: granted, properties: None };
        broker.send(v5::Packet::SubAck(ack)).await;
        // The answer waits behind what there is no room for, and that takes longer than answers may.
        let first = calls.next().await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(count(&rig.registry, "tidemill_events_received_total", &[]), 5);
        assert_eq!(first.event.payload(), "1");
        first.ok();
        for expected in 2..=50 {
            let call = calls.next().await;
            assert_eq!(call.event.payload(), &*expected.to_string());
            call.ok();
        }
        let mut acked = 0;
        while acked < 50 {
            match broker.recv().await {
                v5::Packet::PubAck(ack) => {
                    acked += 1;
                    assert_eq!(ack.pkid, acked);
                }
                v5::Packet::PingReq(_) => broker.send(v5::Packet::PingResp(v5::PingResp)).await,
                other => panic!("{other:?}"),
            }
        }
        rig.handle.ready().await;
        assert_eq!(rig.handle.status().instances[0].epoch, 1, "one session");
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_used_stops_the_build() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("tidemill-pod-3.json"), "no JSON").unwrap();
    let error = Rig::try_start(durable(Some(directory.path())), |worker| worker.route("a", Fine)).unwrap_err();
    assert!(error.to_string().contains("identity.state_dir"), "{error}");
    let mut config = config();
    config.identity.state_dir = Some(directory.path().into());
    let error = Rig::try_start(config, |worker| worker.route("a", Fine)).unwrap_err();
    assert!(error.to_string().contains("generated client IDs"), "{error}");
}
