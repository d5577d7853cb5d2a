//! Who shares what with whom.

use tidemill_core::QoS;
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::platform::Platform;

use crate::support::{EVENT, EVENTS, connect_with, join, options, platform, subscriber};

const EVENTS_OF_T: &str = "iot-2/type/T/id/+/evt/+/fmt/+";

/// How many events each of them gets of so many.
async fn shares(platform: &Platform, members: &mut [RawClient], events: usize) -> Vec<usize> {
    let mut device = join(platform, "d:abc123:T:I").await;
    for number in 0..events {
        device.publish_acked("iot-2/evt/E/fmt/json", number.to_string()).await;
    }
    let mut counts = Vec::new();
    for member in members {
        let mut count = 0;
        loop {
            let came = member.ping().await;
            if came.is_empty() {
                break;
            }
            for event in &came {
                assert_eq!(event.topic, EVENT);
                member.puback(event.pkid).await;
            }
            count += came.len();
        }
        counts.push(count);
    }
    counts
}

/// Three members join one after another, then two unsubscribe and stay connected: the example of the applications page.
async fn play(platform: &Platform, ids: [&str; 3]) {
    let mut members = vec![subscriber(platform, ids[0], EVENTS).await];
    assert_eq!(shares(platform, &mut members, 60).await, [60]);
    members.push(subscriber(platform, ids[1], EVENTS).await);
    assert_eq!(shares(platform, &mut members, 60).await, [30, 30]);
    members.push(subscriber(platform, ids[2], EVENTS).await);
    assert_eq!(shares(platform, &mut members, 60).await, [20, 20, 20]);
    for member in &mut members[1..] {
        member.unsubscribe(EVENTS).await;
    }
    assert_eq!(shares(platform, &mut members, 60).await, [60, 0, 0]);
    assert!(platform.ends().iter().all(|end| end.client_id.starts_with("d:")));
}

#[tokio::test(start_paused = true)]
async fn members_without_instance_share_as_the_example_says() {
    play(&platform().await, ["A:abc123:app"; 3]).await;
}

#[tokio::test(start_paused = true)]
async fn members_with_instances_share_as_the_example_says() {
    play(&platform().await, ["A:abc123:app:one", "A:abc123:app:two", "A:abc123:app:three"]).await;
}

#[tokio::test(start_paused = true)]
async fn members_with_and_without_instance_are_two_groups() {
    let platform = platform().await;
    let mut members =
        [subscriber(&platform, "A:abc123:app", EVENTS).await, subscriber(&platform, "A:abc123:app:one", EVENTS).await];
    assert_eq!(shares(&platform, &mut members, 10).await, [10, 10]);
}

#[tokio::test(start_paused = true)]
async fn each_filter_is_a_share_of_its_own() {
    let platform = platform().await;
    for [first, second] in [["A:abc123:app", "A:abc123:app"], ["A:abc123:app:one", "A:abc123:app:two"]] {
        let mut members =
            [subscriber(&platform, first, EVENTS).await, subscriber(&platform, second, EVENTS_OF_T).await];
        assert_eq!(shares(&platform, &mut members, 10).await, [10, 10]);
    }
}

#[tokio::test(start_paused = true)]
async fn applications_without_capital_letter_do_not_share() {
    let platform = platform().await;
    let mut both =
        [subscriber(&platform, "a:abc123:one", EVENTS).await, subscriber(&platform, "a:abc123:two", EVENTS).await];
    assert_eq!(shares(&platform, &mut both, 10).await, [10, 10]);
}

#[tokio::test(start_paused = true)]
async fn what_comes_while_all_durable_instances_are_away_is_kept_and_without_instance_is_not() {
    let platform = platform().await;
    let (mut durable, _) = connect_with(&platform, options("A:abc123:kept:one").resume(60)).await;
    durable.subscribe(EVENTS, QoS::AtLeastOnce).await;
    let mut member = subscriber(&platform, "A:abc123:gone", EVENTS).await;
    durable.disconnect().await;
    member.disconnect().await;
    platform.ended("A:abc123:kept:one").await;
    platform.ended("A:abc123:gone").await;
    assert_eq!(shares(&platform, &mut [], 3).await, [0; 0]);
    let (durable, _) = connect_with(&platform, options("A:abc123:kept:one").resume(60)).await;
    let member = subscriber(&platform, "A:abc123:gone", EVENTS).await;
    let mut back = [durable, member];
    assert_eq!(shares(&platform, &mut back, 0).await, [3, 0]);
}

/// One member is handed an event, does not acknowledge it and is cut; answers the other member.
async fn left_behind(platform: &Platform, first: ConnectOptions, second: &str) -> RawClient {
    let id = first.connect.client_id.clone();
    let (mut holder, _) = connect_with(platform, first).await;
    holder.subscribe(EVENTS, QoS::AtLeastOnce).await;
    let mut device = join(platform, "d:abc123:T:I").await;
    device.publish_acked("iot-2/evt/E/fmt/json", "held").await;
    assert!(!holder.expect_publish().await.dup);
    let other = subscriber(platform, second, EVENTS).await;
    holder.cut();
    platform.ended(&id).await;
    other
}

#[tokio::test(start_paused = true)]
async fn what_a_durable_instance_did_not_acknowledge_waits_for_it_and_for_nobody_else() {
    let platform = platform().await;
    let kept = || options("A:abc123:app:one").resume(60);
    let mut other = left_behind(&platform, kept(), "A:abc123:app:two").await;
    let (mut back, _) = connect_with(&platform, kept()).await;
    let held = back.expect_publish().await;
    assert_eq!((held.dup, &held.payload[..]), (true, &b"held"[..]));
    assert!(other.ping().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_a_member_with_a_clean_session_did_not_acknowledge_goes_to_others() {
    let platform = platform().await;
    for [first, second] in [["A:abc123:app:one", "A:abc123:app:two"], ["A:abc123:app", "A:abc123:app"]] {
        let mut other = left_behind(&platform, options(first), second).await;
        assert_eq!(&other.expect_publish().await.payload[..], b"held");
    }
}
