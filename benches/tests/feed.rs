//! The `feed` program as it is called: its output is read by other programs.

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

use serde_json::Value;

fn feed(args: &[&str]) -> Output {
    let small = ["--events", "2000", "--runs", "1", "--no-pin"];
    Command::new(env!("CARGO_BIN_EXE_feed")).args(small).args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn json_is_one_line_with_every_client_in_the_order_asked_for() {
    let output = feed(&["--json", "--clients", "rumqttc-manual,floor,rumqttc-auto,rumqttc-manual-nagle"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let stdout = text(&output.stdout);
    assert_eq!(stdout.lines().count(), 1, "{stdout}");
    let result: Value = serde_json::from_str(&stdout).unwrap();
    let clients = result["clients"].as_array().unwrap();
    let names: Vec<&str> = clients.iter().map(|client| client["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["rumqttc-manual", "floor", "rumqttc-auto", "rumqttc-manual-nagle"]);
    for client in clients {
        for key in ["events_per_s", "peak_rss_kib"] {
            assert!(client[key].as_f64().unwrap() > 0.0, "{key}: {client}");
        }
        for key in ["user_us", "system_us", "cpu_us_per_event"] {
            assert!(client[key].as_f64().unwrap() >= 0.0, "{key}: {client}");
        }
    }
}

#[test]
fn qos_0_needs_no_acks() {
    let output = feed(&["--qos", "0", "--clients", "floor,rumqttc-auto"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    assert!(table.contains("| floor") && table.contains("| rumqttc-auto"), "{table}");
}

#[test]
fn the_worker_acknowledges_everything_in_order() {
    let output = feed(&["--json", "--clients", "tidemill"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn missing_valgrind_is_said_with_the_way_to_get_it() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_feed"));
    let output = command.args(["--instructions", "--no-pin"]).env("PATH", "/nonexistent").output().unwrap();
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("apt-get install valgrind"), "{}", text(&output.stderr));
}
