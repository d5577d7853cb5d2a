//! The connection, and waiting for acknowledgements.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidemill_core::{QoS, Record, Rejection, Sink, SinkError, SinkTraits};
use tokio::time::{Instant, timeout, timeout_at};

use super::handed::{Handed, HandedOver};
use super::publication::{self, Topic};
use crate::config::{Config, MAX_DURATION, MqttSinkConfig};
use crate::session::{PublishError, Publisher, Reason};

/// Publishes records to an MQTT broker: the worker's own, or another one, over a connection of its own.
///
/// At QoS 1 written means that the broker has acknowledged every publication. At least once; with MQTT 5 the user property
/// `tidemill-idempotency-key` lets a consumer act once on each. At QoS 0 written means put into the buffer of
/// the connection, from where it may get lost: at most once. Publications stay in order.
///
/// User properties (MQTT 5): those of the record's headers, `tidemill-key` (if it is UTF-8), `tidemill-topic` and
/// `tidemill-idempotency-key`; the content type is the publication's. MQTT 3.1.1 has no place for any of them.
///
/// A topic that the worker subscribes to itself makes a loop. A dropped `write` may still reach the broker; the same
/// batch written again waits for it. `Rejected` are records that do not fit the topic, are larger than the broker takes,
/// that it refuses, or over which it ends connection after connection.
///
/// ```
/// use tidemill_runtime::config::MqttSinkConfig;
/// use tidemill_runtime::{Config, MqttSink};
///
/// let config = Config::default();
/// let alarms = MqttSink::new(MqttSinkConfig::new(config.mqtt.clone(), "alarms/{line}"));
/// ```
pub struct MqttSink {
    config: MqttSinkConfig,
    topic: Result<Topic, String>,
    publisher: Mutex<Option<Publisher>>,
    /// What writes that were given up have left with the publisher.
    handed: HandedOver,
}

/// Why nothing is published. Never holds the broker's URL.
#[derive(Debug)]
enum Problem {
    Topic(String),
    Timeout,
    /// What the connection said last, if it said something.
    NoConnection(Option<String>),
    Unacknowledged(Option<String>),
    Refused(PublishError),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, said) = match self {
            Self::Topic(why) => return write!(f, "topic of the MQTT sink: {why}"),
            Self::Timeout => {
                return f.write_str("timeout of the MQTT sink is no time or longer than 365 days: set it in between");
            }
            Self::Refused(why) => {
                return write!(
                    f,
                    "{why}: allow this client to publish to the topic of the MQTT sink, or set another one"
                );
            }
            Self::NoConnection(said) => ("no connection to the broker of the MQTT sink", said),
            Self::Unacknowledged(said) => ("the broker of the MQTT sink did not take the batch in time", said),
        };
        f.write_str(what)?;
        said.as_ref().map_or(Ok(()), |said| write!(f, ": {said}"))
    }
}

impl std::error::Error for Problem {}

impl MqttSink {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: MqttSinkConfig) -> Self {
        let topic = Topic::new(&config.topic);
        Self { config, topic, publisher: Mutex::new(None), handed: HandedOver::default() }
    }

    fn current(&self) -> MutexGuard<'_, Option<Publisher>> {
        self.publisher.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topic(&self) -> Result<&Topic, SinkError> {
        self.topic.as_ref().map_err(|why| SinkError::misconfigured(Problem::Topic(why.clone())))
    }

    /// A connection that is up.
    async fn connected(&self) -> Result<Publisher, SinkError> {
        let publisher = self.publisher()?;
        match timeout(self.config.timeout, publisher.connected()).await {
            Ok(true) => Ok(publisher),
            // Refused for a reason that trying again does not mend.
            Ok(false) => Err(SinkError::misconfigured(Problem::NoConnection(publisher.last_error()))),
            Err(_) => Err(SinkError::unavailable(Problem::NoConnection(publisher.last_error()))),
        }
    }

    fn publisher(&self) -> Result<Publisher, SinkError> {
        let mut current = self.current();
        if let Some(publisher) = current.as_ref().filter(|publisher| !publisher.is_closed()) {
            return Ok(publisher.clone());
        }
        let config = Config { mqtt: self.config.broker.clone(), ..Config::default() };
        let id = self.config.client_id.clone();
        // 23 characters are what every broker takes.
        let id = id.unwrap_or_else(|| format!("tidemill-sink-{:08x}", fastrand::u32(..)));
        let publisher = Publisher::start_with(&config, id).map_err(SinkError::misconfigured)?;
        Ok(current.insert(publisher).clone())
    }

    /// Ends the connection with all that waits on it: it would send it later by itself, behind what is written then.
    fn give_up(&self) {
        if let Some(publisher) = self.current().take() {
            publisher.abort();
        }
    }

    /// Publishes a batch, or goes on waiting for one that was handed over before.
    async fn publish(&self, batch: &[Record]) -> Result<Vec<Rejection>, SinkError> {
        let topic = self.topic()?;
        let publisher = self.connected().await?;
        let session = publisher.sessions();
        let until = Instant::now() + self.config.timeout;
        let late = || {
            let said = publisher.last_error();
            // A broker that is connected and says nothing may do better on another connection. One that ends connection
            // after connection may do so over one of these, which the publisher finds out when it is let.
            if publisher.sessions() == session && publisher.is_ready() {
                self.give_up();
            }
            SinkError::unavailable(Problem::Unacknowledged(said))
        };
        let mut waiting = match self.handed.take(batch) {
            Some(handed) => self.handed.wait(batch, handed),
            None => {
                let mut sources = Vec::with_capacity(batch.len());
                let mut rejections = Vec::new();
                let mut publications = Vec::with_capacity(batch.len());
                for (index, record) in batch.iter().enumerate() {
                    match publication::of(&self.config, topic, record) {
                        Ok(publication) => {
                            publications.push(publication);
                            sources.push(index);
                        }
                        Err(reason) => rejections.push(Rejection { index, reason }),
                    }
                }
                self.handed.wait(batch, Handed::new(&publisher, publications, sources, rejections))
            }
        };
        let settled = timeout_at(until, waiting.settled()).await.map_err(|_| late())?;
        let (sources, mut rejections) = waiting.over();
        for (at, error) in settled.map_err(SinkError::unavailable)?.failed {
            rejections.push(Rejection { index: sources[at], reason: refused(error, topic)? });
        }
        rejections.sort_by_key(|rejection| rejection.index);
        Ok(rejections)
    }
}

/// The reason of a refusal, or what it means for the batch.
fn refused(error: PublishError, topic: &Topic) -> Result<String, SinkError> {
    if error.is_passing() {
        return Err(SinkError::unavailable(error));
    }
    match error {
        PublishError::Refused(Reason::NOT_AUTHORIZED | Reason::TOPIC_NAME_INVALID) if topic.is_constant() => {
            Err(SinkError::misconfigured(Problem::Refused(error)))
        }
        error => Ok(error.to_string()),
    }
}

impl fmt::Debug for MqttSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MqttSink")
            .field("topic", &self.config.topic)
            .field("qos", &self.config.qos)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for MqttSink {
    fn traits(&self) -> SinkTraits {
        SinkTraits::default().ordered()
    }

    async fn open(&self) -> Result<(), SinkError> {
        let topic = self.topic()?;
        if self.config.timeout.is_zero() || self.config.timeout > MAX_DURATION {
            return Err(SinkError::misconfigured(Problem::Timeout));
        }
        if self.config.qos == QoS::ExactlyOnce {
            return Err(SinkError::misconfigured(Problem::Topic("qos 2 is not sent: set 0 or 1".to_owned())));
        }
        if topic.is_constant() {
            let wrong = |why: String| SinkError::misconfigured(Problem::Topic(why));
            publication::of(&self.config, topic, &Record::new("")).map_err(wrong)?;
        }
        self.connected().await.map(drop)
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let rejections = self.publish(batch).await?;
        if rejections.is_empty() { Ok(()) } else { Err(SinkError::rejected(rejections)) }
    }

    async fn close(&self) -> Result<(), SinkError> {
        let publisher = self.current().take();
        if let Some(publisher) = publisher {
            // Everything was acknowledged, so nothing is lost where the broker does not answer.
            _ = timeout(self.config.timeout, publisher.close()).await;
            publisher.abort();
        }
        Ok(())
    }
}
