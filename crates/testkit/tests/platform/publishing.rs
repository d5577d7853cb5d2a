//! PUBLISH and SUBSCRIBE: what is passed on, what is changed on the way, and what closes the connection.

use tidemill_core::QoS;
use tidemill_core::platform::CloseCode;
use tidemill_testkit::client::ConnectOptions;
use tidemill_testkit::wire::{WireQoS, v5};

use crate::support::{EVENT, EVENTS, TOKEN, VIEWER, connect_with, join, platform, subscriber};

#[tokio::test(start_paused = true)]
async fn events_of_devices_reach_applications_and_commands_come_back() {
    let platform = platform().await;
    let mut app = subscriber(&platform, "a:abc123:app", EVENTS).await;
    let mut device = subscriber(&platform, "d:abc123:T:I", "iot-2/cmd/+/fmt/+").await;
    device.publish_acked("iot-2/evt/E/fmt/json", "1").await;
    assert_eq!(app.expect_publish().await.topic, EVENT);
    app.publish_acked("iot-2/type/T/id/I/cmd/C/fmt/json", "2").await;
    let command = device.expect_publish().await;
    assert_eq!((&command.topic[..], &command.payload[..]), (&b"iot-2/cmd/C/fmt/json"[..], &b"2"[..]));
}

#[tokio::test(start_paused = true)]
async fn an_event_of_an_application_is_the_same_as_one_of_the_device() {
    let platform = platform().await;
    let mut watching = subscriber(&platform, "a:abc123:watching", EVENTS).await;
    let mut app = join(&platform, "a:abc123:app").await;
    app.publish_acked(EVENT, "1").await;
    let mut device = join(&platform, "d:abc123:T:I").await;
    device.publish_acked("iot-2/evt/E/fmt/json", "1").await;
    let [of_app, of_device] = [watching.expect_publish().await, watching.expect_publish().await];
    assert_eq!((of_app.topic, of_app.payload), (of_device.topic, of_device.payload));
}

#[tokio::test(start_paused = true)]
async fn organizations_do_not_hear_each_other() {
    let platform = platform().await;
    let mut other = subscriber(&platform, "a:xyz789:app", EVENTS).await;
    let mut app = join(&platform, "a:abc123:app").await;
    app.publish_acked(EVENT, "1").await;
    assert!(other.ping().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_retain_flag_is_taken_away() {
    let platform = platform().await;
    let mut app = join(&platform, "a:abc123:app").await;
    let mut publish = v5::Publish::new(EVENT, WireQoS::AtLeastOnce, "1", None);
    publish.retain = true;
    let pkid = app.publish_packet(publish).await;
    app.expect_puback(pkid).await;
    let mut late = subscriber(&platform, "a:abc123:late", EVENTS).await;
    assert!(late.ping().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_payload_over_the_limit_closes_the_connection_with_287() {
    let platform = platform().await;
    let mut app = subscriber(&platform, "a:abc123:app", EVENTS).await;
    app.publish_acked(EVENT, vec![0; 131_072]).await;
    assert_eq!(app.expect_publish().await.payload.len(), 131_072);
    app.publish(EVENT, QoS::AtLeastOnce, vec![0; 131_073]).await;
    app.expect_closed().await;
    assert_eq!(platform.ended("a:abc123:app").await, CloseCode::MessageTooLarge);
}

#[tokio::test(start_paused = true)]
async fn wrong_topics_close_the_connection_with_276() {
    let platform = platform().await;
    for (number, topic) in ["plant/1", "iot-2/evt/E/fmt/json", "iot-2/type/T/id/I/mon"].into_iter().enumerate() {
        let id = format!("a:abc123:app{number}");
        let mut app = join(&platform, &id).await;
        app.publish(topic, QoS::AtLeastOnce, "1").await;
        app.expect_closed().await;
        assert_eq!(platform.ended(&id).await, CloseCode::TopicNotValid, "{topic}");
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_filters_close_the_connection_with_276() {
    let platform = platform().await;
    let wrong = ["iot-2/type/+/id/+/#", "#", "$share/g/iot-2/type/+/id/+/evt/+/fmt/+", "plant/+"];
    for (number, filter) in wrong.into_iter().enumerate() {
        let id = format!("a:abc123:app{number}");
        let mut app = join(&platform, &id).await;
        let filters = vec![v5::Filter::new(filter, WireQoS::AtLeastOnce)];
        app.send(v5::Packet::Subscribe(v5::Subscribe { pkid: 1, filters, properties: None })).await;
        app.expect_closed().await;
        assert_eq!(platform.ended(&id).await, CloseCode::TopicNotValid, "{filter}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_role_of_a_key_does_not_allow_closes_the_connection_with_180() {
    let platform = platform().await;
    let (mut viewer, _) = connect_with(&platform, ConnectOptions::new("a:abc123:viewer").login(VIEWER, TOKEN)).await;
    viewer.subscribe(EVENTS, QoS::AtLeastOnce).await;
    viewer.publish(EVENT, QoS::AtLeastOnce, "1").await;
    viewer.expect_closed().await;
    assert_eq!(platform.ended("a:abc123:viewer").await, CloseCode::NotAuthorized);
}

#[tokio::test(start_paused = true)]
async fn quickstart_has_no_commands() {
    let platform = platform().await;
    let mut app = join(&platform, "a:quickstart:app").await;
    app.publish("iot-2/type/T/id/I/cmd/C/fmt/json", QoS::AtLeastOnce, "1").await;
    app.expect_closed().await;
    assert_eq!(platform.ended("a:quickstart:app").await, CloseCode::TopicNotValid);
    let mut device = join(&platform, "d:quickstart:T:I").await;
    let mut app = subscriber(&platform, "a:quickstart:app", "iot-2/type/+/id/I/evt/+/fmt/+").await;
    device.publish_acked("iot-2/evt/E/fmt/json", "1").await;
    assert_eq!(app.expect_publish().await.topic, EVENT);
}
