//! The same on a real broker.

use tidemill_testkit::certificates::Certificates;
use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig, MosquittoErrorKind, require_or_skip};

use super::*;

async fn start() -> Option<Mosquitto> {
    start_with(MosquittoConfig::default()).await
}

async fn start_with(config: MosquittoConfig) -> Option<Mosquitto> {
    match Mosquitto::start(config).await {
        Err(error) if error.kind() != MosquittoErrorKind::Missing => panic!("{error}"),
        result => require_or_skip(result),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_kept_moved_and_replayed() {
    let Some(broker) = start().await else { return };
    let url = broker.url();
    dead(&url, &["subscribe"]).await.good();
    let mut peer = Peer::connect(broker.addr(), "peer").await;
    peer.letters(&FIVE).await;
    for _ in 0..2 {
        assert_eq!(payloads(&url).await, ["one", "two", "three", "four", "five"]);
    }
    peer.0.subscribe("t/#", Q1).await;
    dead(&url, &["replay", "--topic-filter", "t/3"]).await.good();
    assert_eq!(peer.payloads(1).await, ["three"]);
    assert_eq!(payloads(&url).await, ["four", "five", "one", "two"]);
    dead(&url, &["drop", "--all", "--window", "2"]).await.good();
    assert!(dead(&url, &["list"]).await.good().err.contains("no dead letters"));
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_read_and_replayed_over_tls() {
    let certificates = Certificates::for_hosts(["localhost"]).unwrap();
    let (tls, ca) = (Some(certificates.mosquitto()), certificates.ca());
    let Some(broker) = start_with(MosquittoConfig { tls, ..MosquittoConfig::default() }).await else { return };
    let url = format!("mqtts://localhost:{}", broker.tls_addr().unwrap().port());
    let stranger = dead(&url, &["subscribe"]).await;
    assert!(stranger.code == 1 && stranger.err.contains("--ca-file"), "{stranger:?}");
    let with = |args: &[&'static str]| [args, &["--ca-file", ca.to_str().unwrap()]].concat();
    dead(&url, &with(&["subscribe"])).await.good();
    let mut peer = Peer::connect(broker.addr(), "peer").await;
    peer.letters(&FIVE).await;
    peer.listen().await;
    let ran = dead(&url, &with(&["replay", "1-5"])).await.good();
    assert!(ran.err.contains("5 replayed"), "{}", ran.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_are_read_and_replayed_over_websocket() {
    let config = MosquittoConfig { websockets: true, ..MosquittoConfig::default() };
    let Some(broker) = start_with(config).await else { return };
    let url = format!("ws://{}/mqtt", broker.websocket_addr().unwrap());
    dead(&url, &["subscribe"]).await.good();
    let mut peer = Peer::connect(broker.addr(), "peer").await;
    peer.letters(&FIVE).await;
    peer.listen().await;
    let ran = dead(&url, &["replay", "1-5"]).await.good();
    assert!(ran.err.contains("5 replayed"), "{}", ran.err);
}

/// Many letters and a window far below their number: Mosquitto hands out more than it should.
#[tokio::test(flavor = "multi_thread")]
async fn many_letters_are_replayed_once_each() {
    let Some(broker) = start().await else { return };
    let url = broker.url();
    dead(&url, &["subscribe"]).await.good();
    let mut peer = Peer::connect(broker.addr(), "peer").await;
    for number in 0..600 {
        peer.letter(if number % 3 == 0 { "a" } else { "b" }, "t/x", &format!("{number:03}")).await;
    }
    peer.0.subscribe("t/#", Q1).await;
    let ran = dead(&url, &["replay", "--route", "a", "--window", "50", "--through"]).await.good();
    assert!(ran.err.contains("200 replayed"), "{}", ran.err);
    let replayed = peer.payloads(200).await;
    let expected: Vec<String> = (0..600).step_by(3).map(|number| format!("{number:03}")).collect();
    assert_eq!(replayed, expected, "in their order");
    let mut left = dead(&url, &["show", "1-999", "--json"]).await.good().column("payload");
    left.sort();
    assert_eq!(left.len(), 400);
    left.dedup();
    assert_eq!(left.len(), 400, "nothing lost, nothing twice");
}
