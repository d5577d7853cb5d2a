//! `tidemill bench` on the embedded broker: every event accounted for, results where they were asked for. Nothing here
//! asserts how fast anything is.

use std::path::Path;

use serde_json::Value;
use tidemill_testkit::broker::{Access, Broker, BrokerConfig};

use crate::support::{Ended, run, start};

fn good(ended: &Ended) -> Value {
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let report = ended.report();
    for key in ["lost", "duplicated", "out_of_order", "dead_lettered", "unconfirmed", "refused"] {
        assert_eq!(report[key], 0, "{key} in {report}");
    }
    assert_eq!(report["ok"], true, "{report}");
    report
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn assert_fetches_nothing(html: &str) {
    assert!(html.starts_with("<!doctype html>") && html.contains("<svg"), "{html}");
    for fetch in ["http://", "https://", "src=", "href=", "<script", "@import", "url("] {
        assert!(!html.contains(fetch), "{fetch}");
    }
}

#[tokio::test]
async fn a_steady_load_is_accounted_for_and_every_file_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name);
    let (html, csv, hdr) = (file("a.html"), file("a.csv"), file("a.hgrm"));
    let ended = run(&[
        "bench",
        "run",
        "--rate",
        "2K",
        "--duration",
        "2s",
        "--warm-up",
        "500ms",
        "--instances",
        "3",
        "--json",
        "--html",
        html.to_str().unwrap(),
        "--csv",
        csv.to_str().unwrap(),
        "--hdr",
        hdr.to_str().unwrap(),
    ])
    .await;
    let report = good(&ended);
    assert_eq!((&report["published"], &report["handled"]), (&5000.into(), &5000.into()));
    assert_eq!(report["scenario"], "sharedsub-4-3-2K-2K");
    assert_eq!(report["instances"].as_array().unwrap().len(), 3);
    let events: u64 =
        report["instances"].as_array().unwrap().iter().map(|share| share["events"].as_u64().unwrap()).sum();
    assert_eq!(events, 5000);
    assert!(["broker", "cpu", "window", "offered"].contains(&report["bound"]["bound"].as_str().unwrap()), "{report}");
    for part in ["worker", "publishers", "broker"] {
        assert!(report[part]["cpu_us_per_event"].as_f64().unwrap() > 0.0, "{part} in {report}");
    }
    assert!(report["latency_ms"]["max"].as_f64() >= report["latency_ms"]["p50"].as_f64());
    assert_fetches_nothing(&text(&html));
    assert!(text(&csv).starts_with("second,handled,p50_ms"));
    assert!(text(&hdr).contains("Percentile") && text(&hdr).contains("#[Max"));
    assert!(ended.stderr.contains("OK nothing was lost") && !ended.stderr.contains('\x1b'), "{}", ended.stderr);
}

#[tokio::test]
async fn a_number_of_events_is_published_flat_out_in_both_versions_and_with_both_qos() {
    let cases: [&[&str]; 5] = [
        &[],
        &["--mqtt-version", "3.1.1", "--publishers", "2"],
        &["--qos", "0", "--ahead", "500"],
        &["--payload", "5000", "--inflight", "7"],
        &["--topic", "a/{run}/{publisher}/{key}/b", "--keys", "4", "--window", "3"],
    ];
    for args in cases {
        let ended = run(&[&["bench", "run", "--count", "3K", "--json"], args].concat()).await;
        let report = good(&ended);
        assert_eq!((&report["published"], &report["handled"]), (&3000.into(), &3000.into()), "{args:?}");
    }
}

#[tokio::test]
async fn a_scenario_names_publishers_instances_and_rate() {
    let args = ["bench", "run", "--scenario", "sharedsub-2-3-1K-1K", "--shape", "burst", "--work", "1ms"];
    let ended = run(&[&args[..], &["--duration", "1s", "--warm-up", "0s", "--json"]].concat()).await;
    let report = good(&ended);
    assert_eq!((&report["published"], &report["settings"]["publishers"]), (&1000.into(), &2.into()));
    assert_eq!((&report["settings"]["instances"], &report["settings"]["shape"]), (&3.into(), &"burst".into()));
    assert!(report["handler_ms"]["mean"].as_f64().unwrap() > 0.1, "{report}");
}

#[tokio::test]
async fn the_embedded_broker_may_run_beside_the_publishers() {
    let ended = run(&["bench", "run", "--count", "2K", "--broker-in", "publishers", "--json"]).await;
    let report = good(&ended);
    assert_eq!((&report["handled"], &report["broker"]), (&2000.into(), &Value::Null));
}

#[tokio::test]
async fn a_signal_ends_it_early_without_losing_anything() {
    let mut bench = start(&["bench", "run", "--rate", "1K", "--duration", "1h", "--warm-up", "0s", "--json"]);
    bench.says("measuring").await;
    bench.terminate().await;
    let ended = bench.end().await;
    let report = good(&ended);
    assert_eq!((&report["stopped"], &report["published"]), (&true.into(), &report["handled"]), "{report}");
}

#[tokio::test]
async fn a_sweep_recommends_settings_and_shows_its_points() {
    let directory = tempfile::tempdir().unwrap();
    let html = directory.path().join("sweep.html");
    let args = ["bench", "sweep", "--instances", "1..2", "--window", "4,16", "--work", "5ms", "--duration", "1s"];
    let ended = run(&[&args[..], &["--warm-up", "200ms", "--json", "--html", html.to_str().unwrap()]].concat()).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let report = ended.report();
    let points = report["points"].as_array().unwrap();
    let sizes: Vec<_> = points.iter().map(|point| (point["window"].as_u64(), point["instances"].as_u64())).collect();
    assert_eq!(sizes, [(4, 1), (4, 2), (16, 1), (16, 2)].map(|(window, instances)| (Some(window), Some(instances))));
    for point in points {
        assert!(point["bound"].is_string() && point["reason"].is_string() && point["lost"] == 0, "{point}");
    }
    let recommended = &report["recommended"];
    assert!(recommended["instances"].is_u64() && recommended["window"].is_u64(), "{report}");
    assert!(recommended["events_per_s"].as_f64().unwrap() > 0.0 && recommended["bound"].is_string(), "{report}");
    assert!(recommended["config"].as_str().unwrap().contains("[mqtt]\nwindow = "), "{report}");
    assert_eq!(report["scaling"].as_array().unwrap().len(), 2);
    assert_fetches_nothing(&text(&html));
}

#[tokio::test]
async fn changes_of_the_group_lose_nothing_on_the_embedded_broker() {
    let directory = tempfile::tempdir().unwrap();
    let html = directory.path().join("rebalance.html");
    let args = ["bench", "rebalance", "--rate", "1K", "--settle", "300ms", "--away", "100ms", "--json"];
    let ended = run(&[&args[..], &["--html", html.to_str().unwrap()]].concat()).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let report = ended.report();
    let changes = report["changes"].as_array().unwrap();
    let steps: Vec<_> = changes.iter().map(|change| change["steps"].as_array().unwrap().len()).collect();
    assert_eq!(steps, [1, 1, 1, 1, 4, 3], "{report}");
    for change in changes {
        assert_eq!((&change["lost"], &change["published"]), (&0.into(), &change["handled"]), "{change}");
        let is_graceful = ["join", "leave", "scale", "rolling"].contains(&change["change"].as_str().unwrap());
        assert!(!is_graceful || change["duplicated"] == 0, "{change}");
        for step in change["steps"].as_array().unwrap() {
            assert!(step["events"].as_u64().unwrap() > 0, "{change}");
        }
    }
    assert_fetches_nothing(&text(&html));
}

#[tokio::test]
async fn a_result_compared_with_itself_is_indistinguishable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.json");
    let ended = run(&["bench", "run", "--count", "1K", "--json"]).await;
    good(&ended);
    std::fs::write(&path, ended.stdout.repeat(5)).unwrap();
    let path = path.to_str().unwrap();
    let ended = run(&["bench", "compare", path, path, "--json"]).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let report = ended.report();
    assert_eq!((&report["compared"], &report["same_settings"]), (&"runs".into(), &true.into()));
    for metric in report["metrics"].as_array().unwrap() {
        assert_eq!(metric["verdict"], "indistinguishable", "{metric}");
    }
}

#[tokio::test]
async fn a_slower_result_is_told_and_fails() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let ended = run(&["bench", "run", "--count", "1K", "--json"]).await;
    let result = good(&ended);
    let runs = |factor: f64| -> String {
        let with = |rate: f64| {
            let mut result = result.clone();
            result["events_per_s"] = (rate * factor).into();
            format!("{result}\n")
        };
        [100.0, 101.0, 102.0, 103.0, 104.0].map(with).concat()
    };
    std::fs::write(file("before"), runs(1.0)).unwrap();
    std::fs::write(file("after"), runs(0.5)).unwrap();
    let ended = run(&["bench", "compare", &file("before"), &file("after"), "--json"]).await;
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert_eq!(ended.report()["metrics"][0]["verdict"], "worse");
}

#[tokio::test]
async fn what_cannot_work_is_wrong_usage() {
    let cases: [(&[&str], &str); 14] = [
        (&["run", "--scenario", "sharedsub-1-1-1-1", "--instances", "3"], "--instances"),
        (&["run", "--count", "10", "--warm-up", "1s"], "--warm-up"),
        (&["run", "--rate", "5", "--ahead", "1"], "--ahead"),
        (&["rebalance", "--shape", "ramp"], "--shape"),
        (&["rebalance", "--scenario", "sharedsub-1-1-1-1"], "--scenario"),
        (&["rebalance", "--ahead", "5", "--change", "join"], "--ahead"),
        (&["run", "--shape", "ramp"], "--rate"),
        (&["run", "--publishers", "8", "--keys", "4"], "--keys"),
        (&["run", "--payload", "8"], "--payload"),
        (&["run", "--topic", "a/b"], "{key}"),
        (&["run", "--scenario", "sharedsub-1-1-1-2"], "same"),
        (&["run", "--broker", "telnet://me:secret@host"], "--broker"),
        (&["sweep", "--instances", "4..2"], "begins above"),
        (&["sweep", "--window", "70000"], "--window"),
    ];
    for (args, what) in cases {
        let ended = run(&[&["bench"], args].concat()).await;
        assert_eq!(ended.code, 64, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(what) && !ended.stderr.contains("secret"), "{args:?}: {}", ended.stderr);
    }
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_one_plain_message() {
    let ended = run(&["bench", "run", "--broker", "mqtt://127.0.0.1:1", "--count", "10"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("publishers:"), "{}", ended.stderr);
}

#[tokio::test]
async fn refused_publications_are_counted_apart_and_are_no_loss() {
    let access = Access::default().deny_publish("tidemill-bench/+/k000007".parse().unwrap());
    let broker = Broker::start(BrokerConfig { access, ..BrokerConfig::default() }).await.unwrap();
    let url = broker.url();
    let load = ["--keys", "10", "--publishers", "2", "--ahead", "50", "--broker", &url, "--json"];
    let ended = run(&[&["bench", "run", "--count", "2K"][..], &load].concat()).await;
    let report = ended.report();
    assert_eq!((ended.code, &report["ok"]), (1, &false.into()), "{}", ended.stderr);
    for (key, count) in [("published", 2000), ("handled", 1800), ("refused", 200), ("lost", 0)] {
        assert_eq!(report[key], count, "{key} in {report}");
    }
    assert!(ended.stderr.contains("FAILED 200 refused by the broker"), "{}", ended.stderr);
    broker.shutdown().await;
}

#[tokio::test]
async fn a_measurement_that_was_none_is_not_called_a_loss() {
    let mut sweep = start(&["bench", "sweep", "--duration", "1h", "--json"]);
    sweep.says("measuring 8 combinations").await;
    sweep.terminate().await;
    let ended = sweep.end().await;
    assert_eq!((ended.code, &ended.report()["stopped"]), (1, &true.into()), "{}", ended.stderr);
    assert!(ended.stderr.contains("stopped after 0 of 8 combinations"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("events were lost"), "{}", ended.stderr);

    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let ended = run(&["bench", "rebalance", "--change", "broker-restart", "--broker", &broker.url()]).await;
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("FAILED nothing was measured"), "{}", ended.stderr);
    broker.shutdown().await;
}
