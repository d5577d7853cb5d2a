//! The presence of a worker, as others see it on the broker.

use std::sync::Arc;
use std::time::Duration;

use tidemill_runtime::presence::{Presence, SCHEMA, State};
use tidemill_runtime::{Config, MqttVersion, Worker, WorkerHandle};
use tidemill_testkit::broker::{Access, Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::support::*;

fn present(version: MqttVersion) -> Config {
    let mut config = config_of(version);
    config.instances = 2.into();
    config.group.presence.topic = Some("tidemill/groups/{group}/{id}".to_owned());
    config
}

struct Running {
    handle: WorkerHandle,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

fn start(broker: &Arc<Broker>, config: Config, handler: impl tidemill_core::Handler) -> Running {
    let worker = Worker::builder(config).connector(Direct(Arc::clone(broker))).on_one_runtime().route("t/#", handler);
    let worker = worker.build().unwrap();
    let (handle, stop) = (worker.handle(), CancellationToken::new());
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        worker.run_until(async move { stopped.cancelled().await }).await.unwrap();
    });
    Running { handle, stop, task }
}

/// What is retained there now: topics and payloads.
async fn retained(broker: &Broker) -> Vec<(String, String)> {
    let mut client = RawClient::new(broker.connect());
    client.connect(ConnectOptions::new("looker")).await;
    client.subscribe("tidemill/groups/#", Q0).await;
    let found = client.ping().await;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    client.disconnect().await;
    found.iter().map(|event| (text(&event.topic), text(&event.payload))).collect()
}

async fn seen(broker: &Broker) -> Vec<Presence> {
    let all = retained(broker).await;
    all.iter().map(|(_, text)| serde_json::from_str(text).unwrap()).collect()
}

async fn until_seen(broker: &Broker, condition: impl Fn(&[Presence]) -> bool) -> Vec<Presence> {
    for _ in 0..1200 {
        let seen = seen(broker).await;
        if condition(&seen) {
            return seen;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("what is awaited is never seen: {:?}", seen(broker).await);
}

async fn broker() -> Arc<Broker> {
    Arc::new(Broker::start(BrokerConfig::in_memory()).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_worker_says_who_and_how_it_is_and_clears_that_when_it_leaves() {
    for version in BOTH {
        let broker = broker().await;
        let (handler, mut calls) = Calls::new();
        let worker = start(&broker, present(version), handler);
        worker.handle.settled().await;
        let seen = until_seen(&broker, |seen| seen.iter().any(|one| one.state == State::Ready)).await;
        let [one] = &seen[..] else { panic!("{seen:?}") };
        assert_eq!(
            (one.schema, &*one.group, &*one.version, one.wanted, one.every),
            (SCHEMA, "g", env!("CARGO_PKG_VERSION"), 2, 10)
        );
        assert_eq!(one.instances.len(), 2);
        assert!(one.instances.iter().all(|each| each.phase == "ready" && each.id.starts_with(&one.id)), "{one:?}");
        let (topic, _) = retained(&broker).await.remove(0);
        assert_eq!(topic, format!("tidemill/groups/g/{}", one.id));

        let mut publisher = RawClient::new(broker.connect());
        publisher.connect(ConnectOptions::new("publisher")).await;
        for number in 0..100 {
            publisher.publish_acked("t/a", number.to_string()).await;
        }
        let mut first = Some(calls.next().await);
        let seen = until_seen(&broker, |seen| seen[0].rate > 1.0 && seen[0].window_use > 0.0).await;
        assert!(seen[0].rate <= 101.0, "{seen:?}");
        worker.stop.cancel();
        until_seen(&broker, |seen| seen.iter().any(|one| one.state == State::Leaving)).await;
        first.take().unwrap().ok();
        for _ in 1..100 {
            calls.next().await.ok();
        }
        worker.task.await.unwrap();
        assert_eq!(retained(&broker).await, [], "it has cleared its message");
        publisher.disconnect().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_lost_is_said_to_be_so_and_one_that_comes_back_is_there_at_once() {
    let broker = broker().await;
    let worker = start(&broker, present(MqttVersion::V5), Fine);
    worker.handle.settled().await;
    let ready = |seen: &[Presence]| seen.len() == 1 && seen[0].state == State::Ready;
    let here = until_seen(&broker, ready).await.remove(0);
    // Its connection alone.
    assert!(broker.cut(&format!("{}-here", here.id)));
    until_seen(&broker, ready).await;
    worker.task.abort();
    let _ = worker.task.await;
    let lost = until_seen(&broker, |seen| seen.iter().any(|one| one.state == State::Lost)).await.remove(0);
    assert_eq!((lost.id, lost.instances.len()), (here.id, 0));
    // It is remembered for an hour.
    tokio::time::sleep(Duration::from_secs(3500)).await;
    assert_eq!(retained(&broker).await.len(), 1);
    tokio::time::sleep(Duration::from_secs(200)).await;
    assert_eq!(retained(&broker).await, []);

    // Where nothing expires, nothing is left.
    let worker = start(&broker, present(MqttVersion::V3_1_1), Fine);
    until_seen(&broker, ready).await;
    worker.task.abort();
    let _ = worker.task.await;
    until_seen(&broker, <[Presence]>::is_empty).await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_refuses_it_is_asked_once_and_the_worker_goes_on() {
    let access = Access::default().deny_publish("tidemill/groups/#".parse().unwrap());
    let broker = Arc::new(Broker::start(BrokerConfig { access, ..BrokerConfig::in_memory() }).await.unwrap());
    let worker = start(&broker, present(MqttVersion::V5), Fine);
    worker.handle.settled().await;
    tokio::time::sleep(Duration::from_secs(300)).await;
    assert_eq!(broker.stats().connections, 2, "the instances are there, and nobody else");
    assert_eq!(broker.stats().refused, 1);
    worker.stop.cancel();
    worker.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_ends_the_connection_over_it_is_not_asked_for_ever() {
    let mut config = present(MqttVersion::V5);
    config.instances = 1.into();
    let mut rig = Rig::with_handler(config, Fine);
    let (mut own, mut thrown_out) = (None, 0);
    while own.is_none() || thrown_out < 5 {
        let mut broker = rig.connection().await;
        if broker.accept().await.connect.client_id.ends_with("-here") {
            broker.expect_publish().await;
            broker.cut();
            thrown_out += 1;
        } else {
            broker.accept_subscribe().await;
            own = Some(broker);
        }
    }
    let mut own = own.unwrap().with_patience(Duration::from_secs(60));
    for _ in 0..10 {
        own.accept_ping().await;
    }
    assert!(rig.stays_away(Duration::from_secs(1)).await);
    rig.leave(own).await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_cannot_work_is_refused() {
    for (topic, word) in [
        ("tidemill/groups", "overwrite"),
        ("tidemill/{nobody}/{id}", "braces"),
        ("tidemill/+/{id}", "wildcards"),
        ("t/{id}", "events"),
    ] {
        let mut config = present(MqttVersion::V5);
        config.group.presence.topic = Some(topic.to_owned());
        let error = Rig::try_start(config, |worker| worker.route("t/#", Fine)).unwrap_err().to_string();
        assert!(error.contains("group.presence.topic") && error.contains(word), "{topic}: {error}");
    }
}
