//! Monitoring messages: what the platform says when clients come and go, and the connection that it says it through.

use std::time::SystemTime;

use bytes::BytesMut;
use tidemill_core::platform::monitoring::{Action, Protocol};
use tidemill_core::platform::{ClientId, CloseCode, MonitorMessage};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use crate::wire::{self, Version, WireQoS, v5};

/// A monitoring message on its way; an empty payload takes away the retained one.
#[derive(Debug)]
pub(super) struct Note {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
    pub(super) retain: bool,
}

/// What is known about a connection from its CONNECT.
#[derive(Clone, Debug)]
pub(super) struct About {
    pub(super) client_id: String,
    pub(super) client: Option<ClientId>,
    pub(super) user: Option<String>,
    pub(super) version: Version,
    pub(super) addr: Option<String>,
    pub(super) since: SystemTime,
}

/// What went through a connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) read_bytes: u64,
    pub(super) read_msg: u64,
    pub(super) write_bytes: u64,
    pub(super) write_msg: u64,
}

impl About {
    /// Where messages about the client go, behind the front.
    pub(super) fn topic(&self) -> Option<String> {
        let client = self.client.as_ref()?;
        let org = client.org();
        Some(match (client.app(), client.device()) {
            (Some(app), _) => format!("iot-2/{org}/app/{app}/mon"),
            (None, Some((device_type, device))) => format!("iot-2/{org}/type/{device_type}/id/{device}/mon"),
            (None, None) => return None,
        })
    }

    /// Whether a disconnect stays as a retained message: of devices, but not in Quickstart.
    pub(super) fn keeps_disconnect(&self) -> bool {
        self.client.as_ref().is_some_and(|client| client.app().is_none() && !client.org().is_quickstart())
    }

    pub(super) fn message(&self, action: Action) -> MonitorMessage {
        let mut message = MonitorMessage::new(action);
        message.time = Some(SystemTime::now());
        message.client_addr.clone_from(&self.addr);
        message.client_id = Some(self.client_id.clone()).filter(|id| !id.is_empty());
        message.secure = Some(false);
        message.protocol = Some(Protocol::new(match self.version {
            Version::V4 => "mqtt4",
            Version::V5 => "mqtt5",
        }));
        let users = |user: &String| user != tidemill_core::platform::identity::TOKEN_AUTH_USER;
        message.user = self.user.clone().filter(users);
        message
    }

    pub(super) fn failed(&self, code: CloseCode, reason: &str) -> MonitorMessage {
        let mut message = self.message(Action::FailedConnect);
        message.close_code = Some(code);
        message.reason = Some(reason.to_owned());
        message
    }

    pub(super) fn disconnected(&self, code: CloseCode, traffic: Traffic) -> MonitorMessage {
        let mut message = self.message(Action::Disconnect);
        message.connect_time = Some(self.since);
        if code != CloseCode::Normal {
            message.close_code = Some(code);
            message.reason = Some(code.text().to_owned());
        }
        message.read_bytes = Some(traffic.read_bytes);
        message.read_msg = Some(traffic.read_msg);
        message.write_bytes = Some(traffic.write_bytes);
        message.write_msg = Some(traffic.write_msg);
        message
    }
}

/// Publishes notes until the front is gone. Ends when the broker does.
pub(super) async fn publish(mut io: DuplexStream, mut notes: mpsc::Receiver<Note>) {
    let mut out = BytesMut::new();
    let client_id = "platform-monitoring".to_owned();
    let connect = v5::Connect { keep_alive: 0, client_id, clean_start: true, properties: None };
    let mut packet = v5::Packet::Connect(connect, None, None);
    let mut answers = [0; 64];
    loop {
        out.clear();
        if let Err(error) = wire::write(Version::V4, packet, &mut out) {
            tracing::debug!(%error, "a monitoring message cannot be written");
        } else if io.write_all(&out).await.is_err() {
            return;
        }
        // Nothing but CONNACK comes, and everything is sent at QoS 0.
        packet = loop {
            tokio::select! {
                note = notes.recv() => {
                    let Some(Note { topic, payload, retain }) = note else { return };
                    let mut publish = v5::Publish::new(topic, WireQoS::AtMostOnce, payload, None);
                    publish.retain = retain;
                    break v5::Packet::Publish(publish);
                }
                read = io.read(&mut answers) => if !read.is_ok_and(|read| read > 0) { return },
            }
        };
    }
}
