//! Letters that lie in a file.

use std::path::Path;

use tidemill::sinks::{File, FileConfig};
use tidemill::{Record, Sink};

use super::*;

fn line(number: u8, route: &str) -> String {
    format!(
        r#"{{"topic":"t/{number}","headers":[["tidemill-reason","attempts"],["tidemill-route","{route}"],["tidemill-topic","t/{number}"],["tenant","ada"]],"payload":"{number}"}}"#
    )
}

fn write_letters(path: &Path) -> Vec<String> {
    let lines: Vec<String> = [line(1, "a"), line(2, "b"), "  no letter".to_owned(), line(4, "a"), line(5, "b")]
        .map(|line| line + "\n")
        .to_vec();
    fs::write(path, lines.concat()).unwrap();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_in_a_file_are_listed_dropped_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.ndjson");
    let lines = write_letters(&path);
    let file = ["--file", path.to_str().unwrap()];
    let with = |args: &[&'static str]| [args, &file].concat();
    let listed = dead("", &with(&["list", "--json"])).await.good();
    assert_eq!(listed.column("number"), ["1", "2", "3", "4", "5"]);
    assert!(listed.objects()[2]["unreadable"].as_str().unwrap().contains("no record"));
    assert!(dead("", &with(&["show", "2"])).await.good().out.contains("tenant"));

    let dry = dead("", &with(&["drop", "--all", "--dry-run"])).await.good();
    assert!(dry.err.contains("4 would be dropped"), "{}", dry.err);
    assert_eq!(fs::read_to_string(&path).unwrap(), lines.concat());
    dead("", &with(&["drop", "4"])).await.good();
    assert_eq!(fs::read_to_string(&path).unwrap(), [&*lines[0], &*lines[1], &*lines[2], &*lines[4]].concat());

    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let mut peer = Peer::connect(broker.addr().unwrap(), "peer").await;
    peer.0.subscribe("t/#", Q1).await;
    let none = dead("", &with(&["replay", "--all"])).await;
    assert!(none.code == 64 && none.err.contains("--broker"), "{none:?}");
    dead(&broker.url(), &with(&["replay", "--route", "b"])).await.good();
    assert_eq!(peer.payloads(2).await, ["2", "5"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), [&*lines[0], &*lines[2]].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_file_sink_writes_is_read_and_not_changed_while_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.ndjson");
    let record = |content_type: Option<&str>, payload: &[u8]| {
        let mut record = Record::new(payload.to_vec());
        record.content_type = content_type.map(str::to_owned);
        record.topic = Some(tidemill::topic::TopicName::new("t/1").unwrap());
        for (name, value) in [("tidemill-reason", "permanent"), ("tidemill-topic", "t/1"), ("tenant", "a\"b")] {
            record.headers.push((name.to_owned(), value.to_owned()));
        }
        record
    };
    let json = Some("application/json");
    let records = [
        record(None, b"plain\ntext"),
        record(json, br#"{"b":1.50,"a":[1e400]}"#),
        record(json, br#"{"b":1.50,"a":"x"}"#),
        record(json, b"no json"),
        record(None, &[0xFF, 0, 0x7F]),
    ];
    let sink = File::new(FileConfig::new(&path));
    sink.write(&records).await.unwrap();
    let file = ["--file", path.to_str().unwrap()];
    let shown = dead("", &[&["show", "1-9", "--json"], &file[..]].concat()).await.good();
    assert_eq!(
        shown.column("payload"),
        ["plain\ntext", r#"{"b":1.50,"a":[1e400]}"#, r#"{"b":1.50,"a":"x"}"#, "no json", "/wB/"]
    );
    assert_eq!(shown.objects()[0]["headers"][2], serde_json::json!(["tenant", "a\"b"]));
    let refused = dead("", &[&["drop", "1"], &file[..]].concat()).await;
    assert!(refused.code == 1 && refused.err.contains("being written by a worker"), "{refused:?}");
    sink.close().await.unwrap();
    dead("", &[&["drop", "1-4"], &file[..]].concat()).await.good();
    // And the sink goes on with the file.
    sink.write(&records[..1]).await.unwrap();
    sink.close().await.unwrap();
    let left = dead("", &[&["show", "1-9", "--json"], &file[..]].concat()).await.good();
    assert_eq!(left.column("payload"), ["/wB/", "plain\ntext"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_from_a_file_that_cannot_be_published_leaves_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dead.ndjson");
    let lines = write_letters(&path);
    let access = Access::default().deny_publish(tidemill::topic::TopicFilter::new("t/1").unwrap());
    let broker = Broker::start(BrokerConfig { access, ..BrokerConfig::default() }).await.unwrap();
    let mut peer = Peer::connect(broker.addr().unwrap(), "peer").await;
    peer.listen().await;
    let ran = dead(&broker.url(), &["replay", "1-2", "--file", path.to_str().unwrap()]).await;
    assert!(ran.code == 1 && ran.err.contains("1 replayed, 1 not replayed and kept"), "{ran:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), [&lines[0..1], &lines[2..]].concat().concat());
    let url = broker.url();
    broker.shutdown().await;
    let ran = dead(&url, &["replay", "1", "--file", path.to_str().unwrap(), "--patience", "1s"]).await;
    assert!(ran.code == 1 && ran.err.contains("cannot be published to"), "{ran:?}");
}
