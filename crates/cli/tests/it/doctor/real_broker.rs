//! Brokers as others wrote them.

use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig, require_or_skip};

use super::servers::{Nats, RabbitMq};
use super::{doctor, probe};

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
}

#[tokio::test]
async fn rabbitmq_is_found_to_have_no_groups() {
    let Some(broker) = require_or_skip(RabbitMq::start().await) else { return };
    let ended = doctor(&broker.url()).await;
    let report = ended.report();
    assert_eq!((ended.code, report["profile"].as_str()), (2, Some("rabbitmq")), "{}", ended.stderr);
    assert_eq!(probe(&report, "shared, MQTT 3.1.1")["level"], "bad");
    assert!(report["recommended"].is_null());
}
