//! Names of topics by themselves; the sink against the mock cluster of the client library: real sockets and the real
//! protocol, kept in memory.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod conformance;
mod reports;

use super::message::is_topic;

#[test]
fn a_topic_is_what_kafka_takes() {
    for good in ["a", "plant.7.temperature", "a_b-C.0", &"x".repeat(249)] {
        assert!(is_topic(good), "{good}");
    }
    for bad in ["", ".", "..", "a/b", "a b", "ä", "a:b", &"x".repeat(250)] {
        assert!(!is_topic(bad), "{bad}");
    }
}
