//! Publications: events that a handler sends to the broker.

use bytes::Bytes;

use crate::topic::TopicName;
use crate::{Properties, QoS};

/// An event to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Publication {
    /// Where to.
    pub topic: TopicName,
    /// What.
    pub payload: Bytes,
    /// At most once or at least once; exactly once is sent as at least once.
    pub qos: QoS,
    /// Whether the broker keeps it for later subscribers.
    pub retain: bool,
    /// MQTT 5 properties; left out on MQTT 3.1.1.
    pub properties: Option<Box<Properties>>,
}

impl Publication {
    /// A publication at QoS 1, not retained, without properties.
    #[must_use]
    pub fn new(topic: TopicName, payload: impl Into<Bytes>) -> Self {
        Self { topic, payload: payload.into(), qos: QoS::AtLeastOnce, retain: false, properties: None }
    }

    /// Sets the quality of service.
    #[must_use]
    pub fn with_qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Asks the broker to keep it for later subscribers.
    #[must_use]
    pub fn with_retain(mut self, retain: bool) -> Self {
        self.retain = retain;
        self
    }

    /// Sets the MQTT 5 properties.
    #[must_use]
    pub fn with_properties(mut self, properties: Properties) -> Self {
        self.properties = Some(Box::new(properties));
        self
    }
}
