//! Brokers as others wrote them.

use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig, require_or_skip};

use std::time::Duration;

use tidemill::{Config, Context, Event, Handler, HandlerResult, MqttVersion, RunError, Summary, Worker, async_trait};

use super::servers::{Nats, RabbitMq};
use super::{doctor, probe};

/// Longer than a worker needs to find out, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(20);

struct Fine;

#[async_trait]
impl Handler for Fine {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        Ok(())
    }
}

/// Runs a worker with a group that knows nothing of the broker, for a while at most.
async fn worker(url: &str, version: MqttVersion) -> Result<Summary, RunError> {
    let mut config = Config::default();
    config.mqtt.url = url.to_owned();
    config.mqtt.version = version;
    config.group.name = Some("mill".to_owned());
    let worker = Worker::builder(config).route("t/#", Fine).build().unwrap();
    worker.run_until(tokio::time::sleep(LIMIT)).await
}

/// A worker does not wait there for ever.
async fn is_refused(url: &str, version: MqttVersion, words: &str) {
    let error = worker(url, version).await.unwrap_err();
    let told = tidemill::report(&error);
    assert!(told.contains(words) && told.contains("group.name"), "{told}");
}

#[tokio::test]
async fn mosquitto_is_recognised_and_wants_durable_members() {
    let Some(broker) = require_or_skip(Mosquitto::start(MosquittoConfig::default()).await) else { return };
    let ended = doctor(&broker.url()).await;
    let report = ended.report();
    assert_eq!((ended.code, report["profile"].as_str()), (0, Some("mosquitto")), "{}", ended.stderr);
    assert_eq!(report["certainty"], "sure", "{}", ended.stderr);
    assert_eq!(report["recommended"]["identity_mode"], "durable");
    assert_eq!(report["recommended"]["window"], 1024);
    assert_eq!(probe(&report, "shared, MQTT 5")["result"], "10 + 10 of 20");
    assert_eq!(probe(&report, "shared, MQTT 3.1.1")["result"], "10 + 10 of 20");
    assert_eq!(probe(&report, "in flight, MQTT 3.1.1")["result"], "20");
    assert_eq!(probe(&report, "dead ephemeral member")["result"], "0 of 20 moved");
    assert_eq!(probe(&report, "durable member")["result"], "20 of 20 came back, 0 moved");
    assert_eq!(probe(&report, "member that is away")["result"], "picked");
    let url = broker.url();
    let (five, three) = tokio::join!(worker(&url, MqttVersion::V5), worker(&url, MqttVersion::V3_1_1));
    assert_eq!((five.unwrap().received, three.unwrap().received), (0, 0), "the canary is no event");
}

#[tokio::test]
async fn nats_is_found_to_take_shared_subscriptions_in_silence() {
    let Some(broker) = require_or_skip(Nats::start().await) else { return };
    let ended = doctor(&broker.url()).await;
    let report = ended.report();
    assert_eq!((ended.code, report["profile"].as_str()), (2, Some("nats")), "{}", ended.stderr);
    assert_eq!(probe(&report, "shared, MQTT 3.1.1")["result"], "silent");
    assert_eq!(probe(&report, "MQTT 5")["result"], "not spoken");
    assert!(report["recommended"].is_null());
    assert!(ended.stderr.contains("no group can work on it"), "{}", ended.stderr);
    is_refused(&broker.url(), MqttVersion::V3_1_1, "delivers nothing through them").await;
}

#[tokio::test]
async fn rabbitmq_is_found_to_have_no_groups() {
    let Some(broker) = require_or_skip(RabbitMq::start().await) else { return };
    let ended = doctor(&broker.url()).await;
    let report = ended.report();
    assert_eq!((ended.code, report["profile"].as_str()), (2, Some("rabbitmq")), "{}", ended.stderr);
    assert_eq!(probe(&report, "shared, MQTT 3.1.1")["level"], "bad");
    assert!(report["recommended"].is_null());
    is_refused(&broker.url(), MqttVersion::V3_1_1, "delivers nothing through them").await;
    if probe(&report, "MQTT 5")["result"] != "not spoken" {
        is_refused(&broker.url(), MqttVersion::V5, "no shared subscriptions").await;
    }
}
