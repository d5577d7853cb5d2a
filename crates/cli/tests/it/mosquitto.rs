//! On a real Mosquitto: `tidemill demo` with the broker's own default limits, and every command that connects over TLS.

use tidemill_testkit::certificates::Certificates;
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
    demo_on_mosquitto(&["--mqtt-version", "3.1.1"]).await;
}

#[tokio::test]
async fn one_instance_is_not_flooded_by_the_fleet() {
    demo_on_mosquitto(&["--instances", "1"]).await;
}

#[tokio::test]
async fn every_command_that_connects_can_show_a_client_certificate() {
    let certificates = Certificates::for_hosts(["localhost"]).unwrap();
    let tls = Some(certificates.mosquitto_asking());
    let config = MosquittoConfig { tls, ..MosquittoConfig::default() };
    let Some(broker) = require_or_skip(Mosquitto::start(config).await) else { return };
    let url = format!("mqtts://localhost:{}", broker.tls_addr().unwrap().port());
    let [ca, cert, key] = [certificates.ca(), certificates.client().cert, certificates.client().key]
        .map(|path| path.display().to_string());
    let stranger = ["--broker", &url, "--ca-file", &ca];
    let known = [&stranger[..], &["--cert-file", &cert, "--key-file", &key]].concat();
    for (command, good) in [
        (&["demo", "--events", "500", "--patience", "5s"][..], 0),
        (&["dead", "subscribe"], 0),
        (&["dead", "list"], 0),
        (&["dead", "unsubscribe"], 0),
        (&["doctor", "--mqtt-version", "5", "--timeout", "10s"], 0),
        (&["bench", "run", "--count", "500"], 0),
        // Nobody is present, which it has been told by the broker.
        (&["group"], 1),
    ] {
        let ended = run(&[command, &known].concat()).await;
        assert_eq!(ended.code, good, "{command:?}: {}", ended.stderr);
        assert!(!ended.stderr.contains("no connection"), "{command:?}: {}", ended.stderr);
        if command[1..] != ["list"] && command[1..] != ["unsubscribe"] {
            let refused = run(&[command, &stranger].concat()).await;
            assert_eq!(refused.code, 1, "{command:?}: {}", refused.stderr);
        }
    }
}
