//! The packets that reading dead letters takes, in both versions of the protocol.

use bytes::BytesMut;
use rumqttc::v5::mqttbytes::QoS;
use tidemill::topic::TopicName;
use tidemill::{MqttVersion, Properties, Publication};
use tidemill_testkit::wire::{WireError, read_v4, read_v5, v4, v5, write_v4, write_v5};

/// The largest packet there is. None is announced to the broker, which would drop what is larger without a word.
const MAX_PACKET: usize = 268_435_460;

/// What comes from the broker.
pub(super) enum Incoming {
    ConnAck(Result<Accepted, String>),
    Letter {
        pkid: u16,
        carrier: Publication,
    },
    /// Whether the subscription keeps what is published at QoS 1.
    SubAck(Result<(), String>),
    PingResp,
    Disconnect(String),
    Other,
}

/// What a broker says of an accepted connection.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Accepted {
    pub(super) session_present: bool,
    /// Seconds, where the broker wants another keep-alive.
    pub(super) keep_alive: Option<u16>,
    /// Seconds, where the broker keeps sessions for another time.
    pub(super) expiry: Option<u32>,
}

/// What goes into CONNECT.
#[derive(Clone)]
pub(super) struct Connect {
    pub(super) client_id: String,
    pub(super) clean: bool,
    /// Seconds.
    pub(super) keep_alive: u16,
    /// Seconds.
    pub(super) expiry: u32,
    pub(super) window: u16,
    pub(super) login: Option<(String, String)>,
}

/// Takes a packet off the buffer; `None` asks for more bytes.
pub(super) fn read(version: MqttVersion, bytes: &mut BytesMut) -> Result<Option<Incoming>, WireError> {
    match version {
        MqttVersion::V3_1_1 => Ok(read_v4(bytes, MAX_PACKET)?.map(from_v4)),
        _ => Ok(read_v5(bytes, MAX_PACKET)?.map(from_v5)),
    }
}

fn from_v5(packet: v5::Packet) -> Incoming {
    match packet {
        v5::Packet::ConnAck(ack) if ack.code == v5::ConnectReturnCode::Success => {
            let properties = ack.properties.as_ref();
            Incoming::ConnAck(Ok(Accepted {
                session_present: ack.session_present,
                keep_alive: properties.and_then(|properties| properties.server_keep_alive),
                expiry: properties.and_then(|properties| properties.session_expiry_interval),
            }))
        }
        v5::Packet::ConnAck(ack) => {
            let said = ack.properties.and_then(|properties| properties.reason_string);
            Incoming::ConnAck(Err(
                said.map_or_else(|| format!("{:?}", ack.code), |said| format!("{:?}: {said}", ack.code))
            ))
        }
        v5::Packet::Publish(publish) => {
            let mut properties = Properties::default();
            if let Some(from) = publish.properties {
                properties.utf8_payload = from.payload_format_indicator == Some(1);
                let seconds = from.message_expiry_interval;
                properties.message_expiry = seconds.map(|seconds| std::time::Duration::from_secs(seconds.into()));
                properties.content_type = from.content_type;
                properties.response_topic = from.response_topic;
                properties.correlation_data = from.correlation_data;
                properties.user = from.user_properties;
            }
            letter(publish.pkid, &publish.topic, &publish.payload, Some(properties))
        }
        v5::Packet::SubAck(ack) => Incoming::SubAck(match ack.return_codes.first() {
            Some(v5::SubscribeReasonCode::Success(QoS::AtLeastOnce | QoS::ExactlyOnce)) => Ok(()),
            Some(v5::SubscribeReasonCode::Success(QoS::AtMostOnce)) => Err("it grants QoS 0 only".to_owned()),
            Some(code) => Err(format!("{code:?}")),
            None => Err("its answer is empty".to_owned()),
        }),
        v5::Packet::PingResp(_) => Incoming::PingResp,
        v5::Packet::Disconnect(disconnect) => Incoming::Disconnect(match disconnect.reason_code {
            v5::DisconnectReasonCode::SessionTakenOver => "another client uses the same --session".to_owned(),
            code => format!("{code:?}"),
        }),
        _ => Incoming::Other,
    }
}

fn from_v4(packet: v4::Packet) -> Incoming {
    match packet {
        v4::Packet::ConnAck(ack) if ack.code == v4::ConnectReturnCode::Success => {
            Incoming::ConnAck(Ok(Accepted { session_present: ack.session_present, ..Accepted::default() }))
        }
        v4::Packet::ConnAck(ack) => Incoming::ConnAck(Err(format!("{:?}", ack.code))),
        v4::Packet::Publish(publish) => letter(publish.pkid, publish.topic.as_bytes(), &publish.payload, None),
        v4::Packet::SubAck(ack) => Incoming::SubAck(match ack.return_codes.first() {
            Some(v4::SubscribeReasonCode::Success(rumqttc::QoS::AtLeastOnce | rumqttc::QoS::ExactlyOnce)) => Ok(()),
            Some(v4::SubscribeReasonCode::Success(rumqttc::QoS::AtMostOnce)) => Err("it grants QoS 0 only".to_owned()),
            _ => Err("it refuses without a reason".to_owned()),
        }),
        v4::Packet::PingResp => Incoming::PingResp,
        _ => Incoming::Other,
    }
}

/// Copies: what is kept must not keep a whole read buffer.
fn letter(pkid: u16, topic: &[u8], payload: &[u8], properties: Option<Properties>) -> Incoming {
    match TopicName::from_bytes(bytes::Bytes::copy_from_slice(topic)) {
        Ok(topic) => {
            let mut carrier = Publication::new(topic, bytes::Bytes::copy_from_slice(payload));
            carrier.properties = properties.map(Box::new);
            Incoming::Letter { pkid, carrier }
        }
        Err(error) => Incoming::Disconnect(format!("it sends an event with an invalid topic: {error}")),
    }
}

pub(super) fn connect(version: MqttVersion, options: &Connect, out: &mut BytesMut) -> Result<(), WireError> {
    let Connect { client_id, clean, keep_alive, expiry, window, login } = options.clone();
    match version {
        MqttVersion::V3_1_1 => {
            let mut connect = v4::Connect::new(client_id);
            connect.keep_alive = keep_alive;
            connect.clean_session = clean;
            connect.login = login.map(|(username, password)| v4::Login { username, password });
            write_v4(&v4::Packet::Connect(connect), out)
        }
        _ => {
            let mut properties = v5::ConnectProperties::new();
            properties.session_expiry_interval = Some(expiry);
            properties.receive_maximum = Some(window);
            let connect = v5::Connect { keep_alive, client_id, clean_start: clean, properties: Some(properties) };
            let login = login.map(|(username, password)| v5::Login { username, password });
            write_v5(&v5::Packet::Connect(connect, None, login), out)
        }
    }
}

pub(super) fn subscribe(version: MqttVersion, filter: &str, out: &mut BytesMut) -> Result<(), WireError> {
    match version {
        MqttVersion::V3_1_1 => {
            let filters = vec![v4::SubscribeFilter::new(filter.to_owned(), rumqttc::QoS::AtLeastOnce)];
            write_v4(&v4::Packet::Subscribe(v4::Subscribe { pkid: 1, filters }), out)
        }
        _ => {
            let mut filter = v5::Filter::new(filter, QoS::AtLeastOnce);
            // A retained event is no dead letter, and would come once more with every subscription.
            filter.retain_forward_rule = v5::RetainForwardRule::Never;
            write_v5(&v5::Packet::Subscribe(v5::Subscribe { pkid: 1, filters: vec![filter], properties: None }), out)
        }
    }
}

pub(super) fn puback(version: MqttVersion, pkid: u16, out: &mut BytesMut) -> Result<(), WireError> {
    match version {
        MqttVersion::V3_1_1 => write_v4(&v4::Packet::PubAck(v4::PubAck::new(pkid)), out),
        _ => write_v5(&v5::Packet::PubAck(v5::PubAck::new(pkid, None)), out),
    }
}

/// The same bytes in both versions.
pub(super) fn pingreq(out: &mut BytesMut) {
    out.extend_from_slice(&[0xC0, 0x00]);
}

/// Without a reason, which both versions write alike: all is well, and the session lives on as CONNECT said.
pub(super) fn disconnect(out: &mut BytesMut) {
    out.extend_from_slice(&[0xE0, 0x00]);
}
