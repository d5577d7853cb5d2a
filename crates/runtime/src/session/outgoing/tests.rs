//! Publications on their way out: written so that any broker reads them, bounded, in order, and again after a loss.

use bytes::Bytes;
use proptest::prelude::*;
use tidemill_core::topic::TopicName;
use tokio::sync::oneshot;

use super::*;

fn publication(topic: &str, payload: &str) -> Publication {
    Publication::new(TopicName::new(topic).unwrap(), Bytes::copy_from_slice(payload.as_bytes()))
}

type Outcome = oneshot::Receiver<Result<Receipt, PublishError>>;

fn request(publication: Publication) -> (Request, Outcome) {
    let (done, outcome) = oneshot::channel();
    (Request::new(publication, Done::One(done)), outcome)
}

fn queue() -> (mpsc::Sender<Request>, Outgoing) {
    let (sender, receiver) = mpsc::channel(10_000);
    (sender, Outgoing::new(Some(receiver)))
}

fn put(sender: &mpsc::Sender<Request>, publication: Publication) -> Outcome {
    let (request, outcome) = request(publication);
    sender.try_send(request).unwrap();
    outcome
}

/// The packets in `out`, as identifiers and payloads.
fn written(out: &mut BytesMut) -> Vec<(u16, String)> {
    let mut packets = Vec::new();
    while !out.is_empty() {
        match v5::Packet::read(out, None).unwrap() {
            v5::Packet::Publish(p) => packets.push((p.pkid, String::from_utf8(p.payload.to_vec()).unwrap())),
            other => unreachable!("{other:?}"),
        }
    }
    packets
}

#[test]
fn no_more_than_the_receive_maximum_is_unacknowledged() {
    let (sender, mut outgoing) = queue();
    outgoing.begin_session(3, u32::MAX);
    let mut outcomes: Vec<_> = (0..10).map(|n| put(&sender, publication("t", &n.to_string()))).collect();
    let mut out = BytesMut::new();
    outgoing.pump(MqttVersion::V5, &mut out, None);
    assert_eq!(written(&mut out), [(1, "0".into()), (2, "1".into()), (3, "2".into())]);
    assert!(!outgoing.has_room() && !outgoing.is_idle());
    outgoing.acknowledged(2, Reason::SUCCESS);
    outgoing.pump(MqttVersion::V5, &mut out, None);
    assert_eq!(written(&mut out), [(4, "3".into())]);
    assert_eq!(outcomes.remove(1).try_recv().unwrap(), Ok(Receipt::default()));
    assert!(outcomes[0].try_recv().is_err(), "nobody has acknowledged that one");
    outgoing.acknowledged(1, Reason::NOT_AUTHORIZED);
    assert_eq!(outcomes[0].try_recv().unwrap(), Err(PublishError::Refused(Reason::NOT_AUTHORIZED)));
    outgoing.acknowledged(1, Reason::SUCCESS);
    outgoing.acknowledged(999, Reason::SUCCESS);
}

#[test]
fn what_a_lost_session_left_is_sent_again_in_order_and_before_anything_new() {
    let (sender, mut outgoing) = queue();
    outgoing.begin_session(4, u32::MAX);
    let _outcomes: Vec<_> = (0..6).map(|n| put(&sender, publication("t", &n.to_string()))).collect();
    let mut out = BytesMut::new();
    outgoing.pump(MqttVersion::V5, &mut out, None);
    outgoing.acknowledged(2, Reason::SUCCESS);
    out.clear();
    outgoing.end_session();
    outgoing.begin_session(100, u32::MAX);
    outgoing.pump(MqttVersion::V5, &mut out, None);
    let again: Vec<_> = written(&mut out).into_iter().map(|(_, payload)| payload).collect();
    assert_eq!(again, ["0", "2", "3", "4", "5"]);
    // An acknowledgement of the old session means nothing here.
    assert!(!outgoing.is_idle());
}

#[test]
fn an_identifier_in_use_is_not_given_to_another_even_after_the_count_begins_again() {
    let (sender, mut outgoing) = queue();
    outgoing.begin_session(u16::MAX, u32::MAX);
    let _held = put(&sender, publication("t", "held"));
    let mut out = BytesMut::new();
    outgoing.pump(MqttVersion::V5, &mut out, None);
    out.clear();
    for _ in 0..70_000_u32 {
        assert_ne!(outgoing.free_pkid(), 1);
    }
}

#[test]
fn the_queue_is_not_emptied_into_memory_while_the_broker_does_not_read() {
    let (sender, mut outgoing) = queue();
    outgoing.begin_session(u16::MAX, u32::MAX);
    let payload = "x".repeat(64 * 1024);
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
        for _ in 0..100 {
            drop(put(&sender, publication("t", &payload).with_qos(qos)));
        }
    }
    let mut out = BytesMut::new();
    let mut taken = 0;
    for _ in 0..200 {
        // As the session does it: as many as there seems to be room for, one at a time.
        if outgoing.has_room()
            && let Some(request) = outgoing.requests.as_mut().and_then(|requests| requests.try_recv().ok())
        {
            taken += 1;
            outgoing.pump(MqttVersion::V5, &mut out, Some(request));
        }
    }
    assert!(outgoing.awaits_flush());
    assert!(taken < 20 && out.len() < 1024 * 1024, "{taken} taken, {} bytes written", out.len());
    // As soon as the buffer is empty, it goes on.
    out.clear();
    outgoing.pump(MqttVersion::V5, &mut out, None);
    assert!(!out.is_empty());
}

#[test]
fn that_nobody_is_subscribed_is_told() {
    let (sender, mut outgoing) = queue();
    outgoing.begin_session(2, u32::MAX);
    let mut outcomes = [put(&sender, publication("t", "0")), put(&sender, publication("t", "1"))];
    outgoing.pump(MqttVersion::V5, &mut BytesMut::new(), None);
    outgoing.acknowledged(1, Reason::NO_MATCHING_SUBSCRIBERS);
    outgoing.acknowledged(2, Reason::SUCCESS);
    let told = outcomes.each_mut().map(|outcome| outcome.try_recv().unwrap().unwrap().no_subscribers);
    assert_eq!(told, [true, false]);
}

#[test]
fn whoever_waits_is_told_when_the_connection_ends_for_good() {
    let (sender, mut outgoing) = queue();
    outgoing.begin_session(1, u32::MAX);
    let mut outcomes: Vec<_> = (0..3).map(|n| put(&sender, publication("t", &n.to_string()))).collect();
    outgoing.pump(MqttVersion::V5, &mut BytesMut::new(), None);
    outgoing.close();
    assert!(outcomes.iter_mut().all(|outcome| outcome.try_recv().unwrap() == Err(PublishError::Closed)));
    assert!(sender.is_closed());
}

#[test]
fn a_publication_above_the_brokers_limit_is_refused_and_leaves_no_trace() {
    for version in [MqttVersion::V5, MqttVersion::V3_1_1] {
        let (sender, mut outgoing) = queue();
        outgoing.begin_session(10, if version == MqttVersion::V5 { 100 } else { u32::MAX });
        let mut large = put(&sender, publication("t", &"x".repeat(200)));
        let _small = put(&sender, publication("t", "small"));
        let mut out = BytesMut::new();
        outgoing.pump(version, &mut out, None);
        if version == MqttVersion::V5 {
            assert!(matches!(large.try_recv(), Ok(Err(PublishError::TooLarge { bytes: 207..=209, limit: 100 }))));
            assert_eq!(written(&mut out).len(), 1);
        }
    }
}

#[test]
fn what_cannot_be_an_mqtt_string_is_refused_and_leaves_no_trace() {
    let long = "x".repeat(65_536);
    let with = |change: &dyn Fn(&mut Properties)| {
        let mut properties = Properties::default();
        change(&mut properties);
        publication("t", "x").with_properties(properties)
    };
    let wrong = [
        with(&|p| p.content_type = Some(long.clone())),
        with(&|p| p.content_type = Some("a\0b".into())),
        with(&|p| p.response_topic = Some(long.clone())),
        with(&|p| p.correlation_data = Some(Bytes::from(vec![0; 65_536]))),
        with(&|p| p.user.push((long.clone(), String::new()))),
        with(&|p| p.user.push(("name".into(), long.clone()))),
        with(&|p| p.user.push(("name\0".into(), String::new()))),
    ];
    for publication in wrong {
        let (sender, mut outgoing) = queue();
        outgoing.begin_session(10, u32::MAX);
        let mut outcome = put(&sender, publication.clone());
        let mut out = BytesMut::new();
        outgoing.pump(MqttVersion::V5, &mut out, None);
        assert!(matches!(outcome.try_recv(), Ok(Err(PublishError::Invalid(_)))) && out.is_empty());
        assert!(outgoing.is_idle());
        // Without properties on the wire there is nothing wrong with it.
        let _outcome = put(&sender, publication);
        outgoing.pump(MqttVersion::V3_1_1, &mut out, None);
        assert!(!out.is_empty());
    }
}

fn properties() -> impl Strategy<Value = Properties> {
    let text = || prop::option::of("[ -~]{0,30}");
    let user = prop::collection::vec(("[ -~]{0,300}", "\\PC{0,20}"), 0..4);
    let data = prop::option::of(prop::collection::vec(any::<u8>(), 0..300));
    (any::<bool>(), prop::option::of(any::<u32>()), text(), text(), data, user).prop_map(
        |(utf8, expiry, content_type, response_topic, data, user)| {
            let mut properties = Properties::default();
            properties.utf8_payload = utf8;
            properties.message_expiry = expiry.map(|seconds| std::time::Duration::from_secs(seconds.into()));
            properties.content_type = content_type;
            properties.response_topic = response_topic;
            properties.correlation_data = data.map(Bytes::from);
            properties.user = user;
            properties
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn publications_are_read_as_they_were_meant(
        topic in "[a-z/]{1,300}",
        payload in prop::collection::vec(any::<u8>(), 0..500),
        at_least_once in any::<bool>(),
        retain in any::<bool>(),
        properties in prop::option::of(properties()),
        before in prop::collection::vec(any::<u8>(), 0..10),
    ) {
        let qos = if at_least_once { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let topic = TopicName::new(&topic).unwrap();
        let mut publication = Publication::new(topic, payload).with_qos(qos).with_retain(retain);
        publication.properties = properties.map(Box::new);
        let pkid = if at_least_once { 77 } else { 0 };
        for version in [MqttVersion::V5, MqttVersion::V3_1_1] {
            let mut out = BytesMut::from(&before[..]);
            write_publish(version, &mut out, &publication, pkid, u32::MAX).unwrap();
            let mut packet = out.split_off(before.len());
            prop_assert_eq!(&out[..], &before[..]);
            let Ok(Some(codec::Incoming::Publish(read))) =
                codec::decode(version, &mut packet, u32::MAX) else { panic!("no event in {packet:?}") };
            prop_assert!(packet.is_empty());
            prop_assert_eq!(&read.topic[..], publication.topic.as_str().as_bytes());
            prop_assert_eq!((&read.payload, read.pkid, read.qos, read.retain), (&publication.payload, pkid, qos, retain));
            if version == MqttVersion::V5 {
                let wanted = publication.properties.clone().unwrap_or_default();
                prop_assert_eq!(read.properties.unwrap_or_default(), wanted);
            }
        }
    }
}

/// Connects, sends all it may, and returns what that is.
fn session(outgoing: &mut Outgoing) -> Vec<String> {
    outgoing.begin_session(10, u32::MAX);
    let mut out = BytesMut::new();
    outgoing.pump(MqttVersion::V5, &mut out, None);
    written(&mut out).into_iter().map(|(_, payload)| payload).collect()
}

/// A broker that closes the connection over one of several must not keep the others from going out.
#[test]
fn one_that_ends_every_connection_is_found_and_given_up_and_the_others_go_out() {
    let (sender, mut outgoing) = queue();
    let mut outcomes: Vec<_> = ["a", "bad", "c"].iter().map(|text| put(&sender, publication("t", text))).collect();
    for _ in 0..2 {
        assert_eq!(session(&mut outgoing), ["a", "bad", "c"]);
        outgoing.end_session();
    }
    assert_eq!(session(&mut outgoing), ["a"], "each is suspect, and sent alone");
    outgoing.acknowledged(1, Reason::SUCCESS);
    let mut out = BytesMut::new();
    outgoing.pump(MqttVersion::V5, &mut out, None);
    assert_eq!(written(&mut out), [(2, "bad".to_owned())]);
    assert!(!outgoing.has_room(), "nothing goes with it");
    outgoing.end_session();
    assert_eq!(session(&mut outgoing), ["bad"]);
    outgoing.end_session();
    assert_eq!(session(&mut outgoing), ["bad"]);
    outgoing.end_session();
    assert_eq!(outcomes.remove(1).try_recv().unwrap(), Err(PublishError::Unanswered { connections: 5 }));
    put(&sender, publication("t", "new"));
    assert_eq!(session(&mut outgoing), ["c"]);
    outgoing.acknowledged(1, Reason::SUCCESS);
    let mut out = BytesMut::new();
    outgoing.pump(MqttVersion::V5, &mut out, None);
    assert_eq!(written(&mut out), [(2, "new".to_owned())]);
}

/// A broker that is restarted a few times is no reason to give anything up.
#[test]
fn what_is_acknowledged_between_two_losses_is_never_given_up() {
    let (sender, mut outgoing) = queue();
    let mut outcomes: Vec<_> = (0..20).map(|n| put(&sender, publication("t", &n.to_string()))).collect();
    for _ in 0..40 {
        session(&mut outgoing);
        outgoing.acknowledged(1, Reason::SUCCESS);
        let mut out = BytesMut::new();
        outgoing.pump(MqttVersion::V5, &mut out, None);
        outgoing.end_session();
    }
    assert!(outcomes.iter_mut().all(|outcome| outcome.try_recv().unwrap().is_ok()));
}
