//! Whether the broker shares is tried at the start: one that swallows shared events ends the worker, what cannot be seen
//! does not.

use std::sync::Arc;
use std::time::Duration;

use tidemill_core::async_trait;
use tidemill_runtime::config::Verify;
use tidemill_runtime::{
    BoxStream, Config, Connector, MqttVersion, RunError, RunErrorKind, SessionError, Summary, Worker,
};
use tidemill_testkit::broker::{Access, Broker, BrokerConfig, Profile, Quirks, SharedSubscriptions};
use tokio_util::sync::CancellationToken;

use crate::support::*;

fn verifying(version: MqttVersion) -> Config {
    let mut config = config_of(version);
    config.group.verify = Verify::Auto;
    config
}

/// Runs a worker for two minutes at most; how it ended, and what the broker knows of it then.
async fn run(broker: &Arc<Broker>, config: Config) -> Result<Summary, RunError> {
    let worker = Worker::builder(config).connector(Direct(Arc::clone(broker))).on_one_runtime().route("t/#", Fine);
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let running = tokio::spawn(worker.build().unwrap().run_until(async move { stopped.cancelled().await }));
    tokio::time::sleep(Duration::from_secs(120)).await;
    stop.cancel();
    running.await.unwrap()
}

async fn broker(quirks: Quirks, access: Access) -> Arc<Broker> {
    let config = BrokerConfig { access, ..BrokerConfig::in_memory().with_quirks(quirks) };
    Arc::new(Broker::start(config).await.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_grants_a_share_and_ignores_it_ends_the_worker_with_one_sentence() {
    for profile in [Profile::Nats, Profile::Rabbitmq] {
        let broker = broker(profile.quirks(), Access::default()).await;
        let error = run(&broker, verifying(MqttVersion::V3_1_1)).await.unwrap_err();
        assert_eq!(error.kind(), RunErrorKind::Broker);
        let told = told(&error);
        for word in ["delivers nothing", "mqtt://127.0.0.1:1883", "\"g\"", "group.name", "group.verify"] {
            assert!(told.contains(word), "{word} in {told}");
        }
        assert_eq!(broker.stats().connections, 0, "nothing stays behind");
        assert_eq!(broker.stats().sessions, 0);
    }
    let quirks = Quirks { shared_subscriptions: SharedSubscriptions::SilentlyPlain, ..Quirks::default() };
    let broker = broker(quirks, Access::default()).await;
    let error = run(&broker, verifying(MqttVersion::V5)).await.unwrap_err();
    assert!(told(&error).contains("delivers nothing"), "{}", told(&error));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_says_that_it_does_not_share_ends_the_worker_by_its_word() {
    let broker = broker(Profile::Rabbitmq.quirks(), Access::default()).await;
    let error = run(&broker, verifying(MqttVersion::V5)).await.unwrap_err();
    assert!(told(&error).contains("no shared subscriptions"), "{}", told(&error));
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_shares_hears_the_canary_once_and_the_worker_goes_on() {
    for profile in Profile::ALL {
        let quirks = profile.quirks();
        if quirks.shared_subscriptions != SharedSubscriptions::Supported {
            continue;
        }
        for version in BOTH {
            let broker = broker(quirks.clone(), Access::default()).await;
            let summary = run(&broker, verifying(version)).await.unwrap();
            assert_eq!(summary.received, 0, "the canary is no event");
            let stats = broker.stats();
            assert_eq!((stats.published, stats.sessions, stats.groups), (2, 0, 0), "{profile:?} {version:?} {stats:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn access_rules_that_forbid_the_canary_do_not_end_the_worker() {
    let canaries = || "tidemill/canary/#".parse().unwrap();
    for access in [Access::default().deny_publish(canaries()), Access::default().deny_subscribe(canaries())] {
        for version in BOTH {
            // Even where it would be swallowed: nothing is seen.
            for quirks in [Quirks::default(), Quirks { mqtt5: true, ..Profile::Nats.quirks() }] {
                let broker = broker(quirks, access.clone()).await;
                run(&broker, verifying(version)).await.unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_canary_is_sent_as_the_setting_says() {
    let sent = async |config: Config| {
        let broker = broker(Quirks::default(), Access::default()).await;
        run(&broker, config).await.unwrap();
        broker.stats().published > 0
    };
    let mut config = verifying(MqttVersion::V5);
    assert!(sent(config.clone()).await);
    config.mqtt.broker = tidemill_runtime::profile::Profile::Emqx;
    assert!(!sent(config.clone()).await, "its profile says that it shares");
    config.group.verify = Verify::Always;
    assert!(sent(config.clone()).await);
    config.group.verify = Verify::Never;
    config.mqtt.broker = tidemill_runtime::profile::Profile::Generic;
    assert!(!sent(config.clone()).await);
    config.group = Default::default();
    assert!(!sent(config).await, "there is no group");
}

#[tokio::test(start_paused = true)]
async fn no_route_ever_takes_the_canary_for_an_event() {
    let mut config = verifying(MqttVersion::V5);
    config.group.verify_topic = "t/canary".to_owned();
    let broker = broker(Quirks::default(), Access::default()).await;
    run(&broker, config.clone()).await.unwrap();
    assert_eq!(broker.stats().published, 0);
    config.group.verify = Verify::Always;
    let error = Rig::try_start(config, |worker| worker.route("t/#", Fine)).unwrap_err();
    assert!(error.to_string().contains("group.verify_topic"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_canary_without_a_connection_waits_for_one() {
    let mut config = verifying(MqttVersion::V5);
    config.mqtt.startup_timeout = Duration::ZERO;
    // The canary may come long after the instance, whose pings nobody answers here.
    config.mqtt.keep_alive = Duration::from_secs(3600);
    let mut rig = Rig::with_handler(config, Fine);
    // Nobody gets in for an hour.
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(3600) {
        drop(rig.stream().await);
    }
    let mut own = None;
    let mut seen = false;
    while own.is_none() || !seen {
        let mut broker = rig.connection().await;
        let id = broker.accept().await.connect.client_id;
        let subscribe = broker.accept_subscribe().await;
        if id.ends_with("-try") {
            assert_eq!(subscribe.filters.len(), 2);
            let (shared, plain) = (broker.expect_publish().await, broker.expect_publish().await);
            broker.puback(shared.pkid).await;
            broker.puback(plain.pkid).await;
            let topic = std::str::from_utf8(&shared.topic).unwrap().to_owned();
            broker.publish(9, &topic, Q1, "canary").await;
            broker.expect_pubacks([9]).await;
            broker.expect_disconnect().await;
            seen = true;
        } else {
            own = Some(broker);
        }
    }
    rig.leave(own.unwrap()).await;
}

/// The nodes of a cluster may not know of a shared subscription yet when its SUBACK is sent.
#[tokio::test(start_paused = true)]
async fn a_broker_that_takes_a_moment_to_share_is_not_blamed() {
    let mut rig = Rig::with_handler(verifying(MqttVersion::V5), Fine);
    let (mut own, mut seen) = (None, false);
    while own.is_none() || !seen {
        let mut broker = rig.connection().await;
        let id = broker.accept().await.connect.client_id;
        broker.accept_subscribe().await;
        if !id.ends_with("-try") {
            own = Some(broker);
            continue;
        }
        let (shared, plain) = (broker.expect_publish().await, broker.expect_publish().await);
        let topic = |publish: &v5::Publish| String::from_utf8(publish.topic.to_vec()).unwrap();
        broker.publish(1, &topic(&plain), Q1, "canary").await;
        broker.expect_pubacks([1]).await;
        for _ in 0..3 {
            assert_eq!(topic(&broker.expect_publish().await), topic(&shared));
        }
        broker.publish(2, &topic(&shared), Q1, "canary").await;
        broker.expect_pubacks([2]).await;
        broker.expect_disconnect().await;
        seen = true;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(rig.handle.status().ready);
    rig.leave(own.unwrap()).await;
}

/// A broker that nobody reaches for a while.
#[derive(Clone, Debug)]
struct Late(Arc<Broker>, tokio::time::Instant);

#[async_trait]
impl Connector for Late {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        if tokio::time::Instant::now() < self.1 {
            std::future::pending::<()>().await;
        }
        Ok(Box::new(self.0.connect()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_is_not_reached_for_a_while_is_tried_all_the_same() {
    let broker = broker(Profile::Nats.quirks(), Access::default()).await;
    let mut config = verifying(MqttVersion::V3_1_1);
    config.mqtt.connect_timeout = Duration::from_secs(5);
    config.mqtt.startup_timeout = Duration::ZERO;
    config.mqtt.reconnect.max = Duration::from_secs(1);
    let late = Late(broker, tokio::time::Instant::now() + Duration::from_secs(300));
    let worker = Worker::builder(config).connector(late).on_one_runtime().route("t/#", Fine).build().unwrap();
    let running = worker.run_until(std::future::pending::<()>());
    let error = tokio::time::timeout(Duration::from_secs(400), running).await.unwrap().unwrap_err();
    assert!(told(&error).contains("delivers nothing"), "{}", told(&error));
}
