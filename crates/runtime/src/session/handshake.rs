//! Opening a session: CONNECT out, CONNACK in. What the broker sends right behind its CONNACK stays in the buffer.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::v4;
use rumqttc::v5::mqttbytes::v5;
use tidemill_core::QoS;

use super::codec::{self, ConnAck, Incoming};
use super::error::{SessionError, SessionErrorKind};
use super::wire::{Driven, Interest, Wire, Writing};
use crate::config::{Config, ConfigProblem, MqttConfig, MqttVersion, Secret};

/// A CONNACK is small; a peer that sends more before it is not an MQTT broker.
const MAX_CONNACK: u32 = 64 * 1024;

/// What it usually means when a peer ends the connection upon CONNECT.
const NO_ANSWER: &str = "the peer closed the connection instead of answering CONNECT; \
                         check the scheme of `mqtt.url` and whether it speaks `mqtt.version`";

/// What goes into CONNECT.
#[derive(Clone, Debug)]
pub(crate) struct ConnectOptions {
    pub(crate) version: MqttVersion,
    pub(crate) client_id: String,
    pub(crate) clean_start: bool,
    pub(crate) session_expiry: Duration,
    pub(crate) keep_alive: Duration,
    pub(crate) receive_maximum: u16,
    pub(crate) max_packet_bytes: u32,
    pub(crate) topic_alias_max: u16,
    pub(crate) username: Option<String>,
    pub(crate) password: Password,
    pub(crate) user_properties: Vec<(String, String)>,
    pub(crate) will: Option<Will>,
    /// Whether the peer is the platform, whose refusals have causes and ways out of their own.
    #[cfg(feature = "platform")]
    pub(crate) platform: bool,
}

/// Where the password comes from.
#[derive(Clone, Debug)]
pub(crate) enum Password {
    None,
    Fixed(Secret),
    /// Read at every connect, so that a rotated secret is seen.
    File(Box<MqttConfig>),
}

impl Password {
    fn new(config: &MqttConfig) -> Self {
        match (&config.password, &config.password_file) {
            (Some(password), _) => Self::Fixed(password.clone()),
            (None, Some(_)) => Self::File(Box::new(config.clone())),
            (None, None) => Self::None,
        }
    }

    fn read(&self) -> Result<Option<Secret>, ConfigProblem> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(password) => Ok(Some(password.clone())),
            Self::File(config) => config.read_password(),
        }
    }
}

/// What the broker publishes when the connection is lost.
#[derive(Clone, Debug)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    pub(crate) retain: bool,
    /// After which a retained one is gone (MQTT 5).
    pub(crate) expiry: Option<Duration>,
}

impl ConnectOptions {
    /// What the configuration says, for the connection of this client ID.
    pub(crate) fn new(config: &Config, client_id: String) -> Self {
        #[cfg(feature = "platform")]
        let platform = config.identity.mode == crate::config::IdentityMode::Platform;
        let (durable, config) = (config.is_durable(), &config.mqtt);
        Self {
            version: config.version,
            client_id,
            // A generated ID never comes back to a session.
            clean_start: !durable,
            session_expiry: config.session_expiry,
            keep_alive: config.keep_alive,
            receive_maximum: config.window,
            max_packet_bytes: config.max_packet_bytes,
            topic_alias_max: config.topic_alias_max,
            username: config.username.clone(),
            password: Password::new(config),
            user_properties: config.user_properties.clone().into_iter().collect(),
            will: config.will.as_ref().map(|will| Will {
                topic: will.topic.clone(),
                payload: will.payload.clone().into(),
                qos: will.qos,
                retain: will.retain,
                expiry: None,
            }),
            #[cfg(feature = "platform")]
            platform,
        }
    }
}

impl ConnectOptions {
    /// The same for a connection that only publishes: its session ends with it, and nobody mourns it.
    pub(crate) fn for_publisher(&self, client_id: String) -> Self {
        Self { client_id, clean_start: true, session_expiry: Duration::ZERO, will: None, ..self.clone() }
    }
}

/// Sends CONNECT and awaits CONNACK. The caller bounds the time.
pub(crate) async fn handshake(wire: &mut Wire, options: &ConnectOptions) -> Result<ConnAck, SessionError> {
    write_connect(options, &mut wire.output)
        .map_err(|error| SessionError::new(SessionErrorKind::Connect, "prepare CONNECT").with_source(error))?;
    loop {
        match codec::decode(options.version, &mut wire.input, MAX_CONNACK) {
            Ok(Some(Incoming::ConnAck(ack))) if ack.reason.is_failure() => {
                #[cfg(feature = "platform")]
                if options.platform {
                    return Err(SessionError::from_platform(ack.reason));
                }
                return Err(SessionError::from_reason(
                    SessionErrorKind::Refused,
                    ack.reason,
                    ack.reason_text.as_deref(),
                    ack.server_reference.as_deref(),
                ));
            }
            Ok(Some(Incoming::ConnAck(ack))) => return Ok(ack),
            Ok(Some(_)) => {
                let text = "the peer answered CONNECT with another packet; is it an MQTT broker?";
                return Err(SessionError::new(SessionErrorKind::Protocol, text));
            }
            Ok(None) => {}
            Err(error) => {
                let text = "the peer does not speak MQTT; check the port and the scheme of `mqtt.url`";
                return Err(SessionError::new(SessionErrorKind::Protocol, text).with_source(error));
            }
        }
        match wire.drive(Interest { read: true, write: Writing::AtOnce, flush: false }).await {
            Ok(Driven::Read | Driven::Flushed) => {}
            Ok(Driven::Eof) => {
                return Err(SessionError::new(SessionErrorKind::Io, NO_ANSWER));
            }
            Err(error) => return Err(SessionError::new(SessionErrorKind::Io, NO_ANSWER).with_source(error)),
        }
    }
}

fn write_connect(options: &ConnectOptions, out: &mut BytesMut) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let keep_alive = u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX);
    let password = options.password.read()?.map(|secret| secret.expose().to_owned());
    match options.version {
        MqttVersion::V5 => {
            let properties = v5::ConnectProperties {
                session_expiry_interval: Some(codec::whole_seconds(options.session_expiry)),
                receive_maximum: Some(options.receive_maximum),
                max_packet_size: Some(options.max_packet_bytes),
                topic_alias_max: Some(options.topic_alias_max),
                user_properties: options.user_properties.clone(),
                ..v5::ConnectProperties::new()
            };
            let connect = v5::Connect {
                keep_alive,
                client_id: options.client_id.clone(),
                clean_start: options.clean_start,
                properties: Some(properties),
            };
            let will = options.will.as_ref().map(|will| v5::LastWill {
                topic: Bytes::from(will.topic.clone()),
                message: will.payload.clone(),
                qos: match will.qos {
                    QoS::AtMostOnce => rumqttc::v5::mqttbytes::QoS::AtMostOnce,
                    _ => rumqttc::v5::mqttbytes::QoS::AtLeastOnce,
                },
                retain: will.retain,
                properties: will.expiry.map(|expiry| v5::LastWillProperties {
                    delay_interval: None,
                    payload_format_indicator: None,
                    message_expiry_interval: Some(codec::whole_seconds(expiry)),
                    content_type: None,
                    response_topic: None,
                    correlation_data: None,
                    user_properties: Vec::new(),
                }),
            });
            // Either may stand alone [MQTT-3.1.2.9]; the codec leaves out the one that is empty.
            let login = (options.username.is_some() || password.is_some()).then(|| v5::Login {
                username: options.username.clone().unwrap_or_default(),
                password: password.unwrap_or_default(),
            });
            v5::Packet::Connect(connect, will, login).write(out, None)?;
        }
        MqttVersion::V3_1_1 => {
            let mut connect = v4::Connect::new(options.client_id.as_str());
            connect.keep_alive = keep_alive;
            connect.clean_session = options.clean_start;
            connect.login = options
                .username
                .as_ref()
                .map(|username| v4::Login { username: username.clone(), password: password.unwrap_or_default() });
            connect.last_will = options.will.as_ref().map(|will| v4::LastWill {
                topic: will.topic.clone(),
                message: will.payload.clone(),
                qos: match will.qos {
                    QoS::AtMostOnce => rumqttc::QoS::AtMostOnce,
                    _ => rumqttc::QoS::AtLeastOnce,
                },
                retain: will.retain,
            });
            connect.write(out)?;
        }
    }
    Ok(())
}

/// Writes a SUBSCRIBE for all filters at one QoS.
pub(crate) fn write_subscribe(
    version: MqttVersion,
    pkid: u16,
    filters: &[String],
    qos: QoS,
    out: &mut BytesMut,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match version {
        MqttVersion::V5 => {
            let qos = if qos == QoS::AtMostOnce {
                rumqttc::v5::mqttbytes::QoS::AtMostOnce
            } else {
                rumqttc::v5::mqttbytes::QoS::AtLeastOnce
            };
            let filter = |filter: &String| v5::Filter {
                // Asking again for a kept subscription must not bring the retained events again.
                retain_forward_rule: v5::RetainForwardRule::OnNewSubscribe,
                ..v5::Filter::new(filter.as_str(), qos)
            };
            let filters = filters.iter().map(filter).collect();
            v5::Subscribe { pkid, filters, properties: None }.write(out)?;
        }
        MqttVersion::V3_1_1 => {
            let qos = if qos == QoS::AtMostOnce { rumqttc::QoS::AtMostOnce } else { rumqttc::QoS::AtLeastOnce };
            let filters = filters.iter().map(|filter| v4::SubscribeFilter::new(filter.clone(), qos)).collect();
            v4::Subscribe { pkid, filters }.write(out)?;
        }
    }
    Ok(())
}

/// Writes an UNSUBSCRIBE for all filters.
pub(crate) fn write_unsubscribe(
    version: MqttVersion,
    pkid: u16,
    filters: &[String],
    out: &mut BytesMut,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match version {
        MqttVersion::V5 => {
            v5::Unsubscribe { pkid, filters: filters.to_vec(), properties: None }.write(out)?;
        }
        MqttVersion::V3_1_1 => {
            v4::Unsubscribe { pkid, topics: filters.to_vec() }.write(out)?;
        }
    }
    Ok(())
}

/// Writes a DISCONNECT that also ends the session `[MQTT-3.14.2.2.2]`; MQTT 3.1.1 has no way to say so.
pub(crate) fn write_disconnect_for_good(version: MqttVersion, out: &mut BytesMut) {
    match version {
        // Reason 0, five bytes of properties: Session Expiry Interval 0.
        MqttVersion::V5 => out.extend_from_slice(&[0xE0, 0x07, 0x00, 0x05, 0x11, 0, 0, 0, 0]),
        MqttVersion::V3_1_1 => write_disconnect(version, super::reason::Reason::SUCCESS, out),
    }
}

/// Writes a DISCONNECT; MQTT 3.1.1 knows only the one without a reason, which clients send when all is well.
pub(crate) fn write_disconnect(version: MqttVersion, reason: super::reason::Reason, out: &mut BytesMut) {
    match (version, reason.code()) {
        (_, 0) => out.extend_from_slice(&[0xE0, 0x00]),
        (MqttVersion::V5, code) => out.extend_from_slice(&[0xE0, 0x01, code]),
        (MqttVersion::V3_1_1, _) => {}
    }
}
