//! The first packet of a connection: which version it speaks, who it is, and whether it is let in.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tidemill_core::QoS;
use tokio::time::Instant;

use super::config::BrokerConfig;
use super::encode;
use super::hub::{Attached, Connecting};
use super::inbound::{encode_properties, qos4, qos5, topic};
use super::message::{Expiry, Message};
use super::quirks::SharedSubscriptions;
use super::session::NEVER;
use super::will::Will;
use crate::wire::{self, Version, v4, v5};

/// A CONNECT that is not let in: what the CONNACK says, if the client would understand one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused(pub(super) Option<(Version, u8)>);

const NOT_MQTT: Refused = Refused(None);

/// A CONNECT that passed.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) request: Connecting,
    /// Seconds; 0 is off.
    pub(super) keep_alive: u16,
}

/// The reasons to refuse, as both versions say them.
#[derive(Clone, Copy)]
enum Why {
    Malformed,
    Protocol,
    ClientId,
    Credentials,
    AuthenticationMethod,
    TopicName,
    TooManyConnections,
}

impl Why {
    fn refuse(self, version: Version) -> Refused {
        let (v4, v5) = match self {
            // There is no code for these in MQTT 3.1.1: the connection is just closed.
            Self::Malformed => (None, 0x81),
            Self::Protocol => (None, 0x82),
            Self::ClientId => (Some(2), 0x85),
            Self::Credentials => (Some(4), 0x86),
            Self::AuthenticationMethod => (None, 0x8C),
            Self::TopicName => (None, 0x90),
            Self::TooManyConnections => (Some(3), 0x97),
        };
        Refused(match version {
            Version::V4 => v4.map(|code| (version, code)),
            Version::V5 => Some((version, v5)),
        })
    }
}

/// The refusal of a client that would be one too many.
pub(super) fn too_many(version: Version) -> Refused {
    Why::TooManyConnections.refuse(version)
}

/// Takes the CONNECT off the start of `bytes`; `None` asks for more bytes.
pub(super) fn read_connect(
    bytes: &mut BytesMut,
    config: &BrokerConfig,
    now: Instant,
) -> Result<Option<Accepted>, Refused> {
    let Some(frame) = wire::peek(bytes, config.max_packet_size).map_err(|_| NOT_MQTT)? else { return Ok(None) };
    if frame.kind() != 1 {
        return Err(NOT_MQTT);
    }
    let version = match bytes.get(frame.header..frame.header + 8) {
        // Name, level, flags; the lowest flag is reserved.
        Some([0, 4, b'M', b'Q', b'T', b'T', 4, flags]) if flags & 1 == 0 => Version::V4,
        Some([0, 4, b'M', b'Q', b'T', b'T', 5, flags]) if flags & 1 == 0 && config.quirks.mqtt5 => Version::V5,
        Some([0, 4, b'M', b'Q', b'T', b'T', 5, _]) if !config.quirks.mqtt5 => {
            return Err(Refused(Some((Version::V5, 0x84))));
        }
        Some([0, 4, b'M', b'Q', b'T', b'T', level, _]) if *level > 5 => return Err(Refused(Some((Version::V5, 0x84)))),
        Some([0, 6, b'M', b'Q', b'I', b's', b'd', b'p']) => return Err(Refused(Some((Version::V4, 1)))),
        _ => return Err(NOT_MQTT),
    };
    let accepted = match version {
        Version::V4 => match wire::read_v4(bytes, config.max_packet_size) {
            Ok(Some(v4::Packet::Connect(connect))) => accept_v4(connect, config),
            _ => Err(Why::Malformed),
        },
        Version::V5 => match wire::read_v5(bytes, config.max_packet_size) {
            Ok(Some(v5::Packet::Connect(connect, will, login))) => {
                accept_v5(connect, will, login.as_ref(), config, now)
            }
            _ => Err(Why::Malformed),
        },
    };
    accepted.map(Some).map_err(|why| why.refuse(version))
}

fn accept_v4(connect: v4::Connect, config: &BrokerConfig) -> Result<Accepted, Why> {
    let login = connect.login.as_ref().map(|login| (&*login.username, &*login.password));
    check(&connect.client_id, login, config)?;
    if connect.client_id.is_empty() && !connect.clean_session {
        return Err(Why::ClientId);
    }
    let will = match connect.last_will {
        Some(will) => {
            let properties = v5::PublishProperties::default();
            let qos = qos4(will.qos);
            Some(make_will(will.topic.into(), will.message, qos, will.retain, 0, None, &properties, config)?)
        }
        None => None,
    };
    let request = Connecting {
        version: Version::V4,
        client: connect.client_id,
        clean_start: connect.clean_session,
        expiry: if connect.clean_session { 0 } else { NEVER },
        receive_maximum: u16::MAX,
        max_packet: usize::MAX,
        will,
    };
    Ok(Accepted { request, keep_alive: connect.keep_alive })
}

fn accept_v5(
    connect: v5::Connect,
    will: Option<v5::LastWill>,
    login: Option<&v5::Login>,
    config: &BrokerConfig,
    now: Instant,
) -> Result<Accepted, Why> {
    check(&connect.client_id, login.map(|login| (&*login.username, &*login.password)), config)?;
    let properties = connect.properties.unwrap_or_default();
    if properties.receive_maximum == Some(0) || properties.max_packet_size == Some(0) {
        return Err(Why::Protocol);
    }
    if properties.authentication_method.is_some() {
        return Err(Why::AuthenticationMethod);
    }
    let will = match will {
        Some(will) => {
            let given = will.properties.unwrap_or(v5::LastWillProperties {
                delay_interval: None,
                payload_format_indicator: None,
                message_expiry_interval: None,
                content_type: None,
                response_topic: None,
                correlation_data: None,
                user_properties: Vec::new(),
            });
            let expiry = given.message_expiry_interval.map(|seconds| Expiry { seconds, since: now });
            let delay = given.delay_interval.unwrap_or(0);
            let properties = v5::PublishProperties {
                payload_format_indicator: given.payload_format_indicator,
                response_topic: given.response_topic,
                correlation_data: given.correlation_data,
                user_properties: given.user_properties,
                content_type: given.content_type,
                ..v5::PublishProperties::default()
            };
            let qos = qos5(will.qos);
            Some(make_will(will.topic, will.message, qos, will.retain, delay, expiry, &properties, config)?)
        }
        None => None,
    };
    let request = Connecting {
        version: Version::V5,
        client: connect.client_id,
        clean_start: connect.clean_start,
        expiry: properties.session_expiry_interval.unwrap_or(0),
        receive_maximum: properties.receive_maximum.unwrap_or(u16::MAX),
        max_packet: properties.max_packet_size.map_or(usize::MAX, |size| size as usize),
        will,
    };
    Ok(Accepted { request, keep_alive: config.server_keep_alive.unwrap_or(connect.keep_alive) })
}

fn check(client: &str, login: Option<(&str, &str)>, config: &BrokerConfig) -> Result<(), Why> {
    if !config.access.lets_in(login) {
        return Err(Why::Credentials);
    }
    if client.len() > config.max_client_id || client.contains('\0') {
        return Err(Why::ClientId);
    }
    Ok(())
}

#[expect(clippy::too_many_arguments, reason = "the fields of a will, which the two versions spell differently")]
fn make_will(
    name: Bytes,
    payload: Bytes,
    qos: QoS,
    retain: bool,
    delay: u32,
    expiry: Option<Expiry>,
    properties: &v5::PublishProperties,
    config: &BrokerConfig,
) -> Result<Will, Why> {
    let topic = topic(name, config.levels()).map_err(|_| Why::TopicName)?;
    let properties = encode_properties(properties).map_err(|_| Why::Malformed)?;
    let message = Message { topic, payload, qos, retain, properties, expiry, publisher: 0 };
    Ok(Will { message: Arc::new(message.detached()), delay })
}

/// Writes the CONNACK for a connection that was let in.
pub(super) fn welcome(
    attached: &Attached,
    asked_for: (bool, u32),
    version: Version,
    config: &BrokerConfig,
    out: &mut BytesMut,
) {
    let (has_client_id, expiry) = asked_for;
    let mut properties = encode::no_properties();
    properties.session_expiry_interval = (attached.expiry != expiry).then_some(attached.expiry);
    properties.receive_max = Some(config.receive_maximum);
    properties.max_packet_size = u32::try_from(config.max_packet_size).ok();
    properties.topic_alias_max = Some(config.topic_alias_maximum);
    properties.assigned_client_identifier = (!has_client_id).then(|| attached.client.to_string());
    properties.server_keep_alive = config.server_keep_alive;
    let unavailable = [SharedSubscriptions::Unavailable, SharedSubscriptions::AnnouncedUnavailable];
    if unavailable.contains(&config.quirks.shared_subscriptions) {
        properties.shared_subscription_available = Some(0);
    }
    encode::accept(version, attached.session_present, properties, out);
}
