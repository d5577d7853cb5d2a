//! MQTT 3.1.1 packets as MQTT 5 packets and back, so that one test speaks both. What a version does not have is left
//! out on the way to it and empty on the way from it.

use rumqttc::mqttbytes::{Protocol, QoS as QoS4};
use rumqttc::v5::mqttbytes::QoS as QoS5;

use crate::wire::{WireError, v4, v5};

const fn up(qos: QoS4) -> QoS5 {
    match qos {
        QoS4::AtMostOnce => QoS5::AtMostOnce,
        QoS4::AtLeastOnce => QoS5::AtLeastOnce,
        QoS4::ExactlyOnce => QoS5::ExactlyOnce,
    }
}

const fn down(qos: QoS5) -> QoS4 {
    match qos {
        QoS5::AtMostOnce => QoS4::AtMostOnce,
        QoS5::AtLeastOnce => QoS4::AtLeastOnce,
        QoS5::ExactlyOnce => QoS4::ExactlyOnce,
    }
}

pub(crate) fn from_v4(packet: v4::Packet) -> v5::Packet {
    match packet {
        v4::Packet::Connect(connect) => {
            let will = connect.last_will.map(|will| v5::LastWill {
                topic: will.topic.into(),
                message: will.message,
                qos: up(will.qos),
                retain: will.retain,
                properties: None,
            });
            let login = connect.login.map(|login| v5::Login { username: login.username, password: login.password });
            let connect = v5::Connect {
                keep_alive: connect.keep_alive,
                client_id: connect.client_id,
                clean_start: connect.clean_session,
                properties: None,
            };
            v5::Packet::Connect(connect, will, login)
        }
        v4::Packet::ConnAck(ack) => {
            let code = match ack.code {
                v4::ConnectReturnCode::Success => v5::ConnectReturnCode::Success,
                v4::ConnectReturnCode::RefusedProtocolVersion => v5::ConnectReturnCode::RefusedProtocolVersion,
                v4::ConnectReturnCode::BadClientId => v5::ConnectReturnCode::BadClientId,
                v4::ConnectReturnCode::ServiceUnavailable => v5::ConnectReturnCode::ServiceUnavailable,
                v4::ConnectReturnCode::BadUserNamePassword => v5::ConnectReturnCode::BadUserNamePassword,
                v4::ConnectReturnCode::NotAuthorized => v5::ConnectReturnCode::NotAuthorized,
            };
            v5::Packet::ConnAck(v5::ConnAck { session_present: ack.session_present, code, properties: None })
        }
        v4::Packet::Publish(publish) => v5::Packet::Publish(v5::Publish {
            dup: publish.dup,
            qos: up(publish.qos),
            retain: publish.retain,
            topic: publish.topic.into(),
            pkid: publish.pkid,
            payload: publish.payload,
            properties: None,
        }),
        v4::Packet::PubAck(ack) => v5::Packet::PubAck(v5::PubAck::new(ack.pkid, None)),
        v4::Packet::PubRec(ack) => v5::Packet::PubRec(v5::PubRec::new(ack.pkid, None)),
        v4::Packet::PubRel(ack) => v5::Packet::PubRel(v5::PubRel::new(ack.pkid, None)),
        v4::Packet::PubComp(ack) => v5::Packet::PubComp(v5::PubComp::new(ack.pkid, None)),
        v4::Packet::Subscribe(subscribe) => {
            let filters = subscribe.filters.into_iter().map(|filter| v5::Filter::new(filter.path, up(filter.qos)));
            v5::Packet::Subscribe(v5::Subscribe { pkid: subscribe.pkid, filters: filters.collect(), properties: None })
        }
        v4::Packet::SubAck(ack) => {
            let codes = ack.return_codes.into_iter().map(|code| match code {
                v4::SubscribeReasonCode::Success(qos) => v5::SubscribeReasonCode::Success(up(qos)),
                v4::SubscribeReasonCode::Failure => v5::SubscribeReasonCode::Unspecified,
            });
            v5::Packet::SubAck(v5::SubAck { pkid: ack.pkid, return_codes: codes.collect(), properties: None })
        }
        v4::Packet::Unsubscribe(unsubscribe) => v5::Packet::Unsubscribe(v5::Unsubscribe {
            pkid: unsubscribe.pkid,
            filters: unsubscribe.topics,
            properties: None,
        }),
        v4::Packet::UnsubAck(ack) => {
            v5::Packet::UnsubAck(v5::UnsubAck { pkid: ack.pkid, reasons: Vec::new(), properties: None })
        }
        v4::Packet::PingReq => v5::Packet::PingReq(v5::PingReq),
        v4::Packet::PingResp => v5::Packet::PingResp(v5::PingResp),
        v4::Packet::Disconnect => {
            v5::Packet::Disconnect(v5::Disconnect::new(v5::DisconnectReasonCode::NormalDisconnection))
        }
    }
}

pub(crate) fn to_v4(packet: v5::Packet) -> Result<v4::Packet, WireError> {
    Ok(match packet {
        v5::Packet::Connect(connect, will, login) => v4::Packet::Connect(v4::Connect {
            protocol: Protocol::V4,
            keep_alive: connect.keep_alive,
            client_id: connect.client_id,
            clean_session: connect.clean_start,
            last_will: match will {
                Some(will) => Some(v4::LastWill {
                    topic: text(&will.topic)?,
                    message: will.message,
                    qos: down(will.qos),
                    retain: will.retain,
                }),
                None => None,
            },
            login: login.map(|login| v4::Login { username: login.username, password: login.password }),
        }),
        v5::Packet::ConnAck(ack) => {
            let code = match ack.code {
                v5::ConnectReturnCode::Success => v4::ConnectReturnCode::Success,
                v5::ConnectReturnCode::RefusedProtocolVersion | v5::ConnectReturnCode::UnsupportedProtocolVersion => {
                    v4::ConnectReturnCode::RefusedProtocolVersion
                }
                v5::ConnectReturnCode::BadClientId | v5::ConnectReturnCode::ClientIdentifierNotValid => {
                    v4::ConnectReturnCode::BadClientId
                }
                v5::ConnectReturnCode::BadUserNamePassword => v4::ConnectReturnCode::BadUserNamePassword,
                v5::ConnectReturnCode::NotAuthorized => v4::ConnectReturnCode::NotAuthorized,
                _ => v4::ConnectReturnCode::ServiceUnavailable,
            };
            v4::Packet::ConnAck(v4::ConnAck { session_present: ack.session_present, code })
        }
        v5::Packet::Publish(publish) => v4::Packet::Publish(v4::Publish {
            dup: publish.dup,
            qos: down(publish.qos),
            retain: publish.retain,
            topic: text(&publish.topic)?,
            pkid: publish.pkid,
            payload: publish.payload,
        }),
        v5::Packet::PubAck(ack) => v4::Packet::PubAck(v4::PubAck::new(ack.pkid)),
        v5::Packet::PubRec(ack) => v4::Packet::PubRec(v4::PubRec::new(ack.pkid)),
        v5::Packet::PubRel(ack) => v4::Packet::PubRel(v4::PubRel::new(ack.pkid)),
        v5::Packet::PubComp(ack) => v4::Packet::PubComp(v4::PubComp::new(ack.pkid)),
        v5::Packet::Subscribe(subscribe) => {
            let filters =
                subscribe.filters.into_iter().map(|filter| v4::SubscribeFilter::new(filter.path, down(filter.qos)));
            v4::Packet::Subscribe(v4::Subscribe { pkid: subscribe.pkid, filters: filters.collect() })
        }
        v5::Packet::SubAck(ack) => {
            let codes = ack.return_codes.into_iter().map(|code| match code {
                v5::SubscribeReasonCode::Success(qos) => v4::SubscribeReasonCode::Success(down(qos)),
                _ => v4::SubscribeReasonCode::Failure,
            });
            v4::Packet::SubAck(v4::SubAck::new(ack.pkid, codes.collect()))
        }
        v5::Packet::Unsubscribe(unsubscribe) => {
            v4::Packet::Unsubscribe(v4::Unsubscribe { pkid: unsubscribe.pkid, topics: unsubscribe.filters })
        }
        v5::Packet::UnsubAck(ack) => v4::Packet::UnsubAck(v4::UnsubAck::new(ack.pkid)),
        v5::Packet::PingReq(_) => v4::Packet::PingReq,
        v5::Packet::PingResp(_) => v4::Packet::PingResp,
        v5::Packet::Disconnect(_) => v4::Packet::Disconnect,
        v5::Packet::Auth(_) => return Err(WireError::protocol("MQTT 3.1.1 has no AUTH")),
    })
}

fn text(bytes: &[u8]) -> Result<String, WireError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| WireError::malformed("a topic that is not UTF-8"))
}
