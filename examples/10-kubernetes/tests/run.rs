//! Runs the worker as its pod would: configured by a file, named by a variable, asked for its health, and ended by SIGTERM.
//! The broker is one in this process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tidemill_testkit::broker::{Broker, BrokerConfig, What};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wait::{PATIENCE, until};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{ChildStderr, Command};
use tokio::time::{sleep, timeout};

/// The status line of a GET, or nothing while nobody listens.
async fn probe(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    answer.lines().next().map(str::to_owned)
}

/// Where the log says that the admin server listens. The rest of the log is read, so that the worker can go on writing.
async fn admin_address(log: ChildStderr) -> String {
    let mut lines = BufReader::new(log).lines();
    loop {
        let line = lines.next_line().await.unwrap().expect("the worker ended");
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["fields"]["message"] == "admin server listens" {
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return line["fields"]["address"].as_str().unwrap().to_owned();
        }
    }
}

#[tokio::test]
async fn a_durable_replica_joins_under_its_pods_name_answers_probes_and_leaves_without_loss() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(BrokerConfig::default().with_trace(1000)).await.unwrap();
    let file = directory.path().join("tidemill.toml");
    let config = format!(
        r#"
            instances = 2
            [admin]
            enabled = true
            listen = "127.0.0.1:0"
            [group]
            name = "thermostats"
            [identity]
            mode = "durable"
            [mqtt]
            url = "{}"
            session_expiry = "15m"
        "#,
        broker.url()
    );
    std::fs::write(&file, config).unwrap();
    let mut worker = Command::new(env!("CARGO_BIN_EXE_example-10-kubernetes"))
        .arg(directory.path())
        .current_dir(directory.path())
        .env("TIDEMILL_CONFIG", &file)
        .env("TIDEMILL_IDENTITY__REPLICA", "thermostats-0")
        .env("TIDEMILL_GROUP__VERIFY", "never")
        .env("TIDEMILL_LOG__FORMAT", "json")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let address = timeout(PATIENCE, admin_address(worker.stderr.take().unwrap())).await.expect("it never listens");
    let ready = async {
        while probe(&address, "/readyz").await.as_deref() != Some("HTTP/1.0 200 OK") {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, ready).await.expect("it never gets ready");
    assert_eq!(probe(&address, "/livez").await.as_deref(), Some("HTTP/1.0 200 OK"));

    let connected = broker.trace().into_iter().filter(|line| matches!(line.what, What::Connected { .. }));
    let mut ids: Vec<String> = connected.map(|line| line.client.to_string()).collect();
    ids.sort();
    let members: Vec<_> = ids.iter().filter(|id| !id.ends_with("-out")).map(String::as_str).collect();
    assert_eq!(members, ["tidemill-thermostats-0-0", "tidemill-thermostats-0-1"]);

    let mut client = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
    client.connect(ConnectOptions::new("test")).await;
    for celsius in [20, 93, 21, 120] {
        client.publish_acked("plant/7/temperature", format!(r#"{{"celsius": {celsius}}}"#)).await;
    }
    until(|| broker.stats().acked == 4, "not every event was acknowledged").await;

    let pid = worker.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let mut printed = String::new();
    let mut stdout = worker.stdout.take().unwrap();
    timeout(PATIENCE, stdout.read_to_string(&mut printed)).await.expect("it does not end").unwrap();
    assert!(worker.wait().await.unwrap().success());
    assert_eq!(printed, "4 readings handled, 0 to the dead letters\n");

    let text = std::fs::read_to_string(directory.path().join("alerts.ndjson")).unwrap();
    let alerts: Vec<Value> =
        text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"]["celsius"].clone()).collect();
    assert_eq!(alerts, [93.0, 120.0]);
    broker.shutdown().await;
}
