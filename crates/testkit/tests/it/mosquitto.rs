//! A real Mosquitto as a child process.

use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig, MosquittoErrorKind, find, require_or_skip};
use tidemill_testkit::wire::v5;

use crate::support::*;

async fn start(config: MosquittoConfig) -> Option<Mosquitto> {
    match Mosquitto::start(config).await {
        Err(error) if error.kind() != MosquittoErrorKind::Missing => panic!("{error}"),
        result => require_or_skip(result),
    }
}

async fn connect(broker: &Mosquitto, options: ConnectOptions) -> (RawClient, v5::ConnAck) {
    let mut client = RawClient::tcp(broker.addr()).await.unwrap();
    let ack = client.connect(options).await;
    (client, ack)
}

#[tokio::test]
async fn it_serves_and_is_gone_when_dropped() {
    let Some(broker) = start(MosquittoConfig::default()).await else { return };
    let (mut client, _) = connect(&broker, ConnectOptions::new("c")).await;
    client.subscribe("a", Q1).await;
    client.publish_acked("a", "x").await;
    assert_eq!(text(&client.expect_publish().await), "x");
    let (addr, pid) = (broker.addr(), broker.pid());
    assert_eq!(broker.url(), format!("mqtt://{addr}"));
    assert!(pid > 0);
    drop(broker);
    client.expect_closed().await;
}

#[tokio::test]
async fn a_killed_one_comes_back_on_the_same_port_with_what_it_stored() {
    let config = MosquittoConfig { persistence: true, ..MosquittoConfig::default() };
    let Some(mut broker) = start(config).await else { return };
    let addr = broker.addr();
    let (mut durable, _) = connect(&broker, ConnectOptions::new("durable-client").resume(600)).await;
    durable.subscribe("a", Q1).await;
    durable.disconnect().await;
    // It stores once a second.
    let database = broker.directory().join("mosquitto.db");
    let stores = |bytes: Vec<u8>| bytes.windows(14).any(|window| window == b"durable-client");
    until(|| std::fs::read(&database).is_ok_and(stores)).await;
    broker.kill().await.unwrap();
    assert!(RawClient::tcp(addr).await.is_err());
    broker.restart().await.unwrap();
    assert_eq!(broker.addr(), addr);
    let (_durable, ack) = connect(&broker, ConnectOptions::new("durable-client").resume(600)).await;
    assert!(ack.session_present);
}

#[tokio::test]
async fn it_can_ask_for_a_password() {
    let user = Some(("ada".to_owned(), "secret".to_owned()));
    let Some(broker) = start(MosquittoConfig { user, ..MosquittoConfig::default() }).await else { return };
    let (_, ack) = connect(&broker, ConnectOptions::new("c").login("ada", "wrong")).await;
    assert_ne!(ack.code, v5::ConnectReturnCode::Success);
    let (_, ack) = connect(&broker, ConnectOptions::new("c").login("ada", "secret")).await;
    assert_eq!(ack.code, v5::ConnectReturnCode::Success);
}

#[cfg(feature = "certificates")]
#[tokio::test]
async fn it_can_listen_for_websockets_and_tls_beside() {
    let certificates = tidemill_testkit::certificates::Certificates::for_hosts(["localhost"]).unwrap();
    let tls = Some(certificates.mosquitto());
    let config = MosquittoConfig { websockets: true, tls, ..MosquittoConfig::default() };
    let Some(broker) = start(config).await else { return };
    let addrs = [Some(broker.addr()), broker.tls_addr(), broker.websocket_addr()];
    for addr in addrs {
        assert!(tokio::net::TcpStream::connect(addr.unwrap()).await.is_ok(), "{}", broker.log());
    }
}

#[tokio::test]
async fn a_bad_configuration_fails_with_what_it_logged() {
    if require_or_skip(find("mosquitto")).is_none() {
        return;
    }
    let config = MosquittoConfig { extra: vec!["no_such_option 1".into()], ..MosquittoConfig::default() };
    let error = Mosquitto::start(config).await.unwrap_err();
    assert_eq!(error.kind(), MosquittoErrorKind::NotStarted);
    assert!(error.to_string().contains("no_such_option"), "{error}");
}

#[test]
fn what_is_not_installed_says_how_to_install_it() {
    let error = find("no-such-program").unwrap_err();
    assert_eq!(error.kind(), MosquittoErrorKind::Missing);
    assert_eq!(error.to_string(), "no-such-program is not installed: apt-get install mosquitto");
}
