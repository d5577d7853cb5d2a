//! Coming back: when, how soon, and with what.

use std::time::Duration;

use tidemill_runtime::{MqttVersion, Phase, RunErrorKind};
use tokio::time::Instant;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_lost_connection_is_made_again_and_subscribes_again() {
    for version in BOTH {
        let mut rig = Rig::with_handler(config_of(version), Fine);
        for _ in 0..3 {
            let mut broker = rig.connection().await;
            let connected = broker.accept().await;
            assert!(connected.connect.clean_start);
            assert_eq!(broker.accept_subscribe().await.filters[0].path, "$share/g/t/#");
            rig.handle.ready().await;
            broker.cut();
            settle().await;
            assert_eq!(rig.handle.status().instances[0].phase, Phase::Connecting);
        }
        let broker = rig.subscribed().await;
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_client_id_stays_the_same() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut broker = rig.connection().await;
        ids.push(broker.accept().await.connect.client_id);
        broker.cut();
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
}

/// A session that the client did not ask for is not believed in: the filters of this one are subscribed to.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_said_to_be_present_is_subscribed_all_the_same() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut broker = rig.connection().await;
    broker.expect_connect().await;
    broker.send_connack(true, None).await;
    broker.accept_subscribe().await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn waits_grow_from_one_failure_to_the_next_and_stay_below_the_limit() {
    let mut config = config();
    config.mqtt.reconnect.min = Duration::from_millis(100);
    config.mqtt.reconnect.max = Duration::from_secs(20);
    config.mqtt.startup_timeout = Duration::ZERO;
    let mut rig = Rig::with_handler(config, Fine);
    drop(rig.stream().await);
    let mut total = Duration::ZERO;
    let mut ceiling = Duration::from_millis(100);
    for _ in 0..40 {
        let before = Instant::now();
        drop(rig.stream().await);
        let wait = before.elapsed();
        assert!(wait <= ceiling + Duration::from_millis(1), "{wait:?}");
        ceiling = (ceiling * 2).min(Duration::from_secs(20));
        total += wait;
    }
    assert!(total > Duration::from_secs(100), "{total:?}");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_answers_nothing_is_tried_less_and_less_often() {
    let mut config = config();
    config.mqtt.startup_timeout = Duration::ZERO;
    let mut rig = Rig::with_handler(config, Fine);
    let mut held = vec![rig.stream().await];
    let mut gaps = Vec::new();
    for _ in 0..30 {
        let before = Instant::now();
        held.push(rig.stream().await);
        gaps.push(before.elapsed() - Duration::from_secs(10));
    }
    let late: Duration = gaps[15..].iter().sum();
    assert!(late > Duration::from_secs(60), "{gaps:?}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_lasted_makes_the_next_wait_short_again_and_one_that_did_not_does_not() {
    let mut config = config();
    config.mqtt.reconnect.min = Duration::from_millis(100);
    let mut rig = Rig::with_handler(config, Fine);
    for _ in 0..12 {
        rig.subscribed().await.cut();
    }
    // Each session was short: the waits have grown.
    let mut waits = Duration::ZERO;
    for _ in 0..10 {
        let before = Instant::now();
        rig.subscribed().await.cut();
        waits += before.elapsed();
    }
    assert!(waits > Duration::from_secs(30), "{waits:?}");
    let mut broker = rig.subscribed().await;
    tokio::time::sleep(Duration::from_secs(15)).await;
    broker.cut();
    let before = Instant::now();
    let broker = rig.subscribed().await;
    assert!(before.elapsed() <= Duration::from_millis(201), "{:?}", before.elapsed());
    rig.leave(broker).await;
}

/// DISCONNECT in its three legal forms: nothing, reason alone, reason and properties.
#[tokio::test(start_paused = true)]
async fn a_broker_that_shuts_down_is_connected_to_again() {
    let forms: [&[u8]; 4] =
        [&[0xE0, 0], &[0xE0, 1, 0x8B], &[0xE0, 2, 0x8B, 0], &[0xE0, 9, 0x8B, 7, 0x1F, 0, 4, b'b', b'y', b'e', b'!']];
    for form in forms {
        let mut rig = Rig::with_handler(config(), Fine);
        let mut broker = rig.subscribed().await;
        broker.send_raw(form).await;
        broker.expect_closed().await;
        let expected = if form.len() > 2 { "server shutting down" } else { "ended the connection" };
        let last = rig.handle.status().instances[0].last_error.clone().unwrap();
        assert!(last.contains(expected), "{last}");
        let broker = rig.subscribed().await;
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_stays_stops_the_worker() {
    for (code, word) in [
        (0x87, "not authorized"),
        (0x8F, "topic filter invalid"),
        (0x9E, "shared subscriptions not supported"),
        (0xA2, "wildcard subscriptions not supported"),
    ] {
        for form in [vec![0xE0, 1, code], vec![0xE0, 2, code, 0]] {
            let mut rig = Rig::with_handler(config(), Fine);
            let mut broker = rig.subscribed().await;
            broker.send_raw(&form).await;
            let error = rig.ended().await.unwrap_err();
            assert_eq!(error.kind(), RunErrorKind::Broker);
            assert!(told(&error).contains(word), "{}", told(&error));
        }
    }
}

/// A generated ID that somebody else has too is exchanged for another: fighting for it would never end.
#[tokio::test(start_paused = true)]
async fn a_session_that_is_taken_over_is_left_to_the_other_client() {
    let mut rig = Rig::with_handler(config(), Fine);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let mut broker = rig.connection().await;
        ids.push(broker.accept().await.connect.client_id);
        broker.accept_subscribe().await;
        broker.send_raw(&[0xE0, 1, 0x8E]).await;
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
    let broker = rig.subscribed().await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_asks_for_patience_is_given_it() {
    for code in [0x89, 0x96, 0x97, 0x9F] {
        let mut rig = Rig::with_handler(config(), Fine);
        let mut broker = rig.subscribed().await;
        broker.send_raw(&[0xE0, 1, code]).await;
        assert!(rig.stays_away(Duration::from_secs(14)).await);
        let broker = rig.subscribed().await;
        rig.leave(broker).await;
    }
}

/// The broker says goodbye and closes while acks wait to be written: what it said is read all the same.
#[tokio::test(start_paused = true)]
async fn a_goodbye_behind_a_stuck_write_is_read() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_pipes(config(), 64, |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=60 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    // 240 bytes of acks, of which 64 fit.
    calls.take(60).await.into_iter().for_each(Call::ok);
    settle().await;
    broker.send_raw(&[0xE0, 1, 0x87]).await;
    broker.cut();
    let error = rig.ended().await.unwrap_err();
    assert!(told(&error).contains("not authorized"), "{}", told(&error));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_hangs_does_not_keep_a_worker_that_must_stop() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let _hangs = calls.next().await;
    broker.send_raw(&[0xE0, 1, 0x87]).await;
    let began = Instant::now();
    let registry = rig.registry.clone();
    let error = rig.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Broker);
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    assert_balanced(&registry);
}

#[tokio::test(start_paused = true)]
async fn one_instance_that_must_stop_lets_the_others_leave_by_the_book() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.instances = 2.into();
    let mut rig = Rig::with_handler(config, handler);
    let mut first = rig.subscribed().await;
    let mut second = rig.subscribed().await;
    second.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    first.send_raw(&[0xE0, 1, 0x87]).await;
    second.accept_unsubscribe().await;
    call.ok();
    second.expect_pubacks([1]).await;
    second.accept_ping().await;
    second.expect_disconnect().await;
    assert_eq!(rig.ended().await.unwrap_err().kind(), RunErrorKind::Broker);
}

#[tokio::test(start_paused = true)]
async fn an_instance_that_comes_back_does_not_disturb_the_others() {
    let mut config = config_of(MqttVersion::V5);
    config.instances = 2.into();
    let mut rig = Rig::with_handler(config, Fine);
    let mut first = rig.subscribed().await;
    let mut second = rig.subscribed().await;
    rig.handle.ready().await;
    first.cut();
    let mut first = rig.subscribed().await;
    for broker in [&mut first, &mut second] {
        broker.publish(1, "t/a", Q1, "x").await;
        broker.expect_pubacks([1]).await;
    }
    let mut epochs: Vec<_> = rig.handle.status().instances.iter().map(|instance| instance.epoch).collect();
    epochs.sort_unstable();
    assert_eq!(epochs, [1, 2]);
}
