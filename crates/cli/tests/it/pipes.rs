//! A reader that has seen enough, as `head` has, changes neither what a command does nor its exit code.

use std::io::{Read, Write, pipe};
use std::net::TcpListener;
use std::process::Stdio;
use std::time::Duration;

use tidemill_testkit::broker::{Broker, BrokerConfig};
use tokio::process::Command;
use tokio::time::timeout;

/// Runs it with nobody at the other end of its standard output, and of its standard error.
async fn unheard(args: &[&str]) -> i32 {
    let (_, out) = pipe().unwrap();
    let (_, err) = pipe().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidemill"));
    command.args(args).stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true);
    let status = timeout(Duration::from_secs(100), command.status()).await.expect("it does not end");
    status.unwrap().code().unwrap_or(-1)
}

#[tokio::test]
async fn a_check_keeps_its_verdict() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.toml"), folder.path().join("bad.toml"));
    std::fs::write(&good, "[group]\nname = \"g\"\n").unwrap();
    std::fs::write(&bad, "[mqtt]\nwindow = 0\n").unwrap();
    for (file, code) in [(good, 0), (bad, 2)] {
        let file = file.to_str().unwrap();
        assert_eq!(unheard(&["check", "--no-env", "--config", file]).await, code);
        assert_eq!(unheard(&["check", "--no-env", "--json", "--config", file]).await, code);
    }
}

#[tokio::test]
async fn a_doctor_keeps_its_verdict() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    for json in [&["--json"][..], &[]] {
        let url = broker.url();
        let args = [&["doctor", "--broker", &url, "--mqtt-version", "5"], json].concat();
        assert_eq!(unheard(&args).await, 0);
    }
    broker.shutdown().await;
}

#[tokio::test]
async fn health_is_told_by_the_exit_code() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (stream, status) in listener.incoming().zip(["200 OK", "503 Service Unavailable"]) {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 1024]).unwrap();
            stream.write_all(format!("HTTP/1.1 {status}\r\n\r\nso it is").as_bytes()).unwrap();
        }
    });
    assert_eq!(unheard(&["health", "--address", &address]).await, 0);
    assert_eq!(unheard(&["health", "--address", &address]).await, 1);
}

#[tokio::test]
async fn a_demo_runs_to_its_end() {
    assert_eq!(unheard(&["demo", "--events", "200", "--json"]).await, 0);
    assert_eq!(unheard(&["demo", "--scene", "--rate", "10000", "--json"]).await, 0);
}

#[tokio::test]
async fn a_measurement_runs_to_its_end() {
    assert_eq!(unheard(&["bench", "run", "--rate", "1K", "--count", "500", "--json"]).await, 0);
}
