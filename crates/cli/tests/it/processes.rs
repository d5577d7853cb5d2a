//! `tidemill demo` on the embedded broker, and on one in this process that can be broken on purpose.

use std::time::Duration;

use serde_json::json;
use tidemill::QoS;
use tidemill_testkit::broker::{Access, Broker, BrokerConfig, Traced, What};
use tidemill_testkit::client::{ConnectOptions, RawClient};

use crate::support::{run, start};

/// Said once every instance has joined and publishing begins.
const BEGUN: &str = "instances";

#[tokio::test]
async fn every_event_is_accounted_for_and_every_instance_gets_its_share() {
    let ended = run(&["demo", "--events", "2000", "--instances", "3", "--json"]).await;
    let report = ended.good_report(2000);
    let instances = report["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 3);
    for instance in instances {
        assert!(instance["share"].as_f64().unwrap() > 0.15, "{report}");
        assert!(instance["p99_ms"].as_f64().unwrap() >= instance["p50_ms"].as_f64().unwrap(), "{report}");
        assert!(instance["id"].as_str().unwrap().starts_with("demo-"), "{report}");
    }
    let events: u64 = instances.iter().map(|instance| instance["events"].as_u64().unwrap()).sum();
    assert_eq!(events, 2000);
    assert!(report["events_per_s"].as_f64().unwrap() > 0.0);
}

#[tokio::test]
async fn people_get_a_table_and_a_verdict_and_no_colours_without_a_terminal() {
    let ended = run(&["demo", "--events", "1500", "--devices", "7", "--instances", "2"]).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.stdout, "");
    for expected in ["published 1,500", "handled 1,500", "lost 0", "OK", "p99"] {
        assert!(ended.stderr.contains(expected), "{expected:?} in {}", ended.stderr);
    }
    assert!(!ended.stderr.contains('\x1b'), "{:?}", ended.stderr);
}

#[tokio::test]
async fn both_versions_and_both_qos_account_for_every_event() {
    for args in [["--mqtt-version", "3.1.1"], ["--qos", "0"], ["--payload", "5000"], ["--rate", "4000"]] {
        let ended = run(&[&["demo", "--events", "1000", "--json"], &args[..]].concat()).await;
        ended.good_report(1000);
    }
}

#[tokio::test]
async fn fewer_events_than_devices_and_a_single_device_are_fine() {
    run(&["demo", "--events", "3", "--devices", "1000", "--json"]).await.good_report(3);
    run(&["demo", "--events", "500", "--devices", "1", "--ahead", "1", "--json"]).await.good_report(500);
}

#[tokio::test]
async fn alerts_are_appended_to_the_file_and_depend_on_the_seed_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("alerts.ndjson");
    let args = ["demo", "--events", "5000", "--seed", "7", "--json", "--alerts", path.to_str().unwrap()];
    let first = run(&args).await.good_report(5000)["alerts"].as_u64().unwrap();
    let second = run(&args).await.good_report(5000)["alerts"].as_u64().unwrap();
    assert!(first > 0);
    assert_eq!(first, second);
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.lines().count() as u64, first + second);
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(record["payload"]["celsius"].as_f64().unwrap() > 80.0, "{line}");
    }
}

#[tokio::test]
async fn a_signal_stops_it_early_without_losing_anything() {
    let mut demo = start(&["demo", "--events", "100000000", "--rate", "2000", "--json"]);
    demo.says(BEGUN).await;
    demo.terminate().await;
    let ended = demo.end().await;
    let report = ended.report();
    let published = report["published"].as_u64().unwrap();
    assert!(published < 100_000_000);
    ended.good_report(published);
    assert_eq!(report["ended"], "stopped");
}

#[tokio::test]
async fn a_broker_that_is_gone_is_given_up() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let mut demo = start(&[
        "demo",
        "--broker",
        &broker.url(),
        "--events",
        "100000000",
        "--rate",
        "2000",
        "--patience",
        "2s",
        "--json",
    ]);
    demo.says(BEGUN).await;
    drop(broker.crash());
    let ended = demo.end().await;
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("nothing was published or handled for 2s: cannot reach"), "{}", ended.stderr);
    assert_eq!(ended.report()["ended"], "failed");
}

#[tokio::test]
async fn an_instance_and_a_publisher_that_lose_their_connections_lose_no_event() {
    let broker = Broker::start(BrokerConfig::default().with_trace(10_000)).await.unwrap();
    let mut demo = start(&["demo", "--broker", &broker.url(), "--events", "6000", "--rate", "3000", "--json"]);
    demo.says(BEGUN).await;
    // What was tried out before the instances joined has left again.
    let stays = |line: &Traced| matches!(line.what, What::Connected { .. }) && !line.client.ends_with("-try");
    let ids: Vec<_> = broker.trace().into_iter().filter(stays).collect();
    let (publisher, instance): (Vec<_>, Vec<_>) = ids.iter().partition(|line| line.client.contains("fleet"));
    while broker.stats().acked < 1000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(broker.cut(&instance[0].client));
    assert!(broker.cut(&publisher[0].client));
    let ended = demo.end().await;
    let report = ended.report();
    // What was on its way may come twice, and the exit code says so; nothing is missing.
    assert_eq!(report["published"], 6000, "{}", ended.stderr);
    assert_eq!(report["handled"], 6000, "{}", ended.stderr);
    assert_eq!(report["lost"], 0, "{}", ended.stderr);
    let clean = report["duplicated"] == 0 && report["out_of_order"] == 0;
    assert_eq!(ended.code, i32::from(!clean), "{}", ended.stderr);
}

#[tokio::test]
async fn events_that_somebody_takes_repeats_or_makes_up_are_found() {
    let broker = Broker::start(BrokerConfig::default().with_trace(10_000)).await.unwrap();
    let mut demo = start(&["demo", "--broker", &broker.url(), "--events", "4000", "--rate", "2000", "--json"]);
    demo.says(BEGUN).await;
    let group = broker.trace().into_iter().find_map(|line| match line.what {
        // Not what was tried out before the instances joined.
        What::Subscribed { filter, .. } if !line.client.ends_with("-try") => Some(filter),
        _ => None,
    });
    // A member that the demo does not know takes its share and acknowledges it.
    let mut intruder = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
    intruder.connect(ConnectOptions::new("intruder").receive_maximum(1)).await;
    intruder.subscribe(&group.unwrap(), QoS::AtLeastOnce).await;
    let mut taken = Vec::new();
    for _ in 0..5 {
        let event = intruder.expect_publish().await;
        taken.push(event.clone());
        if taken.len() == 5 {
            // Gone before the next one can be on its way.
            intruder.disconnect().await;
        } else {
            intruder.puback(event.pkid).await;
        }
    }
    // The fifth was not acknowledged, so it goes to a member; here it is once more, and with it something made up.
    let mut again = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
    again.connect(ConnectOptions::new("again")).await;
    let topic = std::str::from_utf8(&taken[4].topic).unwrap();
    again.publish_acked(topic, taken[4].payload.clone()).await;
    again.publish_acked(topic, "{}").await;

    let ended = demo.end().await;
    let report = ended.report();
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert_eq!((&report["published"], &report["handled"]), (&json!(4000), &json!(3996)), "{}", ended.stderr);
    assert_eq!((&report["lost"], &report["duplicated"]), (&json!(4), &json!(1)), "{}", ended.stderr);
    assert_eq!((&report["dead_lettered"], &report["ok"]), (&json!(1), &json!(false)), "{}", ended.stderr);
    for said in ["FAILED", "4 lost", "1 handed out twice", "1 dead-lettered"] {
        assert!(ended.stderr.contains(said), "{said:?} in {}", ended.stderr);
    }
}

#[tokio::test]
async fn credentials_are_used_and_a_refusal_names_the_options() {
    let config = BrokerConfig { access: Access::default().with_user("fleet", "tide"), ..BrokerConfig::default() };
    let broker = Broker::start(config).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (right, wrong) = (directory.path().join("right"), directory.path().join("wrong"));
    std::fs::write(&right, "tide\n").unwrap();
    std::fs::write(&wrong, "ebb\n").unwrap();
    let url = broker.url();
    let args =
        |file| ["demo", "--broker", &url, "--username", "fleet", "--events", "100", "--json", "--password-file", file];
    run(&args(right.to_str().unwrap())).await.good_report(100);
    let refused = run(&args(wrong.to_str().unwrap())).await;
    assert_eq!((refused.code, &*refused.stdout), (1, ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("--username") && refused.stderr.contains("--password-file"), "{}", refused.stderr);
    assert!(!refused.stderr.contains("ebb"), "{}", refused.stderr);
}
