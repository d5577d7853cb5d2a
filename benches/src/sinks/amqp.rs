//! Persistent messages in a durable queue of a real RabbitMQ, confirmed: bare, a batch published and then all of its
//! confirmations.

use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{Amqp, AmqpConfig, Template};
use tidemill_testkit::rabbitmq::RabbitMqServer;
use tokio::sync::OnceCell;

use super::contest::Contest;
use crate::feed::Error;

const QUEUE: &str = "out";
/// So many messages are kept.
const KEPT: i64 = 20_000;

/// `None` where there is no RabbitMQ.
pub(super) async fn contest() -> Result<Option<Contest>, Error> {
    let Some(server) = RabbitMqServer::start_or_skip("").await else { return Ok(None) };
    let failed = |source| Error::because("create a queue", source);
    let url = format!("amqp://{}/%2f", server.addr());
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.map_err(failed)?;
    let channel = connection.create_channel().await.map_err(failed)?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(KEPT));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(QUEUE.into(), durable, arguments).await.map_err(failed)?;
    let template = |text| Template::new(text).map_err(|source| Error::because("name the queue", source));
    let (exchange, key) = (template("")?, template(QUEUE)?);
    let target = url.clone();
    let ours = move || Amqp::new(AmqpConfig::new(url.clone(), exchange.clone(), key.clone()));
    let bare = move || Bare { url: target.clone(), connection: OnceCell::new() };
    let means = "lapin, a batch published, all confirmed";
    Ok(Some(Contest::new(means, ours, bare).with_server((connection, server))))
}

struct Bare {
    url: String,
    connection: OnceCell<(Connection, Channel)>,
}

impl Bare {
    async fn connect(&self) -> lapin::Result<(Connection, Channel)> {
        let connection = Connection::connect(&self.url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok((connection, channel))
    }
}

fn properties(record: &Record) -> BasicProperties {
    let mut headers = FieldTable::default();
    let mut add = |name: &str, value: &[u8]| {
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
    };
    add("tidemill-key", record.key.as_deref().unwrap_or_default());
    add("tidemill-topic", record.topic.as_ref().map_or(&[][..], |topic| topic.as_str().as_bytes()));
    let time = record.time.and_then(|time| time.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    BasicProperties::default().with_delivery_mode(2).with_timestamp(time.as_secs()).with_headers(headers)
}

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let connection = self.connection.get_or_try_init(|| self.connect()).await;
        let (_, channel) = connection.map_err(SinkError::unavailable)?;
        let options = BasicPublishOptions { mandatory: true, immediate: false };
        let mut confirms = Vec::with_capacity(batch.len());
        for record in batch {
            let sent = channel.basic_publish("".into(), QUEUE.into(), options, &record.payload, properties(record));
            confirms.push(sent.await.map_err(SinkError::unavailable)?);
        }
        for confirm in confirms {
            if !matches!(confirm.await, Ok(Confirmation::Ack(None))) {
                return Err(SinkError::unavailable("a message was not confirmed"));
            }
        }
        Ok(())
    }
}
