//! Runs the example against a broker in this process: every reading is written once, every batch is summed up, and what
//! cannot be read goes to the dead letters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wait::{PATIENCE, until};
use tokio::process::Command;
use tokio::time::timeout;

/// The payloads of the records in a file of lines.
fn records(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The last line may be half written.
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"].clone()).collect()
}

#[tokio::test]
async fn every_reading_is_written_and_every_batch_is_summed_up() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_example-05-batch-to-file"))
        .arg(directory.path().join("out"))
        .current_dir(directory.path())
        .env("TIDEMILL_MQTT__URL", broker.url())
        // What the broker counts is to be what this test publishes.
        .env("TIDEMILL_GROUP__VERIFY", "never")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until(|| broker.stats().groups == 1, "the example does not subscribe").await;

    let mut client = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
    client.connect(ConnectOptions::new("test")).await;
    for reading in 1..=40 {
        let topic = format!("plant/{reading}/temperature");
        client.publish_acked(&topic, format!(r#"{{"celsius": {reading}}}"#)).await;
    }
    client.publish_acked("plant/41/temperature", "forty-one").await;

    let out = directory.path().join("out");
    until(|| records(&out.join("readings.ndjson")).len() == 40, "the readings are not written").await;
    let mut celsius: Vec<f64> =
        records(&out.join("readings.ndjson")).iter().map(|line| line["celsius"].as_f64().unwrap()).collect();
    celsius.sort_by(f64::total_cmp);
    assert!(celsius.iter().copied().eq((1..=40).map(f64::from)), "{celsius:?}");
    let batches = || records(&out.join("batches.ndjson")).into_iter().map(|sum| sum["readings"].as_u64().unwrap());
    until(|| batches().sum::<u64>() == 40, "the batches do not add up").await;
    assert!(batches().count() < 40, "nothing was batched");

    // All 41 and the dead letter have been published; none is on its way any more.
    until(|| broker.stats().published == 42 && broker.stats().inflight == 0, "not everything was acknowledged").await;
    let pid = example.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let ended = timeout(PATIENCE, example.wait()).await.expect("the example does not end").unwrap();
    assert!(ended.success(), "{ended}");
    broker.shutdown().await;
}
