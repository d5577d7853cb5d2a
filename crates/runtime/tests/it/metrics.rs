//! The contract of the metrics: names, types and labels that dashboards and autoscalers rely on.

use std::collections::BTreeSet;

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use crate::support::*;

const COUNTER: MetricType = MetricType::COUNTER;
const GAUGE: MetricType = MetricType::GAUGE;
const HISTOGRAM: MetricType = MetricType::HISTOGRAM;

/// Name, type, labels. Removing or changing a line breaks somebody's dashboard.
const CONTRACT: [(&str, MetricType, &[&str]); 28] = [
    ("tidemill_attempts_failed_total", COUNTER, &["route"]),
    ("tidemill_build_info", GAUGE, &["version"]),
    ("tidemill_busy_ratio", GAUGE, &[]),
    ("tidemill_duplicates_total", COUNTER, &["route"]),
    ("tidemill_event_age_seconds", HISTOGRAM, &["route"]),
    ("tidemill_events_finished_total", COUNTER, &["outcome", "route"]),
    ("tidemill_events_received_total", COUNTER, &["route"]),
    ("tidemill_events_unfinished", GAUGE, &[]),
    ("tidemill_handler_duration_seconds", HISTOGRAM, &["route"]),
    ("tidemill_instances", GAUGE, &["phase"]),
    ("tidemill_instances_wanted", GAUGE, &[]),
    ("tidemill_oldest_unfinished_seconds", GAUGE, &[]),
    ("tidemill_publish_to_handle_seconds", HISTOGRAM, &["route"]),
    ("tidemill_retries_total", COUNTER, &["route"]),
    ("tidemill_scaling_decisions_total", COUNTER, &["by", "direction"]),
    ("tidemill_sink_batch_records", HISTOGRAM, &["sink"]),
    ("tidemill_sink_batches_total", COUNTER, &["result", "sink"]),
    ("tidemill_sink_breaker_open", GAUGE, &["sink"]),
    ("tidemill_sink_bytes_total", COUNTER, &["sink"]),
    ("tidemill_sink_oldest_record_seconds", GAUGE, &["sink"]),
    ("tidemill_sink_queue_bytes", GAUGE, &["sink"]),
    ("tidemill_sink_queue_records", GAUGE, &["sink"]),
    ("tidemill_sink_records_total", COUNTER, &["result", "sink"]),
    ("tidemill_sink_retries_total", COUNTER, &["sink"]),
    ("tidemill_sink_splits_total", COUNTER, &["sink"]),
    ("tidemill_sink_write_duration_seconds", HISTOGRAM, &["sink"]),
    ("tidemill_stalls_total", COUNTER, &["route"]),
    ("tidemill_window_saturation_ratio", GAUGE, &[]),
];

const OUTCOMES: [&str; 4] = ["abandoned", "dead_lettered", "dropped", "handled"];
const PHASES: [&str; 5] = ["connecting", "ended", "leaving", "ready", "subscribing"];
const RESULTS: [&str; 3] = ["failed", "rejected", "written"];

#[tokio::test(start_paused = true)]
async fn names_types_and_labels_are_as_promised() {
    let mut rig = Rig::start(config(), |worker| worker.sink("out", Recording::new()).add_route(route(Fine)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    broker.expect_pubacks([1]).await;
    settle().await;
    let families = rig.registry.gather();
    let found: Vec<_> = families
        .iter()
        .map(|family| {
            let labels: BTreeSet<_> =
                family.get_metric().iter().flat_map(Metric::get_label).map(LabelPair::name).collect();
            (family.name(), family.get_field_type(), labels.into_iter().collect::<Vec<_>>())
        })
        .collect();
    let promised: Vec<_> = CONTRACT.iter().map(|(name, kind, labels)| (*name, *kind, labels.to_vec())).collect();
    assert_eq!(found, promised);
    assert!(families.iter().all(|family| family.help().ends_with('.')), "every metric says what it is");
    for (label, known) in [
        ("outcome", &OUTCOMES[..]),
        ("phase", &PHASES),
        ("result", &RESULTS),
        ("route", &["t", "unrouted"]),
        ("sink", &["dead_letters", "out", "publish"]),
    ] {
        let values: BTreeSet<_> = families
            .iter()
            .flat_map(MetricFamily::get_metric)
            .flat_map(Metric::get_label)
            .filter(|other| other.name() == label)
            .map(LabelPair::value)
            .collect();
        assert_eq!(values.into_iter().collect::<Vec<_>>(), known, "of {label}");
    }
    rig.leave(broker).await;
}

#[test]
fn the_metrics_of_sinks_are_documented() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sinks.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (name, ..) in CONTRACT.iter().filter(|(name, ..)| name.starts_with("tidemill_sink_")) {
        assert!(page.contains(&format!("`{name}`")), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_there_before_the_first_event() {
    let worker = tidemill_runtime::Worker::builder(config());
    let registry = prometheus::Registry::new();
    let worker = worker.sink("out", Recording::new()).add_route(route(Fine)).registry(registry.clone()).build();
    let _worker = worker.unwrap();
    let names: Vec<String> = registry.gather().iter().map(|family| family.name().to_owned()).collect();
    for name in ["tidemill_events_finished_total", "tidemill_window_saturation_ratio", "tidemill_instances"] {
        assert!(names.iter().any(|other| other == name), "{name} is missing in {names:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_scaling_signals_follow_the_load() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.instances = 2.into();
    config.mqtt.window = 10;
    let mut rig = Rig::with_handler(config, handler);
    let mut first = rig.subscribed().await;
    let _second = rig.subscribed().await;
    rig.handle.ready().await;
    let signals =
        |rig: &Rig| (rig.metric("tidemill_window_saturation_ratio", &[]), rig.metric("tidemill_busy_ratio", &[]));
    let near = |found: (f64, f64), expected: (f64, f64)| {
        assert!((found.0 - expected.0).abs() < 1e-9 && (found.1 - expected.1).abs() < 1e-9, "{found:?} {expected:?}");
    };
    near(signals(&rig), (0.0, 0.0));
    for pkid in 1..=10 {
        first.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    let mut held = calls.take(10).await;
    settle().await;
    near(signals(&rig), (0.5, 0.5));
    held.drain(..5).for_each(Call::ok);
    first.expect_pubacks(1..=5).await;
    settle().await;
    near(signals(&rig), (0.25, 0.5));
    held.into_iter().for_each(Call::ok);
    first.expect_pubacks(6..=10).await;
    settle().await;
    near(signals(&rig), (0.0, 0.0));
    assert!((rig.metric("tidemill_instances", &[("phase", "ready")]) - 2.0).abs() < 1e-9);
    first.cut();
    settle().await;
    assert!((rig.metric("tidemill_instances", &[("phase", "connecting")]) - 1.0).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn ages_and_durations_are_observed_once_per_event() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=20 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
    }
    calls.take(20).await.into_iter().for_each(Call::ok);
    broker.expect_pubacks(1..=20).await;
    settle().await;
    assert!((rig.metric("tidemill_event_age_seconds", &[("route", "t")]) - 20.0).abs() < 0.5);
    assert!((rig.metric("tidemill_handler_duration_seconds", &[("route", "t")]) - 20.0).abs() < 0.5);
    rig.leave(broker).await;
}
