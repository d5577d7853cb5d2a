//! Runs the example against a broker in this process: what fails for a while is charged in the end, and the rest goes to
//! the dead letters with the reason, byte for byte.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::process::Stdio;

use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wait::{PATIENCE, until};
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

#[tokio::test]
async fn what_fails_for_a_while_is_charged_and_the_rest_is_a_dead_letter_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let mut example = Command::new(env!("CARGO_BIN_EXE_example-03-retries-and-dead-letters"))
        .current_dir(directory.path())
        .env("TIDEMILL_MQTT__URL", broker.url())
        // What the broker counts is to be what this test publishes.
        .env("TIDEMILL_GROUP__VERIFY", "never")
        .env("TIDEMILL_LOG__FILTER", "off")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    until(|| broker.stats().groups == 1, "the example does not subscribe").await;

    let mut client = RawClient::tcp(broker.addr().unwrap()).await.unwrap().with_patience(PATIENCE);
    client.connect(ConnectOptions::new("test")).await;
    client.subscribe("tidemill/dead/#", tidemill::QoS::AtLeastOnce).await;
    let cards = ["good", "shaky", "busy", "stolen", "broken", "cursed"];
    for (id, card) in cards.iter().enumerate() {
        client.publish_acked(&format!("orders/{id}"), format!(r#"{{ "card": "{card}" }}"#)).await;
    }
    client.publish_acked("orders/6", &b"\xFF no order"[..]).await;

    let mut dead = BTreeMap::new();
    for _ in 0..4 {
        let letter = client.expect_publish().await;
        client.puback(letter.pkid).await;
        assert_eq!(&letter.topic[..], b"tidemill/dead/orders");
        let told: BTreeMap<String, String> = letter.properties.unwrap().user_properties.into_iter().collect();
        dead.insert(told["tidemill-topic"].clone(), (letter.payload, told));
    }
    for (topic, payload, reason, attempts, error) in [
        ("orders/3", &br#"{ "card": "stolen" }"#[..], "permanent", "1", "the card is stolen"),
        ("orders/4", br#"{ "card": "broken" }"#, "attempts", "3", "does not know the card"),
        ("orders/5", br#"{ "card": "cursed" }"#, "attempts", "3", "nobody thought of this"),
        ("orders/6", b"\xFF no order", "permanent", "1", ""),
    ] {
        let (body, told) = &dead[topic];
        assert_eq!((&body[..], &*told["tidemill-reason"], &*told["tidemill-attempts"]), (payload, reason, attempts));
        assert!(told["tidemill-error"].contains(error), "{told:?}");
    }
    // Seven orders, beside the four letters that came here.
    until(|| broker.stats().acked >= 11, "not every order was acknowledged").await;

    let pid = example.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    let mut printed = String::new();
    let mut stdout = example.stdout.take().unwrap();
    timeout(PATIENCE, stdout.read_to_string(&mut printed)).await.expect("the example does not end").unwrap();
    assert!(example.wait().await.unwrap().success());
    let of = |id: u8| -> Vec<&str> {
        printed.lines().filter_map(|line| line.strip_prefix(&format!("order {id}: "))).collect()
    };
    assert_eq!(of(0), ["attempt 1", "charged"]);
    assert_eq!(of(1), ["attempt 1", "attempt 2", "attempt 3", "charged"]);
    assert_eq!(of(2), ["attempt 1", "attempt 2", "charged"]);
    assert_eq!(of(3), ["attempt 1"]);
    assert_eq!(of(4).len(), 3);
    assert!(printed.ends_with("3 orders charged, 4 to the dead letters\n"), "{printed}");
    broker.shutdown().await;
}
