//! Runs the example against a broker and a webhook in this process: every reading is in the file and in the lake, alarms
//! are posted, and an alarm that the webhook does not take yet keeps its event unacknowledged and holds up nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wait::{PATIENCE, until};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

/// A webhook that can be closed.
#[derive(Default)]
struct Webhook {
    open: AtomicBool,
    refused: AtomicBool,
    taken: Mutex<BTreeSet<(String, String)>>,
}

async fn take(State(webhook): State<Arc<Webhook>>, headers: HeaderMap, Json(alarm): Json<Value>) -> StatusCode {
    if !webhook.open.load(Ordering::SeqCst) {
        webhook.refused.store(true, Ordering::SeqCst);
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let key = headers["idempotency-key"].to_str().unwrap().to_owned();
    webhook.taken.lock().unwrap().insert((key, alarm["id"].as_str().unwrap().to_owned()));
    StatusCode::NO_CONTENT
}

async fn webhook() -> (String, Arc<Webhook>) {
    let webhook = Arc::<Webhook>::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/alarms", listener.local_addr().unwrap());
    let app = Router::new().route("/alarms", post(take)).with_state(Arc::clone(&webhook));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, webhook)
}

/// The readings in the whole lines of a file.
fn readings(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"].clone()).collect()
}

fn in_lake(folder: &Path) -> Vec<Value> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut objects: Vec<_> = entries.map(|entry| entry.path()).collect();
    objects.retain(|path| path.extension().is_some_and(|extension| extension == "ndjson"));
    objects.iter().flat_map(|object| readings(object)).collect()
}

fn ids(readings: &[Value]) -> Vec<u64> {
    let mut ids: Vec<u64> = readings.iter().map(|it| it["id"].as_str().unwrap().parse().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[tokio::test]
async fn every_reading_reaches_its_sinks_and_waits_for_all_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let (url, webhook) = webhook().await;
    let mut example = Command::new(env!("CARGO_BIN_EXE_example-08-fan-out"))
        .args(["out", &url])
        .current_dir(directory.path())
        .env("TIDEMILL_MQTT__URL", broker.url())
        // What the broker counts is to be what this test publishes.
        .env("TIDEMILL_GROUP__VERIFY", "never")
        .env("TIDEMILL_LOG__FILTER", "error")
        .env("TIDEMILL_SINKS__LAKE__LINGER", "200ms")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until(|| broker.stats().groups == 1, "the example does not subscribe").await;

    let mut client = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
    client.connect(ConnectOptions::new("test")).await;
    // The first event of each line is an alarm, which nobody takes yet.
    for id in 0..40 {
        let celsius = if id < 4 { 95 } else { 20 };
        let topic = format!("plant/{}/temperature", id % 4);
        client.publish_acked(&topic, format!(r#"{{"id": "{id}", "celsius": {celsius}}}"#)).await;
    }
    let out = directory.path().join("out");
    let all: Vec<u64> = (0..40).collect();
    let lake = || -> Vec<Value> { (0..4).flat_map(|line| in_lake(&out.join(format!("lake/line={line}")))).collect() };
    until(|| readings(&out.join("readings.ndjson")).len() == 40, "the readings are not in the file").await;
    until(|| lake().len() == 40, "the readings are not in the lake").await;
    assert_eq!(ids(&readings(&out.join("readings.ndjson"))), all);
    assert_eq!(ids(&lake()), all);
    until(|| webhook.refused.load(Ordering::SeqCst), "the webhook was not tried").await;
    assert_eq!(webhook.taken.lock().unwrap().len(), 0);
    assert!(broker.stats().inflight >= 4, "alarms were acknowledged that nobody has taken");

    webhook.open.store(true, Ordering::SeqCst);
    until(|| broker.stats().inflight == 0, "not every event was acknowledged").await;
    let taken = webhook.taken.lock().unwrap().clone();
    let (keys, alarms): (BTreeSet<String>, BTreeSet<String>) = taken.into_iter().unzip();
    assert!(alarms.iter().map(String::as_str).eq(["0", "1", "2", "3"]), "{alarms:?}");
    assert_eq!(keys.len(), 4);

    let pid = example.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let ended = timeout(PATIENCE, example.wait()).await.expect("the example does not end").unwrap();
    assert!(ended.success(), "{ended}");
    broker.shutdown().await;
}
