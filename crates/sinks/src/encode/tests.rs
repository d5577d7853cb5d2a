//! Lines are read back with a plain JSON parser, as a reader of the file would.
#![allow(clippy::unwrap_used, clippy::panic)]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tidemill_core::Record;
use tidemill_core::topic::TopicName;

use super::{Encoder, LineFormat, json};

/// A record's line as a reader sees it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    topic: Option<String>,
    key: Option<String>,
    key_encoding: Option<String>,
    idempotency_key: Option<String>,
    content_type: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    payload_encoding: Option<String>,
    payload: Box<RawValue>,
}

fn parse(line: &str) -> Record {
    // The whole line has to be acceptable to a parser that builds values.
    serde_json::from_str::<Value>(line).unwrap();
    let line: Line = serde_json::from_str(line).unwrap();
    let string = |json: &RawValue| serde_json::from_str::<String>(json.get()).unwrap();
    let bytes = |text: String, encoding: Option<&str>| match encoding {
        None | Some("text") => Bytes::from(text),
        Some("base64") => Bytes::from(STANDARD.decode(text).unwrap()),
        Some(other) => panic!("unknown encoding {other}"),
    };
    let says_json = line.content_type.as_deref().is_some_and(json::is_content_type);
    let payload = match line.payload_encoding.as_deref() {
        None if says_json => Bytes::from(line.payload.get().to_owned()),
        encoding => bytes(string(&line.payload), encoding),
    };
    let mut record = Record::new(payload);
    record.key = line.key.map(|key| bytes(key, line.key_encoding.as_deref()));
    record.topic = line.topic.map(|topic| TopicName::new(&topic).unwrap());
    record.idempotency_key = line.idempotency_key;
    record.content_type = line.content_type;
    record.headers = line.headers;
    record
}

fn encode(format: LineFormat, batch: &[Record]) -> (String, Vec<usize>) {
    let encoded = Encoder::new(format).encode(batch);
    let refused = encoded.rejections.iter().map(|rejection| rejection.index).collect();
    (String::from_utf8_lossy(&encoded.lines).into_owned(), refused)
}

fn ndjson(record: Record) -> String {
    let (lines, refused) = encode(LineFormat::Ndjson, &[record]);
    assert!(refused.is_empty());
    lines
}

/// JSON as a device may write it: nested, spread over lines, with any white space around.
fn json_text() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1e300..1e300f64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((any::<String>(), inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    });
    (value, any::<bool>(), "[ \t\r\n]{0,3}").prop_map(|(value, pretty, blank)| {
        let text = if pretty { format!("{value:#}") } else { value.to_string() };
        format!("{blank}{text}{blank}")
    })
}

fn payload() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        vec(any::<u8>(), 0..40).prop_map(Bytes::from),
        any::<String>().prop_map(Bytes::from),
        json_text().prop_map(Bytes::from),
    ]
}

fn content_type() -> impl Strategy<Value = Option<String>> {
    const KNOWN: [&str; 5] =
        ["application/json", "Application/JSON; charset=utf-8", "application/senml+json", "text/plain", ""];
    proptest::option::of(prop_oneof![proptest::sample::select(&KNOWN).prop_map(String::from), any::<String>()])
}

prop_compose! {
    fn record()(
        payload in payload(),
        key in proptest::option::of(payload()),
        topic in proptest::option::of("[a-z\"\\\\é]{1,6}(/[a-z ]{0,6}){0,3}"),
        idempotency_key in proptest::option::of(any::<String>()),
        content_type in content_type(),
        headers in vec(any::<(String, String)>(), 0..3),
    ) -> Record {
        let mut record = Record::new(payload);
        record.key = key;
        record.topic = topic.map(|topic| TopicName::new(&topic).unwrap());
        record.idempotency_key = idempotency_key;
        record.content_type = content_type;
        record.headers = headers;
        record
    }
}

/// What may change on the way: line breaks between JSON tokens become blanks, white space around them goes.
fn comparable(mut record: Record) -> Record {
    let says_json = record.content_type.as_deref().is_some_and(json::is_content_type);
    if let Ok(text) = str::from_utf8(&record.payload)
        && says_json
        && serde_json::from_str::<Value>(text).is_ok()
    {
        record.payload = Bytes::from(text.trim_ascii().replace(['\n', '\r'], " "));
    }
    record
}

proptest! {
    #[test]
    fn ndjson_gives_the_records_back(batch in vec(record(), 0..6)) {
        let encoder = Encoder::new(LineFormat::Ndjson);
        // The second round uses the buffer of the first.
        for _ in 0..2 {
            let encoded = encoder.encode(&batch);
            prop_assert!(encoded.rejections.is_empty());
            let text = str::from_utf8(&encoded.lines).unwrap();
            prop_assert!(text.is_empty() || text.ends_with('\n'));
            let found: Vec<Record> = text.split_terminator('\n').map(parse).map(comparable).collect();
            let wanted: Vec<Record> = batch.iter().cloned().map(comparable).collect();
            prop_assert_eq!(found, wanted);
            encoder.recycle(encoded.lines);
        }
    }

    #[test]
    fn lines_gives_the_payloads_back_or_refuses_them(payloads in vec(vec(any::<u8>(), 0..40), 0..6)) {
        let batch: Vec<Record> = payloads.iter().cloned().map(Record::new).collect();
        let encoded = Encoder::new(LineFormat::Lines).encode(&batch);
        let has_break = |payload: &Vec<u8>| payload.iter().any(|byte| matches!(byte, b'\n' | b'\r'));
        let (refused, taken): (Vec<_>, Vec<_>) = payloads.iter().enumerate().partition(|(_, it)| has_break(it));
        let wanted: Vec<u8> = taken.iter().flat_map(|(_, payload)| payload.iter().copied().chain([b'\n'])).collect();
        prop_assert_eq!(encoded.lines, wanted);
        let indices: Vec<usize> = encoded.rejections.iter().map(|rejection| rejection.index).collect();
        prop_assert_eq!(indices, refused.iter().map(|(index, _)| *index).collect::<Vec<_>>());
    }
}

#[test]
fn a_full_record_looks_like_this() {
    let mut record = Record::new("{ \"celsius\":\n 21.50 }")
        .with_key("line-7")
        .with_idempotency_key("a1")
        .with_content_type("application/json")
        .with_header("unit", "C")
        .with_header("unit", "K");
    record.topic = Some(TopicName::new("plant/7/temperature").unwrap());
    assert_eq!(
        ndjson(record),
        "{\"topic\":\"plant/7/temperature\",\"key\":\"line-7\",\"idempotency_key\":\"a1\",\
         \"content_type\":\"application/json\",\"headers\":[[\"unit\",\"C\"],[\"unit\",\"K\"]],\
         \"payload\":{ \"celsius\":  21.50 }}\n"
    );
}

#[test]
fn a_payload_is_a_string_unless_it_claims_to_be_json() {
    assert_eq!(ndjson(Record::new("21.5")), "{\"payload\":\"21.5\"}\n");
    assert_eq!(ndjson(Record::new(&b"\xff\x00"[..])), "{\"payload_encoding\":\"base64\",\"payload\":\"/wA=\"}\n");
}

#[test]
fn a_payload_that_only_claims_to_be_json_stays_readable() {
    let line = ndjson(Record::new("{\"celsius\": 2").with_content_type("application/json"));
    assert!(line.ends_with("\"payload_encoding\":\"text\",\"payload\":\"{\\\"celsius\\\": 2\"}\n"), "{line}");
}

#[test]
fn json_that_breaks_common_parsers_is_written_as_text() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (text, portable) in [
        (deep(120), true),
        (deep(121), false),
        (deep(100_000), false),
        ("1e999".to_owned(), false),
        ("\"\\ud800\"".to_owned(), false),
        ("\"\\ud83d\\ude00\"".to_owned(), true),
        ("1 2".to_owned(), false),
        (String::new(), false),
    ] {
        let record = Record::new(text.clone()).with_content_type("application/json");
        let line = ndjson(record.clone());
        assert_eq!(!line.contains("payload_encoding"), portable, "{line}");
        assert_eq!(parse(&line), record);
    }
}

#[test]
fn a_refused_record_names_its_place_and_the_way_out_and_not_its_content() {
    let batch = [Record::new("one"), Record::new("secret\ntwo"), Record::new("three")];
    let encoded = Encoder::new(LineFormat::Lines).encode(&batch);
    assert_eq!(encoded.lines, b"one\nthree\n");
    assert_eq!(encoded.rejections.len(), 1);
    assert_eq!(encoded.rejections[0].index, 1);
    assert_eq!(encoded.rejections[0].reason, "payload has a line break at byte 6: write it with the format ndjson");
}

#[test]
fn the_buffer_goes_round_but_an_outsize_one_is_given_back() {
    let encoder = Encoder::new(LineFormat::Lines);
    let small = encoder.encode(&[Record::new("x".repeat(1000))]);
    let buffer = small.lines.as_ptr();
    encoder.recycle(small.lines);
    let again = encoder.encode(&[Record::new("y")]);
    assert_eq!(again.lines.as_ptr(), buffer);
    encoder.recycle(vec![0; 2 * Encoder::SPARE_MAX_BYTES]);
    assert!(encoder.encode(&[]).lines.capacity() <= Encoder::SPARE_MAX_BYTES);
}
