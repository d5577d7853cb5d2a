//! Runs the example against a broker in this process and a folder: every reading is a row of the partition of its line,
//! in a few objects, and absent values are null.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wait::{PATIENCE, until};
use tokio::process::Command;
use tokio::time::timeout;

/// The objects of a line. A folder is read while it is written to.
fn objects(lake: &Path, line: &str) -> Vec<PathBuf> {
    let entries = |folder: &Path| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<Vec<_>>()
    };
    let days = entries(&lake.join(format!("line={line}")));
    let mut objects: Vec<PathBuf> = days.iter().flat_map(|day| entries(day)).collect();
    objects.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    objects
}

fn rows(objects: &[PathBuf]) -> Vec<RecordBatch> {
    let read = |path: &PathBuf| {
        let bytes = bytes::Bytes::from(std::fs::read(path).unwrap());
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        reader.map(Result::unwrap).collect::<Vec<_>>()
    };
    objects.iter().flat_map(read).collect()
}

fn count(lake: &Path, line: &str) -> usize {
    rows(&objects(lake, line)).iter().map(RecordBatch::num_rows).sum()
}

#[tokio::test]
async fn every_reading_is_a_row_of_its_line() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_example-07-object-store-parquet"))
        .arg("lake")
        .current_dir(directory.path())
        .env("TIDEMILL_MQTT__URL", broker.url())
        // What the broker counts is to be what this test publishes.
        .env("TIDEMILL_GROUP__VERIFY", "never")
        .env("TIDEMILL_SINKS__LAKE__LINGER", "200ms")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until(|| broker.stats().groups == 1, "the example does not subscribe").await;

    let mut client = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
    client.connect(ConnectOptions::new("test")).await;
    for number in 0..60 {
        let topic = format!("plant/{}/device/oven/reading", number % 2);
        let humidity = if number < 2 { r#", "humidity": 40"# } else { "" };
        client.publish_acked(&topic, format!(r#"{{"id": "{number}", "celsius": {number}{humidity}}}"#)).await;
    }
    let lake = directory.path().join("lake");
    until(|| count(&lake, "0") == 30 && count(&lake, "1") == 30, "the readings are not in the lake").await;

    let objects = objects(&lake, "0");
    assert!(objects.len() < 30, "nothing was batched");
    let (mut celsius, mut humid, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for rows in rows(&objects) {
        let column = |name: &str| rows.column_by_name(name).unwrap();
        assert!(column("line").as_string::<i32>().iter().all(|line| line == Some("0")));
        assert!(column("device").as_string::<i32>().iter().all(|device| device == Some("oven")));
        assert_eq!(column("time").as_primitive::<TimestampMicrosecondType>().null_count(), 0);
        celsius.extend(column("celsius").as_primitive::<Float64Type>().values());
        humid.extend(column("humidity").as_primitive::<Float64Type>().iter().flatten());
        keys.extend(column("idempotency_key").as_string::<i32>().iter().map(|key| key.unwrap().to_owned()));
    }
    celsius.sort_by(f64::total_cmp);
    assert!(celsius.iter().copied().eq((0..60).step_by(2).map(f64::from)), "{celsius:?}");
    assert_eq!(humid, [40.0]);
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 30, "each reading has a key of its own");

    until(|| broker.stats().inflight == 0, "not every event was acknowledged").await;
    let pid = example.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let ended = timeout(PATIENCE, example.wait()).await.expect("the example does not end").unwrap();
    assert!(ended.success(), "{ended}");
    broker.shutdown().await;
}
