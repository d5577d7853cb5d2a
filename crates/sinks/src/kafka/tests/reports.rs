//! What delivery reports become.

use std::time::{Duration, UNIX_EPOCH};

use rdkafka::types::RDKafkaRespErr as Code;
use tidemill_core::topic::TopicName;
use tidemill_core::{Record, SinkErrorKind, report};
use tidemill_testkit::sink_conformance::deliver;

use super::cluster::Cluster;

fn payloads(stored: &[super::cluster::Stored]) -> Vec<String> {
    let mut all: Vec<String> = stored.iter().map(|stored| String::from_utf8(stored.payload.clone()).unwrap()).collect();
    all.sort();
    all
}

#[tokio::test]
async fn a_message_has_the_records_key_time_and_headers() {
    let cluster = Cluster::start().await;
    let mut record = Record::new("x")
        .with_key("k")
        .with_header("unit", "C")
        .with_content_type("text/plain")
        .with_idempotency_key("id-1")
        .with_time(UNIX_EPOCH + Duration::from_millis(1_700_000_000_123));
    record.topic = Some(TopicName::new("plant/7").unwrap());
    cluster.sink(|_| {}).write(&[record]).await.unwrap();
    let stored = cluster.read().await;
    assert_eq!(stored[0].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(stored[0].timestamp, Some(1_700_000_000_123));
    let header = |name: &str| stored[0].headers.iter().find(|(key, _)| key == name).unwrap().1.as_str();
    assert_eq!(header("unit"), "C");
    assert_eq!(header("content-type"), "text/plain");
    assert_eq!(header("tidemill-topic"), "plant/7");
    assert_eq!(header("tidemill-idempotency-key"), "id-1");
}

#[tokio::test]
async fn what_the_client_repeats_by_itself_is_stored_once() {
    let cluster = Cluster::start().await;
    let sink = cluster.sink(|_| {});
    sink.write(&[Record::new("0").with_key("k")]).await.unwrap();
    cluster
        .fails(vec![
            Code::RD_KAFKA_RESP_ERR__TRANSPORT,
            Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        ])
        .await;
    let batch: Vec<Record> = (1..50).map(|n| Record::new(format!("{n:02}")).with_key("k")).collect();
    sink.write(&batch).await.unwrap();
    let stored = cluster.read().await;
    let stored: Vec<_> = stored.iter().map(|stored| String::from_utf8(stored.payload.clone()).unwrap()).collect();
    let wanted: Vec<_> = std::iter::once("0".to_owned()).chain((1..50).map(|n| format!("{n:02}"))).collect();
    assert_eq!(stored, wanted);
}

#[tokio::test]
async fn silence_ends_as_unavailable_and_keeps_the_order() {
    let cluster = Cluster::start().await;
    let sink = cluster.sink(|config| config.timeout = Duration::from_secs(1));
    assert_eq!(deliver(&*sink, &[Record::new("0").with_key("k")]).await, []);
    cluster.answers_after(Duration::from_secs(4)).await;
    let batch: Vec<Record> = (1..50).map(|n| Record::new(format!("{n:02}")).with_key("k")).collect();
    let error = sink.write(&batch).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Unavailable, "{}", report(&error));
    assert!(report(&error).contains("in time"), "{}", report(&error));
    cluster.answers_after(Duration::ZERO).await;
    assert_eq!(deliver(&*sink, &batch).await, []);
    let stored = cluster.read().await;
    let mut first: Vec<String> = Vec::new();
    for message in &stored {
        let payload = String::from_utf8(message.payload.clone()).unwrap();
        if !first.contains(&payload) {
            first.push(payload);
        }
    }
    assert_eq!(first.len(), 50);
    assert!(first.is_sorted(), "{first:?}");
}

#[tokio::test]
async fn a_message_that_the_broker_refuses_alone_is_rejected() {
    let cluster = Cluster::start().await;
    let sink = cluster.sink(|_| {});
    cluster.fails(vec![Code::RD_KAFKA_RESP_ERR_INVALID_RECORD]).await;
    let error = sink.write(&[Record::new("1").with_key("k")]).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::Rejected, "{}", report(&error));
    assert!(error.rejections()[0].reason.len() > 20, "{:?}", error.rejections());
    sink.write(&[Record::new("2").with_key("k")]).await.unwrap();
    assert_eq!(payloads(&cluster.read().await), ["2"]);
}

#[tokio::test]
async fn messages_that_the_broker_refuses_together_are_halved_by_the_engine() {
    let cluster = Cluster::start().await;
    let sink = cluster.sink(|_| {});
    sink.open().await.unwrap();
    cluster.fails(vec![Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE; 3]).await;
    let batch = [Record::new("1").with_key("k"), Record::new("2").with_key("k")];
    let error = sink.write(&batch).await.unwrap_err();
    assert_eq!(error.kind(), SinkErrorKind::BatchRefused, "{}", report(&error));
}

#[tokio::test]
async fn writes_at_once_share_no_request_that_a_broker_may_refuse() {
    let cluster = Cluster::start().await;
    // Long enough for one client to pack both writes into one request.
    let sink = cluster.sink(|config| drop(config.properties.insert("linger.ms".into(), "300".into())));
    sink.open().await.unwrap();
    cluster.fails(vec![Code::RD_KAFKA_RESP_ERR_INVALID_RECORD]).await;
    let (one, two) =
        ([Record::new("1").with_key("k")], [Record::new("2").with_key("k"), Record::new("3").with_key("k")]);
    let (one, two) = tokio::join!(sink.write(&one), sink.write(&two));
    assert!(one.is_ok() != two.is_ok(), "one request was refused, so one write: {one:?} {two:?}");
}

#[tokio::test]
async fn a_dropped_write_leaves_nothing_that_the_next_one_is_packed_with() {
    let cluster = Cluster::start().await;
    let sink = cluster.sink(|config| drop(config.properties.insert("linger.ms".into(), "1000".into())));
    sink.open().await.unwrap();
    let dropped = [Record::new("1").with_key("k"), Record::new("2").with_key("k")];
    let dropped = tokio::time::timeout(Duration::from_millis(100), sink.write(&dropped)).await;
    assert!(dropped.is_err(), "{dropped:?}");
    sink.write(&[Record::new("3").with_key("k")]).await.unwrap();
    assert_eq!(payloads(&cluster.read().await), ["3"]);
}

#[tokio::test]
async fn a_header_with_a_null_character_in_its_name_is_refused() {
    let cluster = Cluster::start().await;
    let bad = Record::new("1").with_key("k").with_header("a\0b", "c");
    let error = cluster.sink(|_| {}).write(&[bad, Record::new("2").with_key("k")]).await.unwrap_err();
    assert_eq!(error.rejections().iter().map(|refused| refused.index).collect::<Vec<_>>(), [0]);
    assert!(error.rejections()[0].reason.contains("null character"), "{:?}", error.rejections());
    assert_eq!(payloads(&cluster.read().await), ["2"]);
}
