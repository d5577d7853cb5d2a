//! Dead letters: byte for byte, over a connection of their own, and only then acknowledged (G1).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tidemill_core::{HandlerError, Rejection, SinkError};
use tidemill_runtime::MqttVersion;

use crate::support::*;

fn headers(letter: &v5::Publish) -> HashMap<&str, &str> {
    let properties = letter.properties.as_ref().expect("a dead letter has properties");
    properties.user_properties.iter().map(|(name, value)| (&**name, &**value)).collect()
}

fn permanent() -> impl tidemill_core::Handler {
    does(|_, _| Err(HandlerError::permanent("cannot be read")))
}

#[tokio::test(start_paused = true)]
async fn a_permanent_failure_is_dead_lettered_at_once_with_everything_it_came_with() {
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(permanent())));
    let mut broker = rig.subscribed().await;
    let payload: Vec<u8> = (0..=255).collect();
    let properties = v5::PublishProperties {
        user_properties: vec![("tenant".into(), "ada".into()), ("tenant".into(), "bob".into())],
        content_type: Some("application/x".to_owned()),
        payload_format_indicator: None,
        message_expiry_interval: None,
        topic_alias: None,
        response_topic: Some("answers/7".to_owned()),
        correlation_data: Some(vec![0, 0xAB].into()),
        subscription_identifiers: vec![],
    };
    let event = v5::Publish { properties: Some(properties), ..publish(5, "t/a/b", payload.clone()) };
    broker.send(v5::Packet::Publish(event)).await;

    let mut dead = rig.connection().await;
    let connected = dead.accept().await;
    let instance = rig.handle.status().instances[0].id.clone();
    assert_ne!(connected.connect.client_id, instance, "a connection of its own");
    let letter = dead.expect_publish().await;
    assert_eq!((&letter.topic[..], &letter.payload[..]), (&b"tidemill/dead/t"[..], &payload[..]));
    assert!(!letter.retain && letter.qos == rumqttc::v5::mqttbytes::QoS::AtLeastOnce);
    let told = headers(&letter);
    assert_eq!(
        [told["tidemill-reason"], told["tidemill-error"], told["tidemill-attempts"], told["tidemill-route"]],
        ["permanent", "cannot be read", "1", "t"]
    );
    assert_eq!([told["tidemill-topic"], told["tidemill-qos"], told["tidemill-instance"]], ["t/a/b", "1", &*instance]);
    assert!(told["tidemill-first-seen"].ends_with('Z') && told["tidemill-last-seen"].ends_with('Z'));
    assert_eq!([told["tidemill-response-topic"], told["tidemill-correlation-data"]], ["answers/7", "00ab"]);
    let own: Vec<_> = letter.properties.as_ref().unwrap().user_properties.iter().filter(|p| p.0 == "tenant").collect();
    assert_eq!(own.iter().map(|p| &*p.1).collect::<Vec<_>>(), ["ada", "bob"]);
    assert_eq!(letter.properties.as_ref().unwrap().content_type.as_deref(), Some("application/x"));

    broker.expect_no_packet().await;
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([5]).await;
    assert_eq!(rig.finished("dead_lettered"), 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_runs_out_of_attempts_is_dead_lettered_with_their_number() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::with_handler(config(), handler);
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.fail("one");
    calls.next().await.answer(|_| panic!("two"));
    calls.next().await.fail("three");
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    let told = headers(&letter);
    assert_eq!([told["tidemill-reason"], told["tidemill-attempts"]], ["attempts", "3"]);
    assert_eq!(told["tidemill-error"], "three");
    // Without a name the route goes by its pattern; what cannot stand in a topic name is replaced.
    assert_eq!(&letter.topic[..], b"tidemill/dead/t/_");
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
}

#[tokio::test(start_paused = true)]
async fn what_a_panic_says_stands_in_the_dead_letter() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler).max_attempts(1)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.answer(|_| panic!("the answer is {}", 42));
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    assert!(headers(&letter)["tidemill-error"].contains("the answer is 42"));
}

/// MQTT strings end at 65535 bytes and have no null character; Mosquitto closes the connection over line breaks too.
#[tokio::test(start_paused = true)]
async fn an_error_of_any_text_makes_a_dead_letter_that_a_broker_can_take() {
    let texts =
        ["first line\nsecond line\ttab\r\n".to_owned(), "zero \0 \u{7f} \u{85} \u{1}".to_owned(), "é".repeat(200_000)];
    for text in texts {
        let (handler, mut calls) = Calls::new();
        let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler)));
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/a", Q1, "x").await;
        calls.next().await.permanent(text);
        let mut dead = rig.publishing().await;
        let letter = dead.expect_publish().await;
        assert_eq!(&letter.payload[..], b"x");
        let error = headers(&letter)["tidemill-error"].to_owned();
        assert!(!error.is_empty() && error.len() < 16 * 1024, "{} bytes", error.len());
        assert!(!error.contains(char::is_control), "{error:?}");
        dead.puback(letter.pkid).await;
        broker.expect_pubacks([1]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn on_mqtt_3_the_headers_travel_in_an_envelope_with_the_payload() {
    for (payload, field, expected) in [(&b"{\"c\":1}"[..], "text", "{\"c\":1}"), (&[0xFF, 0x00, 0x7F], "hex", "ff007f")]
    {
        let mut rig = Rig::start(config_of(MqttVersion::V3_1_1), |worker| worker.add_route(route(permanent())));
        let mut broker = rig.subscribed().await;
        broker.publish(5, "t/a", Q1, payload).await;
        let mut dead = rig.publishing().await;
        let letter = dead.expect_publish().await;
        let envelope: serde_json::Value = serde_json::from_slice(&letter.payload).unwrap();
        assert_eq!(envelope["payload"][field], expected);
        assert_eq!(envelope["headers"]["tidemill-reason"], "permanent");
        broker.expect_no_packet().await;
        dead.puback(letter.pkid).await;
        broker.expect_pubacks([5]).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_event_waits_while_its_dead_letter_cannot_be_delivered() {
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(permanent())));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let mut dead = rig.publishing().await;
    dead.expect_publish().await;
    dead.cut();
    broker.expect_no_packet().await;
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    assert_eq!(&letter.payload[..], b"x", "it is sent again");
    dead.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
    assert_eq!(rig.finished("dead_lettered"), 1);
}

#[tokio::test(start_paused = true)]
async fn dead_letters_go_out_one_connection_within_the_brokers_receive_maximum() {
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(permanent())));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=5 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, pkid.to_string()).await;
    }
    let mut dead = rig.connection().await;
    dead.expect_connect().await;
    dead.send_connack(false, Some(v5::ConnAckProperties { receive_max: Some(2), ..no_properties() })).await;
    let mut seen = Vec::new();
    let mut open = Vec::new();
    while seen.len() < 5 {
        while open.len() < 2 && seen.len() < 5 {
            let letter = dead.expect_publish().await;
            seen.push(String::from_utf8(letter.payload.to_vec()).unwrap());
            open.push(letter.pkid);
        }
        dead.expect_no_packet().await;
        dead.puback(open.remove(0)).await;
    }
    for pkid in open {
        dead.puback(pkid).await;
    }
    assert_eq!(seen, ["1", "2", "3", "4", "5"], "in the order they failed");
    broker.expect_pubacks(1..=5).await;
}

fn no_properties() -> v5::ConnAckProperties {
    crate::connect::no_properties()
}

#[tokio::test(start_paused = true)]
async fn a_refused_dead_letter_leaves_its_event_unacknowledged_and_is_tried_again() {
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(permanent())));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let mut dead = rig.publishing().await;
    let letter = dead.expect_publish().await;
    let refused = v5::PubAck { reason: v5::PubAckReason::NotAuthorized, ..v5::PubAck::new(letter.pkid, None) };
    dead.send(v5::Packet::PubAck(refused)).await;
    broker.expect_no_packet_for(Duration::from_secs(1)).await;
    assert_eq!(rig.finished("dead_lettered"), 0);
    let mut dead = dead.with_patience(Duration::from_secs(30));
    let again = dead.expect_publish().await;
    dead.puback(again.pkid).await;
    broker.expect_pubacks([1]).await;
}

#[tokio::test(start_paused = true)]
async fn dead_letters_can_go_to_a_sink() {
    let letters = Recording::new();
    let mut config = config();
    config.dead_letters.sink = Some("letters".to_owned());
    let sink = letters.clone();
    let mut rig = Rig::start(config, |worker| worker.sink("letters", sink).add_route(route(permanent())));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    broker.expect_pubacks([1]).await;
    let record = letters.with(|all| all.written[0].clone());
    assert_eq!((&record.payload[..], record.topic.unwrap().as_str()), (&b"x"[..], "t/a"));
    assert!(record.headers.contains(&("tidemill-reason".to_owned(), "permanent".to_owned())));
    let summary = rig.leave(broker).await;
    assert_eq!(summary.dead_lettered, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_sink_that_refuses_is_asked_again_and_nothing_is_acknowledged_meanwhile() {
    let letters = Recording::new();
    let mut config = config();
    config.dead_letters.sink = Some("letters".to_owned());
    letters.answer(SinkError::rejected(vec![Rejection { index: 0, reason: "too ugly".to_owned() }]));
    let sink = letters.clone();
    let mut rig = Rig::start(config, |worker| worker.sink("letters", sink).add_route(route(permanent())));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(20));
    broker.publish(1, "t/a", Q1, "x").await;
    until(|| letters.attempts() == 1).await;
    broker.expect_no_packet().await;
    broker.expect_pubacks([1]).await;
    assert_eq!(letters.payloads(), ["x"]);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_refused_for_long_is_counted_once_and_goes_out_a_minute_after_it_is_taken_at_last() {
    let taken = Arc::new(AtomicBool::new(false));
    let takes = Arc::clone(&taken);
    let letters = Target::new(move |_, _| {
        let refused = SinkError::rejected(vec![Rejection { index: 0, reason: "no".into() }]);
        (Duration::ZERO, if takes.load(Ordering::SeqCst) { Ok(()) } else { Err(refused) })
    });
    let mut config = config();
    config.mqtt.keep_alive = Duration::ZERO;
    config.dead_letters.sink = Some("letters".to_owned());
    let sink = letters.clone();
    let mut rig = Rig::start(config, |worker| worker.sink("letters", sink).add_route(route(permanent())));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    tokio::time::sleep(Duration::from_secs(24 * 60 * 60)).await;
    // After 10 s, 20 s, 40 s, and each minute.
    assert!((1430..1445).contains(&letters.begun()), "{}", letters.begun());
    let refused = [("sink", "letters"), ("result", "rejected")];
    assert_eq!(count(&rig.registry, "tidemill_sink_records_total", &refused), 1);
    taken.store(true, Ordering::SeqCst);
    let mut broker = broker.with_patience(Duration::from_secs(61));
    broker.expect_pubacks([1]).await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_connection_ignores_what_it_did_not_ask_for() {
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(permanent())));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    let mut dead = rig.publishing().await;
    // Some brokers subscribe every client to topics of the operator's choice.
    for pkid in 1..=300 {
        dead.publish(pkid, "news", Q1, "unasked").await;
    }
    let mut acked = 0;
    let letter = loop {
        match dead.recv().await {
            v5::Packet::PubAck(_) => acked += 1,
            v5::Packet::Publish(letter) => break letter,
            other => panic!("{other:?}"),
        }
    };
    dead.puback(letter.pkid).await;
    while acked < 300 {
        dead.expect_puback().await;
        acked += 1;
    }
    broker.expect_pubacks([1]).await;
    assert_eq!(count(&rig.registry, "tidemill_events_received_total", &[]), 1);
}

/// The next dead letter, and its acknowledgement.
async fn take_letter(dead: &mut tidemill_testkit::script::ScriptedBroker) -> v5::Publish {
    let letter = dead.expect_publish().await;
    dead.puback(letter.pkid).await;
    letter
}

fn with_property(pkid: u16, payload: &'static [u8], value: &str) -> v5::Packet {
    let properties =
        v5::PublishProperties { user_properties: vec![("own".into(), value.into())], ..no_publish_properties() };
    v5::Packet::Publish(v5::Publish { properties: Some(properties), ..publish(pkid, "t/a", payload) })
}

fn no_publish_properties() -> v5::PublishProperties {
    v5::PublishProperties {
        payload_format_indicator: None,
        message_expiry_interval: None,
        topic_alias: None,
        response_topic: None,
        correlation_data: None,
        user_properties: vec![],
        subscription_identifiers: vec![],
        content_type: None,
    }
}

/// An event near the broker's packet limit has no room for the headers of a dead letter.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_above_the_packet_limit_goes_without_properties_or_payload_and_holds_up_no_other() {
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(permanent())));
    let mut broker = rig.subscribed().await;
    broker.send(with_property(1, &[7; 1000], &"x".repeat(900))).await;
    broker.send(with_property(2, &[7; 2000], "small")).await;
    broker.send(with_property(3, b"after", "kept")).await;
    let mut dead = rig.connection().await;
    dead.expect_connect().await;
    dead.send_connack(false, Some(v5::ConnAckProperties { max_packet_size: Some(2000), ..no_properties() })).await;
    let mut letters: Vec<_> = Vec::new();
    for _ in 0..3 {
        letters.push(take_letter(&mut dead).await);
    }
    broker.expect_pubacks([1, 2, 3]).await;
    letters.sort_by_key(|letter| std::cmp::Reverse(letter.payload.len()));
    let told: Vec<_> = letters.iter().map(headers).collect();
    assert_eq!((letters[0].payload.len(), told[0]["tidemill-left-out"]), (1000, "properties"));
    assert!(!told[0].contains_key("own") && told[0]["tidemill-topic"] == "t/a");
    assert_eq!((&letters[1].payload[..], told[1]["own"]), (&b"after"[..], "kept"), "it is whole");
    assert_eq!((letters[2].payload.len(), told[2]["tidemill-left-out"]), (0, "payload"));
    assert_eq!(told[2]["tidemill-payload-bytes"], "2000");
    assert_eq!(told[2]["tidemill-payload-sha256"].len(), 64);
    assert_eq!(told[2]["tidemill-reason"], "permanent");
    assert_eq!(rig.finished("dead_lettered"), 3);
}

#[tokio::test(start_paused = true)]
async fn a_user_property_that_cannot_be_sent_is_left_out_of_the_dead_letter() {
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(permanent())));
    let mut broker = rig.subscribed().await;
    broker.send(with_property(1, b"x", "zero \0")).await;
    let mut dead = rig.publishing().await;
    let letter = take_letter(&mut dead).await;
    assert_eq!((&letter.payload[..], headers(&letter)["tidemill-left-out"]), (&b"x"[..], "properties"));
    broker.expect_pubacks([1]).await;
}

/// MQTT 3.1.1 has no way to say no, and a limit that nobody is told of.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_the_broker_closes_the_connection_over_gives_way_to_the_others() {
    let mut config = config_of(MqttVersion::V3_1_1);
    // The instance's connection stays, for however long it takes.
    config.mqtt.keep_alive = Duration::ZERO;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(permanent())));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, vec![0xFF_u8; 3000]).await;
    broker.publish(2, "t/b", Q1, "other").await;
    let mut letters = Vec::new();
    'connections: for connection in 0.. {
        // Five for it as it is. There is nothing to leave out but the payload.
        assert!(connection <= 5, "it goes on");
        let mut dead = rig.publishing().await;
        while letters.len() < 2 {
            let letter = dead.expect_publish().await;
            if letter.payload.len() > 2000 {
                dead.cut();
                continue 'connections;
            }
            dead.puback(letter.pkid).await;
            letters.push(serde_json::from_slice::<serde_json::Value>(&letter.payload).unwrap());
        }
        break;
    }
    broker.expect_pubacks([1, 2]).await;
    let stub = letters.iter().find(|letter| letter["headers"]["tidemill-topic"] == "t/a").unwrap();
    assert_eq!(stub["headers"]["tidemill-payload-bytes"], "3000");
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_the_destination_refuses_holds_up_no_other() {
    let letters = Recording::new();
    let mut config = config();
    config.dead_letters.sink = Some("letters".to_owned());
    letters.answer(SinkError::rejected(vec![Rejection { index: 0, reason: "too ugly".to_owned() }]));
    let sink = letters.clone();
    let mut rig = Rig::start(config, |worker| worker.sink("letters", sink).add_route(route(permanent())));
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(20));
    broker.publish(1, "t/a", Q1, "ugly").await;
    until(|| letters.attempts() == 1).await;
    broker.publish(2, "t/a", Q1, "fine").await;
    let began = tokio::time::Instant::now();
    until(|| letters.payloads() == ["fine"]).await;
    assert!(began.elapsed() < Duration::from_secs(1), "it waited for the other");
    broker.expect_pubacks([1, 2]).await;
    assert_eq!(letters.payloads(), ["fine", "ugly"]);
    rig.leave(broker).await;
}
