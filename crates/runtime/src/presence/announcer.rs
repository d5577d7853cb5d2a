//! Publishes a worker's presence: at its start, whenever its state changes, every so often, and an empty message at its
//! end. A broker that refuses it is asked no more.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tidemill_core::topic::TopicName;
use tidemill_core::{Properties, Publication, QoS};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::message::{Presence, SCHEMA, State, now, rounded};
use crate::config::MqttVersion;
use crate::session::{ConnectOptions, PublishError, Publisher, Will};
use crate::worker::Shared;

/// How often it is looked whether the state has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How long a lost worker is remembered on MQTT 5. On 3.1.1, where messages do not expire, it is not: its ID may be a
/// generated one, and its message would stay for ever.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// How long the broker may take to hear that the worker has gone.
const FAREWELL: Duration = Duration::from_secs(2);

/// See the module's description.
#[derive(Clone, Debug)]
pub(crate) struct Announcer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) topic: TopicName,
    pub(crate) id: String,
    pub(crate) replica: String,
    pub(crate) every: Duration,
    pub(crate) version: MqttVersion,
    pub(crate) since: u64,
}

/// What the message before said.
struct Said {
    state: State,
    at: Instant,
    received: u64,
}

impl Announcer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        topic: TopicName,
        (id, replica): (String, String),
        every: Duration,
        version: MqttVersion,
    ) -> Self {
        Self { shared, topic, id, replica, every, version, since: now() }
    }

    /// The same connection, with a Will that says that the worker is lost.
    pub(crate) fn with_will(&self, options: ConnectOptions) -> ConnectOptions {
        let lost = Presence {
            schema: SCHEMA,
            group: self.shared.group.clone().unwrap_or_default(),
            state: State::Lost,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            at: now(),
            ..self.own(Presence::default())
        };
        let (payload, expiry) = match self.version {
            MqttVersion::V5 => (self.text(&lost), Some(REMEMBERED)),
            MqttVersion::V3_1_1 => (Bytes::new(), None),
        };
        let topic = self.topic.as_str().to_owned();
        let will = Will { topic, payload, qos: QoS::AtLeastOnce, retain: true, expiry };
        ConnectOptions { will: Some(will), ..options }
    }

    /// What it has from the worker's name and history.
    fn own(&self, presence: Presence) -> Presence {
        let (id, replica, since) = (self.id.clone(), self.replica.clone(), self.since);
        let wanted = self.shared.scaling.wanted();
        Presence { id, replica, since, wanted, every: self.every.as_secs(), ..presence }
    }

    fn text(&self, presence: &Presence) -> Bytes {
        // It has no maps and no texts that are no UTF-8.
        serde_json::to_vec(presence).unwrap_or_default().into()
    }

    fn publication(&self, payload: Bytes) -> Publication {
        let publication = Publication::new(self.topic.clone(), payload).with_retain(true);
        if self.version == MqttVersion::V3_1_1 || publication.payload.is_empty() {
            return publication;
        }
        let mut properties = Properties::default();
        properties.content_type = Some("application/json".to_owned());
        properties.utf8_payload = true;
        properties.message_expiry = Some(self.every * 3);
        publication.with_properties(properties)
    }

    fn look(&self, before: Option<&Said>) -> (Presence, Said) {
        let status = self.shared.status();
        let mut presence = self.own(Presence::of(&status));
        let said = Said { state: presence.state, at: Instant::now(), received: status.received };
        if let Some(before) = before {
            #[expect(clippy::cast_precision_loss, reason = "a rate needs no last digit")]
            let events = said.received.saturating_sub(before.received) as f64;
            presence.rate = rounded(events / (said.at - before.at).as_secs_f64().max(0.001));
        }
        (presence, said)
    }

    /// Announces the worker through this connection until `end`, then says that it has gone.
    pub(crate) async fn run(self, publisher: Publisher, end: CancellationToken) {
        tokio::select! {
            biased;
            () = end.cancelled() => {}
            why = self.announce(&publisher) => {
                warn!(
                    topic = self.topic.as_str(),
                    why,
                    "the broker does not take this worker's presence; it is published no more; allow the topic, or remove \
                     `group.presence.topic`"
                );
                publisher.abort();
                return;
            }
        }
        let farewell = async {
            if let Err(error) = publisher.publish(self.publication(Bytes::new())).await {
                debug!(error = %error, "the worker's presence could not be cleared");
            }
            publisher.close().await;
        };
        if timeout(FAREWELL, farewell).await.is_err() {
            publisher.abort();
        }
    }

    /// Ready when the broker refuses it, with the reason.
    async fn announce(&self, publisher: &Publisher) -> String {
        let mut said: Option<Said> = None;
        loop {
            let (presence, saying) = self.look(said.as_ref());
            match publisher.publish(self.publication(self.text(&presence))).await {
                Ok(()) => {}
                // What there is to know stands in the error of the connection.
                Err(PublishError::Closed) => {
                    return publisher.last_error().unwrap_or_else(|| PublishError::Closed.to_string());
                }
                Err(error) => return error.to_string(),
            }
            let due = saying.at + self.every;
            let state = saying.state;
            said = Some(saying);
            let session = publisher.sessions();
            loop {
                sleep(LOOK.min(self.every)).await;
                // While it was away, the broker has published its Will.
                let was_away = publisher.sessions() != session;
                if was_away || Instant::now() >= due || Presence::of(&self.shared.status()).state != state {
                    break;
                }
            }
        }
    }
}
