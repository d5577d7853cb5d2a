//! `tidemill doctor` against brokers of every known kind: it tells them apart, says what suits a worker there, and leaves
//! nothing behind.

mod real_broker;
mod servers;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tidemill_testkit::broker::{Access, Broker, BrokerConfig, Profile};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::support::{Ended, run};

async fn doctor(url: &str) -> Ended {
    run(&["doctor", "--broker", url, "--json"]).await
}

/// What it says about a probe.
fn probe<'a>(report: &'a Value, name: &str) -> &'a Value {
    let probes = report["probes"].as_array().unwrap();
    probes.iter().find(|probe| probe["probe"] == name).unwrap_or_else(|| panic!("no {name:?} in {report}"))
}

/// The exit code that belongs to a simulated broker, and the identity that is safe on it.
fn expected(profile: Profile) -> (i32, Option<&'static str>) {
    match profile {
        Profile::Rabbitmq | Profile::Nats | Profile::WatsonIot => (2, None),
        Profile::Emqx | Profile::Hivemq | Profile::Tidemill => (0, Some("ephemeral")),
        // Nothing is safe there.
        Profile::Nanomq => (0, Some("ephemeral")),
        _ => (0, Some("durable")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_tells_the_simulated_brokers_apart() {
    // It mostly waits for what may still come.
    let places = Arc::new(Semaphore::new(4));
    let mut runs = JoinSet::new();
    for profile in Profile::ALL {
        let places = Arc::clone(&places);
        runs.spawn(async move {
            let _place = places.acquire().await.unwrap();
            let broker = Broker::start(profile.config()).await.unwrap();
            let ended = doctor(&broker.url()).await;
            let report = ended.report();
            assert_eq!(report["profile"], profile.name(), "{}", ended.stderr);
            let (code, mode) = expected(profile);
            assert_eq!(ended.code, code, "{profile:?} {}", ended.stderr);
            assert_eq!(report["usable"], code == 0, "{profile:?}");
            assert_eq!(report["recommended"]["identity_mode"].as_str(), mode, "{profile:?} {}", ended.stderr);
            broker.shutdown().await;
        });
    }
    while let Some(run) = runs.join_next().await {
        run.unwrap();
    }
}

#[test]
fn the_simulated_brokers_are_those_of_the_table() {
    let known = tidemill::profile::Profile::ALL.into_iter().map(tidemill::profile::Profile::name);
    let simulated = Profile::ALL.map(Profile::name);
    assert_eq!(known.filter(|name| *name != "generic").collect::<Vec<_>>(), simulated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_leaves_nothing_behind_and_stays_below_its_prefix() {
    let elsewhere = "other/#".parse().unwrap();
    let access = Access::default().deny_publish(elsewhere);
    let broker = Broker::start(BrokerConfig { access, ..Profile::Mosquitto.config() }).await.unwrap();
    let ended = run(&["doctor", "--broker", &broker.url(), "--prefix", "mine/probes", "--json"]).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 1, "the object alone: {}", ended.stdout);
    let stats = broker.stats();
    assert_eq!((stats.sessions, stats.connections, stats.groups, stats.retained), (0, 0, 0, 0), "{stats:?}");
    assert!(stats.published < 5000, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_version_alone_can_be_tried() {
    let broker = Broker::start(Profile::Emqx.config()).await.unwrap();
    for (version, other) in [("5", "shared, MQTT 3.1.1"), ("3.1.1", "shared, MQTT 5")] {
        let ended = run(&["doctor", "--broker", &broker.url(), "--mqtt-version", version, "--json"]).await;
        let report = ended.report();
        assert_eq!(report["profile"], "emqx", "{}", ended.stderr);
        assert_eq!(report["recommended"]["version"], version);
        assert_eq!(report["recommended"]["window"], 32);
        assert!(!report["probes"].to_string().contains(other), "{report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn access_rules_in_the_way_are_told_from_a_broker_without_groups() {
    let below = || "tidemill/doctor/#".parse().unwrap();
    for access in [Access::default().deny_subscribe(below()), Access::default().deny_publish(below())] {
        let broker = Broker::start(BrokerConfig { access, ..BrokerConfig::default() }).await.unwrap();
        let ended = run(&["doctor", "--broker", &broker.url()]).await;
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        assert!(ended.stderr.contains("NotAuthorized") && ended.stderr.contains("--prefix"), "{}", ended.stderr);
    }
    let access = Access::default().with_user("me", "secret");
    let broker = Broker::start(BrokerConfig { access, ..BrokerConfig::default() }).await.unwrap();
    let ended = run(&["doctor", "--broker", &broker.url()]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("CONNACK says"), "{}", ended.stderr);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "secret\n").unwrap();
    let password = file.path().to_str().unwrap();
    let ended = run(&["doctor", "--broker", &broker.url(), "--username", "me", "--password-file", password]).await;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("behaves like tidemill"), "{}", ended.stdout);
    assert!(!ended.stdout.contains("secret"));
}

#[tokio::test]
async fn a_broker_that_is_not_there_or_does_not_answer_ends_the_examination() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", closed.local_addr().unwrap());
    drop(closed);
    let ended = doctor(&url).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (1, ""));
    assert!(ended.stderr.contains("cannot be examined"), "{}", ended.stderr);

    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("mqtt://{}", mute.local_addr().unwrap());
    let start = Instant::now();
    let ended = run(&["doctor", "--broker", &url, "--timeout", "2s"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("no CONNACK came"), "{}", ended.stderr);
    assert!(start.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn wrong_usage_is_said_in_terms_of_the_options_and_repeats_no_password() {
    for (args, said) in [
        (&["--broker", "mqtt://me:hunter2@broker"][..], "--username"),
        (&["--broker", "broker:1883"], "--broker"),
        (&["--broker", "mqtt://broker", "--prefix", "a/#"], "--prefix"),
        (&["--broker", "mqtt://broker", "--prefix", "$SYS/x"], "--prefix"),
        (&["--broker", "mqtt://broker", "--timeout", "1h"], "--timeout"),
        (&["--broker", "mqtt://broker", "--mqtt-version", "4"], "--mqtt-version"),
        (&[], "--broker"),
    ] {
        let ended = run(&[&["doctor"], args].concat()).await;
        assert_eq!(ended.code, 64, "{args:?} {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{args:?} {}", ended.stderr);
        assert!(!ended.stderr.contains("hunter2"));
    }
}
