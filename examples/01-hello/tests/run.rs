//! Runs the example against a broker in this process: it prints every event, and leaves when it is asked to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Stdio;

use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wait::{PATIENCE, until};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::test]
async fn every_event_is_printed_once_and_it_ends_cleanly() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_example-01-hello"))
        .env("TIDEMILL_MQTT__URL", broker.url())
        // What the broker counts is to be what this test publishes.
        .env("TIDEMILL_GROUP__VERIFY", "never")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until(|| broker.stats().groups == 1, "the example does not subscribe").await;

    let mut client = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
    client.connect(ConnectOptions::new("test")).await;
    for number in 0..10 {
        client.publish_acked("hello/world", format!("hi {number}")).await;
    }
    until(|| broker.stats().acked == 10, "not every event was acknowledged").await;

    let pid = example.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let mut printed = String::new();
    let mut stdout = example.stdout.take().unwrap();
    timeout(PATIENCE, stdout.read_to_string(&mut printed)).await.expect("the example does not end").unwrap();
    assert!(example.wait().await.unwrap().success());
    // Two instances print: which of them comes first is open.
    let mut lines: Vec<&str> = printed.lines().collect();
    lines.sort_unstable();
    let expected: Vec<String> = (0..10).map(|number| format!("hello/world: hi {number}")).collect();
    assert_eq!(lines, expected);
    broker.shutdown().await;
}
