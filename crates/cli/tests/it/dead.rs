//! `tidemill dead` as a program: on the embedded broker, on Mosquitto, and on files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod files;
mod mosquitto;

use std::fs;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tidemill::QoS;
use tidemill_testkit::broker::{Access, Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::{Version, v5};
use tokio::process::Command;
use tokio::time::timeout;

const Q0: QoS = QoS::AtMostOnce;
const Q1: QoS = QoS::AtLeastOnce;

/// What a run of the program ended with.
#[derive(Debug)]
struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl Ran {
    /// The objects on standard output.
    fn objects(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// One member of each object.
    fn column(&self, name: &str) -> Vec<String> {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        self.objects().iter().map(|object| text(&object[name])).collect()
    }

    fn good(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

async fn dead(url: &str, args: &[&str]) -> Ran {
    let mut args = args.to_vec();
    if !url.is_empty() {
        args.extend(["--broker", url]);
    }
    let child = Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .arg("dead")
        .args(&args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = timeout(Duration::from_secs(30), child).await.expect("it ends").unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
}

/// A client that publishes letters and sees what is replayed.
struct Peer(RawClient);

impl Peer {
    async fn connect(addr: SocketAddr, id: &str) -> Self {
        let mut client = RawClient::tcp(addr).await.unwrap().with_patience(Duration::from_secs(10));
        let ack = client.connect(ConnectOptions::new(id)).await;
        assert_eq!(ack.code, v5::ConnectReturnCode::Success);
        Self(client)
    }

    /// A dead letter, as a worker publishes it.
    async fn letter(&mut self, route: &str, topic: &str, payload: &str) {
        let told = [
            ("tidemill-reason", "attempts"),
            ("tidemill-error", "it broke"),
            ("tidemill-attempts", "3"),
            ("tidemill-route", route),
            ("tidemill-instance", "w-1"),
            ("tidemill-topic", topic),
            ("tidemill-qos", "1"),
            ("tidemill-first-seen", "2026-01-31T08:00:00.000Z"),
            ("tidemill-last-seen", "2026-01-31T08:00:09.000Z"),
            ("tenant", "ada"),
        ];
        let mut packet = v5::Publish::new(
            format!("tidemill/dead/{route}"),
            rumqttc::v5::mqttbytes::QoS::AtLeastOnce,
            payload.to_owned(),
            None,
        );
        packet.properties = Some(v5::PublishProperties {
            user_properties: told.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            content_type: Some("text/x".to_owned()),
            ..v5::PublishProperties::default()
        });
        let pkid = self.0.publish_packet(packet).await;
        self.0.expect_puback(pkid).await;
    }

    async fn letters(&mut self, all: &[(&str, &str, &str)]) {
        for (route, topic, payload) in all {
            self.letter(route, topic, payload).await;
        }
    }

    /// Subscribes to all topics of letters, without a thought of ever reading.
    async fn listen(&mut self) {
        for filter in ["t/#", "u/#"] {
            self.0.subscribe(filter, Q0).await;
        }
    }

    /// The next event, acknowledged.
    async fn event(&mut self) -> v5::Publish {
        let event = self.0.expect_publish().await;
        if event.pkid != 0 {
            self.0.puback(event.pkid).await;
        }
        event
    }

    async fn payloads(&mut self, count: usize) -> Vec<String> {
        let mut payloads = Vec::new();
        for _ in 0..count {
            payloads.push(String::from_utf8(self.event().await.payload.to_vec()).unwrap());
        }
        payloads
    }
}

const FIVE: [(&str, &str, &str); 5] =
    [("a", "t/1", "one"), ("b", "t/2", "two"), ("a", "t/3", "three"), ("b", "t/4", "four"), ("c", "u/5", "five")];

/// A broker with five letters that lie under the tool's session.
async fn five() -> (Broker, String, Peer) {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let url = broker.url();
    dead(&url, &["subscribe"]).await.good();
    let mut peer = Peer::connect(broker.addr().unwrap(), "peer").await;
    peer.letters(&FIVE).await;
    (broker, url, peer)
}

async fn payloads(url: &str) -> Vec<String> {
    dead(url, &["show", "1-99", "--json"]).await.good().column("payload")
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_published_while_the_tool_is_away_are_listed_and_stay() {
    let (broker, url, _peer) = five().await;
    for _ in 0..3 {
        let listed = dead(&url, &["list", "--json"]).await.good();
        assert_eq!(listed.column("route"), ["a", "b", "a", "b", "c"]);
        assert_eq!(listed.column("number"), ["1", "2", "3", "4", "5"]);
        assert_eq!(listed.objects()[0]["error"], "it broke");
    }
    let table = dead(&url, &["list", "--route", "c"]).await.good();
    assert!(table.out.contains("u/5") && !table.out.contains("t/1"), "{}", table.out);
    assert!(table.err.contains("1 of 5 dead letters"), "{}", table.err);
    broker.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_is_shown_with_all_headers_and_its_payload() {
    let (_broker, url, mut peer) = five().await;
    peer.letter("d", "t/6", "caf\u{e9} \u{1b}[2J").await;
    let shown = dead(&url, &["show", "3"]).await.good().out;
    for part in ["letter 3", "tidemill/dead/a", "tidemill-instance", "w-1", "tenant", "ada", "text/x", "  three"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let odd = dead(&url, &["show", "6"]).await.good().out;
    assert!(odd.contains("00000000") && !odd.contains('\u{1b}'), "{odd}");
    let missing = dead(&url, &["show", "77"]).await;
    assert!(missing.code == 1 && missing.err.contains("no such letter"), "{missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_the_original_event_with_a_count() {
    let (_broker, url, mut peer) = five().await;
    peer.0.subscribe("t/#", Q1).await;
    let ran = dead(&url, &["replay", "1"]).await.good();
    assert!(ran.err.contains("1 replayed") && !ran.err.contains("put back"), "{}", ran.err);
    let event = peer.event().await;
    assert_eq!((&event.topic[..], &event.payload[..]), (&b"t/1"[..], &b"one"[..]));
    let properties = event.properties.unwrap();
    assert_eq!(properties.content_type.as_deref(), Some("text/x"));
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(properties.user_properties, [pair("tenant", "ada"), pair("tidemill-replay-count", "1")]);
    assert_eq!(payloads(&url).await, ["two", "three", "four", "five"]);
    peer.0.expect_no_packet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stays_before_a_chosen_letter_moves_to_the_end_and_what_is_behind_stays_put() {
    let (_broker, url, mut peer) = five().await;
    peer.0.subscribe("t/#", Q1).await;
    let ran = dead(&url, &["replay", "--topic-filter", "t/3", "--json"]).await.good();
    assert_eq!(ran.column("action"), ["put back", "put back", "replayed"]);
    assert_eq!(peer.payloads(1).await, ["three"]);
    assert_eq!(payloads(&url).await, ["four", "five", "one", "two"]);
    // Put back as it was.
    assert_eq!(dead(&url, &["list", "--json"]).await.good().column("topic"), ["t/4", "u/5", "t/1", "t/2"]);
    let ran = dead(&url, &["drop", "--route", "b"]).await.good();
    assert!(ran.err.contains("2 dropped, 2 put back"), "{}", ran.err);
    assert_eq!(payloads(&url).await, ["five", "one"]);
    peer.0.expect_no_packet().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_name_letters_wherever_they_have_moved() {
    let (_broker, url, _peer) = five().await;
    let ids = dead(&url, &["list", "--json"]).await.good().column("id");
    dead(&url, &["drop", &ids[3]]).await.good();
    assert_eq!(payloads(&url).await, ["five", "one", "two", "three"]);
    dead(&url, &["drop", &ids[1][..6], &ids[4]]).await.good();
    assert_eq!(payloads(&url).await, ["three", "one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_changes_nothing() {
    let (broker, url, mut peer) = five().await;
    peer.0.subscribe("#", Q1).await;
    let before = broker.stats();
    let ran = dead(&url, &["replay", "2-3", "--dry-run", "--json"]).await.good();
    assert_eq!(ran.column("action"), ["would be put back", "would be replayed", "would be replayed"]);
    assert!(ran.err.contains("2 would be replayed, 1 would be put back"), "{}", ran.err);
    let ran = dead(&url, &["drop", "--all", "--dry-run"]).await.good();
    assert!(ran.err.contains("5 would be dropped"), "{}", ran.err);
    peer.0.expect_no_packet().await;
    let after = broker.stats();
    assert_eq!((after.published, after.acked), (before.published, before.acked));
    assert_eq!(payloads(&url).await, ["one", "two", "three", "four", "five"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_smaller_than_the_queue_is_walked_through() {
    let (_broker, url, _peer) = five().await;
    // All of them, although no look sees more than two.
    let listed = dead(&url, &["list", "--window", "2"]).await.good();
    assert!(listed.err.contains("2 of 2 dead letters") && listed.err.contains("--window"), "{}", listed.err);
    let nothing = dead(&url, &["drop", "--route", "c", "--window", "2"]).await.good();
    assert!(nothing.err.contains("0 dropped") && nothing.err.contains("--through"), "{}", nothing.err);
    let through = dead(&url, &["drop", "--route", "c", "--window", "2", "--through"]).await.good();
    assert!(through.err.contains("1 dropped"), "{}", through.err);
    let mut left = payloads(&url).await;
    left.sort();
    assert_eq!(left, ["four", "one", "three", "two"]);
    let all = dead(&url, &["drop", "--all", "--window", "2"]).await.good();
    assert!(all.err.contains("4 dropped"), "{}", all.err);
    assert!(dead(&url, &["list"]).await.good().err.contains("no dead letters"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_dies_again_is_not_replayed_again_by_the_same_run() {
    let (_broker, url, mut peer) = five().await;
    peer.0.subscribe("t/#", Q1).await;
    // A worker whose handler fails always: it makes a letter of every event at once.
    let dying = tokio::spawn(async move {
        let mut died = 0;
        while let Some(packet) = peer.0.next().await {
            let v5::Packet::Publish(event) = packet else { continue };
            died += 1;
            let mut packet = event.clone();
            packet.topic = "tidemill/dead/again".into();
            let own = packet.properties.take().unwrap_or_default().user_properties;
            let told =
                [("tidemill-reason", "attempts"), ("tidemill-topic", std::str::from_utf8(&event.topic).unwrap())];
            let told = told.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let user_properties = told.chain(own).collect();
            packet.properties = Some(v5::PublishProperties { user_properties, ..v5::PublishProperties::default() });
            let pkid = peer.0.publish_packet(packet).await;
            peer.0.expect_puback(pkid).await;
            peer.0.puback(event.pkid).await;
            if died == 4 {
                return;
            }
        }
    });
    let ran = dead(&url, &["replay", "--topic-filter", "t/#", "--window", "3", "--rate", "50"]).await.good();
    assert!(ran.err.contains("4 replayed"), "{}", ran.err);
    dying.await.unwrap();
    let listed = dead(&url, &["list", "--reason", "attempts", "--topic-filter", "t/#", "--json"]).await.good();
    assert_eq!(listed.column("replays"), ["1", "1", "1", "1"]);
}

/// Starts a replay of 100 letters, ends it with this signal somewhere in the middle, and replays the rest. Returns how
/// often each was replayed.
async fn ended_half_way(signal: &str) -> Vec<usize> {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let url = broker.url();
    dead(&url, &["subscribe"]).await.good();
    let mut peer = Peer::connect(broker.addr().unwrap(), "peer").await;
    for number in 0..100 {
        peer.letter(if number % 2 == 0 { "a" } else { "b" }, "t/x", &number.to_string()).await;
    }
    peer.0.subscribe("t/#", Q1).await;
    let mut child = Command::new(env!("CARGO_BIN_EXE_tidemill"))
        .args(["dead", "replay", "--route", "a", "--rate", "100", "--broker", &url])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut seen = peer.payloads(15).await;
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").args([signal, &pid]).status().await.unwrap().success());
    let status = timeout(Duration::from_secs(30), child.wait()).await.unwrap().unwrap();
    assert_eq!(status.success(), signal == "-TERM");
    dead(&url, &["replay", "--route", "a"]).await.good();
    peer.0.publish_acked("t/end", "end").await;
    while seen.last().is_none_or(|last| last != "end") {
        seen.extend(peer.payloads(1).await);
    }
    let mut left = payloads(&url).await;
    left.sort();
    left.dedup();
    assert_eq!(left.len(), 50, "what was not chosen is all there");
    (0..100)
        .step_by(2)
        .map(|number: u32| seen.iter().filter(|payload| **payload == number.to_string()).count())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_killed_loses_nothing() {
    let times = ended_half_way("-KILL").await;
    assert!(times.iter().all(|times| *times >= 1), "{times:?}");
    // One at a time is on its way when there is a rate, and one acknowledgement may be lost beside.
    assert!(times.iter().sum::<usize>() <= 52, "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_is_asked_to_stop_finishes_what_it_began() {
    let times = ended_half_way("-TERM").await;
    assert!(times.iter().all(|times| *times == 1), "{times:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_without_its_topic_stays_and_the_others_go() {
    let (_broker, url, mut peer) = five().await;
    peer.0.publish_acked("tidemill/dead/x", "no letter").await;
    peer.listen().await;
    let ran = dead(&url, &["replay", "--all"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("5 replayed") && ran.err.contains("1 not replayed and kept"), "{}", ran.err);
    assert!(ran.err.contains("original topic is not known"), "{}", ran.err);
    assert_eq!(payloads(&url).await, ["no letter"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_the_broker_refuses_stays() {
    let access = Access::default().deny_publish(tidemill::topic::TopicFilter::new("t/3").unwrap());
    let broker = Broker::start(BrokerConfig { access, ..BrokerConfig::default() }).await.unwrap();
    let url = broker.url();
    dead(&url, &["subscribe"]).await.good();
    let mut peer = Peer::connect(broker.addr().unwrap(), "peer").await;
    peer.letters(&FIVE).await;
    peer.listen().await;
    let ran = dead(&url, &["replay", "--all"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("4 replayed") && ran.err.contains("letter 3: "), "{}", ran.err);
    assert_eq!(payloads(&url).await, ["three"]);
}

/// The broker takes it, says that nobody is subscribed, and throws it away.
#[tokio::test(flavor = "multi_thread")]
async fn a_replay_that_nobody_would_hear_stays() {
    let (_broker, url, mut peer) = five().await;
    peer.0.subscribe("t/#", Q0).await;
    let ran = dead(&url, &["replay", "--all"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("4 replayed") && ran.err.contains("nobody is subscribed"), "{}", ran.err);
    assert_eq!(payloads(&url).await, ["five"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_acknowledged_when_letters_cannot_be_put_back() {
    let access = Access::default().with_user("ada", "secret");
    let broker = Broker::start(BrokerConfig { access, ..BrokerConfig::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "secret\n").unwrap();
    let login = ["--username", "ada", "--password-file", password.to_str().unwrap()];
    let refused = dead(&broker.url(), &["list"]).await;
    assert!(refused.code == 1 && refused.err.contains("refuses the connection"), "{refused:?}");
    dead(&broker.url(), &[&["subscribe"], &login[..]].concat()).await.good();
    let mut client = RawClient::tcp(broker.addr().unwrap()).await.unwrap();
    client.connect(ConnectOptions::new("peer").login("ada", "secret")).await;
    let mut peer = Peer(client);
    peer.letters(&FIVE).await;
    // From now on nobody may publish there.
    let state = broker.stop().await;
    let access = Access::default().with_user("ada", "secret");
    let access = access.deny_publish(tidemill::topic::TopicFilter::new("tidemill/dead/#").unwrap());
    let broker = Broker::start_with(BrokerConfig { access, ..BrokerConfig::default() }, state).await.unwrap();
    let ran = dead(&broker.url(), &[&["drop", "2"], &login[..]].concat()).await;
    assert!(ran.code == 1 && ran.err.contains("could not be put back"), "{ran:?}");
    let listed = dead(&broker.url(), &[&["list", "--json"], &login[..]].concat()).await.good();
    assert_eq!(listed.column("topic"), ["t/1", "t/2", "t/3", "t/4", "u/5"]);
    // The first one is in nobody's way.
    dead(&broker.url(), &[&["drop", "1"], &login[..]].concat()).await.good();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_not_there_is_not_made_by_looking() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    for args in [&["list"][..], &["replay", "--all"], &["unsubscribe"]] {
        let ran = dead(&broker.url(), args).await;
        assert!(ran.code == 1 && ran.err.contains("tidemill dead subscribe"), "{ran:?}");
    }
    assert_eq!(broker.stats().sessions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unsubscribing_keeps_letters_unless_it_is_forced() {
    let (broker, url, mut peer) = five().await;
    let ran = dead(&url, &["unsubscribe"]).await;
    assert!(ran.code == 1 && ran.err.contains("5 dead letters lie there"), "{ran:?}");
    assert_eq!(payloads(&url).await.len(), 5);
    dead(&url, &["unsubscribe", "--force"]).await.good();
    peer.letter("a", "t/1", "later").await;
    assert_eq!(dead(&url, &["list"]).await.code, 1);
    drop(broker);
}

#[tokio::test(flavor = "multi_thread")]
async fn letters_of_mqtt_3_workers_are_read_and_replayed() {
    let broker = Broker::start(BrokerConfig::default()).await.unwrap();
    let url = broker.url();
    for version in ["3.1.1", "5"] {
        let session = format!("tool-{version}");
        let with = |args: &[&'static str]| {
            [args, &["--session", &*session.clone().leak(), "--mqtt-version", version]].concat()
        };
        dead(&url, &with(&["subscribe"])).await.good();
        let mut old =
            RawClient::with_version(tokio::net::TcpStream::connect(broker.addr().unwrap()).await.unwrap(), Version::V4);
        old.connect(ConnectOptions::new("old")).await;
        old.subscribe("t/#", Q1).await;
        let envelope = r#"{"headers":{"tidemill-reason":"permanent","tidemill-topic":"t/1"},"payload":{"hex":"ff00"}}"#;
        old.publish_acked("tidemill/dead/r", envelope).await;
        old.publish_acked("tidemill/dead/r", envelope.replace("t/1", "t/2")).await;
        dead(&url, &with(&["replay", "--topic-filter", "t/2"])).await.good();
        let event = old.expect_publish().await;
        assert_eq!((&event.topic[..], &event.payload[..]), (&b"t/2"[..], &[0xFF, 0][..]));
        old.puback(event.pkid).await;
        assert_eq!(dead(&url, &with(&["list", "--json"])).await.good().column("topic"), ["t/1"]);
        old.disconnect().await;
        dead(&url, &with(&["drop", "--all"])).await.good();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_usage_says_what_to_write() {
    for (args, why) in [
        (&["list"][..], "--broker URL"),
        (&["list", "--broker", "localhost"], "scheme"),
        (&["list", "--broker", "mqtts://localhost", "--cert-file", "x"], "--key-file"),
        (&["list", "--broker", "mqtts://localhost", "--cert-file", "/no/cert", "--key-file", "/no/key"], "/no/cert"),
        (&["list", "--file", "x", "--username", "ops"], "--broker"),
        (&["drop", "--broker", "mqtt://localhost"], "--all"),
        (&["show", "--broker", "mqtt://localhost"], "say which letters"),
        (&["list", "--broker", "mqtt://localhost", "--file", "x"], "exclude"),
        (&["list", "--broker", "mqtt://localhost", "--topic-filter", "a/#/b"], "--topic-filter"),
        (&["subscribe", "--broker", "mqtt://localhost", "--topic", "a+"], "--topic"),
        (&["subscribe", "--broker", "mqtt://localhost", "--keep", "0s"], "--keep"),
        (&["replay", "seven", "--broker", "mqtt://localhost"], "write a number"),
    ] {
        let ran = dead("", args).await;
        assert!(ran.code == 64 && ran.err.contains(why), "{args:?}: {ran:?}");
    }
    let help = dead("", &["--help"]).await.good().out;
    assert!(help.contains("Examples:") && help.contains("Exit codes"), "{help}");
}
