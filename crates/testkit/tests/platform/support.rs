//! An emulated platform with a few accounts, and clients of it.

use tidemill_core::QoS;
use tidemill_core::platform::{MonitorMessage, Role};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::platform::{Accounts, Platform, PlatformConfig};
use tidemill_testkit::wire::{Version, v5};

pub(crate) const KEY: &str = "a-abc123-k3y";
pub(crate) const VIEWER: &str = "a-abc123-viewer";
pub(crate) const TOKEN: &str = "secret";
pub(crate) const EVENTS: &str = "iot-2/type/+/id/+/evt/+/fmt/+";
pub(crate) const EVENT: &str = "iot-2/type/T/id/I/evt/E/fmt/json";

pub(crate) async fn platform() -> Platform {
    let accounts = Accounts::default()
        .with_key(KEY, TOKEN)
        .with_key("a-xyz789-k3y", TOKEN)
        .with_key_of_role(VIEWER, TOKEN, Role::Visualization)
        .with_any_device("device-token");
    Platform::start(PlatformConfig::in_memory().with_accounts(accounts)).await.unwrap()
}

pub(crate) fn raw(platform: &Platform) -> RawClient {
    RawClient::with_version(platform.connect(), Version::V4)
}

pub(crate) fn options(client_id: &str) -> ConnectOptions {
    let options = ConnectOptions::new(client_id);
    match client_id.split(':').collect::<Vec<_>>()[..] {
        [_, "quickstart", ..] => options,
        ["d" | "g", ..] => options.login("use-token-auth", "device-token"),
        [_, org, ..] => options.login(&format!("a-{org}-k3y"), TOKEN),
        _ => options.login(KEY, TOKEN),
    }
}

pub(crate) async fn connect_with(platform: &Platform, options: ConnectOptions) -> (RawClient, v5::ConnectReturnCode) {
    let mut client = raw(platform);
    let ack = client.connect(options).await;
    (client, ack.code)
}

pub(crate) async fn join(platform: &Platform, client_id: &str) -> RawClient {
    let (client, code) = connect_with(platform, options(client_id)).await;
    assert_eq!(code, v5::ConnectReturnCode::Success, "{client_id}");
    client
}

pub(crate) async fn subscriber(platform: &Platform, client_id: &str, filter: &str) -> RawClient {
    let mut client = join(platform, client_id).await;
    let granted = client.subscribe(filter, QoS::AtLeastOnce).await;
    assert!(matches!(granted, v5::SubscribeReasonCode::Success(_)), "{filter}");
    client
}

/// The next monitoring message.
pub(crate) async fn monitored(client: &mut RawClient) -> MonitorMessage {
    MonitorMessage::parse(&client.expect_publish().await.payload).unwrap()
}
