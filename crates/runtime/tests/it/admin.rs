//! The admin server over real sockets, in real time: what its four pages say.

use std::net::SocketAddr;
use std::time::Duration;

use tidemill_runtime::RunErrorKind;
use tidemill_runtime::config::Instances;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::*;

fn with_admin() -> tidemill_runtime::Config {
    let mut config = config();
    config.admin.enabled = true;
    config.admin.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config
}

/// Status and body.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    request(address, "GET", path).await
}

async fn request(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
    request_with(address, method, path, "", "").await
}

/// `headers` are whole lines.
async fn request_with(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test]
async fn the_pages_follow_the_life_of_the_worker() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::start(with_admin(), |worker| worker.add_route(route(handler)));
    let address = rig.handle.admin_address().await.unwrap();
    assert!(address.ip().is_loopback());
    assert_eq!(get(address, "/livez").await, (200, "ok\n".to_owned()));
    assert_eq!(get(address, "/readyz").await, (503, "not connected and subscribed yet\n".to_owned()));

    let mut broker = rig.subscribed().await;
    rig.handle.ready().await;
    assert_eq!(get(address, "/readyz").await, (200, "ready\n".to_owned()));

    broker.publish(1, "t/a", Q1, "x").await;
    let call = calls.next().await;
    settle().await;
    let (status, body) = get(address, "/status").await;
    let shown: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200);
    for (field, expected) in [("ready", "true"), ("draining", "false"), ("received", "1"), ("unfinished", "1")] {
        assert_eq!(shown[field].to_string(), expected, "{field} in {body}");
    }
    assert_eq!((&shown["group"], &shown["version"]), (&"g".into(), &env!("CARGO_PKG_VERSION").into()));
    let instance = &shown["instances"][0];
    assert!(instance["id"].as_str().unwrap().starts_with("tidemill-"));
    assert_eq!((&instance["phase"], &instance["epoch"]), (&"ready".into(), &1.into()));
    assert_eq!((&instance["unacknowledged"], &instance["running"]), (&1.into(), &1.into()));
    assert!(instance["last_error"].is_null());
    call.ok();
    broker.expect_pubacks([1]).await;

    let (status, body) = get(address, "/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "tidemill_events_finished_total{outcome=\"handled\",route=\"t\"} 1",
        "tidemill_instances{phase=\"ready\"} 1",
        "# TYPE tidemill_event_age_seconds histogram",
    ] {
        assert!(body.lines().any(|have| have == line), "{line} is missing in\n{body}");
    }

    broker.publish(2, "t/a", Q1, "x").await;
    let call = calls.next().await;
    rig.stop();
    broker.accept_unsubscribe().await;
    assert_eq!(get(address, "/readyz").await, (503, "leaving the group\n".to_owned()));
    assert_eq!(get(address, "/livez").await.0, 200);
    let (_, body) = get(address, "/status").await;
    assert!(body.contains("\"draining\":true") && body.contains("\"phase\":\"leaving\""), "{body}");
    call.ok();
    broker.expect_pubacks([2]).await;
    broker.accept_ping().await;
    broker.expect_disconnect().await;
    rig.ended().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "the server ends with the worker");
}

#[tokio::test]
async fn the_reason_why_a_connection_is_down_is_shown() {
    let mut rig = Rig::start(with_admin(), |worker| worker.add_route(route(Fine)));
    let address = rig.handle.admin_address().await.unwrap();
    rig.subscribed().await.cut();
    let mut shown = String::new();
    for _ in 0..1000 {
        shown = get(address, "/status").await.1;
        if shown.contains("closed the connection") {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(shown.contains("closed the connection"), "{shown}");
    assert_eq!(get(address, "/livez").await.0, 200, "a broker that is away is no reason to be restarted");
}

#[tokio::test]
async fn nothing_but_looking_is_possible() {
    let rig = Rig::start(with_admin(), |worker| worker.add_route(route(Fine)));
    let address = rig.handle.admin_address().await.unwrap();
    for path in ["/metrics", "/livez", "/readyz", "/status"] {
        for method in ["POST", "PUT", "DELETE"] {
            assert_eq!(request(address, method, path).await.0, 405, "{method} {path}");
        }
    }
    assert_eq!(get(address, "/").await.0, 404);
}

#[tokio::test]
async fn a_port_that_is_taken_ends_the_worker_and_is_named() {
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = with_admin();
    config.admin.listen = taken.local_addr().unwrap();
    let sink = Recording::new();
    let out = sink.clone();
    let rig = Rig::start(config, |worker| worker.sink("out", out).add_route(route(Fine)));
    let error = rig.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Admin);
    assert!(told(&error).contains("admin.listen"), "{}", told(&error));
    assert_eq!(sink.with(|all| (all.opened, all.closed)), (0, 0));
}

#[tokio::test]
async fn without_being_asked_for_there_is_no_server() {
    let rig = Rig::start(config(), |worker| worker.add_route(route(Fine)));
    let address = tokio::time::timeout(Duration::from_millis(50), rig.handle.admin_address()).await;
    assert!(address.is_err());
}

#[tokio::test]
async fn the_number_of_instances_can_be_changed_with_the_token_and_only_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "open sesame\n").unwrap();
    let mut config = with_admin();
    config.admin.token_file = Some(file);
    let mut rig = Rig::start(config, |worker| worker.add_route(route(Fine)));
    let address = rig.handle.admin_address().await.unwrap();
    let _first = rig.subscribed().await;
    let put = async |headers: &str, body: &str| request_with(address, "PUT", "/instances", headers, body).await.0;
    let right = "Authorization: Bearer open sesame\r\n";
    let body = "{\"instances\": 2}";
    assert_eq!(put("", body).await, 401);
    assert_eq!(put("Authorization: Bearer open sesam\r\n", body).await, 401);
    assert_eq!(put("Authorization: Basic open sesame\r\n", body).await, 401);
    assert_eq!(put(right, "two").await, 400);
    assert_eq!(put(right, "{\"instances\": 2, \"replicas\": 3}").await, 400);
    assert_eq!(put(right, "{\"instances\": \"many\"}").await, 400);
    assert_eq!(put(right, "{\"instances\": 0}").await, 422);
    assert!((400..500).contains(&put(right, &" ".repeat(100_000)).await));
    assert_eq!(rig.handle.status().instances.len(), 1, "nothing has changed so far");
    assert_eq!(put(right, body).await, 202);
    let _second = rig.subscribed().await;
    rig.handle.settled().await;
    assert_eq!(rig.handle.status().instances.len(), 2);
}

#[tokio::test]
async fn an_operator_holds_an_elastic_number_within_its_limits_and_gives_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "open sesame\n").unwrap();
    let mut config = with_admin();
    config.admin.token_file = Some(file);
    config.instances = Instances::Elastic { min: 1, max: 3 };
    let mut rig = Rig::start(config, |worker| worker.add_route(route(Fine)));
    let address = rig.handle.admin_address().await.unwrap();
    let _first = rig.subscribed().await;
    let put = async |body: &str| {
        let (status, body) =
            request_with(address, "PUT", "/instances", "Authorization: Bearer open sesame\r\n", body).await;
        let shown = serde_json::from_str::<serde_json::Value>(&body).unwrap_or_default()["scaling"].clone();
        (status, body, shown)
    };
    let (status, told, _) = put("{\"instances\": 4}").await;
    assert!(status == 422 && told.contains("limits are 1 to 3"), "{told}");
    let (status, _, shown) = put("{\"instances\": 2}").await;
    assert_eq!((status, &shown["mode"], &shown["wanted"]), (202, &"held".into(), &2.into()));
    assert_eq!((&shown["min"], &shown["max"]), (&1.into(), &3.into()));
    let last = &shown["last_decision"];
    assert_eq!((&last["from"], &last["to"], &last["by"]), (&1.into(), &2.into(), &"operator".into()));
    assert_eq!(last["reason"], "an operator asked for it");
    assert!(last["at"].as_str().unwrap().ends_with('Z'), "{last}");
    let _second = rig.subscribed().await;
    rig.handle.settled().await;
    let (status, _, shown) = put("{\"instances\": \"auto\"}").await;
    assert_eq!((status, &shown["mode"], &shown["wanted"]), (202, &"elastic".into(), &2.into()));
}

#[tokio::test]
async fn without_a_token_nothing_can_be_changed() {
    let rig = Rig::start(with_admin(), |worker| worker.add_route(route(Fine)));
    let address = rig.handle.admin_address().await.unwrap();
    let (status, told) =
        request_with(address, "PUT", "/instances", "Authorization: Bearer \r\n", "{\"instances\": 2}").await;
    assert!(status == 403 && told.contains("admin.token_file"), "{status} {told}");
}

#[tokio::test]
async fn the_pages_say_which_sink_keeps_the_worker_from_being_ready() {
    let sink = Recording::new();
    let out = sink.clone();
    for _ in 0..100 {
        sink.answer(tidemill_core::SinkError::misconfigured("no such table"));
    }
    let emit = does(|_, cx| Ok(cx.emit("out", tidemill_core::Record::new("r"))?));
    let mut rig = Rig::start(with_admin(), |worker| worker.sink("out", out).add_route(route(emit)));
    let address = rig.handle.admin_address().await.unwrap();
    let mut broker = rig.subscribed().await;
    rig.handle.ready().await;
    assert_eq!(get(address, "/readyz").await, (200, "ready\n".to_owned()));
    broker.publish(1, "t/a", Q1, "x").await;
    until(|| !rig.handle.status().ready).await;
    assert_eq!(get(address, "/readyz").await, (503, "sink \"out\": set up wrongly\n".to_owned()));
    let shown: serde_json::Value = serde_json::from_str(&get(address, "/status").await.1).unwrap();
    let names: Vec<_> = shown["sinks"].as_array().unwrap().iter().map(|sink| &sink["name"]).collect();
    assert_eq!(names, ["out", "dead_letters", "publish"]);
    let out = &shown["sinks"][0];
    assert_eq!(
        (&out["state"], &out["breaker"], &out["queue_records"]),
        (&"misconfigured".into(), &"open".into(), &1.into())
    );
    assert!(out["last_error"].as_str().unwrap().contains("no such table"));
}
