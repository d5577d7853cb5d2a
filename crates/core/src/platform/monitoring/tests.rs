//! Monitoring messages as they occur in the wild, closing codes, and any other bytes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::HashSet;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::platform::ClientId;

fn parse(value: &Value) -> MonitorMessage {
    MonitorMessage::parse(value.to_string().as_bytes()).unwrap()
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

#[test]
fn connect_of_an_application_is_read() {
    let message = parse(&json!({
        "Action": "Connect", "Time": "2017-01-20T14:27:13.113Z", "ClientAddr": "198.51.100.7",
        "ClientID": "a:abc123:myserver", "Port": 8883, "Secure": true, "Protocol": "mqtt4",
        "User": "a-abc123-jkdhgkjha", "Durable": false,
    }));
    assert_eq!(message.action, Action::Connect);
    assert_eq!(message.time, Some(at(1_484_922_433_113)));
    assert_eq!(message.client(), Some(ClientId::new("a:abc123:myserver").unwrap()));
    assert_eq!((message.port, message.secure, message.durable), (Some(8883), Some(true), Some(false)));
    assert_eq!(message.close_code(), CloseCode::Normal);
    assert!(message.unknown.is_empty());
}

#[test]
fn disconnect_with_counters_and_code_is_read() {
    let message = parse(&json!({
        "Action": "Disconnect", "Time": "2017-01-20T14:27:13.113Z", "ClientID": "d:abc123:t:i", "Protocol": "mqtt4-ws",
        "ConnectTime": "2017-01-20T14:27:00.096Z", "CloseCode": 160, "Reason": "The connection timed out",
        "ReadBytes": 1_331_289, "ReadMsg": 1, "WriteBytes": 155_084, "WriteMsg": 2,
    }));
    assert_eq!(message.connect_time, Some(at(1_484_922_420_096)));
    assert_eq!(message.close_code(), CloseCode::TimedOut);
    let counters = (message.read_bytes, message.read_msg, message.write_bytes, message.write_msg);
    assert_eq!(counters, (Some(1_331_289), Some(1), Some(155_084), Some(2)));
    assert!(message.protocol.unwrap().is_web_socket());
}

#[test]
fn every_field_is_read_into_its_own_place() {
    let message = parse(&json!({
        "Action": "Disconnect", "Time": "2017-01-20T14:27:13.113Z", "ClientAddr": "198.51.100.7",
        "ClientID": "d:abc123:t:i", "Port": 8883, "Secure": true, "Protocol": "mqtt4", "User": "a-abc123-x",
        "CertName": "device.example", "ConnectTime": "2017-01-20T14:27:00.096Z", "CloseCode": 91, "Reason": "why",
        "ReadBytes": 1, "ReadMsg": 2, "WriteBytes": 3, "WriteMsg": 4, "Durable": true, "NewSession": false,
    }));
    let mut expected = MonitorMessage::new(Action::Disconnect);
    expected.time = Some(at(1_484_922_433_113));
    expected.connect_time = Some(at(1_484_922_420_096));
    expected.client_addr = Some("198.51.100.7".to_owned());
    expected.client_id = Some("d:abc123:t:i".to_owned());
    (expected.port, expected.secure) = (Some(8883), Some(true));
    expected.protocol = Some(Protocol::new("mqtt4"));
    expected.user = Some("a-abc123-x".to_owned());
    expected.cert_name = Some("device.example".to_owned());
    expected.close_code = Some(CloseCode::ClosedByClient);
    expected.reason = Some("why".to_owned());
    (expected.read_bytes, expected.read_msg) = (Some(1), Some(2));
    (expected.write_bytes, expected.write_msg) = (Some(3), Some(4));
    (expected.durable, expected.new_session) = (Some(true), Some(false));
    assert_eq!(message, expected);
}

#[test]
fn failed_connect_may_come_without_a_client_id() {
    let message =
        parse(&json!({"Action": "FailedConnect", "CloseCode": 180, "Reason": "The operation is not authorized"}));
    assert_eq!((message.action, message.client_id), (Action::FailedConnect, None));
}

#[test]
fn both_spellings_of_the_certificate_name_are_read() {
    for name in ["Certname", "CertName"] {
        let message = parse(&json!({"Action": "Connect", name: "device.example"}));
        assert_eq!(message.cert_name.as_deref(), Some("device.example"));
        assert!(message.unknown.is_empty());
    }
}

#[test]
fn both_forms_of_time_are_read() {
    let time = |text: &str| parse(&json!({"Action": "Connect", "Time": text})).time;
    // The shape of 2014.
    assert_eq!(time("2014-07-07T06:37:56.494-04:00"), Some(at(1_404_729_476_494)));
    assert_eq!(time("2014-07-07T10:37:56.494Z"), Some(at(1_404_729_476_494)));
    assert_eq!(time("2014-07-07T10:37:56Z"), Some(at(1_404_729_476_000)));
    assert_eq!(time("yesterday"), None);
}

#[test]
fn protocols_are_read_in_every_spelling() {
    let read = |word| (Protocol::new(word).mqtt_version(), Protocol::new(word).is_web_socket());
    assert_eq!(read("mqtt3"), (Some(3), false));
    assert_eq!(read("mqtt4-ws"), (Some(4), true));
    assert_eq!(read("mqtt5-ws"), (Some(5), true));
    assert_eq!(read("mqttv5-ws"), (Some(5), true));
    assert_eq!(read("mqtt-tcp"), (None, false));
    assert_eq!(read("http"), (None, false));
}

#[test]
fn undocumented_actions_and_fields_are_kept() {
    let word = |text: &str| parse(&json!({"Action": text})).action;
    assert_eq!([word("Active"), word("Info"), word("Unknown")], [Action::Active, Action::Info, Action::Unknown]);
    assert_eq!(word("Moved"), Action::Other("Moved".into()));
    let message =
        parse(&json!({"Action": "Connect", "NewSession": true, "Zone": [1], "Port": "8883", "CloseCode": -1}));
    assert_eq!((message.new_session, message.port, message.close_code), (Some(true), None, None));
    assert_eq!(Value::from(message.unknown), json!({"Zone": [1], "Port": "8883", "CloseCode": -1}));
}

#[test]
fn what_is_no_monitoring_message_is_refused_with_the_reason() {
    assert!(matches!(MonitorMessage::parse(b""), Err(MonitorError::Json(_))));
    assert!(matches!(MonitorMessage::parse(b"[]"), Err(MonitorError::NotAnObject)));
    assert!(matches!(MonitorMessage::parse(b"{}"), Err(MonitorError::NoAction)));
    assert!(matches!(MonitorMessage::parse(br#"{"Action":1}"#), Err(MonitorError::NoAction)));
}

/// The page's two tables: number, words of its meaning, whether to try again.
const OF_THE_PAGE: [(u32, &str, Retry); 24] = {
    use Retry::{AfterFix, Later, NotNeeded, Now};
    [
        (0, "ended normally", NotNeeded),
        (91, "closed by the client", Now),
        (92, "closed by the server", Now),
        (93, "shutting down", Later),
        (94, "closed by an administrator", Later),
        (160, "timed out", Now),
        (180, "not authorized", AfterFix),
        (287, "too large for this endpoint", AfterFix),
        (288, "client ID was reused", AfterFix),
        (104, "reached its capacity", Later),
        (105, "data from the client is not valid", AfterFix),
        (154, "too many producers or consumers", AfterFix),
        (163, "during the TLS handshake", AfterFix),
        (164, "no data was received", AfterFix),
        (165, "first packet is too large", AfterFix),
        (166, "client ID is not valid", AfterFix),
        (167, "server is not available", Now),
        (169, "certificate is required and missing", AfterFix),
        (170, "certificate is not valid", AfterFix),
        (173, "too many connections", Later),
        (175, "Authorization header changed", AfterFix),
        (176, "authorization is delayed", Later),
        (271, "length of the message is not correct", AfterFix),
        (276, "topic is not valid", AfterFix),
    ]
};

#[test]
fn every_closing_code_of_the_page_has_its_meaning_and_advice() {
    for (number, words, retry) in OF_THE_PAGE {
        let code = CloseCode::from_number(number);
        assert_eq!((code.number(), code.retry()), (number, retry), "{number}");
        assert!(code.text().contains(words), "{number}: {:?} does not say {words:?}", code.text());
        assert_ne!(code.advice(), CloseCode::Other(number).advice(), "{number}");
    }
}

#[test]
fn codes_that_only_the_source_has_are_known_too() {
    for number in [90, 95, 96, 119, 120, 121, 153, 159, 168, 178, 181, 188, 193, 270, 275, 289, 291, 292, 293, 299] {
        assert!(!matches!(CloseCode::from_number(number), CloseCode::Other(_)), "{number}");
    }
    assert_eq!(CloseCode::from_number(4711), CloseCode::Other(4711));
}

#[test]
fn closing_codes_are_listed_once_and_in_order() {
    let numbers: Vec<u32> = CloseCode::ALL.iter().map(|code| code.number()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b));
    let texts: HashSet<_> = CloseCode::ALL.iter().map(|code| code.text()).collect();
    assert!(texts.len() >= CloseCode::ALL.len() - 1, "only 0 and 90 mean the same");
    assert!(CloseCode::Normal.is_normal() && CloseCode::NormalEnd.is_normal() && !CloseCode::TimedOut.is_normal());
}

#[test]
fn connack_codes_have_their_closing_codes() {
    let codes: Vec<u32> = (0..=6).map(|code| CloseCode::from_connack(code).number()).collect();
    assert_eq!(codes, [0, 293, 166, 167, 180, 180, 6]);
}

fn any_message() -> impl Strategy<Value = MonitorMessage> {
    let action = prop_oneof![
        Just(Action::Connect),
        Just(Action::Disconnect),
        Just(Action::FailedConnect),
        Just(Action::Active),
        "[A-Z][a-z]{9}".prop_map(|word| Action::Other(word.into())),
    ];
    let text = || prop::option::of("\\PC{0,12}");
    let number = || prop::option::of(any::<u64>());
    let time = || prop::option::of((0_u64..4_000_000_000_000).prop_map(at));
    let flag = || prop::option::of(any::<bool>());
    (
        (action, time(), time(), prop::option::of(any::<u16>()), prop::option::of(any::<u32>())),
        (text(), text(), text(), text(), text()),
        (number(), number(), number(), number(), text()),
        (flag(), flag(), flag()),
    )
        .prop_map(|(head, texts, numbers, flags)| {
            let mut message = MonitorMessage::new(head.0);
            (message.time, message.connect_time, message.port) = (head.1, head.2, head.3);
            message.close_code = head.4.map(CloseCode::from_number);
            (message.client_addr, message.client_id, message.user, message.cert_name, message.reason) = texts;
            (message.read_bytes, message.read_msg, message.write_bytes, message.write_msg, _) = numbers.clone();
            message.protocol = numbers.4.map(|word| Protocol::new(&word));
            (message.secure, message.durable, message.new_session) = flags;
            message.unknown.insert("Zone".to_owned(), json!([1, "a"]));
            message
        })
}

proptest! {
    #[test]
    fn messages_round_trip(message in any_message()) {
        prop_assert_eq!(MonitorMessage::parse(&message.to_json()).unwrap(), message);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = MonitorMessage::parse(&bytes);
    }

    #[test]
    fn any_object_with_an_action_is_read_and_nothing_is_lost(
        fields in prop::collection::hash_map(
            prop::sample::select(vec![
                "Time", "ClientAddr", "ClientID", "Port", "Secure", "Protocol", "User", "Certname", "ConnectTime",
                "CloseCode", "Reason", "ReadBytes", "Durable", "NewSession", "Else",
            ]),
            prop::sample::select(vec![
                json!(null), json!(1), json!(-1), json!(1e300), json!("x"), json!(true), json!([]), json!({}),
                json!(70_000), json!("2017-01-20T14:27:13.113Z"), json!("-999999-01-01T00:00:00Z"),
            ]),
            0..8,
        ),
    ) {
        let mut object = serde_json::Map::new();
        object.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        object.insert("Action".to_owned(), "Connect".into());
        let message = MonitorMessage::parse(Value::from(object.clone()).to_string().as_bytes()).unwrap();
        let written: Value = serde_json::from_slice(&message.to_json()).unwrap();
        // The platform's own spelling is written.
        if let Some(name) = object.remove("Certname") {
            object.insert(if name.is_string() { "CertName" } else { "Certname" }.to_owned(), name);
        }
        prop_assert_eq!(written, Value::from(object));
    }

    #[test]
    fn every_number_is_kept(number in any::<u32>()) {
        let code = CloseCode::from_number(number);
        prop_assert_eq!(code.number(), number);
        prop_assert!(!code.text().is_empty() && !code.advice().is_empty());
    }
}
