//! The scripted broker, and the raw client against it.

use rumqttc::v5::mqttbytes::v5::Packet;
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::script::ScriptedBroker;
use tidemill_testkit::wire::Version;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn a_script_plays_a_whole_session_with_a_client_of_either_version() {
    for version in [Version::V4, Version::V5] {
        let (io, mut broker) = ScriptedBroker::pair();
        let mut client = RawClient::with_version(io, version);
        let script = tokio::spawn(async move {
            let connected = broker.accept().await;
            assert_eq!((connected.version, &*connected.connect.client_id), (version, "c"));
            assert_eq!(broker.accept_subscribe().await.filters[0].path, "a/#");
            broker.publish(1, "a/1", Q1, "one").await;
            broker.publish(2, "a/2", Q1, "two").await;
            broker.expect_pubacks([1, 2]).await;
            broker.republish(2, "a/2", "two").await;
            let event = broker.expect_publish().await;
            broker.puback(event.pkid).await;
            broker.accept_ping().await;
            broker.expect_no_packet().await;
            broker.accept_unsubscribe().await;
            broker.expect_disconnect().await;
            broker.cut();
        });
        client.connect(ConnectOptions::new("c")).await;
        client.subscribe("a/#", Q1).await;
        for pkid in 1..=2 {
            assert_eq!(client.expect_publish().await.pkid, pkid);
            client.puback(pkid).await;
        }
        assert!(client.expect_publish().await.dup);
        client.publish_acked("b", "x").await;
        client.ping().await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        client.unsubscribe("a/#").await;
        client.disconnect().await;
        script.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_can_send_nonsense_and_cut() {
    let (io, mut broker) = ScriptedBroker::pair();
    let mut client = RawClient::new(io);
    let connecting = tokio::spawn(async move {
        client.connect(ConnectOptions::new("c")).await;
        assert!(matches!(client.recv().await, Packet::PingResp(_)));
        client.expect_closed().await;
    });
    broker.expect_connect().await;
    broker.send_connack(true, None).await;
    broker.send_raw(&[0xD0, 0]).await;
    broker.cut();
    connecting.await.unwrap();
}
