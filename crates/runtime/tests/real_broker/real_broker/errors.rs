//! What a worker says when a broker cannot be used: the operator must find the way out in it.

use std::time::Duration;

use tidemill_runtime::config::Secret;
use tidemill_runtime::{Config, RunErrorKind};
use tidemill_testkit::mosquitto::MosquittoConfig;

use super::support::*;

/// What a worker ends with that cannot connect.
async fn fails(mut config: Config) -> String {
    config.mqtt.startup_timeout = Duration::from_secs(2);
    let worker = Running::start(config, |worker| worker.route("t/#", Slow(Counted::default(), Duration::ZERO)));
    let error = worker.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Broker);
    told(&error)
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_not_trusted_are_called_so() {
    let (certificates, others) = (certificates(), certificates());
    let tls = Some(certificates.mosquitto());
    let Some(broker) = mosquitto(MosquittoConfig { tls, ..MosquittoConfig::default() }).await else { return };
    let mut wrong_authority = config(format!("mqtts://{}", broker.tls_addr().unwrap()));
    wrong_authority.mqtt.tls.ca_file = Some(others.ca());
    let text = fails(wrong_authority).await;
    assert!(text.contains("not trusted") && text.contains("mqtt.tls.ca_file"), "{text}");

    let mut wrong_name = config(format!("mqtts://{}", broker.tls_addr().unwrap()));
    wrong_name.mqtt.tls.ca_file = Some(certificates.ca());
    wrong_name.mqtt.tls.server_name = Some("broker.example".to_owned());
    let text = fails(wrong_name).await;
    assert!(text.contains("certificate") && text.contains("mqtt.tls.server_name"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_client_certificate_is_told_from_other_troubles() {
    let certificates = certificates();
    let tls = Some(certificates.mosquitto_asking());
    let Some(broker) = mosquitto(MosquittoConfig { tls, ..MosquittoConfig::default() }).await else { return };
    let mut config = config(format!("mqtts://{}", broker.tls_addr().unwrap()));
    config.mqtt.tls.ca_file = Some(certificates.ca());
    let text = fails(config).await;
    assert!(text.to_lowercase().contains("certificate"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_kind_of_port_is_recognised() {
    let certificates = certificates();
    let tls = Some(certificates.mosquitto());
    let websockets = true;
    let Some(broker) = mosquitto(MosquittoConfig { tls, websockets, ..MosquittoConfig::default() }).await else {
        return;
    };
    let plain_to_tls = fails(config(format!("mqtt://{}", broker.tls_addr().unwrap()))).await;
    assert!(plain_to_tls.contains("mqtt.url"), "{plain_to_tls}");
    let mut tls_to_plain = config(format!("mqtts://{}", broker.addr()));
    tls_to_plain.mqtt.tls.ca_file = Some(certificates.ca());
    let tls_to_plain = fails(tls_to_plain).await;
    assert!(tls_to_plain.contains("TLS") && tls_to_plain.contains("mqtt.url"), "{tls_to_plain}");
    let websocket_to_plain = fails(config(format!("ws://{}", broker.addr()))).await;
    assert!(
        websocket_to_plain.contains("WebSocket") && websocket_to_plain.contains("mqtt.url"),
        "{websocket_to_plain}"
    );
    let plain_to_websocket = fails(config(format!("mqtt://{}", broker.websocket_addr().unwrap()))).await;
    assert!(plain_to_websocket.contains("mqtt.url"), "{plain_to_websocket}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_stops_the_worker_at_once() {
    let user = Some(("ada".to_owned(), "lovelace".to_owned()));
    let Some(broker) = mosquitto(MosquittoConfig { user, ..MosquittoConfig::default() }).await else { return };
    for version in BOTH {
        let mut config = config(broker.url());
        config.mqtt.version = version;
        config.mqtt.username = Some("ada".to_owned());
        config.mqtt.password = Some(Secret::new("hunter2"));
        let text = fails(config).await;
        assert!(text.contains("credentials") || text.contains("mqtt.password"), "{text}");
        assert!(!text.contains("hunter2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_not_there_is_named() {
    let port = free_port();
    let text = fails(config(format!("mqtt://127.0.0.1:{port}"))).await;
    assert!(text.contains(&format!("127.0.0.1:{port}")) && text.contains("refused"), "{text}");
    let text = fails(config("mqtt://no-such-host.invalid")).await;
    assert!(text.contains("no-such-host.invalid"), "{text}");
}
