//! Dead letters at a broker that checks what it is given.

use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerError, HandlerResult, async_trait};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::mosquitto::MosquittoConfig;

use super::support::*;

/// Fails as handlers do: with texts of several lines, and of every other kind.
#[derive(Clone, Copy, Debug)]
struct Failing;

#[async_trait]
impl Handler for Failing {
    async fn handle(&self, event: &Event, _: &mut Context) -> HandlerResult {
        match &event.payload()[..] {
            b"lines" => Err(HandlerError::permanent("first line\nsecond line\r\n\tthird line")),
            b"null" => Err(HandlerError::permanent("before \0 after \u{85} \u{FFFF} \u{FDD0}")),
            b"long" => Err(HandlerError::permanent("é".repeat(100_000))),
            other => panic!("no handler for this\nleft: {other:?}\nright: nothing"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mosquitto_takes_the_dead_letter_of_any_error() {
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    let mut config = config(broker.url());
    config.retry.max_attempts = 1;
    let worker = Running::start(config.clone(), |worker| worker.route("t/#", Failing));
    worker.ready().await;
    let mut reader = RawClient::tcp(broker.addr()).await.unwrap().with_patience(Duration::from_secs(20));
    reader.connect(ConnectOptions::new("reader")).await;
    reader.subscribe("tidemill/dead/#", tidemill_core::QoS::AtMostOnce).await;
    let publisher = publisher(&config);
    let payloads = ["lines", "null", "long", "panic"];
    publish(&publisher, payloads.map(|payload| ("t/a".to_owned(), payload.to_owned()))).await;
    let letters = reader.expect_publishes(4).await;
    let mut came: Vec<_> = letters.iter().map(|l| String::from_utf8(l.payload.to_vec()).unwrap()).collect();
    came.sort();
    assert_eq!(came, ["lines", "long", "null", "panic"]);
    publisher.close().await;
    let summary = worker.leave().await;
    assert_eq!((summary.received, summary.dead_lettered), (4, 4));
}
