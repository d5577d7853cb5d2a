//! One connection through the front: CONNECT is judged, and then every packet is passed on in both directions, rewritten
//! where it names a topic.
//!
//! INVARIANT: the two directions never wait for each other, so a client that does not read is still read from.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use tidemill_core::QoS;
use tidemill_core::platform::identity::{Accepted, ConnectRequest, check_connect};
use tidemill_core::platform::limits::PublishRequest;
use tidemill_core::platform::monitoring::Action;
use tidemill_core::platform::{ClientId, CloseCode, Role};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, split};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::front::Front;
use super::monitor::{About, Traffic};
use super::rewrite;
use crate::wire::{self, Version, WireQoS, v5};

/// The largest packet that is read. Larger publications than the platform takes must arrive to be refused.
const MAX_PACKET: usize = 4 << 20;
/// How long a new connection may take to send CONNECT.
const FIRST: Duration = Duration::from_secs(60);

/// Bytes of both directions, counted while they pass.
#[derive(Debug, Default)]
struct Counters {
    read_bytes: AtomicU64,
    read_msg: AtomicU64,
    write_bytes: AtomicU64,
    write_msg: AtomicU64,
}

impl Counters {
    fn traffic(&self) -> Traffic {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            read_bytes: get(&self.read_bytes),
            read_msg: get(&self.read_msg),
            write_bytes: get(&self.write_bytes),
            write_msg: get(&self.write_msg),
        }
    }
}

/// Serves a connection from its first byte to its last. `broker` is a fresh connection to the broker behind the front.
pub(super) async fn serve<S>(front: Arc<Front>, mut client: S, addr: Option<String>, mut broker: DuplexStream)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut read = BytesMut::new();
    let first = timeout(FIRST, first_packet(&mut client, &mut read)).await;
    let Ok(Some((version, connect, will, login))) = first else { return };
    let user = login.as_ref().map(|login| login.username.clone());
    let about = About {
        client_id: connect.client_id.clone(),
        client: ClientId::new(&connect.client_id).ok(),
        user,
        version,
        addr,
        since: SystemTime::now(),
    };
    let admitted = match admit(&front, &connect, login.as_ref()) {
        Ok(admitted) => admitted,
        Err(refusal) => return refuse(&front, &mut client, &about, refusal).await,
    };
    let Admitted { accepted, role } = admitted;
    let who = Who { client: accepted.client.clone(), role, max_qos: front.config.max_qos, version };
    let inner_id =
        if accepted.generates_instance { Front::generated(&about.client_id) } else { about.client_id.clone() };
    let will = match will.map(|will| who.will(will)).transpose() {
        Ok(will) => will,
        Err(code) => return refuse(&front, &mut client, &about, Refused::by(5, code)).await,
    };
    let connect = v5::Connect { client_id: inner_id, keep_alive: accepted.keep_alive, ..connect };
    let mut out = BytesMut::new();
    if wire::write(version, v5::Packet::Connect(connect, will, None), &mut out).is_err() {
        return;
    }
    // Before the broker hears of the newer connection, so that the older one knows why its own ends.
    let entry = (!accepted.generates_instance).then(|| front.enter(&about.client_id));
    if broker.write_all(&out).await.is_ok() {
        if let Some(topic) = about.topic() {
            front.tell(topic, Some(&about.message(Action::Connect)), true).await;
        }
        let taken_over = entry.as_ref().map(|(_, token)| token.clone()).unwrap_or_default();
        let counters = Counters::default();
        let code = tokio::select! {
            code = pass(&who, client, read, broker, &taken_over, &counters) => code,
            () = front.kill.notified() => CloseCode::ClosedByServer,
        };
        finish(&front, &about, code, counters.traffic()).await;
    }
    if let Some((serial, _)) = entry {
        front.leave(&about.client_id, serial);
    }
}

struct Admitted {
    accepted: Accepted,
    role: Role,
}

struct Refused {
    connack: u8,
    code: CloseCode,
    reason: String,
}

impl Refused {
    fn by(connack: u8, code: CloseCode) -> Self {
        Self { connack, code, reason: code.text().to_owned() }
    }
}

fn admit(front: &Front, connect: &v5::Connect, login: Option<&v5::Login>) -> Result<Admitted, Refused> {
    let request = ConnectRequest {
        client_id: &connect.client_id,
        clean_session: connect.clean_start,
        keep_alive: connect.keep_alive,
        user: login.map(|login| &*login.username).filter(|user| !user.is_empty()),
        has_password: login.is_some_and(|login| !login.password.is_empty()),
        tls: false,
    };
    let accepted = check_connect(&request).map_err(|refusal| Refused {
        connack: refusal.connack(),
        code: refusal.close_code(),
        reason: refusal.to_string(),
    })?;
    let password = login.map(|login| &*login.password).unwrap_or_default();
    match front.config.accounts.admit(&accepted, password) {
        Some(role) => Ok(Admitted { accepted, role }),
        None => Err(Refused::by(5, CloseCode::NotAuthorized)),
    }
}

async fn refuse<S: AsyncWrite + Unpin>(front: &Front, client: &mut S, about: &About, refused: Refused) {
    let code = match refused.connack {
        2 => v5::ConnectReturnCode::ClientIdentifierNotValid,
        _ => v5::ConnectReturnCode::NotAuthorized,
    };
    let mut out = BytesMut::new();
    let ack = v5::ConnAck { session_present: false, code, properties: None };
    if wire::write(about.version, v5::Packet::ConnAck(ack), &mut out).is_ok() {
        // A client that is gone needs no answer.
        let _ = client.write_all(&out).await;
        let _ = client.shutdown().await;
    }
    if let Some(topic) = about.topic() {
        front.tell(topic, Some(&about.failed(refused.code, &refused.reason)), false).await;
    }
    front.end(&about.client_id, refused.code);
}

async fn finish(front: &Front, about: &About, code: CloseCode, traffic: Traffic) {
    if let Some(topic) = about.topic() {
        let message = about.disconnected(code, traffic);
        let keep = about.keeps_disconnect() && code != CloseCode::ClientIdReused;
        if !keep && code != CloseCode::ClientIdReused {
            // The retained connect goes: a later subscriber hears nothing.
            front.tell(topic.clone(), None, true).await;
        }
        front.tell(topic, Some(&message), keep).await;
    }
    front.end(&about.client_id, code);
}

type First = (Version, v5::Connect, Option<v5::LastWill>, Option<v5::Login>);

async fn first_packet<S: AsyncRead + Unpin>(client: &mut S, read: &mut BytesMut) -> Option<First> {
    loop {
        if let Some(frame) = wire::peek(read, MAX_PACKET).ok()? {
            let version = match read.get(frame.header..frame.header + 7)? {
                [0, 4, b'M', b'Q', b'T', b'T', 4] => Version::V4,
                [0, 4, b'M', b'Q', b'T', b'T', 5] => Version::V5,
                _ => return None,
            };
            let Ok(Some(v5::Packet::Connect(connect, will, login))) = wire::read(version, read, MAX_PACKET) else {
                return None;
            };
            return Some((version, connect, will, login));
        }
        if client.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
}

/// A client that is let in.
struct Who {
    client: ClientId,
    role: Role,
    max_qos: QoS,
    version: Version,
}

impl Who {
    fn will(&self, mut will: v5::LastWill) -> Result<v5::LastWill, CloseCode> {
        let topic = self.publication(&will.topic, will.message.len(), will.qos)?;
        will.topic = topic.into();
        will.retain = false;
        Ok(will)
    }

    fn publication(&self, topic: &[u8], payload_len: usize, qos: WireQoS) -> Result<String, CloseCode> {
        let topic = std::str::from_utf8(topic).map_err(|_| CloseCode::TopicNotValid)?;
        let qos = match qos {
            WireQoS::AtMostOnce => QoS::AtMostOnce,
            WireQoS::AtLeastOnce => QoS::AtLeastOnce,
            WireQoS::ExactlyOnce => QoS::ExactlyOnce,
        };
        let request = PublishRequest { topic, payload_len, qos, retain: false };
        rewrite::publication(&self.client, self.role, &request, self.max_qos)
    }

    /// What goes on to the broker for a packet of the client.
    fn upwards(&self, packet: v5::Packet) -> Result<v5::Packet, CloseCode> {
        let filter = |text: &str| rewrite::filter(&self.client, self.role, text, self.max_qos);
        Ok(match packet {
            v5::Packet::Publish(mut publish) => {
                publish.topic = self.publication(&publish.topic, publish.payload.len(), publish.qos)?.into();
                // Cleared, and the rest is passed on as an ordinary event.
                publish.retain = false;
                v5::Packet::Publish(publish)
            }
            v5::Packet::Subscribe(mut subscribe) => {
                for wanted in &mut subscribe.filters {
                    wanted.path = filter(&wanted.path)?;
                    if wanted.path.starts_with("$share/") && wanted.nolocal {
                        return Err(CloseCode::ProtocolError);
                    }
                }
                v5::Packet::Subscribe(subscribe)
            }
            v5::Packet::Unsubscribe(mut unsubscribe) => {
                for path in &mut unsubscribe.filters {
                    *path = filter(path)?;
                }
                v5::Packet::Unsubscribe(unsubscribe)
            }
            v5::Packet::Connect(..) => return Err(CloseCode::ProtocolError),
            other => other,
        })
    }

    /// What goes on to the client for a packet of the broker.
    fn downwards(&self, packet: v5::Packet) -> Option<v5::Packet> {
        let v5::Packet::Publish(mut publish) = packet else { return Some(packet) };
        let topic = rewrite::outside(&self.client, std::str::from_utf8(&publish.topic).ok()?)?;
        publish.topic = topic.into();
        Some(v5::Packet::Publish(publish))
    }
}

/// Passes packets on until the connection is over; answers why it is.
async fn pass<S>(
    who: &Who,
    client: S,
    read: BytesMut,
    broker: DuplexStream,
    taken_over: &CancellationToken,
    counters: &Counters,
) -> CloseCode
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (from_client, to_client) = split(client);
    let (from_broker, to_broker) = split(broker);
    let end = tokio::select! {
        biased;
        () = taken_over.cancelled() => CloseCode::ClientIdReused,
        code = up(who, from_client, read, to_broker, counters) => code,
        code = down(who, from_broker, to_client, counters) => code,
    };
    // The broker may end the older connection before this one is told.
    if taken_over.is_cancelled() { CloseCode::ClientIdReused } else { end }
}

async fn up(
    who: &Who,
    mut client: impl AsyncRead + Unpin,
    mut read: BytesMut,
    mut broker: impl AsyncWrite + Unpin,
    counters: &Counters,
) -> CloseCode {
    let mut out = BytesMut::new();
    loop {
        let mut end = None;
        while end.is_none() {
            match wire::read(who.version, &mut read, MAX_PACKET) {
                Ok(None) => break,
                Ok(Some(packet)) => {
                    if let v5::Packet::Publish(_) = &packet {
                        counters.read_msg.fetch_add(1, Ordering::Relaxed);
                    }
                    if let v5::Packet::Disconnect(_) = &packet {
                        end = Some(CloseCode::Normal);
                    }
                    match who.upwards(packet).map(|packet| wire::write(who.version, packet, &mut out)) {
                        Ok(Ok(())) => {}
                        Ok(Err(_)) => end = Some(CloseCode::EncodingNotValid),
                        Err(code) => end = Some(code),
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "bytes that are no packet");
                    end = Some(CloseCode::EncodingNotValid);
                }
            }
        }
        if broker.write_all(&out).await.is_err() {
            return CloseCode::ClosedByServer;
        }
        if let Some(code) = end {
            // What went before a wrong packet has its effect: the broker reads it before the end.
            let _ = broker.shutdown().await;
            return code;
        }
        out.clear();
        match client.read_buf(&mut read).await {
            Ok(0) | Err(_) => return CloseCode::ClosedByClient,
            Ok(bytes) => counters.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed),
        };
    }
}

async fn down(
    who: &Who,
    mut broker: impl AsyncRead + Unpin,
    mut client: impl AsyncWrite + Unpin,
    counters: &Counters,
) -> CloseCode {
    let (mut read, mut out) = (BytesMut::new(), BytesMut::new());
    loop {
        match broker.read_buf(&mut read).await {
            // The broker cuts a client that was silent for too long; all other rules are the front's.
            Ok(0) | Err(_) => return CloseCode::TimedOut,
            Ok(_) => {}
        }
        loop {
            match wire::read(who.version, &mut read, MAX_PACKET) {
                Ok(None) => break,
                Ok(Some(packet)) => {
                    let Some(packet) = who.downwards(packet) else { continue };
                    if let v5::Packet::Publish(_) = &packet {
                        counters.write_msg.fetch_add(1, Ordering::Relaxed);
                    }
                    if let Err(error) = wire::write(who.version, packet, &mut out) {
                        tracing::warn!(%error, "a packet cannot be passed on");
                        return CloseCode::ClosedByServer;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the broker behind the front sent no packet");
                    return CloseCode::ClosedByServer;
                }
            }
        }
        if client.write_all(&out).await.is_err() || client.flush().await.is_err() {
            return CloseCode::ClosedByClient;
        }
        counters.write_bytes.fetch_add(out.len() as u64, Ordering::Relaxed);
        out.clear();
    }
}
