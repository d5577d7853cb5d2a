//! What happens to events whose queue is full.

use tidemill_testkit::broker::{BrokerConfig, QueueFull, QueueLimits};
use tidemill_testkit::client::ConnectOptions;
use tidemill_testkit::wire::v5;

use crate::support::*;

fn config(queue_full: QueueFull) -> BrokerConfig {
    let limits = QueueLimits { events: 10, bytes: 1 << 20 };
    BrokerConfig { group_queue: limits, session_queue: limits, queue_full, ..BrokerConfig::in_memory() }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_its_publisher_back_and_nobody_else() {
    for filter in ["$share/g/a", "a"] {
        let broker = broker_with(config(QueueFull::BlockPublisher)).await;
        let mut member = client(&broker, ConnectOptions::new("m").receive_maximum(1)).await;
        member.subscribe(filter, Q1).await;
        let mut publisher = clean(&broker, "publisher").await;
        for pkid in 1..=11 {
            publisher.publish("a", Q1, "x").await;
            publisher.expect_puback(pkid).await;
        }
        // One is with the member, ten wait: the next one is not even read.
        publisher.publish("a", Q1, "x").await;
        publisher.expect_no_packet().await;
        let mut other = clean(&broker, "other").await;
        other.publish_acked("b", "x").await;

        for pkid in 1..=3 {
            assert_eq!(member.expect_publish().await.pkid, pkid);
            member.puback(pkid).await;
        }
        publisher.expect_puback(12).await;
        let stats = broker.stats();
        assert_eq!((stats.published, stats.dropped), (13, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_waits_for_a_queue_that_ends_goes_on() {
    let broker = broker_with(config(QueueFull::BlockPublisher)).await;
    let mut member = client(&broker, ConnectOptions::new("m").receive_maximum(1)).await;
    member.subscribe("$share/g/a", Q1).await;
    let mut publisher = clean(&broker, "publisher").await;
    for pkid in 1..=11 {
        publisher.publish("a", Q1, "x").await;
        publisher.expect_puback(pkid).await;
    }
    publisher.publish("a", Q1, "x").await;
    publisher.expect_no_packet().await;
    member.cut();
    assert_eq!(publisher.expect_puback(12).await, v5::PubAckReason::NoMatchingSubscribers);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_also_subscribes_is_never_held_back_but_may_lose_at_twice_the_limit() {
    let broker = broker_with(config(QueueFull::BlockPublisher)).await;
    let mut both = client(&broker, ConnectOptions::new("both").receive_maximum(1)).await;
    both.subscribe("$share/g/a", Q1).await;
    for pkid in 2..=31 {
        assert_eq!(both.publish("a", Q1, "x").await, pkid);
        both.expect_puback(pkid).await;
    }
    assert_eq!((broker.stats().queued, broker.stats().dropped), (20, 9));
}

#[tokio::test(start_paused = true)]
async fn the_oldest_or_the_newest_event_can_be_dropped_instead() {
    for (policy, kept) in [(QueueFull::DropOldest, 6..=15), (QueueFull::DropNewest, 1..=10)] {
        for filter in ["$share/g/a", "a"] {
            let broker = broker_with(config(policy)).await;
            let mut member = client(&broker, ConnectOptions::new("m").receive_maximum(1)).await;
            member.subscribe(filter, Q1).await;
            let mut publisher = clean(&broker, "publisher").await;
            for payload in 0..16 {
                publisher.publish_acked("a", payload.to_string()).await;
            }
            assert_eq!(broker.stats().dropped, 5);
            let mut got = Vec::new();
            for pkid in 1..=11 {
                got.push(text(&member.expect_publish().await).parse::<u8>().unwrap());
                member.puback(pkid).await;
            }
            assert_eq!(got[1..], kept.clone().collect::<Vec<_>>());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn events_of_one_burst_that_fit_the_window_do_not_count_for_the_queue() {
    let broker = broker_with(config(QueueFull::DropNewest)).await;
    let mut member = subscriber(&broker, "m", "$share/g/a").await;
    let mut publisher = clean(&broker, "publisher").await;
    let burst: Vec<u8> = (1..=100).flat_map(|pkid| [0x32, 7, 0, 1, b'a', 0, pkid, 0, b'x']).collect();
    publisher.send_raw(&burst).await;
    member.expect_publishes(100).await;
    assert_eq!(broker.stats().dropped, 0);
}
