//! Runs the example against the emulated platform: each hot reading is answered with one command, and the
//! board follows the devices.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::process::Stdio;

use tidemill::QoS;
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::platform::{Accounts, Platform, PlatformConfig};
use tidemill_testkit::wait::{PATIENCE, until};
use tidemill_testkit::wire::Version;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::timeout;

fn replica(platform: &Platform, directory: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_example-09-watson-iot"))
        .current_dir(directory)
        .env("TIDEMILL_MQTT__URL", platform.url())
        .env("TIDEMILL_PLATFORM__APP", "cooling")
        .env("TIDEMILL_PLATFORM__API_KEY", "a-abc123-k3y")
        .env("TIDEMILL_PLATFORM__TOKEN", "secret")
        .env("TIDEMILL_LOG__FILTER", "error")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn device(platform: &Platform, id: &str) -> RawClient {
    let stream = TcpStream::connect(platform.addr().unwrap()).await.unwrap();
    let mut client = RawClient::with_version(stream, Version::V4);
    client.connect(ConnectOptions::new(format!("d:abc123:boiler:{id}")).login("use-token-auth", "token")).await;
    client.subscribe("iot-2/cmd/+/fmt/+", QoS::AtLeastOnce).await;
    client
}

#[tokio::test]
async fn hot_devices_get_one_command_and_the_board_follows_the_devices() {
    let directory = tempfile::tempdir().unwrap();
    let accounts = Accounts::default().with_key("a-abc123-k3y", "secret").with_any_device("token");
    let platform = Platform::start(PlatformConfig::default().with_accounts(accounts)).await.unwrap();
    let mut example = replica(&platform, directory.path());
    // The member and the connection of its board, beside the one that monitoring goes through.
    until(|| platform.stats().connections == 3 && platform.stats().groups == 1, "the example does not join").await;

    let mut hot = device(&platform, "b1").await;
    hot.publish_acked("iot-2/evt/temperature/fmt/json", r#"{"celsius": 93.5}"#).await;
    hot.publish_acked("iot-2/evt/temperature/fmt/json", r#"{"celsius": 21.5}"#).await;
    let command = timeout(PATIENCE, hot.expect_publish()).await.unwrap();
    assert_eq!(command.topic, "iot-2/cmd/cool/fmt/json");
    hot.puback(command.pkid).await;
    assert!(hot.ping().await.is_empty());
    hot.publish_acked("iot-2/evt/temperature/fmt/json", "no reading").await;
    let dead = directory.path().join("dead.ndjson");
    until(|| std::fs::read_to_string(&dead).is_ok_and(|text| text.lines().count() == 1), "no dead letter").await;
    hot.disconnect().await;
    platform.ended("d:abc123:boiler:b1").await;
    let mut board = BufReader::new(example.stdout.take().unwrap()).lines();
    for expected in ["boiler/b1 connected, 1 connected", "boiler/b1 disconnected, 0 connected"] {
        let line = timeout(PATIENCE, board.next_line()).await.expect("the board stands still").unwrap();
        assert_eq!(line.as_deref(), Some(expected));
    }

    let pid = example.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let last = timeout(PATIENCE, board.next_line()).await.expect("the example does not end").unwrap();
    assert_eq!(last.as_deref(), Some("2 readings handled, 1 to the dead letters"));
    assert!(example.wait().await.unwrap().success());
    platform.shutdown().await;
}
