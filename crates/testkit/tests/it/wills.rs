//! Wills.

use std::time::Duration;

use tidemill_testkit::client::ConnectOptions;
use tidemill_testkit::wire::v5;

use crate::support::*;

#[tokio::test(start_paused = true)]
async fn the_will_of_a_lost_client_is_published() {
    let broker = broker().await;
    let mut watcher = subscriber(&broker, "watcher", "will/#").await;
    let mut lost = client(&broker, ConnectOptions::new("lost").will("will/lost", "gone", 0)).await;
    lost.cut();
    assert_eq!(text(&watcher.expect_publish().await), "gone");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_goodbye_takes_its_will_along_unless_it_says_otherwise() {
    let broker = broker().await;
    let mut watcher = subscriber(&broker, "watcher", "will/#").await;
    let mut leaving = client(&broker, ConnectOptions::new("leaving").will("will/leaving", "gone", 0)).await;
    leaving.disconnect().await;
    watcher.expect_no_packet().await;
    let mut telling = client(&broker, ConnectOptions::new("telling").will("will/telling", "gone", 0)).await;
    telling.disconnect_with(v5::Disconnect::new(v5::DisconnectReasonCode::DisconnectWithWillMessage)).await;
    assert_eq!(watcher.expect_publish().await.topic, "will/telling");
}

#[tokio::test(start_paused = true)]
async fn a_delayed_will_waits_for_the_client_to_come_back() {
    let broker = broker().await;
    let mut watcher = subscriber(&broker, "watcher", "will").await;
    let options = ConnectOptions::new("c").resume(100).will("will", "gone", 30);
    let mut first = client(&broker, options.clone()).await;
    first.cut();
    tokio::time::sleep(Duration::from_secs(29)).await;
    let mut second = client(&broker, options).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    watcher.expect_no_packet().await;
    second.cut();
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(text(&watcher.expect_publish().await), "gone");
}

#[tokio::test(start_paused = true)]
async fn a_will_is_not_delayed_beyond_the_end_of_the_session() {
    let broker = broker().await;
    let mut watcher = subscriber(&broker, "watcher", "will").await;
    let mut lost = client(&broker, ConnectOptions::new("c").expiry(10).will("will", "gone", 1000)).await;
    lost.cut();
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert_eq!(text(&watcher.expect_publish().await), "gone");
    assert_eq!(broker.stats().sessions, 1);
}
