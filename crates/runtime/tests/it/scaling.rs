//! Instances that come and go while the worker runs, without loss (G7).

use std::time::Duration;

use tidemill_testkit::script::ScriptedBroker;

use crate::support::*;

/// Lets the next connection in; its client ID and the broker's end.
async fn joined(rig: &mut Rig) -> (String, ScriptedBroker) {
    let mut broker = rig.connection().await;
    let id = broker.accept().await.connect.client_id;
    broker.accept_subscribe().await;
    (id, broker)
}

#[tokio::test(start_paused = true)]
async fn a_worker_scales_out_and_in_while_events_are_in_hand() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let (first_id, mut first) = joined(&mut rig).await;
    rig.handle.scale(3).unwrap();
    let (second_id, second) = joined(&mut rig).await;
    let (third_id, third) = joined(&mut rig).await;
    rig.handle.settled().await;
    let mut ids = vec![&first_id, &second_id, &third_id];
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);

    let mut leaving = [second, third];
    for broker in &mut leaving {
        broker.publish(1, "t/a", Q1, "x").await;
    }
    let held = calls.take(2).await;
    rig.handle.scale(1).unwrap();
    for broker in &mut leaving {
        broker.accept_unsubscribe().await;
        broker.expect_no_packet().await;
    }
    held.into_iter().for_each(Call::ok);
    for broker in &mut leaving {
        broker.expect_pubacks([1]).await;
        broker.accept_ping().await;
        broker.expect_disconnect().await;
    }
    rig.handle.settled().await;
    let status = rig.handle.status();
    assert_eq!(status.instances.iter().map(|instance| &instance.id).collect::<Vec<_>>(), [&first_id]);
    first.publish(1, "t/a", Q1, "x").await;
    calls.next().await.ok();
    first.expect_pubacks([1]).await;
    let summary = rig.leave(first).await;
    assert_eq!((summary.received, summary.handled), (3, 3));
}

#[tokio::test(start_paused = true)]
async fn a_number_that_makes_no_sense_is_refused_and_changes_nothing() {
    let mut rig = Rig::with_handler(config(), Fine);
    let broker = rig.subscribed().await;
    for wrong in [0, 1025, u32::MAX] {
        assert!(rig.handle.scale(wrong).is_err());
    }
    assert!(rig.stays_away(Duration::from_secs(5)).await);
    rig.leave(broker).await;

    let mut config = config();
    config.group.name = None;
    let mut rig = Rig::with_handler(config, Fine);
    let broker = rig.subscribed().await;
    let error = rig.handle.scale(2).unwrap_err();
    assert!(error.to_string().contains("group.name"), "{error}");
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_is_asked_back_while_it_leaves_is_replaced() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.instances = 2.into();
    let mut rig = Rig::with_handler(config, handler);
    let (_, _first) = joined(&mut rig).await;
    let (_, mut second) = joined(&mut rig).await;
    second.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    rig.handle.scale(1).unwrap();
    second.expect_unsubscribe().await;
    rig.handle.scale(2).unwrap();
    let (_, _third) = joined(&mut rig).await;
    call.ok();
    second.expect_pubacks([1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_old_is_replaced_by_a_new_one_that_joins_first() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.max_connection_age = Duration::from_secs(100);
    config.mqtt.keep_alive = Duration::ZERO;
    let mut rig = Rig::with_handler(config, handler);
    let began = tokio::time::Instant::now();
    let (old_id, mut old) = joined(&mut rig).await;
    old.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    let mut new = rig.connection().await;
    let age = began.elapsed();
    assert!(age >= Duration::from_secs(89) && age <= Duration::from_secs(111), "{age:?}");
    let new_id = new.accept().await.connect.client_id;
    assert_ne!(old_id, new_id);
    new.expect_subscribe().await;
    old.expect_no_packet_for(Duration::from_secs(3)).await;
    new.send_raw(&[0x90, 4, 0, 1, 0, 1]).await;
    old.accept_unsubscribe().await;
    call.ok();
    old.expect_pubacks([1]).await;
    old.accept_ping().await;
    old.expect_disconnect().await;
    let summary = rig.leave(new).await;
    assert_eq!((summary.received, summary.handled), (1, 1));
}
