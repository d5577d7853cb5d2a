//! `tidemill demo` on a real Mosquitto with its own default limits.

use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig, require_or_skip};

use crate::support::run;

/// What Mosquitto has when nobody says anything.
fn defaults() -> MosquittoConfig {
    MosquittoConfig { max_queued_messages: Some(1000), ..MosquittoConfig::default() }
}

async fn demo_on_mosquitto(args: &[&str]) {
    let Some(broker) = require_or_skip(Mosquitto::start(defaults()).await) else { return };
    let url = broker.url();
    let demo = ["demo", "--broker", &url, "--events", "20000", "--json"];
    let report = run(&[&demo[..], args].concat()).await.good_report(20_000);
    for instance in report["instances"].as_array().unwrap() {
        assert!(instance["share"].as_f64().unwrap() > 0.15, "{report}");
    }
}

#[tokio::test]
async fn every_event_is_accounted_for_with_mqtt_5() {
    demo_on_mosquitto(&[]).await;
}

#[tokio::test]
async fn every_event_is_accounted_for_with_mqtt_3_1_1() {
    demo_on_mosquitto(&["--broker-version", "3.1.1"]).await;
}

#[tokio::test]
async fn one_instance_is_not_flooded_by_the_fleet() {
    demo_on_mosquitto(&["--instances", "1"]).await;
}
