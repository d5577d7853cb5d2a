//! Keep-alive: pings in time, and a connection that does not answer is given up.

use std::time::Duration;

use tidemill_testkit::script::ScriptedBroker;
use tokio::time::Instant;

use crate::connect::no_properties;
use crate::support::*;

fn with_keep_alive(seconds: u64) -> tidemill_runtime::Config {
    let mut config = config();
    config.mqtt.keep_alive = Duration::from_secs(seconds);
    config
}

async fn subscribed_with(rig: &mut Rig, server_keep_alive: u16) -> ScriptedBroker {
    let mut broker = rig.connection().await.with_patience(Duration::from_secs(3600));
    broker.expect_connect().await;
    let properties = v5::ConnAckProperties { server_keep_alive: Some(server_keep_alive), ..no_properties() };
    broker.send_connack(false, Some(properties)).await;
    broker.accept_subscribe().await;
    broker
}

/// The longest silence of the client over some pings.
async fn longest_silence(broker: &mut ScriptedBroker) -> Duration {
    let mut longest = Duration::ZERO;
    for _ in 0..10 {
        let before = Instant::now();
        broker.accept_ping().await;
        longest = longest.max(before.elapsed());
    }
    longest
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_pings_within_the_keep_alive() {
    for version in BOTH {
        let mut config = with_keep_alive(40);
        config.mqtt.version = version;
        let mut rig = Rig::with_handler(config, Fine);
        let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(3600));
        let silence = longest_silence(&mut broker).await;
        assert!(silence > Duration::from_secs(20) && silence < Duration::from_secs(40), "{silence:?}");
        rig.leave(broker).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_brokers_keep_alive_counts() {
    let mut rig = Rig::with_handler(with_keep_alive(3000), Fine);
    let mut broker = subscribed_with(&mut rig, 4).await;
    let silence = longest_silence(&mut broker).await;
    assert!(silence > Duration::from_secs(2) && silence < Duration::from_secs(4), "{silence:?}");
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_of_zero_from_the_broker_switches_pings_off() {
    let mut rig = Rig::with_handler(with_keep_alive(10), Fine);
    let mut broker = subscribed_with(&mut rig, 0).await;
    broker.expect_no_packet_for(Duration::from_secs(100_000)).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_keep_alive_of_zero_in_the_configuration_switches_pings_off() {
    let mut rig = Rig::with_handler(with_keep_alive(0), Fine);
    let mut broker = rig.subscribed().await;
    broker.expect_no_packet_for(Duration::from_secs(100_000)).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn events_that_only_come_in_do_not_replace_pings() {
    let mut rig = Rig::with_handler(with_keep_alive(8), Fine);
    let mut broker = rig.subscribed().await;
    let mut last = Instant::now();
    let mut pings = 0;
    for _ in 0..300 {
        broker.publish(0, "t/a", Q0, "x").await;
        let next = tokio::time::timeout(Duration::from_millis(500), broker.recv()).await;
        if let Ok(packet) = next {
            assert!(matches!(packet, v5::Packet::PingReq(_)), "{packet:?}");
            broker.send(v5::Packet::PingResp(v5::PingResp)).await;
            pings += 1;
            last = Instant::now();
        }
        assert!(last.elapsed() < Duration::from_secs(8), "{:?}", last.elapsed());
    }
    assert!(pings >= 15);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn acks_that_only_go_out_do_not_replace_hearing_from_the_broker() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(with_keep_alive(20), handler);
    let mut broker = rig.subscribed().await;
    for pkid in 1..=50 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    let mut held = calls.take(50).await.into_iter();
    // One ack a second, and the broker says nothing: it is asked.
    let mut asked = false;
    for _ in 0..25 {
        held.next().unwrap().ok();
        tokio::time::sleep(Duration::from_secs(1)).await;
        asked |= matches!(broker.recv().await, v5::Packet::PingReq(_));
    }
    assert!(asked);
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_does_not_answer_a_ping_is_given_up_and_another_connection_made() {
    let mut config = with_keep_alive(40);
    config.mqtt.ping_timeout = Duration::from_secs(5);
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(3600));
    broker.expect_ping().await;
    let asked = Instant::now();
    let goodbye = broker.expect_disconnect().await;
    assert_ne!(goodbye.reason_code, v5::DisconnectReasonCode::NormalDisconnection);
    broker.expect_closed().await;
    let took = asked.elapsed();
    assert!(took >= Duration::from_secs(5) && took < Duration::from_secs(6), "{took:?}");
    settle().await;
    assert!(rig.handle.status().instances[0].last_error.as_ref().unwrap().contains("ping"));
    let broker = rig.subscribed().await;
    assert!(asked.elapsed() < Duration::from_secs(7));
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn anything_that_comes_is_a_sign_of_life() {
    let mut config = with_keep_alive(40);
    config.mqtt.ping_timeout = Duration::from_secs(5);
    let mut rig = Rig::with_handler(config, Fine);
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(3600));
    broker.expect_ping().await;
    for _ in 0..100 {
        broker.publish(0, "t/a", Q0, "x").await;
        tokio::time::sleep(Duration::from_secs(4)).await;
    }
    assert_eq!(rig.handle.status().instances[0].epoch, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_window_keeps_the_connection_alive_for_as_long_as_it_takes() {
    let (handler, mut calls) = Calls::new();
    let mut config = with_keep_alive(10);
    config.mqtt.window = 2;
    config.mqtt.ping_timeout = Duration::from_secs(5);
    let mut rig = Rig::with_handler(config, handler);
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(3600));
    for pkid in 1..=2 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    let held = calls.take(2).await;
    let silence = longest_silence(&mut broker).await;
    assert!(silence < Duration::from_secs(10), "{silence:?}");
    held.into_iter().for_each(Call::ok);
    broker.expect_pubacks([1, 2]).await;
    let silence = longest_silence(&mut broker).await;
    assert!(silence < Duration::from_secs(10), "{silence:?}");
    assert_eq!(rig.handle.status().instances[0].epoch, 1);
    rig.leave(broker).await;
}
