//! The broker's end of a connection, played packet by packet, for tests of a client.
//!
//! It answers nothing by itself. Its `expect` methods panic when something else comes, or nothing within its patience.

use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS as WireQoS;
use tidemill_core::QoS;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};

use crate::client::wire_qos;
use crate::peer::{Peer, fail};
use crate::wire::{Version, v5};

/// Bytes that the pipe holds in each direction.
const PIPE: usize = 256 * 1024;

/// A CONNECT as it came.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The version that the client speaks; the broker's end speaks it from here on.
    pub version: Version,
    /// The fixed part.
    pub connect: v5::Connect,
    /// What is to be published when the client is lost.
    pub will: Option<v5::LastWill>,
    /// User and password.
    pub login: Option<v5::Login>,
}

/// The broker's end of one connection. Packets have the form of MQTT 5 whatever the client speaks.
#[derive(Debug)]
pub struct ScriptedBroker {
    peer: Peer,
}

impl ScriptedBroker {
    /// Plays the broker at the end of that stream.
    pub fn new(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self { peer: Peer::new(io, Version::V5) }
    }

    /// A pipe: the client's end, and the broker at the other one.
    #[must_use]
    pub fn pair() -> (DuplexStream, Self) {
        let (client, server) = tokio::io::duplex(PIPE);
        (client, Self::new(server))
    }

    /// Waits that long for what is expected; five seconds unless told otherwise.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.peer.patience = patience;
        self
    }

    /// Sends a packet.
    pub async fn send(&mut self, packet: v5::Packet) {
        self.peer.send(packet).await;
    }

    /// Sends bytes, whether they are a packet or not.
    pub async fn send_raw(&mut self, bytes: &[u8]) {
        self.peer.send_raw(bytes).await;
    }

    /// The next packet.
    pub async fn recv(&mut self) -> v5::Packet {
        self.peer.recv().await
    }

    /// The next packet; `None` when the client closed the connection.
    pub async fn next(&mut self) -> Option<v5::Packet> {
        self.peer.next().await
    }

    /// A CONNECT comes next.
    pub async fn expect_connect(&mut self) -> Connected {
        let first = self.peer.peek_first().await;
        // Behind the fixed header stands the name of the protocol, then its level.
        let name = first.windows(4).position(|window| window == b"MQTT");
        self.peer.version = match name.and_then(|at| first.get(at + 4)) {
            Some(4) => Version::V4,
            _ => Version::V5,
        };
        match self.recv().await {
            v5::Packet::Connect(connect, will, login) => Connected { version: self.peer.version, connect, will, login },
            other => fail(&format!("CONNECT was expected, but came {other:?}")),
        }
    }

    /// Lets the client in.
    pub async fn send_connack(&mut self, session_present: bool, properties: Option<v5::ConnAckProperties>) {
        let code = v5::ConnectReturnCode::Success;
        self.send(v5::Packet::ConnAck(v5::ConnAck { session_present, code, properties })).await;
    }

    /// A CONNECT comes next; lets the client in, without a session.
    pub async fn accept(&mut self) -> Connected {
        let connected = self.expect_connect().await;
        self.send_connack(false, None).await;
        connected
    }

    /// A SUBSCRIBE comes next.
    pub async fn expect_subscribe(&mut self) -> v5::Subscribe {
        match self.recv().await {
            v5::Packet::Subscribe(subscribe) => subscribe,
            other => fail(&format!("SUBSCRIBE was expected, but came {other:?}")),
        }
    }

    /// A SUBSCRIBE comes next; grants all that it asks for.
    pub async fn accept_subscribe(&mut self) -> v5::Subscribe {
        let subscribe = self.expect_subscribe().await;
        let granted = subscribe.filters.iter().map(|filter| v5::SubscribeReasonCode::Success(filter.qos));
        let ack = v5::SubAck { pkid: subscribe.pkid, return_codes: granted.collect(), properties: None };
        self.send(v5::Packet::SubAck(ack)).await;
        subscribe
    }

    /// An UNSUBSCRIBE comes next.
    pub async fn expect_unsubscribe(&mut self) -> v5::Unsubscribe {
        match self.recv().await {
            v5::Packet::Unsubscribe(unsubscribe) => unsubscribe,
            other => fail(&format!("UNSUBSCRIBE was expected, but came {other:?}")),
        }
    }

    /// An UNSUBSCRIBE comes next; confirms it.
    pub async fn accept_unsubscribe(&mut self) -> v5::Unsubscribe {
        let unsubscribe = self.expect_unsubscribe().await;
        let reasons = vec![v5::UnsubAckReason::Success; unsubscribe.filters.len()];
        self.send(v5::Packet::UnsubAck(v5::UnsubAck { pkid: unsubscribe.pkid, reasons, properties: None })).await;
        unsubscribe
    }

    /// Sends an event.
    pub async fn publish(&mut self, pkid: u16, topic: &str, qos: QoS, payload: impl Into<Bytes>) {
        let publish = v5::Publish { pkid, ..v5::Publish::new(topic, wire_qos(qos), payload, None) };
        self.send(v5::Packet::Publish(publish)).await;
    }

    /// Sends an event at QoS 1 again, with DUP.
    pub async fn republish(&mut self, pkid: u16, topic: &str, payload: impl Into<Bytes>) {
        let publish = v5::Publish::new(topic, WireQoS::AtLeastOnce, payload, None);
        self.send(v5::Packet::Publish(v5::Publish { pkid, dup: true, ..publish })).await;
    }

    /// A PUBACK comes next; its identifier.
    pub async fn expect_puback(&mut self) -> u16 {
        self.expect_puback_packet().await.pkid
    }

    /// A PUBACK comes next.
    pub async fn expect_puback_packet(&mut self) -> v5::PubAck {
        match self.recv().await {
            v5::Packet::PubAck(ack) => ack,
            other => fail(&format!("PUBACK was expected, but came {other:?}")),
        }
    }

    /// These PUBACKs come next, in this order.
    pub async fn expect_pubacks(&mut self, pkids: impl IntoIterator<Item = u16>) {
        for expected in pkids {
            let pkid = self.expect_puback().await;
            if pkid != expected {
                fail(&format!("PUBACK {expected} was expected, but came PUBACK {pkid}"));
            }
        }
    }

    /// A PUBLISH comes next.
    pub async fn expect_publish(&mut self) -> v5::Publish {
        match self.recv().await {
            v5::Packet::Publish(publish) => publish,
            other => fail(&format!("PUBLISH was expected, but came {other:?}")),
        }
    }

    /// Acknowledges an event.
    pub async fn puback(&mut self, pkid: u16) {
        self.send(v5::Packet::PubAck(v5::PubAck::new(pkid, None))).await;
    }

    /// A PINGREQ comes next.
    pub async fn expect_ping(&mut self) {
        match self.recv().await {
            v5::Packet::PingReq(_) => {}
            other => fail(&format!("PINGREQ was expected, but came {other:?}")),
        }
    }

    /// A PINGREQ comes next; answers it.
    pub async fn accept_ping(&mut self) {
        self.expect_ping().await;
        self.send(v5::Packet::PingResp(v5::PingResp)).await;
    }

    /// A DISCONNECT comes next.
    pub async fn expect_disconnect(&mut self) -> v5::Disconnect {
        match self.recv().await {
            v5::Packet::Disconnect(disconnect) => disconnect,
            other => fail(&format!("DISCONNECT was expected, but came {other:?}")),
        }
    }

    /// Nothing comes for a tenth of a second.
    pub async fn expect_no_packet(&mut self) {
        self.expect_no_packet_for(Duration::from_millis(100)).await;
    }

    /// Nothing comes for that long.
    pub async fn expect_no_packet_for(&mut self, duration: Duration) {
        self.peer.expect_quiet(duration).await;
    }

    /// The client closes the connection next.
    pub async fn expect_closed(&mut self) {
        self.peer.expect_closed().await;
    }

    /// Closes without a word.
    pub fn cut(&mut self) {
        self.peer.cut();
    }
}
