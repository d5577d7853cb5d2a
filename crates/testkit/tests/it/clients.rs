//! The broker as clients that others wrote see it, over TCP.

use std::process::Stdio;
use std::time::Duration;

use rumqttc::v5;
use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use tidemill_testkit::broker::{Broker, BrokerConfig, What};
use tidemill_testkit::mosquitto::{find, require_or_skip};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::{broker_with, until};

const SOON: Duration = Duration::from_secs(20);

/// How many subscriptions were asked for.
fn subscriptions(broker: &Broker) -> usize {
    broker.trace().iter().filter(|line| matches!(line.what, What::Subscribed { .. })).count()
}

fn options(broker: &Broker, id: &str) -> MqttOptions {
    let mut options = MqttOptions::new(id, "127.0.0.1", broker.addr().unwrap().port());
    options.set_keep_alive(Duration::from_secs(5));
    options
}

fn options5(broker: &Broker, id: &str) -> v5::MqttOptions {
    let mut options = v5::MqttOptions::new(id, "127.0.0.1", broker.addr().unwrap().port());
    options.set_keep_alive(Duration::from_secs(5));
    options
}

async fn payloads_v4(mut events: EventLoop, count: usize) -> Vec<String> {
    let mut payloads = Vec::new();
    while payloads.len() < count {
        if let Event::Incoming(Packet::Publish(publish)) = timeout(SOON, events.poll()).await.unwrap().unwrap() {
            payloads.push(String::from_utf8(publish.payload.to_vec()).unwrap());
        }
    }
    payloads
}

async fn payloads_v5(mut events: v5::EventLoop, count: usize) -> Vec<String> {
    let mut payloads = Vec::new();
    while payloads.len() < count {
        if let v5::Event::Incoming(v5::mqttbytes::v5::Packet::Publish(publish)) =
            timeout(SOON, events.poll()).await.unwrap().unwrap()
        {
            payloads.push(String::from_utf8(publish.payload.to_vec()).unwrap());
        }
    }
    payloads
}

#[tokio::test]
async fn rumqttc_of_both_versions_publishes_to_rumqttc_of_both_versions() {
    let broker = broker_with(BrokerConfig::default().with_trace(1000)).await;
    let (four, four_events) = AsyncClient::new(options(&broker, "four"), 10);
    four.subscribe("a/#", QoS::AtLeastOnce).await.unwrap();
    let four = (four, tokio::spawn(payloads_v4(four_events, 400)));
    let (five, five_events) = v5::AsyncClient::new(options5(&broker, "five"), 10);
    five.subscribe("a/+", v5::mqttbytes::QoS::ExactlyOnce).await.unwrap();
    let five = (five, tokio::spawn(payloads_v5(five_events, 400)));
    until(|| subscriptions(&broker) == 2).await;

    let (from_four, mut events) = AsyncClient::new(options(&broker, "from four"), 10);
    let pump_four = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    let (from_five, mut events) = v5::AsyncClient::new(options5(&broker, "from five"), 10);
    let pump_five = tokio::spawn(async move { while events.poll().await.is_ok() {} });
    for n in 0..100 {
        from_four.publish("a/1", QoS::AtLeastOnce, false, format!("a{n}")).await.unwrap();
        from_four.publish("a/1", QoS::ExactlyOnce, false, format!("b{n}")).await.unwrap();
        from_five.publish("a/1", v5::mqttbytes::QoS::AtLeastOnce, false, format!("c{n}")).await.unwrap();
        from_five.publish("a/1", v5::mqttbytes::QoS::ExactlyOnce, false, format!("d{n}")).await.unwrap();
    }
    for got in [four.1.await.unwrap(), five.1.await.unwrap()] {
        for publisher in ["a", "b", "c", "d"] {
            let of_publisher: Vec<_> = got.iter().filter(|payload| payload.starts_with(publisher)).collect();
            assert_eq!(
                of_publisher,
                (0..100).map(|n| format!("{publisher}{n}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
            );
        }
    }
    pump_four.abort();
    pump_five.abort();
}

#[tokio::test]
async fn rumqttc_members_share_what_is_published_to_them() {
    let broker = broker_with(BrokerConfig::default().with_trace(1000)).await;
    let (came, mut arrivals) = tokio::sync::mpsc::channel(1000);
    let mut tasks = Vec::new();
    for id in ["m1", "m2"] {
        let (member, mut events) = v5::AsyncClient::new(options5(&broker, id), 10);
        member.subscribe("$share/g/a", v5::mqttbytes::QoS::AtLeastOnce).await.unwrap();
        let came = came.clone();
        tasks.push(tokio::spawn(async move {
            let _member = member;
            while let Ok(event) = events.poll().await {
                if let v5::Event::Incoming(v5::mqttbytes::v5::Packet::Publish(publish)) = event {
                    came.send((id, publish.payload)).await.unwrap();
                }
            }
        }));
    }
    let (member, mut events) = AsyncClient::new(options(&broker, "m3"), 10);
    member.subscribe("$share/g/a", QoS::AtLeastOnce).await.unwrap();
    tasks.push(tokio::spawn(async move {
        let _member = member;
        while let Ok(event) = events.poll().await {
            if let Event::Incoming(Packet::Publish(publish)) = event {
                came.send(("m3", publish.payload)).await.unwrap();
            }
        }
    }));
    until(|| subscriptions(&broker) == 3).await;

    let (publisher, mut events) = AsyncClient::new(options(&broker, "publisher"), 10);
    tasks.push(tokio::spawn(async move { while events.poll().await.is_ok() {} }));
    for n in 0..300 {
        publisher.publish("a", QoS::AtLeastOnce, false, n.to_string()).await.unwrap();
    }
    let mut got = Vec::new();
    while got.len() < 300 {
        got.push(timeout(SOON, arrivals.recv()).await.unwrap().unwrap());
    }
    for member in ["m1", "m2", "m3"] {
        let share = got.iter().filter(|(at, _)| *at == member).count();
        assert!((60..=140).contains(&share), "{share} of 300 for {member}");
    }
    let mut got: Vec<usize> =
        got.iter().map(|(_, payload)| std::str::from_utf8(payload).unwrap().parse().unwrap()).collect();
    got.sort_unstable();
    assert_eq!(got, (0..300).collect::<Vec<_>>());
    until(|| broker.stats().inflight == 0).await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
}

fn mosquitto_sub(broker: &Broker, version: &str, filter: &str, count: usize) -> Option<Child> {
    let program = require_or_skip(find("mosquitto_sub"))?;
    let child = Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &broker.addr().unwrap().port().to_string(), "-V", version])
        .args(["-q", "1", "-t", filter, "-C", &count.to_string(), "-W", "20"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    Some(child.unwrap())
}

async fn mosquitto_pub(broker: &Broker, version: &str, args: &[&str]) {
    let program = find("mosquitto_pub").unwrap();
    let status = Command::new(program)
        .args(["-h", "127.0.0.1", "-p", &broker.addr().unwrap().port().to_string(), "-V", version])
        .args(args)
        .kill_on_drop(true)
        .status();
    assert!(timeout(SOON, status).await.unwrap().unwrap().success());
}

async fn lines(mut child: Child) -> Vec<String> {
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = Vec::new();
    while let Some(line) = timeout(SOON, output.next_line()).await.unwrap().unwrap() {
        lines.push(line);
    }
    assert!(timeout(SOON, child.wait()).await.unwrap().unwrap().success());
    lines
}

#[tokio::test]
async fn the_clients_of_mosquitto_talk_to_each_other_through_it() {
    let broker = broker_with(BrokerConfig::default().with_trace(1000)).await;
    let Some(five) = mosquitto_sub(&broker, "5", "plant/#", 6) else { return };
    let Some(four) = mosquitto_sub(&broker, "mqttv311", "plant/+/t", 6) else { return };
    until(|| subscriptions(&broker) == 2).await;
    for (version, qos) in [("5", "0"), ("5", "1"), ("5", "2"), ("mqttv311", "0"), ("mqttv311", "1"), ("mqttv311", "2")]
    {
        let payload = format!("{version}-{qos}");
        mosquitto_pub(&broker, version, &["-q", qos, "-t", "plant/1/t", "-m", &payload]).await;
    }
    for child in [five, four] {
        let got = lines(child).await;
        assert_eq!(got, ["5-0", "5-1", "5-2", "mqttv311-0", "mqttv311-1", "mqttv311-2"]);
    }
}

#[tokio::test]
async fn mosquitto_members_of_both_versions_share_a_group() {
    let broker = broker_with(BrokerConfig::default().with_trace(1000)).await;
    let Some(five) = mosquitto_sub(&broker, "5", "$share/g/a", 50) else { return };
    let Some(four) = mosquitto_sub(&broker, "mqttv311", "$share/g/a", 50) else { return };
    until(|| subscriptions(&broker) == 2).await;
    for n in 0..10 {
        let batch: Vec<String> = (0..10).map(|at| (n * 10 + at).to_string()).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), batch.join("\n")).unwrap();
        let input = std::fs::File::open(file.path()).unwrap();
        let status = Command::new(find("mosquitto_pub").unwrap())
            .args(["-h", "127.0.0.1", "-p", &broker.addr().unwrap().port().to_string()])
            .args(["-q", "1", "-t", "a", "-l"])
            .stdin(input)
            .kill_on_drop(true)
            .status();
        assert!(timeout(SOON, status).await.unwrap().unwrap().success());
    }
    let mut got = [lines(five).await, lines(four).await].concat();
    got.sort_by_key(|payload| payload.parse::<usize>().unwrap());
    assert_eq!(got, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
}
