//! A process that is told to end, once, twice and three times (G7, G10).

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use tidemill_testkit::broker::{Broker, BrokerConfig};

use super::process::Process;
use super::support::*;

const FOREVER: Duration = Duration::from_secs(3600);

/// A broker, and a worker that has one event in hand.
async fn busy(takes: Duration, settings: &[(&str, &str)]) -> (Broker, Process) {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let worker = Process::joined(&broker.url(), takes, settings).await;
    let publisher = publisher(&config(broker.url()));
    publish(&publisher, events(1..2)).await;
    publisher.close().await;
    until(|| worker.has_said("begun 1")).await;
    (broker, worker)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_signal_finishes_what_is_in_hand() {
    for signal in ["TERM", "INT"] {
        let (broker, mut worker) = busy(Duration::from_millis(300), &[]).await;
        worker.signal(signal).await;
        let (status, told) = worker.ended().await;
        assert!(status.success() && told.contains("handled: 1"), "{told}");
        assert_eq!(broker.stats().acked, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deadlines_bound_the_end_and_what_was_cut_is_told() {
    let deadlines = [("TIDEMILL_DRAIN__DEADLINE", "1s"), ("TIDEMILL_DRAIN__FORCE", "1s")];
    let (broker, mut worker) = busy(FOREVER, &deadlines).await;
    let began = tokio::time::Instant::now();
    worker.signal("TERM").await;
    let (_, told) = worker.ended().await;
    assert!(told.starts_with("ended with DrainDeadline") && told.contains("1 event(s) unfinished (t/#: 1)"), "{told}");
    // Two deadlines, and some time for the system.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    assert_eq!(broker.stats().acked, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_cuts_and_the_third_is_the_systems() {
    let (broker, mut worker) = busy(FOREVER, &[("TIDEMILL_DRAIN__DEADLINE", "10m")]).await;
    worker.signal("TERM").await;
    until(|| broker.stats().groups == 0).await;
    worker.signal("INT").await;
    let (status, told) = worker.ended().await;
    assert!(status.success() && told.starts_with("ended with Forced"), "{told}");
    assert_eq!(broker.stats().acked, 0);

    let clinging = [("TIDEMILL_DRAIN__DEADLINE", "10m"), ("TIDEMILL_DRAIN__FORCE", "10m"), ("WORKER_CLINGS", "1")];
    let (broker, mut worker) = busy(FOREVER, &clinging).await;
    worker.signal("TERM").await;
    until(|| broker.stats().groups == 0).await;
    worker.signal("TERM").await;
    until(|| worker.has_said("clings")).await;
    worker.signal("TERM").await;
    let (status, _) = worker.ended().await;
    assert_eq!(status.signal(), Some(15), "{status}");
}
