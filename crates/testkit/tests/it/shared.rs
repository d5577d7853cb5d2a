//! Sharing groups.

use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::v5;

use crate::support::*;

async fn member(broker: &Broker, id: &str, window: u16) -> RawClient {
    let mut member = client(broker, ConnectOptions::new(id).receive_maximum(window)).await;
    member.subscribe("$share/g/a/#", Q1).await;
    member
}

#[tokio::test(start_paused = true)]
async fn equal_members_get_equal_shares_of_single_events_and_of_bursts() {
    let broker = broker().await;
    let mut members = Vec::new();
    for id in ["m1", "m2", "m3", "m4"] {
        members.push(member(&broker, id, 1000).await);
    }
    let mut publisher = clean(&broker, "publisher").await;
    for _ in 0..20 {
        publisher.publish_acked("a/b", "single").await;
    }
    let burst: Vec<u8> = (0..80).flat_map(|_| [0x30, 5, 0, 1, b'a', 0, b'x']).collect();
    publisher.send_raw(&burst).await;
    publisher.ping().await;
    for member in &mut members {
        assert_eq!(member.ping().await.len(), 25);
    }
}

#[tokio::test(start_paused = true)]
async fn bursts_that_do_not_divide_evenly_are_even_in_the_long_run() {
    let broker = broker().await;
    let mut members = Vec::new();
    for id in ["m1", "m2", "m3"] {
        members.push(member(&broker, id, 1000).await);
    }
    let mut publisher = clean(&broker, "publisher").await;
    let burst: Vec<u8> = (0..10).flat_map(|_| [0x30, 5, 0, 1, b'a', 0, b'x']).collect();
    for _ in 0..30 {
        publisher.send_raw(&burst).await;
        publisher.ping().await;
    }
    for member in &mut members {
        assert_eq!(member.ping().await.len(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_without_room_gets_nothing_and_the_others_get_its_share() {
    let broker = broker().await;
    let mut stuck = member(&broker, "stuck", 2).await;
    let mut working = member(&broker, "working", 1000).await;
    let mut publisher = clean(&broker, "publisher").await;
    for _ in 0..50 {
        publisher.publish_acked("a", "x").await;
    }
    assert_eq!(stuck.ping().await.len(), 2);
    assert_eq!(working.ping().await.len(), 48);
    assert_eq!(broker.stats().queued, 0);
}

#[tokio::test(start_paused = true)]
async fn members_draw_from_the_groups_queue_as_they_acknowledge() {
    let broker = broker().await;
    let mut one = member(&broker, "one", 1).await;
    let mut two = member(&broker, "two", 3).await;
    let mut publisher = clean(&broker, "publisher").await;
    for payload in 0..10 {
        publisher.publish_acked("a", payload.to_string()).await;
    }
    assert_eq!(broker.stats().queued, 6);
    let first = one.expect_publish().await;
    two.expect_publishes(3).await;
    two.puback(1).await;
    two.puback(2).await;
    assert_eq!(texts(&two.expect_publishes(2).await), ["4", "5"]);
    one.puback(first.pkid).await;
    assert_eq!(text(&one.expect_publish().await), "6");
    assert_eq!(broker.stats().queued, 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_lost_member_held_goes_to_the_others_first_in_its_old_order_with_dup() {
    let broker = broker().await;
    let mut lost = member(&broker, "lost", 5).await;
    let mut publisher = clean(&broker, "publisher").await;
    for payload in 0..8 {
        publisher.publish_acked("a", payload.to_string()).await;
    }
    lost.expect_publishes(5).await;
    lost.puback(2).await;
    lost.expect_publish().await;
    let mut heir = member(&broker, "heir", 100).await;
    assert_eq!(texts(&heir.expect_publishes(2).await), ["6", "7"]);
    lost.cut();
    let inherited = heir.expect_publishes(5).await;
    assert_eq!(texts(&inherited), ["0", "2", "3", "4", "5"]);
    assert!(inherited.iter().all(|publish| publish.dup));
    heir.expect_no_packet().await;
}

#[tokio::test(start_paused = true)]
async fn a_durable_member_that_is_away_is_not_picked_and_gives_back_what_it_held() {
    let broker = broker().await;
    let mut away = client(&broker, ConnectOptions::new("away").expiry(600)).await;
    away.subscribe("$share/g/a", Q1).await;
    let mut here = client(&broker, ConnectOptions::new("here")).await;
    here.subscribe("$share/g/a", Q1).await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "0").await;
    publisher.publish_acked("a", "1").await;
    away.cut();
    until(|| broker.stats().connections == 2).await;
    for payload in ["2", "3", "4"] {
        publisher.publish_acked("a", payload).await;
    }
    let mut got: Vec<String> = here.ping().await.iter().map(|publish| text(publish).to_owned()).collect();
    got.sort_unstable();
    assert_eq!(got, ["0", "1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_group_whose_durable_members_are_all_away_keeps_its_queue() {
    let broker = broker().await;
    let mut member = client(&broker, ConnectOptions::new("m").expiry(600)).await;
    member.subscribe("$share/g/a", Q1).await;
    member.disconnect().await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "kept").await;
    publisher.publish("a", Q0, "not kept").await;
    publisher.ping().await;
    let mut member = client(&broker, ConnectOptions::new("m").resume(600)).await;
    assert_eq!(texts(&member.ping().await), ["kept"]);
    assert_eq!(broker.stats().nobody, 1);
}

#[tokio::test(start_paused = true)]
async fn a_group_that_loses_its_last_session_loses_its_queue() {
    let broker = broker().await;
    let mut last = member(&broker, "last", 1).await;
    let mut publisher = clean(&broker, "publisher").await;
    for _ in 0..3 {
        publisher.publish_acked("a", "x").await;
    }
    last.disconnect().await;
    assert_eq!((broker.stats().groups, broker.stats().queued, broker.stats().dropped), (0, 0, 3));
    assert_eq!(publisher.publish_acked("a", "x").await, v5::PubAckReason::NoMatchingSubscribers);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_unsubscribed_keeps_what_it_holds_until_it_acknowledges_or_is_lost() {
    let broker = broker().await;
    let mut leaving = member(&broker, "leaving", 10).await;
    let mut publisher = clean(&broker, "publisher").await;
    for payload in ["0", "1"] {
        publisher.publish_acked("a", payload).await;
    }
    leaving.expect_publishes(2).await;
    let mut staying = member(&broker, "staying", 10).await;
    leaving.unsubscribe("$share/g/a/#").await;
    publisher.publish_acked("a", "2").await;
    assert_eq!(texts(&staying.ping().await), ["2"], "what is held elsewhere is not handed out");
    leaving.puback(1).await;
    leaving.expect_no_packet().await;
    leaving.cut();
    let inherited = staying.expect_publish().await;
    assert_eq!((text(&inherited), inherited.dup), ("1", true));
}

#[tokio::test(start_paused = true)]
async fn what_the_last_former_member_holds_still_goes_to_one_that_joins_anew() {
    let broker = broker().await;
    let mut leaving = member(&broker, "leaving", 10).await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "0").await;
    leaving.expect_publish().await;
    leaving.unsubscribe("$share/g/a/#").await;
    assert_eq!(publisher.publish_acked("a", "1").await, v5::PubAckReason::NoMatchingSubscribers);
    let mut joining = member(&broker, "joining", 10).await;
    leaving.cut();
    assert_eq!(text(&joining.expect_publish().await), "0");
}

#[tokio::test(start_paused = true)]
async fn a_group_is_a_share_name_and_a_filter() {
    let broker = broker().await;
    let mut one = subscriber(&broker, "one", "$share/g/a").await;
    let mut two = subscriber(&broker, "two", "$share/h/a").await;
    let mut three = subscriber(&broker, "three", "$share/g/+").await;
    let mut plain = subscriber(&broker, "plain", "a").await;
    let mut publisher = clean(&broker, "publisher").await;
    publisher.publish_acked("a", "x").await;
    for client in [&mut one, &mut two, &mut three, &mut plain] {
        assert_eq!(client.ping().await.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_with_several_groups_draws_from_all_of_them() {
    let broker = broker().await;
    let mut member = client(&broker, ConnectOptions::new("m").receive_maximum(4)).await;
    for filter in ["$share/g/a", "$share/g/b"] {
        member.subscribe(filter, Q1).await;
    }
    let mut publisher = clean(&broker, "publisher").await;
    for topic in ["a", "b"] {
        for _ in 0..400 {
            publisher.publish(topic, Q1, "x").await;
        }
    }
    until(|| broker.stats().published == 800).await;
    let mut from_b = 0;
    for _ in 0..400 {
        let publish = member.expect_publish().await;
        from_b += usize::from(publish.topic == "b");
        member.puback(publish.pkid).await;
    }
    assert!((100..300).contains(&from_b), "{from_b} of 400 from the second group");
}

#[tokio::test(start_paused = true)]
async fn no_local_on_a_share_is_a_protocol_error() {
    let broker = broker().await;
    let mut client = clean(&broker, "c").await;
    let filter = v5::Filter { nolocal: true, ..v5::Filter::new("$share/g/a", WireQoS::AtLeastOnce) };
    client.send(v5::Packet::Subscribe(v5::Subscribe { pkid: 1, filters: vec![filter], properties: None })).await;
    assert_eq!(client.expect_disconnect().await, v5::DisconnectReasonCode::ProtocolError);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_does_not_read_is_given_no_more_qos_0_than_its_buffer_holds() {
    let broker = broker_with(BrokerConfig::in_memory()).await;
    let mut slow = member(&broker, "slow", 10).await;
    let mut quick = member(&broker, "quick", 10).await;
    let mut publisher = clean(&broker, "publisher").await;
    let payload = vec![0_u8; 4096];
    let mut at_quick = 0;
    for _ in 0..40 {
        for _ in 0..50 {
            publisher.publish("a", Q0, payload.clone()).await;
        }
        publisher.ping().await;
        at_quick += quick.ping().await.len();
    }
    // A pipe, a write buffer and an outbox of a quarter of a mebibyte each, and one burst.
    let at_slow = 2000 - at_quick - broker.stats().queued;
    assert!((100..400).contains(&at_slow), "{at_slow} events for a member that does not read");
    let mut rest = 0;
    while at_quick + rest < 2000 {
        rest += slow.ping().await.len() + quick.ping().await.len();
    }
    assert_eq!((at_quick + rest, broker.stats().dropped), (2000, 0));
}

/// Members that work and come back after every cut, on several threads. Each event must arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_while_connections_are_cut_all_the_time() {
    const EVENTS: usize = 20_000;
    let broker = std::sync::Arc::new(broker_with(BrokerConfig::in_memory()).await);
    let mut anchor = client(&broker, ConnectOptions::new("anchor").expiry(10_000)).await;
    anchor.subscribe("$share/g/a/#", Q1).await;
    anchor.disconnect().await;
    let (came, mut arrivals) = tokio::sync::mpsc::channel(1000);
    let mut tasks = Vec::new();
    for id in ["m0", "m1", "m2", "m3"] {
        let (broker, came) = (std::sync::Arc::clone(&broker), came.clone());
        tasks.push(tokio::spawn(async move {
            let filter = [&[0x82, 18, 0, 1, 0, 0, 12][..], b"$share/g/a/#", &[1]].concat();
            loop {
                let mut member = member_stream(&broker, id).await;
                if !member.try_send_raw(&filter).await {
                    continue;
                }
                while let Some(packet) = member.next().await {
                    let v5::Packet::Publish(publish) = packet else { continue };
                    let [high, low] = publish.pkid.to_be_bytes();
                    came.send(text(&publish).parse::<usize>().unwrap()).await.unwrap();
                    if !member.try_send_raw(&[0x40, 2, high, low]).await {
                        break;
                    }
                }
            }
        }));
    }
    let publisher = std::sync::Arc::clone(&broker);
    tasks.push(tokio::spawn(async move {
        let mut publisher = clean(&publisher, "publisher").await;
        for n in 0..EVENTS {
            publisher.publish_acked("a/b", n.to_string()).await;
        }
        std::future::pending().await
    }));
    let mut seen = vec![false; EVENTS];
    let (mut missing, mut came, mut cuts) = (EVENTS, 0, 0);
    while missing > 0 {
        let arrival = tokio::time::timeout(std::time::Duration::from_secs(20), arrivals.recv()).await;
        let number = arrival.unwrap_or_else(|_| panic!("{missing} missing; {:?}", broker.stats())).unwrap();
        missing -= usize::from(!std::mem::replace(&mut seen[number], true));
        came += 1;
        if came % 100 == 0 {
            cuts += usize::from(broker.cut(&format!("m{}", fastrand::usize(..4))));
        }
    }
    assert!(cuts > 50, "{cuts} cuts");
    assert_eq!(broker.stats().dropped, 0);
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

/// A connection that may be cut at any time, also before it is known.
async fn member_stream(broker: &Broker, id: &str) -> RawClient {
    loop {
        let mut member = RawClient::new(broker.connect());
        let mut connect = vec![0x10, 0, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 0, 3, 0x21, 0, 50, 0, 0];
        connect.extend(id.as_bytes());
        (connect[1], connect[17]) = (u8::try_from(connect.len() - 2).unwrap(), u8::try_from(id.len()).unwrap());
        if member.try_send_raw(&connect).await && matches!(member.next().await, Some(v5::Packet::ConnAck(_))) {
            return member;
        }
    }
}
