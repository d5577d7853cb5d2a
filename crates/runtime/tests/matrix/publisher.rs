//! Who publishes the events of a run.

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::wire::v5;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::log::EventId;
use crate::payload;
use crate::plan::Plan;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Publisher {
    plan: Plan,
    client: RawClient,
    published: EventId,
}

impl Publisher {
    pub(crate) async fn connect(plan: &Plan, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let mut client = RawClient::new(io).with_patience(Duration::from_secs(60));
        client.connect(ConnectOptions::new("publisher")).await;
        Self { plan: plan.clone(), client, published: 0 }
    }

    /// How many events were published.
    pub(crate) fn published(&self) -> EventId {
        self.published
    }

    /// Publishes until so many are, at the plan's pace; the broker has them all when this returns.
    pub(crate) async fn publish_to(&mut self, count: EventId) {
        let (burst, pause) = self.plan.pace;
        while self.published < count {
            let until = count.min(self.published + burst);
            let mut unacknowledged = Vec::new();
            while self.published < until {
                let event = self.event(self.published);
                unacknowledged.push(self.client.publish_packet(event).await);
                self.published += 1;
            }
            for pkid in unacknowledged {
                self.client.expect_puback(pkid).await;
            }
            sleep(pause).await;
        }
    }

    fn event(&self, event: EventId) -> v5::Publish {
        let key = format!("k{}", self.plan.key_of(event));
        let properties = v5::PublishProperties {
            user_properties: vec![("key".to_owned(), key.clone())],
            response_topic: Some("out/replies".to_owned()),
            ..v5::PublishProperties::default()
        };
        let payload = payload::of(event, &key);
        v5::Publish::new(self.plan.topic_of(event), QoS::AtLeastOnce, payload, Some(properties))
    }
}
