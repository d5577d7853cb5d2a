//! What the platform says to a PUBLISH or SUBSCRIBE of an application: payload limit, retain, QoS, topics.
//!
//! The checks come in the order of the proxy (`doPublishC2P`, `doSubscribe` in `pxmqtt.c`), so that what is wrong in
//! several ways gets the same closing code as there.

use std::fmt;

use super::quickstart::{self, QuickstartError};
use super::topics::TopicRuleError;
use super::{ClientId, CloseCode, PlatformFilter, PlatformTopic};
use crate::QoS;

/// The largest publication, in bytes as [`counted_size`] counts them.
pub const MAX_PAYLOAD: usize = 131_072;

/// Bytes of the topic that are not counted.
pub const FREE_TOPIC_BYTES: usize = 200;

/// The size that the limit applies to, in bytes: the payload, plus what the topic has beyond 200 bytes.
///
/// This is how the proxy counts for MQTT 3.1 and 3.1.1 (`doPublishC2P` in `pxmqtt.c`); the documentation speaks of the
/// payload alone. With MQTT 5 the proxy limits the whole packet instead.
#[must_use]
pub const fn counted_size(payload_len: usize, topic_len: usize) -> usize {
    payload_len.saturating_add(topic_len.saturating_sub(FREE_TOPIC_BYTES))
}

/// Whether a publication fits.
///
/// # Errors
/// [`PublishError::TooLarge`].
pub fn check_size(payload_len: usize, topic_len: usize) -> Result<(), PublishError> {
    let counted = counted_size(payload_len, topic_len);
    if counted > MAX_PAYLOAD { Err(PublishError::TooLarge { counted }) } else { Ok(()) }
}

/// A PUBLISH by its parts that rules are about.
#[derive(Clone, Copy, Debug)]
pub struct PublishRequest<'a> {
    /// The topic as sent.
    pub topic: &'a str,
    /// Bytes of the payload.
    pub payload_len: usize,
    /// The quality of service.
    pub qos: QoS,
    /// Whether it asks to be retained.
    pub retain: bool,
}

/// A publication that the platform passes on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Published {
    /// Where to.
    pub topic: PlatformTopic,
    /// At which quality of service.
    pub qos: QoS,
    /// Whether the platform took the retain flag away. It always does, and passes the publication on as an ordinary
    /// one; the same holds for wills (applications page, "Retained messages").
    pub retain_cleared: bool,
}

/// Why a publication is refused. The platform then closes an MQTT 3.1.1 connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishError {
    /// Larger than [`MAX_PAYLOAD`].
    TooLarge {
        /// Its [`counted_size`].
        counted: usize,
    },
    /// A higher QoS than the organization may use.
    QosTooHigh {
        /// The highest that it may use.
        max: QoS,
    },
    /// Not a topic to publish to.
    Topic(TopicRuleError),
    /// Quickstart does not offer it.
    Quickstart(QuickstartError),
}

impl PublishError {
    /// The code that the platform closes the connection with.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::TooLarge { .. } => CloseCode::MessageTooLarge,
            Self::QosTooHigh { .. } => CloseCode::QosTooHigh,
            Self::Topic(error) => error.close_code(),
            // In the sandbox such topics match no rule.
            Self::Quickstart(_) => CloseCode::TopicNotValid,
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { counted } => write!(
                f,
                "the publication counts {counted} bytes and the platform takes {MAX_PAYLOAD}, topic beyond \
                 {FREE_TOPIC_BYTES} bytes included; it closes the connection (287), so split the payload"
            ),
            Self::QosTooHigh { max } => {
                write!(f, "the organization may publish at QoS {} at most; lower the QoS", max.level())
            }
            Self::Topic(error) => error.fmt(f),
            Self::Quickstart(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for PublishError {}

/// Judges a PUBLISH of an application. `max_qos` is a setting of the organization, 2 unless told otherwise.
///
/// # Errors
/// A [`PublishError`] with its closing code.
pub fn check_publish(client: &ClientId, request: &PublishRequest<'_>, max_qos: QoS) -> Result<Published, PublishError> {
    check_size(request.payload_len, request.topic.len())?;
    if request.qos > max_qos {
        return Err(PublishError::QosTooHigh { max: max_qos });
    }
    let topic = PlatformTopic::parse(request.topic).map_err(PublishError::Topic)?;
    if client.org().is_quickstart() {
        quickstart::check_publish(&topic).map_err(PublishError::Quickstart)?;
    }
    topic.check_publishable().map_err(PublishError::Topic)?;
    Ok(Published { topic, qos: request.qos, retain_cleared: request.retain })
}

/// A subscription that the platform grants.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subscribed {
    /// The filter.
    pub filter: PlatformFilter,
    /// The granted quality of service: a wish above the organization's highest is lowered, not refused.
    pub qos: QoS,
}

/// Why a subscription is refused. The platform then closes an MQTT 3.1.1 connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SubscribeError {
    /// Not a filter of an application.
    Topic(TopicRuleError),
    /// Quickstart does not offer it.
    Quickstart(QuickstartError),
}

impl SubscribeError {
    /// The code that the platform closes the connection with.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::Topic(error) => error.close_code(),
            Self::Quickstart(_) => CloseCode::TopicNotValid,
        }
    }
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(error) => error.fmt(f),
            Self::Quickstart(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for SubscribeError {}

/// Judges one filter of an application's SUBSCRIBE.
///
/// # Errors
/// A [`SubscribeError`] with its closing code.
pub fn check_subscribe(client: &ClientId, filter: &str, qos: QoS, max_qos: QoS) -> Result<Subscribed, SubscribeError> {
    let filter = PlatformFilter::parse(filter).map_err(SubscribeError::Topic)?;
    if client.org().is_quickstart() {
        quickstart::check_subscribe(&filter).map_err(SubscribeError::Quickstart)?;
    }
    Ok(Subscribed { filter, qos: qos.min(max_qos) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENT: &str = "iot-2/type/T/id/I/evt/E/fmt/json";

    fn client(text: &str) -> ClientId {
        ClientId::new(text).unwrap()
    }

    fn request(topic: &str, payload_len: usize) -> PublishRequest<'_> {
        PublishRequest { topic, payload_len, qos: QoS::AtLeastOnce, retain: false }
    }

    fn publish(request: &PublishRequest<'_>) -> Result<Published, PublishError> {
        check_publish(&client("a:abc123:app"), request, QoS::ExactlyOnce)
    }

    #[test]
    fn payload_limit_counts_the_topic_beyond_200_bytes() {
        assert!(publish(&request(EVENT, MAX_PAYLOAD)).is_ok());
        let error = publish(&request(EVENT, MAX_PAYLOAD + 1)).unwrap_err();
        assert_eq!(error, PublishError::TooLarge { counted: MAX_PAYLOAD + 1 });
        assert_eq!(error.close_code().number(), 287);
        let long = format!("iot-2/type/T/id/I/evt/{}/fmt/json", "e".repeat(200));
        let spare = MAX_PAYLOAD - (long.len() - 200);
        assert!(publish(&request(&long, spare)).is_ok());
        assert!(publish(&request(&long, spare + 1)).is_err());
    }

    #[test]
    fn retain_flag_is_taken_away_and_the_publication_passes() {
        let published = publish(&PublishRequest { retain: true, ..request(EVENT, 1) }).unwrap();
        assert!(published.retain_cleared);
        assert!(!publish(&request(EVENT, 1)).unwrap().retain_cleared);
    }

    #[test]
    fn applications_publish_events_and_commands_only() {
        assert!(publish(&request(EVENT, 1)).is_ok());
        assert!(publish(&request("iot-2/type/T/id/I/cmd/C/fmt/json", 1)).is_ok());
        for topic in ["iot-2/type/T/id/I/mon", "iot-2/app/A/mon", "iot-2/type/T/id/I/err/data", "plant/1", "a/+", ""] {
            let error = publish(&request(topic, 1)).unwrap_err();
            assert_eq!(error.close_code().number(), 276, "{topic}");
        }
    }

    #[test]
    fn qos_above_the_organizations_is_refused_on_publish_and_lowered_on_subscribe() {
        let app = client("a:abc123:app");
        let high = PublishRequest { qos: QoS::ExactlyOnce, ..request(EVENT, 1) };
        let error = check_publish(&app, &high, QoS::AtLeastOnce).unwrap_err();
        assert_eq!((error.close_code().number(), check_publish(&app, &high, QoS::ExactlyOnce).is_ok()), (291, true));
        let granted = check_subscribe(&app, EVENT, QoS::ExactlyOnce, QoS::AtLeastOnce).unwrap();
        assert_eq!(granted.qos, QoS::AtLeastOnce);
    }

    #[test]
    fn share_prefixes_and_hash_are_refused_on_subscribe_with_their_codes() {
        let code = |filter: &str| {
            check_subscribe(&client("A:abc123:app"), filter, QoS::AtLeastOnce, QoS::ExactlyOnce)
                .unwrap_err()
                .close_code()
                .number()
        };
        assert_eq!(code("iot-2/type/+/id/#"), 276);
        assert_eq!(code("iot-2/+/T/id/I/mon"), 276);
        assert_eq!(code("$SharedSubscription/x/iot-2/type/+/id/+/evt/+/fmt/+"), 276);
        assert_eq!(code("$share/x/iot-2/type/+/id/+/evt/+/fmt/+"), 276);
        assert_eq!(code("$SYS/clients"), 289);
    }

    #[test]
    fn quickstart_refuses_each_thing_that_it_does_not_offer() {
        let app = client("a:quickstart:app");
        let sub = |filter| check_subscribe(&app, filter, QoS::AtMostOnce, QoS::ExactlyOnce).map(|_| ());
        let refused = |error| Err(SubscribeError::Quickstart(error));
        assert_eq!(sub("iot-2/type/+/id/I/evt/+/fmt/+"), Ok(()));
        assert_eq!(sub("iot-2/type/+/id/+/evt/+/fmt/+"), refused(QuickstartError::AnyDevice));
        assert_eq!(sub("iot-2/type/+/id/+/mon"), refused(QuickstartError::AnyDevice));
        assert_eq!(sub("iot-2/type/T/id/I/mon"), Ok(()));
        assert_eq!(sub("iot-2/app/+/mon"), refused(QuickstartError::AnyApp));
        assert_eq!(sub("iot-2/app/A/mon"), Ok(()));
        assert_eq!(sub("iot-2/type/T/id/I/cmd/C/fmt/F"), refused(QuickstartError::SubscribeCommand));
        assert_eq!(sub("iot-2/type/T/id/I/err/data"), refused(QuickstartError::OtherTopic));
        let publish = |topic| check_publish(&app, &request(topic, 1), QoS::ExactlyOnce).map(|_| ());
        assert_eq!(publish(EVENT), Ok(()));
        let command = publish("iot-2/type/T/id/I/cmd/C/fmt/F");
        assert_eq!(command, Err(PublishError::Quickstart(QuickstartError::PublishCommand)));
        let connect = |id, tls| quickstart::check_connect(&client(id), tls);
        assert_eq!(connect("a:quickstart:app", false), Ok(()));
        assert_eq!(connect("d:quickstart:t:i", false), Ok(()));
        assert_eq!(connect("a:quickstart:app", true), Err(QuickstartError::Tls));
        assert_eq!(connect("A:quickstart:app", false), Err(QuickstartError::Scalable));
        assert_eq!(connect("A:quickstart:app:i", false), Err(QuickstartError::Scalable));
        assert_eq!(connect("g:quickstart:t:i", false), Err(QuickstartError::Gateway));
    }

    proptest! {
        #[test]
        fn size_is_what_the_source_computes(payload in 0_i64..1 << 40, topic in 0_i64..65_536) {
            let mut model = payload;
            if topic > 200 {
                model += topic - 200;
            }
            let size = counted_size(usize::try_from(payload).unwrap(), usize::try_from(topic).unwrap());
            prop_assert_eq!(i64::try_from(size).unwrap(), model);
        }

        #[test]
        fn no_topic_makes_the_checks_panic(topic in "\\PC{0,60}", len in any::<usize>()) {
            let _ = publish(&request(&topic, len));
            let _ = check_subscribe(&client("A:abc123:app"), &topic, QoS::AtMostOnce, QoS::AtMostOnce);
        }
    }
}
