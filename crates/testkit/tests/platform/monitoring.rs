//! What the platform says when clients come and go.

use tidemill_core::QoS;
use tidemill_core::platform::CloseCode;
use tidemill_core::platform::monitoring::Action;

use crate::support::{EVENT, connect_with, join, monitored, options, platform, subscriber};

const DEVICES: &str = "iot-2/type/+/id/+/mon";
const APPS: &str = "iot-2/app/+/mon";

#[tokio::test(start_paused = true)]
async fn a_device_is_told_of_with_its_connection_and_its_end() {
    let platform = platform().await;
    let mut app = subscriber(&platform, "a:abc123:app", DEVICES).await;
    let mut device = join(&platform, "d:abc123:T:I").await;
    let connect = monitored(&mut app).await;
    assert_eq!((connect.action.clone(), connect.client_id.as_deref()), (Action::Connect, Some("d:abc123:T:I")));
    assert_eq!((connect.user, connect.protocol.unwrap().mqtt_version()), (None, Some(4)));
    device.publish_acked("iot-2/evt/E/fmt/json", "1").await;
    device.disconnect().await;
    let end = monitored(&mut app).await;
    assert_eq!((end.action.clone(), end.close_code()), (Action::Disconnect, CloseCode::Normal));
    assert_eq!((end.close_code, end.read_msg), (None, Some(1)));
    assert!(end.connect_time.is_some());
}

#[tokio::test(start_paused = true)]
async fn each_way_to_end_has_its_code() {
    let platform = platform().await;
    let mut app = subscriber(&platform, "a:abc123:app", DEVICES).await;
    for (number, expected) in
        [CloseCode::ClosedByClient, CloseCode::MessageTooLarge, CloseCode::TopicNotValid].into_iter().enumerate()
    {
        let mut device = join(&platform, &format!("d:abc123:T:I{number}")).await;
        match expected {
            CloseCode::ClosedByClient => device.cut(),
            CloseCode::MessageTooLarge => {
                device.publish("iot-2/evt/E/fmt/bin", QoS::AtMostOnce, vec![0; 131_073]).await;
            }
            _ => _ = device.publish(EVENT, QoS::AtMostOnce, "1").await,
        }
        assert_eq!(monitored(&mut app).await.action, Action::Connect);
        assert_eq!(monitored(&mut app).await.close_code(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_state_of_devices_is_retained_and_that_of_applications_while_they_are_connected() {
    let platform = platform().await;
    let mut device = join(&platform, "d:abc123:T:gone").await;
    device.disconnect().await;
    platform.ended("d:abc123:T:gone").await;
    let _device = join(&platform, "d:abc123:T:here").await;
    let mut gone = join(&platform, "a:abc123:gone").await;
    gone.disconnect().await;
    platform.ended("a:abc123:gone").await;
    let mut late = subscriber(&platform, "a:abc123:late", DEVICES).await;
    let mut states = [monitored(&mut late).await, monitored(&mut late).await];
    states.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    assert_eq!([&states[0].action, &states[1].action], [&Action::Disconnect, &Action::Connect]);
    late.subscribe(APPS, QoS::AtLeastOnce).await;
    assert_eq!(monitored(&mut late).await.client_id.as_deref(), Some("a:abc123:late"));
    assert!(late.ping().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn members_with_instances_get_no_retained_state() {
    let platform = platform().await;
    let _device = join(&platform, "d:abc123:T:I").await;
    let mut member = subscriber(&platform, "A:abc123:app:one", DEVICES).await;
    assert!(member.ping().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_takeover_is_told_with_288_and_leaves_the_retained_connect_alone() {
    let platform = platform().await;
    let mut app = subscriber(&platform, "a:abc123:app", DEVICES).await;
    let _older = join(&platform, "d:abc123:T:I").await;
    let _newer = join(&platform, "d:abc123:T:I").await;
    let mut said = Vec::new();
    for _ in 0..3 {
        let message = monitored(&mut app).await;
        said.push((message.action.clone(), message.close_code()));
    }
    assert_eq!(said.iter().filter(|(action, _)| *action == Action::Connect).count(), 2);
    assert!(said.contains(&(Action::Disconnect, CloseCode::ClientIdReused)));
    let mut late = subscriber(&platform, "a:abc123:late", DEVICES).await;
    assert_eq!(monitored(&mut late).await.action, Action::Connect);
}

#[tokio::test(start_paused = true)]
async fn a_refused_client_is_told_of_as_failed() {
    let platform = platform().await;
    let mut app = subscriber(&platform, "a:abc123:app", DEVICES).await;
    let wrong = tidemill_testkit::client::ConnectOptions::new("d:abc123:T:I").login("use-token-auth", "wrong");
    connect_with(&platform, wrong).await;
    let failed = monitored(&mut app).await;
    assert_eq!((failed.action.clone(), failed.close_code()), (Action::FailedConnect, CloseCode::NotAuthorized));
    let mut late = connect_with(&platform, options("a:abc123:late")).await.0;
    late.subscribe(DEVICES, QoS::AtLeastOnce).await;
    assert!(late.ping().await.is_empty());
}
