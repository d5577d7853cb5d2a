//! Messages of the mock cluster of librdkafka, in this process: bare, a batch handed to a producer of the same settings, and
//! then all of its delivery reports.

use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{Kafka, KafkaConfig, Template};
use tokio::sync::oneshot;

use super::contest::Contest;
use crate::feed::Error;

const TOPIC: &str = "out.all";
const PARTITIONS: i32 = 3;
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn contest() -> Result<Contest, Error> {
    let (brokers, cluster) = cluster().await?;
    let topic = Template::new(TOPIC).map_err(|source| Error::because("name the topic", source))?;
    let target = brokers.clone();
    let ours = move || Kafka::new(KafkaConfig::new(brokers.clone(), topic.clone()));
    let bare = move || Bare(producer(&target));
    Ok(Contest::new("rdkafka, a batch produced, all reports", ours, bare).with_server(cluster))
}

/// A cluster that ends with what is returned beside its address. It cannot leave its thread.
async fn cluster() -> Result<(String, SyncSender<()>), Error> {
    let (stop, stopped) = sync_channel::<()>(1);
    let (ready, address) = oneshot::channel();
    std::thread::spawn(move || {
        let Ok(mock) = MockCluster::new(1) else { return };
        if mock.create_topic(TOPIC, PARTITIONS, 1).is_ok() && ready.send(mock.bootstrap_servers()).is_ok() {
            // Ends when the other side is dropped.
            let _ = stopped.recv();
        }
    });
    let address = tokio::time::timeout(PATIENCE, address).await;
    match address {
        Ok(Ok(address)) => Ok((address, stop)),
        _ => Err(Error::new("start the mock cluster of Kafka: it does not come up")),
    }
}

fn producer(brokers: &str) -> Result<FutureProducer, String> {
    let mut settings = ClientConfig::new();
    settings.set("bootstrap.servers", brokers).set("enable.idempotence", "true").set("linger.ms", "1");
    settings.set("partitioner", "murmur2_random");
    settings.create().map_err(|error| error.to_string())
}

struct Bare(Result<FutureProducer, String>);

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let producer = self.0.as_ref().map_err(|error| SinkError::misconfigured(error.clone()))?;
        let mut reports = Vec::with_capacity(batch.len());
        for record in batch {
            let topic = record.topic.as_ref().map(tidemill_core::topic::TopicName::as_str);
            let headers = OwnedHeaders::new().insert(Header { key: "tidemill-topic", value: topic });
            let mut message: FutureRecord<'_, [u8], [u8]> =
                FutureRecord::to(TOPIC).payload(&*record.payload).headers(headers);
            if let Some(key) = &record.key {
                message = message.key(&**key);
            }
            let time = record.time.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            if let Some(time) = time.and_then(|time| i64::try_from(time.as_millis()).ok()) {
                message = message.timestamp(time);
            }
            reports.push(producer.send_result(message).map_err(|(error, _)| SinkError::unavailable(error))?);
        }
        for report in reports {
            let report = report.await.map_err(SinkError::unavailable)?;
            report.map_err(|(error, _)| SinkError::unavailable(error))?;
        }
        Ok(())
    }
}
