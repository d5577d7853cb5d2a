//! Subjects by themselves; the sink against a real NATS server behind a proxy that cuts connections.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod real_server;

use tidemill_core::Record;

use super::message::{is_subject, is_within, of};
use super::{NatsConfig, NatsMode};
use crate::Template;

#[test]
fn a_subject_is_words_without_wildcards() {
    for good in ["a", "a.b", "plant.7.temperature", "a-b._c"] {
        assert!(is_subject(good), "{good}");
    }
    for bad in ["", ".", "a.", ".a", "a..b", "a.*", "a.>", "a b", "a\n"] {
        assert!(!is_subject(bad), "{bad}");
    }
}

#[test]
fn a_filter_takes_what_the_server_would() {
    for (subject, filter, takes) in [
        ("a.b", "a.b", true),
        ("a.b", "a.*", true),
        ("a.b", "a.>", true),
        ("a.b", ">", true),
        ("a", "a.>", false),
        ("a.b.c", "a.*", false),
        ("a.b", "a.b.c", false),
        ("b.a", "a.*", false),
    ] {
        assert_eq!(is_within(subject, filter), takes, "{subject} {filter}");
    }
}

#[test]
fn headers_that_the_server_acts_on_come_from_settings_alone() {
    let config = NatsConfig::new("nats://h", Template::new("a.{key}").unwrap(), NatsMode::stream("S"));
    let refused = |record: Record| of(&config, None, &record).err().unwrap_or_default();
    assert!(refused(Record::new("").with_key("k").with_header("NATS-Rollup", "all")).contains("acts on"));
    assert!(refused(Record::new("").with_key("k").with_header("a", "b\r\nc: d")).contains("does not allow"));
    assert!(refused(Record::new("").with_key("k").with_header("a b", "c")).contains("does not allow"));
    assert!(refused(Record::new("").with_key("k.l")).contains("no word between dots"));
    let message = of(&config, None, &Record::new("").with_key("k").with_idempotency_key("i")).ok().unwrap();
    assert_eq!(message.subject.as_str(), "a.k");
    assert_eq!(message.headers.get("Nats-Msg-Id").unwrap().as_str(), "i");
    assert_eq!(message.headers.get("tidemill-key").unwrap().as_str(), "k");
}
