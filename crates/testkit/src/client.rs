//! A client that does nothing by itself: it sends the packets that a test says and expects the ones that it names.
//!
//! It never acknowledges, pings or reconnects on its own, so a test decides about every packet. Its `expect` methods
//! and everything that waits for an answer panic when something else comes, or nothing within its patience.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use rumqttc::v5::mqttbytes::QoS as WireQoS;
use tidemill_core::QoS;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::peer::{Peer, fail};
use crate::wire::{Version, v5};

/// What a CONNECT asks for.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// The fixed part.
    pub connect: v5::Connect,
    /// What is published when the client is lost.
    pub will: Option<v5::LastWill>,
    /// User and password.
    pub login: Option<v5::Login>,
}

impl ConnectOptions {
    /// A clean start under that client identifier, without keep-alive.
    #[must_use]
    pub fn new(client_id: impl Into<String>) -> Self {
        let properties = Some(v5::ConnectProperties::new());
        let connect = v5::Connect { keep_alive: 0, client_id: client_id.into(), clean_start: true, properties };
        Self { connect, will: None, login: None }
    }

    fn properties(&mut self) -> &mut v5::ConnectProperties {
        self.connect.properties.get_or_insert_default()
    }

    /// Goes on with an earlier session, and keeps it for so many seconds. MQTT 3.1.1 keeps it for good.
    #[must_use]
    pub fn resume(mut self, seconds: u32) -> Self {
        self.connect.clean_start = false;
        self.expiry(seconds)
    }

    /// Keeps the session for so many seconds.
    #[must_use]
    pub fn expiry(mut self, seconds: u32) -> Self {
        self.properties().session_expiry_interval = Some(seconds);
        self
    }

    /// Takes so many unacknowledged events.
    #[must_use]
    pub fn receive_maximum(mut self, events: u16) -> Self {
        self.properties().receive_maximum = Some(events);
        self
    }

    /// Takes packets of so many bytes.
    #[must_use]
    pub fn max_packet_size(mut self, bytes: u32) -> Self {
        self.properties().max_packet_size = Some(bytes);
        self
    }

    /// Promises a packet every so many seconds.
    #[must_use]
    pub fn keep_alive(mut self, seconds: u16) -> Self {
        self.connect.keep_alive = seconds;
        self
    }

    /// Leaves a will at QoS 1, to be published after a delay in seconds.
    #[must_use]
    pub fn will(mut self, topic: &str, payload: &str, delay: u32) -> Self {
        let properties = v5::LastWillProperties {
            delay_interval: Some(delay),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        self.will = Some(v5::LastWill::new(topic, payload, WireQoS::AtLeastOnce, false, Some(properties)));
        self
    }

    /// Says who it is.
    #[must_use]
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some(v5::Login::new(user, password));
        self
    }
}

/// The client's end of a connection.
#[derive(Debug)]
pub struct RawClient {
    peer: Peer,
    last_pkid: u16,
    /// PUBLISHes that came while something else was awaited.
    inbox: VecDeque<v5::Publish>,
}

impl RawClient {
    /// An MQTT 5 client at the end of that stream. Nothing is sent yet.
    pub fn new(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        Self::with_version(io, Version::V5)
    }

    /// A client of that version. Packets are given and returned in the form of MQTT 5 for both versions.
    pub fn with_version(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, version: Version) -> Self {
        Self { peer: Peer::new(io, version), last_pkid: 0, inbox: VecDeque::new() }
    }

    /// An MQTT 5 client over TCP.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn tcp(addr: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(addr).await?;
        stream.set_nodelay(true)?;
        Ok(Self::new(stream))
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

    /// Sends bytes unless the connection is over; says whether it was not.
    pub async fn try_send_raw(&mut self, bytes: &[u8]) -> bool {
        self.peer.try_send_raw(bytes).await
    }

    /// The next packet.
    pub async fn recv(&mut self) -> v5::Packet {
        match self.inbox.pop_front() {
            Some(publish) => v5::Packet::Publish(publish),
            None => self.peer.recv().await,
        }
    }

    /// The next packet; `None` when the broker closed the connection.
    pub async fn next(&mut self) -> Option<v5::Packet> {
        match self.inbox.pop_front() {
            Some(publish) => Some(v5::Packet::Publish(publish)),
            None => self.peer.next().await,
        }
    }

    /// Connects and returns the CONNACK, whatever it says.
    pub async fn connect(&mut self, options: ConnectOptions) -> v5::ConnAck {
        let ConnectOptions { connect, will, login } = options;
        self.send(v5::Packet::Connect(connect, will, login)).await;
        match self.peer.recv().await {
            v5::Packet::ConnAck(ack) => ack,
            other => fail(&format!("CONNACK was expected, but came {other:?}")),
        }
    }

    /// The next packet identifier.
    pub fn next_pkid(&mut self) -> u16 {
        self.last_pkid = self.last_pkid.checked_add(1).unwrap_or(1);
        self.last_pkid
    }

    /// Subscribes to one filter and returns the code of the SUBACK.
    pub async fn subscribe(&mut self, filter: &str, qos: QoS) -> v5::SubscribeReasonCode {
        self.subscribe_with(vec![v5::Filter::new(filter, wire_qos(qos))], None).await[0]
    }

    /// Subscribes and returns the codes of the SUBACK.
    pub async fn subscribe_with(
        &mut self,
        filters: Vec<v5::Filter>,
        id: Option<usize>,
    ) -> Vec<v5::SubscribeReasonCode> {
        let pkid = self.next_pkid();
        let properties = id.map(|id| v5::SubscribeProperties { id: Some(id), user_properties: Vec::new() });
        self.send(v5::Packet::Subscribe(v5::Subscribe { pkid, filters, properties })).await;
        match self.recv_past_publishes().await {
            v5::Packet::SubAck(ack) if ack.pkid == pkid => ack.return_codes,
            other => fail(&format!("SUBACK {pkid} was expected, but came {other:?}")),
        }
    }

    /// Unsubscribes from one filter and waits for the UNSUBACK.
    pub async fn unsubscribe(&mut self, filter: &str) -> v5::UnsubAck {
        let pkid = self.next_pkid();
        self.send(v5::Packet::Unsubscribe(v5::Unsubscribe { pkid, ..v5::Unsubscribe::new(filter, None) })).await;
        match self.recv_past_publishes().await {
            v5::Packet::UnsubAck(ack) if ack.pkid == pkid => ack,
            other => fail(&format!("UNSUBACK {pkid} was expected, but came {other:?}")),
        }
    }

    /// Publishes without waiting for an answer; returns the packet identifier, 0 at QoS 0.
    pub async fn publish(&mut self, topic: &str, qos: QoS, payload: impl Into<Bytes>) -> u16 {
        self.publish_packet(v5::Publish::new(topic, wire_qos(qos), payload, None)).await
    }

    /// Publishes without waiting for an answer, under the next packet identifier, which is returned.
    pub async fn publish_packet(&mut self, mut publish: v5::Publish) -> u16 {
        publish.pkid = if publish.qos == WireQoS::AtMostOnce { 0 } else { self.next_pkid() };
        let pkid = publish.pkid;
        self.send(v5::Packet::Publish(publish)).await;
        pkid
    }

    /// Publishes at QoS 1 and returns the reason of the PUBACK.
    pub async fn publish_acked(&mut self, topic: &str, payload: impl Into<Bytes>) -> v5::PubAckReason {
        let pkid = self.publish(topic, QoS::AtLeastOnce, payload).await;
        self.expect_puback(pkid).await
    }

    /// The PUBACK of that identifier comes next, PUBLISHes aside.
    pub async fn expect_puback(&mut self, pkid: u16) -> v5::PubAckReason {
        match self.recv_past_publishes().await {
            v5::Packet::PubAck(ack) if ack.pkid == pkid => ack.reason,
            other => fail(&format!("PUBACK {pkid} was expected, but came {other:?}")),
        }
    }

    /// A PUBLISH comes next.
    pub async fn expect_publish(&mut self) -> v5::Publish {
        match self.recv().await {
            v5::Packet::Publish(publish) => publish,
            other => fail(&format!("PUBLISH was expected, but came {other:?}")),
        }
    }

    /// So many PUBLISHes come next.
    pub async fn expect_publishes(&mut self, count: usize) -> Vec<v5::Publish> {
        let mut publishes = Vec::with_capacity(count);
        for _ in 0..count {
            publishes.push(self.expect_publish().await);
        }
        publishes
    }

    /// A DISCONNECT comes next.
    pub async fn expect_disconnect(&mut self) -> v5::DisconnectReasonCode {
        match self.recv().await {
            v5::Packet::Disconnect(disconnect) => disconnect.reason_code,
            other => fail(&format!("DISCONNECT was expected, but came {other:?}")),
        }
    }

    /// Nothing comes for a tenth of a second.
    pub async fn expect_no_packet(&mut self) {
        if let Some(publish) = self.inbox.pop_front() {
            fail(&format!("nothing was expected, but came {publish:?}"));
        }
        self.peer.expect_quiet(Duration::from_millis(100)).await;
    }

    /// The broker closes the connection next.
    pub async fn expect_closed(&mut self) {
        self.peer.expect_closed().await;
    }

    /// Acknowledges an event.
    pub async fn puback(&mut self, pkid: u16) {
        self.send(v5::Packet::PubAck(v5::PubAck::new(pkid, None))).await;
    }

    /// Sends a PINGREQ and returns the PUBLISHes that came before the PINGRESP.
    pub async fn ping(&mut self) -> Vec<v5::Publish> {
        self.send(v5::Packet::PingReq(v5::PingReq)).await;
        match self.recv_past_publishes().await {
            v5::Packet::PingResp(_) => self.inbox.drain(..).collect(),
            other => fail(&format!("PINGRESP was expected, but came {other:?}")),
        }
    }

    /// Says goodbye and closes.
    pub async fn disconnect(&mut self) {
        self.disconnect_with(v5::Disconnect::new(v5::DisconnectReasonCode::NormalDisconnection)).await;
    }

    /// Says that goodbye and closes.
    pub async fn disconnect_with(&mut self, disconnect: v5::Disconnect) {
        self.send(v5::Packet::Disconnect(disconnect)).await;
        loop {
            match self.peer.next().await {
                None => break,
                // It was on its way.
                Some(v5::Packet::Publish(_)) => {}
                Some(other) => fail(&format!("the end of the connection was expected, but came {other:?}")),
            }
        }
        self.peer.cut();
    }

    /// Closes without a word.
    pub fn cut(&mut self) {
        self.peer.cut();
    }

    async fn recv_past_publishes(&mut self) -> v5::Packet {
        loop {
            match self.peer.recv().await {
                v5::Packet::Publish(publish) => self.inbox.push_back(publish),
                other => return other,
            }
        }
    }
}

pub(crate) const fn wire_qos(qos: QoS) -> WireQoS {
    match qos {
        QoS::AtMostOnce => WireQoS::AtMostOnce,
        QoS::AtLeastOnce => WireQoS::AtLeastOnce,
        QoS::ExactlyOnce => WireQoS::ExactlyOnce,
    }
}
