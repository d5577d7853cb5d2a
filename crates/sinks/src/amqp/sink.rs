//! Publishing, and waiting for confirmations.

use std::fmt;

use async_trait::async_trait;
use lapin::Confirmation;
use lapin::message::Delivery;
use lapin::options::BasicPublishOptions;
use tidemill_core::{Record, Rejection, Sink, SinkError, SinkTraits};
use tokio::time::timeout;

use super::config::AmqpConfig;
use super::connection::{Connection, connect};
use super::error::{Problem, refused};
use super::message::{self, Message};
use crate::kept::Kept;
use crate::written;

/// Writes records as messages to RabbitMQ, or another server that speaks AMQP 0.9.1.
///
/// Written means that the server has confirmed every message: persistent ones in durable queues are on its disk, in
/// quorum queues on most of its nodes. At least once: the idempotency key is the message's `message_id`, and it is up to
/// the consumer to act once on each. Messages stay in order, except around one that a full queue refused for a while.
///
/// Headers: `tidemill-key`, `tidemill-topic` and those of the record; content type and time have places of their own.
/// One connection, with a channel for each write at a time, made when it is first needed and again when it fails. A dropped `write` may still
/// reach the server.
///
/// `Rejected` are records that do not fit the templates, and with `mandatory` those whose message no queue takes. What
/// the server answers by closing the channel, as to a message that is too large, makes the engine write halves.
///
/// ```
/// use tidemill_sinks::{Amqp, AmqpConfig, Secret, Template};
///
/// let (exchange, routing_key) = (Template::new("plant")?, Template::new("{line|none}.alarms")?);
/// let config = AmqpConfig::new("amqps://rabbit.example.org/plant", exchange, routing_key)
///     .login("worker", Secret::File("/run/secrets/rabbit".into()));
/// let sink = Amqp::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Amqp {
    config: AmqpConfig,
    connection: Kept<Connection>,
}

impl Amqp {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: AmqpConfig) -> Self {
        Self { config, connection: Kept::default() }
    }

    /// Runs something on the connection, both within the time limit, and gives the connection up when it fails: nobody
    /// knows what is still under way on it.
    async fn on_connection<T>(
        &self,
        work: impl AsyncFnOnce(&Connection) -> Result<T, SinkError>,
    ) -> Result<T, SinkError> {
        let late = |_| SinkError::unavailable(Problem::TimedOut);
        let made = timeout(self.config.timeout, self.connection.or_make(connect(&self.config))).await;
        let connection = made.map_err(late)??;
        let result = timeout(self.config.timeout, work(&connection)).await.unwrap_or_else(|error| Err(late(error)));
        if result.is_err() {
            self.connection.forget(&connection);
        }
        result
    }

    /// The exchange, where all records go to one.
    fn exchange(&self) -> Option<&str> {
        self.config.exchange.is_constant().then(|| self.config.exchange.literal_prefix())
    }

    async fn publish(
        &self,
        connection: &Connection,
        messages: Vec<(usize, Message, &Record)>,
        rejections: &mut Vec<Rejection>,
    ) -> Result<(), SinkError> {
        let channel = connection.channel().await?;
        let failed = |error| refused(error, self.exchange());
        let options = BasicPublishOptions { mandatory: self.config.mandatory, immediate: false };
        let mut unconfirmed = Vec::with_capacity(messages.len());
        // Without those that were given back: each comes back once.
        let mut sent: Vec<(usize, &Record)> = messages.iter().map(|(index, _, record)| (*index, *record)).collect();
        for (_, Message { exchange, routing_key, properties }, record) in messages {
            let confirm = channel.basic_publish(exchange, routing_key, options, &record.payload, properties).await;
            unconfirmed.push(confirm.map_err(failed)?);
        }
        for confirm in unconfirmed {
            match confirm.await.map_err(failed)? {
                Confirmation::Ack(None) => {}
                Confirmation::Ack(Some(returned)) => {
                    let position = sent.iter().position(|(_, record)| self.is_of(&returned.delivery, record));
                    let Some(position) = position else {
                        return Err(SinkError::batch_refused(Problem::Returned));
                    };
                    let (index, _) = sent.remove(position);
                    let (code, why) = (returned.reply_code, returned.reply_text.as_str());
                    let reason =
                        format!("the server gave the message back ({code} {why}): bind a queue to its routing key");
                    rejections.push(Rejection { index, reason });
                }
                Confirmation::Nack(_) | Confirmation::NotRequested => {
                    return Err(SinkError::unavailable(Problem::Nack));
                }
            }
        }
        connection.put(channel);
        Ok(())
    }

    /// Whether this message came from this record. The client hands a returned message to whichever is confirmed next,
    /// so only what stands in it tells which one it was; of two that are the same, one is as good as the other.
    fn is_of(&self, message: &Delivery, record: &Record) -> bool {
        record.payload == message.data
            && message::of(&self.config, record).is_ok_and(|sent| {
                (sent.exchange, sent.routing_key) == (message.exchange.clone(), message.routing_key.clone())
                    && sent.properties == message.properties
            })
    }
}

impl fmt::Debug for Amqp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AmqpConfig { exchange, routing_key, .. } = &self.config;
        f.debug_struct("Amqp").field("exchange", exchange).field("routing_key", routing_key).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for Amqp {
    fn traits(&self) -> SinkTraits {
        SinkTraits::default().ordered()
    }

    async fn open(&self) -> Result<(), SinkError> {
        self.on_connection(async |connection| match self.exchange() {
            Some(exchange) => connection.check(exchange).await,
            None => Ok(()),
        })
        .await
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let mut rejections = Vec::new();
        let mut messages = Vec::with_capacity(batch.len());
        for (index, record) in batch.iter().enumerate() {
            match message::of(&self.config, record) {
                Ok(message) => messages.push((index, message, record)),
                Err(reason) => rejections.push(Rejection { index, reason }),
            }
        }
        if !messages.is_empty() {
            let refused = &mut rejections;
            self.on_connection(async |connection| self.publish(connection, messages, refused).await).await?;
        }
        rejections.sort_by_key(|rejection| rejection.index);
        written(rejections)
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.connection.clear();
        Ok(())
    }
}
