//! Sending, and waiting for delivery reports.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::join_all;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::Producer as _;
use tidemill_core::{Record, Rejection, Sink, SinkError, SinkErrorKind, SinkTraits};
use tokio::time::timeout;

use super::config::KafkaConfig;
use super::error::{Problem, Report, report};
use super::message;
use super::producer::{self, Client};
use crate::kept::blocking;
use crate::pool::Pool;
use crate::written;

/// How many messages are handed over before their reports are waited for: fewer than the client holds.
const SENT_AT_ONCE: usize = 10_000;

/// Writes records to topics of Kafka, a record's key as the message's.
///
/// Written means that all replicas in sync have every message (`acks=all`). At least once: the producer is idempotent,
/// so what the client library repeats by itself is stored once, but a batch that this sink is given again, after a
/// timeout or a restart, is stored again. The header `tidemill-idempotency-key` lets a consumer tell. Messages of a key
/// stay in order: what is not delivered in time is withdrawn as a whole, with the client that holds it.
///
/// Headers: `content-type`, `tidemill-topic`, `tidemill-idempotency-key` and those of the record. A record's time is the
/// message's. A dropped `write` may still reach the brokers.
///
/// Each write at a time has a client of its own, with its threads and connections: so `in_flight` costs some.
///
/// `Rejected` are records that do not fit the topic's template, have a header with a null character in its name, or are larger than `message.max.bytes`, and those that a
/// broker refuses alone; where it refuses several, the engine writes halves, and those that were taken come twice.
///
/// ```
/// use tidemill_sinks::{Kafka, KafkaConfig, KafkaSasl, Secret, Template};
///
/// let config = KafkaConfig::new("kafka-0.example.org:9092", Template::new("plant.{line|none}")?)
///     .secured(KafkaSasl::new("SCRAM-SHA-512", "worker", Secret::File("/run/secrets/kafka".into())))
///     .property("compression.type", "lz4");
/// let sink = Kafka::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Kafka {
    config: Arc<KafkaConfig>,
    /// Clients that no write uses.
    idle: Pool<Client>,
}

impl Kafka {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: KafkaConfig) -> Self {
        Self { config: Arc::new(config), idle: Pool::default() }
    }

    /// A client for one write.
    async fn client(&self) -> Result<Client, SinkError> {
        if let Some(client) = self.idle.take() {
            return Ok(client);
        }
        let config = Arc::clone(&self.config);
        blocking(move || producer::start(&config)).await
    }

    /// The topic, where all records go to one.
    fn topic(&self) -> Option<&str> {
        self.config.topic.is_constant().then(|| self.config.topic.literal_prefix())
    }

    /// Asks for the topic, or for all.
    async fn ask(&self, client: &Client) -> Result<(), SinkError> {
        let stopped = || SinkError::unavailable(Problem::Stopped);
        let (producer, limit) = (client.producer().cloned().ok_or_else(stopped)?, self.config.timeout);
        let topic = self.topic().map(str::to_owned);
        let asked = topic.clone();
        let answer = blocking(move || Ok(producer.client().fetch_metadata(asked.as_deref(), limit))).await?;
        if client.is_login_refused() {
            return Err(SinkError::misconfigured(Problem::Login));
        }
        let metadata = answer.map_err(|error| SinkError::unavailable(Problem::Metadata(error)))?;
        let Some(name) = topic else { return Ok(()) };
        let said = metadata.topics().iter().find(|topic| topic.name() == name).and_then(MetadataTopic::error);
        match said.map(RDKafkaErrorCode::from) {
            // It has no leader, perhaps because it is just being created.
            None | Some(RDKafkaErrorCode::LeaderNotAvailable) => Ok(()),
            Some(code) => match report(KafkaError::MetadataFetch(code), false, Some(&name)) {
                Report::Failed(error) => Err(error),
                Report::Refused(_) | Report::RequestRefused(_) => Err(SinkError::misconfigured(Problem::NoTopic(name))),
            },
        }
    }

    async fn send(
        &self,
        client: &Client,
        messages: &[(usize, String, &Record)],
        rejections: &mut Vec<Rejection>,
    ) -> Result<(), SinkError> {
        let producer = client.producer().ok_or_else(|| SinkError::unavailable(Problem::Stopped))?;
        let mut places = Vec::with_capacity(messages.len());
        let mut reports = Vec::with_capacity(messages.len());
        for (index, topic, record) in messages {
            match producer.send_result(message::of(topic, record)) {
                Ok(delivery) => {
                    places.push(*index);
                    reports.push(delivery);
                }
                Err((error, _)) => match report(error, true, self.topic()) {
                    Report::Refused(reason) => rejections.push(Rejection { index: *index, reason }),
                    Report::RequestRefused(error) => return Err(SinkError::unavailable(Problem::Delivery(error))),
                    Report::Failed(error) => return Err(error),
                },
            }
        }
        let reports = timeout(self.config.timeout, join_all(reports)).await;
        let reports = reports.map_err(|_| SinkError::unavailable(Problem::TimedOut))?;
        let mut refused = Vec::new();
        for (index, delivered) in places.into_iter().zip(reports) {
            let delivered = delivered.map_err(|_| SinkError::unavailable(Problem::Stopped))?;
            if let Err((error, _)) = delivered {
                match report(error, false, self.topic()) {
                    Report::Refused(reason) => rejections.push(Rejection { index, reason }),
                    Report::RequestRefused(error) => refused.push((index, error)),
                    Report::Failed(error) => return Err(error),
                }
            }
        }
        match refused.len() {
            0 => Ok(()),
            1 => {
                // It was alone in its request.
                let (index, error) = refused.remove(0);
                rejections.push(Rejection { index, reason: format!("Kafka refuses the message: {error}") });
                Ok(())
            }
            _ => Err(SinkError::batch_refused(Problem::Delivery(refused.remove(0).1))),
        }
    }
}

impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kafka").field("topic", &self.config.topic).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for Kafka {
    fn traits(&self) -> SinkTraits {
        SinkTraits::default().ordered()
    }

    async fn open(&self) -> Result<(), SinkError> {
        if self.topic().is_some_and(|topic| !message::is_topic(topic)) {
            return Err(SinkError::misconfigured(Problem::BadTopic));
        }
        let client = self.client().await?;
        self.ask(&client).await?;
        self.idle.put(client);
        Ok(())
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let mut rejections = Vec::new();
        let mut messages = Vec::with_capacity(batch.len());
        for (index, record) in batch.iter().enumerate() {
            match message::check(record).and_then(|()| message::topic(&self.config, record)) {
                Ok(topic) => messages.push((index, topic, record)),
                Err(reason) => rejections.push(Rejection { index, reason }),
            }
        }
        if !messages.is_empty() {
            let client = self.client().await?;
            for some in messages.chunks(SENT_AT_ONCE) {
                if let Err(error) = self.send(&client, some, &mut rejections).await {
                    if error.kind() == SinkErrorKind::BatchRefused {
                        // Every message was answered for.
                        self.idle.put(client);
                    } else if client.is_login_refused() {
                        return Err(SinkError::misconfigured(Problem::Login));
                    }
                    return Err(error);
                }
            }
            self.idle.put(client);
        }
        rejections.sort_by_key(|rejection| rejection.index);
        written(rejections)
    }

    async fn close(&self) -> Result<(), SinkError> {
        while let Some(client) = self.idle.take() {
            drop(client);
        }
        Ok(())
    }
}
