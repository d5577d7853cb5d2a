//! Runs the example against a broker and an HTTP service in this process: the service is never asked more often than it
//! was agreed, is left alone when it says so, and every reading ends up enriched or in the dead letters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wait::{PATIENCE, until};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{Instant, timeout};

const PER_SECOND: u32 = 20;

/// When each device was asked for.
type Asked = Arc<Mutex<Vec<(String, Instant)>>>;

async fn device(State(asked): State<Asked>, Path(device): Path<String>) -> Response {
    let mut asked = asked.lock().unwrap();
    let before = asked.iter().filter(|(known, _)| *known == device).count();
    asked.push((device.clone(), Instant::now()));
    match (device.as_str(), before) {
        ("busy", 0) => (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response(),
        ("down", 0 | 1) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        ("unknown", _) => StatusCode::NOT_FOUND.into_response(),
        _ => axum::Json(json!({ "site": format!("site of {device}") })).into_response(),
    }
}

/// A service on a free port.
async fn service() -> (String, Asked) {
    let asked = Asked::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/devices/{device}", get(device)).with_state(Arc::clone(&asked));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, asked)
}

#[tokio::test]
async fn every_reading_is_enriched_at_the_rate_that_the_service_can_bear() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let (url, asked) = service().await;
    let mut example = Command::new(env!("CARGO_BIN_EXE_example-04-rate-limited-http-enrichment"))
        .current_dir(directory.path())
        .env("TIDEMILL_MQTT__URL", broker.url())
        // What the broker counts is to be what this test publishes.
        .env("TIDEMILL_GROUP__VERIFY", "never")
        .env("TIDEMILL_INSTANCES", "2")
        .env("TIDEMILL_LOG__FILTER", "error")
        .env("DEVICES_URL", url)
        .env("REQUESTS_PER_SECOND", PER_SECOND.to_string())
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until(|| broker.stats().groups == 1, "the example does not subscribe").await;

    let mut client = RawClient::tcp(broker.addr().unwrap()).await.unwrap().with_patience(PATIENCE);
    client.connect(ConnectOptions::new("test")).await;
    client.subscribe("tidemill/dead/#", tidemill::QoS::AtLeastOnce).await;
    let names = (0..30).map(|number| format!("b{number}"));
    let names: Vec<String> = names.chain(["busy", "down", "a b?c", "unknown"].map(str::to_owned)).collect();
    let began = Instant::now();
    for name in &names {
        client.publish_acked(&format!("readings/{name}"), r#"{"celsius": 21.5}"#).await;
    }
    let letter = client.expect_publish().await;
    client.puback(letter.pkid).await;
    let told: BTreeMap<String, String> = letter.properties.unwrap().user_properties.into_iter().collect();
    assert_eq!([&told["tidemill-topic"], &told["tidemill-reason"]], ["readings/unknown", "permanent"]);
    assert!(told["tidemill-error"].contains("404"), "{told:?}");
    let all = names.len() as u64 + 1;
    until(|| broker.stats().acked >= all, "not every reading was acknowledged").await;

    let pid = example.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let (mut printed, mut said) = (String::new(), String::new());
    let (mut stdout, mut stderr) = (example.stdout.take().unwrap(), example.stderr.take().unwrap());
    let read = async { tokio::join!(stdout.read_to_string(&mut printed), stderr.read_to_string(&mut said)) };
    timeout(PATIENCE, read).await.expect("the example does not end").0.unwrap();
    assert!(example.wait().await.unwrap().success(), "{said}");
    assert!(said.ends_with("33 readings enriched, 1 to the dead letters\n"), "{said}");
    let sites: BTreeMap<String, Value> = printed
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["payload"].clone())
        .map(|enriched| (enriched["device"].as_str().unwrap().to_owned(), enriched["site"].clone()))
        .collect();
    assert_eq!(sites.len(), 33);
    assert!(sites.iter().all(|(device, site)| *site == format!("site of {device}")), "{sites:?}");

    let asked = asked.lock().unwrap().clone();
    let of =
        |name: &str| -> Vec<Instant> { asked.iter().filter(|(known, _)| known == name).map(|(_, at)| *at).collect() };
    assert_eq!([of("busy").len(), of("down").len(), of("unknown").len(), of("b0").len()], [2, 3, 1, 1]);
    assert!(of("busy")[1] - of("busy")[0] >= Duration::from_secs(1), "it was asked to wait a second");
    // However slow the machine is, it only makes them later.
    for (before, (_, at)) in (0_u32..).zip(asked.iter()) {
        let earliest = Duration::from_secs(1) * before / PER_SECOND;
        assert!(*at - began + Duration::from_millis(5) >= earliest, "{before} requests before {:?}", *at - began);
    }
    broker.shutdown().await;
}
