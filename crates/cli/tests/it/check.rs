//! `tidemill check` and `tidemill health`: what an operator and an orchestrator ask before and while a worker runs.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};

use crate::support::{Ended, run};

struct File {
    _directory: TempDir,
    path: PathBuf,
}

fn file(text: &str) -> File {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tidemill.toml");
    std::fs::write(&path, text).unwrap();
    File { _directory: directory, path }
}

async fn check(text: &str, options: &[&str]) -> Ended {
    let file = file(text);
    run(&[&["check", "--no-env", "--config", file.path.to_str().unwrap()], options].concat()).await
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap()
}

#[tokio::test]
async fn a_good_configuration_is_said_to_be_good() {
    let ended = check("instances = 2\n[group]\nname = \"g\"\n", &[]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, ""), "{}", ended.stderr);
    assert!(ended.stderr.contains("can start") && ended.stderr.contains("tidemill.toml"), "{}", ended.stderr);
}

#[tokio::test]
async fn without_a_file_it_says_that_only_defaults_were_looked_at() {
    let ended = run(&["check"]).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("no tidemill.toml here"), "{}", ended.stderr);
}

#[tokio::test]
async fn every_mistake_is_told_with_its_line() {
    let ended = check("instances = 0\n\n[mqtt]\nurl = \"broker\"\nkeep_alive = 30\nwindwo = 5\n", &[]).await;
    assert_eq!(ended.code, 2);
    for said in ["tidemill.toml:1", "tidemill.toml:4", "tidemill.toml:5", "tidemill.toml:6", "mqtt.window"] {
        assert!(ended.stderr.contains(said), "{said:?} in {}", ended.stderr);
    }
}

#[tokio::test]
async fn rules_about_several_keys_are_checked_too() {
    let ended = check("instances = 2\n[mqtt]\nsession_expiry = \"10m\"\n", &["--json"]).await;
    assert_eq!(ended.code, 2);
    let report = json(&ended);
    assert_eq!(report["ok"], false);
    let keys: Vec<_> = report["errors"].as_array().unwrap().iter().map(|error| error["key"].clone()).collect();
    assert!(keys.contains(&"instances".into()) && keys.contains(&"mqtt.session_expiry".into()), "{report}");
    let lines = report["errors"].as_array().unwrap().iter().map(|error| error["origin"].as_str().unwrap());
    let lines: Vec<_> = lines.map(|origin| origin.rsplit_once(':').unwrap().1).collect();
    assert_eq!(lines, ["1", "3"], "{report}");
}

#[tokio::test]
async fn a_warning_stops_nobody() {
    let text = "[mqtt]\nurl = \"mqtt://broker.example\"\nusername = \"me\"\npassword = \"ebbtide\"\n";
    let ended = check(text, &["--json"]).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let report = json(&ended);
    assert_eq!((&report["ok"], &report["errors"]), (&true.into(), &serde_json::json!([])));
    let warnings = report["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning["why"].as_str().unwrap().contains("unencrypted")), "{report}");
    assert!(!ended.stdout.contains("ebbtide"), "{report}");
}

#[tokio::test]
async fn files_are_looked_at_when_asked_to() {
    let text = "[mqtt]\nurl = \"mqtts://broker.example\"\n[mqtt.tls]\nca_file = \"/no/such/ca\"\n";
    assert_eq!(check(text, &[]).await.code, 0);
    let ended = check(text, &["--files"]).await;
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("/no/such/ca"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let ended = run(&["check", "--config", "/no/such/file"]).await;
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("/no/such/file"), "{}", ended.stderr);
}

/// An admin server that gives one answer, and tells what it was asked.
async fn admin(answer: &'static str) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 1024];
        let read = stream.read(&mut request).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..read]).lines().next().unwrap().to_owned()
    });
    (address, asked)
}

#[tokio::test]
async fn a_worker_that_is_well_is_said_to_be_well() {
    let (address, asked) = admin("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok\n").await;
    let ended = run(&["health", "--address", &address]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (0, "ok\n"), "{}", ended.stderr);
    assert_eq!(asked.await.unwrap(), "GET /livez HTTP/1.1");
}

#[tokio::test]
async fn a_worker_that_is_not_ready_says_why() {
    let (address, asked) = admin("HTTP/1.1 503 Service Unavailable\r\n\r\nleaving the group\n").await;
    let ended = run(&["health", "--ready", "--address", &address]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("503") && ended.stderr.contains("leaving the group"), "{}", ended.stderr);
    assert_eq!(asked.await.unwrap(), "GET /readyz HTTP/1.1");
}

#[tokio::test]
async fn nobody_and_somebody_else_are_not_well() {
    // Bound and not listening: every connection to it is refused.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let ended = run(&["health", "--address", &address]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains(&address) && ended.stderr.contains("admin.enabled"), "{}", ended.stderr);

    let (address, _asked) = admin("220 mail.example ESMTP\r\n").await;
    let ended = run(&["health", "--address", &address]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("no HTTP server"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ended = run(&["health", "--timeout", "100ms", "--address", &address]).await;
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    drop(listener);
}
