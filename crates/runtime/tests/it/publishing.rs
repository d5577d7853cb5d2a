//! What handlers publish: through the same connection as dead letters, before the event is acknowledged (G1).

use std::time::Duration;

use tidemill_core::topic::TopicName;
use tidemill_core::{HandlerError, Properties, Publication};

use crate::support::*;

fn to(topic: &str, payload: &'static str) -> Publication {
    Publication::new(TopicName::new(topic).unwrap(), payload)
}

#[tokio::test(start_paused = true)]
async fn a_publication_is_acknowledged_before_its_event() {
    for version in BOTH {
        let (handler, mut calls) = Calls::new();
        let mut rig = Rig::start(config_of(version), |worker| worker.add_route(route(handler)));
        let mut broker = rig.subscribed().await;
        broker.publish(1, "t/a", Q1, "x").await;
        calls.next().await.answer(|cx| {
            cx.publish(to("out/1", "one"));
            cx.publish(to("out/2", "two").with_qos(Q0));
            Ok(())
        });
        let mut out = rig.publishing().await;
        let first = out.expect_publish().await;
        let second = out.expect_publish().await;
        assert_eq!((&first.topic[..], &first.payload[..]), (&b"out/1"[..], &b"one"[..]));
        assert_eq!((&second.topic[..], second.pkid), (&b"out/2"[..], 0));
        broker.expect_no_packet().await;
        out.puback(first.pkid).await;
        broker.expect_pubacks([1]).await;
        assert_eq!(rig.finished("handled"), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_failed_attempt_published_is_not_sent() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.answer(|cx| {
        cx.publish(to("out", "of the first attempt"));
        Err(HandlerError::retry("after publishing"))
    });
    calls.next().await.answer(|cx| {
        cx.publish(to("out", "of the second attempt"));
        Ok(())
    });
    let mut out = rig.publishing().await;
    let sent = out.expect_publish().await;
    assert_eq!(&sent.payload[..], b"of the second attempt");
    out.puback(sent.pkid).await;
    out.expect_no_packet().await;
    broker.expect_pubacks([1]).await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_goes_where_the_publisher_wants_it() {
    let handler = does(|event, cx| Ok(cx.reply(event, "answer")?));
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    let properties = v5::PublishProperties {
        response_topic: Some("answers/7".to_owned()),
        correlation_data: Some("c1".into()),
        ..crate::protocol::no_properties()
    };
    broker.send(v5::Packet::Publish(v5::Publish { properties: Some(properties), ..publish(1, "t/a", "x") })).await;
    let mut out = rig.publishing().await;
    let sent = out.expect_publish().await;
    assert_eq!((&sent.topic[..], &sent.payload[..]), (&b"answers/7"[..], &b"answer"[..]));
    assert_eq!(sent.properties.unwrap().correlation_data.as_deref(), Some(&b"c1"[..]));
    out.puback(sent.pkid).await;
    broker.expect_pubacks([1]).await;
}

#[tokio::test(start_paused = true)]
async fn a_publication_that_cannot_be_sent_sends_its_event_to_the_dead_letters() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.answer(|cx| {
        let mut properties = Properties::default();
        properties.user.push(("note".to_owned(), "x".repeat(100_000)));
        cx.publish(to("out", "with a note").with_properties(properties));
        Ok(())
    });
    let mut out = rig.publishing().await;
    let letter = out.expect_publish().await;
    assert_eq!((&letter.topic[..], &letter.payload[..]), (&b"tidemill/dead/t"[..], &b"x"[..]));
    let told = letter.properties.unwrap().user_properties;
    let error = &told.iter().find(|(name, _)| name == "tidemill-error").unwrap().1;
    assert!(error.contains("user property") && error.contains("65535"), "{error}");
    out.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_over_a_quota_is_published_later_alone_and_what_is_not_allowed_sends_its_event_to_the_dead_letters() {
    use v5::PubAckReason::{NotAuthorized, QuotaExceeded};
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.keep_alive = Duration::ZERO;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.answer(|cx| {
        for payload in ["one", "two", "three"] {
            cx.publish(to("out", payload));
        }
        Ok(())
    });
    let refused = |pkid, reason| v5::Packet::PubAck(v5::PubAck { reason, ..v5::PubAck::new(pkid, None) });
    let mut out = rig.publishing().await.with_patience(Duration::from_secs(60));
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(out.expect_publish().await.pkid);
    }
    out.send(refused(first[2], QuotaExceeded)).await;
    out.send(refused(first[0], QuotaExceeded)).await;
    out.puback(first[1]).await;
    for _ in 0..5 {
        out.expect_no_packet_for(Duration::from_millis(900)).await;
        let again = [out.expect_publish().await, out.expect_publish().await];
        assert_eq!([&again[0].payload[..], &again[1].payload[..]], [b"one", &b"three"[..]], "and not what was taken");
        for publication in again {
            out.send(refused(publication.pkid, QuotaExceeded)).await;
        }
    }
    assert_eq!((rig.finished("handled"), rig.finished("dead_lettered")), (0, 0));
    let (one, three) = (out.expect_publish().await, out.expect_publish().await);
    out.puback(one.pkid).await;
    out.send(refused(three.pkid, NotAuthorized)).await;
    let letter = out.expect_publish().await;
    assert_eq!((&letter.topic[..], &letter.payload[..]), (&b"tidemill/dead/t"[..], &b"x"[..]));
    out.puback(letter.pkid).await;
    broker.expect_pubacks([1]).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_multiply_what_is_published() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.keep_alive = Duration::ZERO;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    for pkid in 1..=3 {
        broker.publish(pkid, &format!("t/{pkid}"), Q1, "x").await;
        calls.next().await.answer(move |cx| {
            cx.publish(to("out", ["zero", "one", "two", "three"][usize::from(pkid)]));
            Ok(())
        });
    }
    // For ten minutes the publishing connection comes to nothing.
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(600) {
        drop(rig.stream().await);
    }
    let mut out = rig.publishing().await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        let event = out.expect_publish().await;
        sent.push(String::from_utf8(event.payload.to_vec()).unwrap());
        out.puback(event.pkid).await;
    }
    assert_eq!(sent, ["one", "two", "three"]);
    out.expect_no_packet_for(Duration::from_secs(30)).await;
    broker.expect_pubacks(1..=3).await;
}

#[tokio::test(start_paused = true)]
async fn a_publishing_connection_that_was_refused_is_tried_again_as_long_as_events_wait_for_it() {
    let (handler, mut calls) = Calls::new();
    let mut config = config();
    config.mqtt.keep_alive = Duration::ZERO;
    let mut rig = Rig::start(config, |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.answer(|cx| {
        cx.publish(to("out", "one"));
        Ok(())
    });
    let mut out = rig.connection().await;
    out.expect_connect().await;
    out.send_raw(&[0x20, 3, 0, 0x87, 0]).await;
    broker.expect_no_packet().await;
    assert_eq!(rig.handle.status().unfinished, 1);
    // Somebody has mended the access rules.
    let mut out = rig.publishing().await;
    let sent = out.expect_publish().await;
    out.puback(sent.pkid).await;
    broker.expect_pubacks([1]).await;
}

#[tokio::test(start_paused = true)]
async fn an_expiry_below_a_second_does_not_mean_that_it_has_passed() {
    let (handler, mut calls) = Calls::new();
    let mut rig = Rig::start(config(), |worker| worker.add_route(route(handler)));
    let mut broker = rig.subscribed().await;
    broker.publish(1, "t/a", Q1, "x").await;
    calls.next().await.answer(|cx| {
        for expiry in [0, 1, 999, 1000, 1001] {
            let mut properties = Properties::default();
            properties.message_expiry = Some(Duration::from_millis(expiry));
            cx.publish(to("out", "x").with_properties(properties));
        }
        Ok(())
    });
    let mut out = rig.publishing().await;
    for seconds in [0, 1, 1, 1, 2] {
        let sent = out.expect_publish().await;
        assert_eq!(sent.properties.unwrap().message_expiry_interval, Some(seconds));
        out.puback(sent.pkid).await;
    }
    broker.expect_pubacks([1]).await;
}
