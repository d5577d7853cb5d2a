//! Runs the example against a broker in this process: a reading above the limit is in the file before its event is
//! acknowledged, one that cannot be read goes to the dead letters, and the others leave no trace.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Stdio;

use serde_json::{Value, json};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wait::{PATIENCE, until};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

fn topic(device: &str) -> String {
    format!("iot-2/type/boiler/id/{device}/evt/temperature/fmt/json")
}

#[tokio::test]
async fn what_is_too_hot_is_written_and_what_is_no_reading_goes_to_the_dead_letters() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_example-02-threshold-alerts"))
        .current_dir(directory.path())
        .env("TIDEMILL_MQTT__URL", broker.url())
        // What the broker counts is to be what this test publishes.
        .env("TIDEMILL_GROUP__VERIFY", "never")
        .env("TIDEMILL_INSTANCES", "2")
        .env("TIDEMILL_LOG__FILTER", "error")
        .env("ALERTS_FILE", "out/alerts.ndjson")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until(|| broker.stats().groups == 1, "the example does not subscribe").await;

    let mut client = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
    client.connect(ConnectOptions::new("test")).await;
    for (device, payload) in [("b1", "21.5"), ("b2", "93.5"), ("b3", "80.0"), ("b4", "120")] {
        client.publish_acked(&topic(device), format!(r#"{{"celsius": {payload}, "unit": "C"}}"#)).await;
    }
    client.publish_acked(&topic("b5"), r#"{"celsius": "hot"}"#).await;

    // Five events, and one dead letter that nobody listens for.
    let all = || broker.stats().acked == 5 && broker.stats().published == 6;
    until(all, "not every event was acknowledged").await;
    let text = std::fs::read_to_string(directory.path().join("out/alerts.ndjson")).unwrap();
    let mut alerts: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"].clone()).collect();
    alerts.sort_by_key(|alert| alert["device"].to_string());
    let expected = [
        json!({ "device": "b2", "kind": "boiler", "celsius": 93.5, "limit": 80.0 }),
        json!({ "device": "b4", "kind": "boiler", "celsius": 120.0, "limit": 80.0 }),
    ];
    assert_eq!(alerts, expected);

    let pid = example.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let mut printed = String::new();
    let mut stdout = example.stdout.take().unwrap();
    timeout(PATIENCE, stdout.read_to_string(&mut printed)).await.expect("the example does not end").unwrap();
    assert!(example.wait().await.unwrap().success());
    assert_eq!(printed, "4 readings handled, 1 to the dead letters\n");
    broker.shutdown().await;
}

#[tokio::test]
async fn a_mistake_in_the_settings_is_one_message_and_a_failure() {
    let example = Command::new(env!("CARGO_BIN_EXE_example-02-threshold-alerts"))
        .current_dir(tempfile::tempdir().unwrap().path())
        .env("TIDEMILL_MQTT__URL", "broker.example")
        .stdin(Stdio::null())
        .output();
    let output = timeout(PATIENCE, example).await.expect("the example does not end").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(said.contains("TIDEMILL_MQTT__URL") || said.contains("mqtt.url"), "{said}");
}
