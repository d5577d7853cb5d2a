//! A mock cluster of one broker, on a thread of its own: it cannot be moved to another one.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tidemill_core::Sink;
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

use super::super::{Kafka, KafkaConfig};
use crate::Template;

pub(super) const TOPIC: &str = "out.all";
const PARTITIONS: i32 = 3;
const BROKER: i32 = 1;

type Mock = MockCluster<'static, DefaultProducerContext>;
type Order = Box<dyn FnOnce(&Mock) + Send>;

pub(super) struct Cluster {
    orders: SyncSender<Order>,
    pub(super) brokers: String,
}

/// A message that was read back.
pub(super) struct Stored {
    pub(super) key: Option<Vec<u8>>,
    pub(super) payload: Vec<u8>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) timestamp: Option<i64>,
}

impl Cluster {
    pub(super) async fn start() -> Self {
        let (orders, waiting) = sync_channel::<Order>(4);
        let (ready, brokers) = oneshot::channel();
        std::thread::spawn(move || {
            let mock = MockCluster::new(1).unwrap();
            mock.create_topic(TOPIC, PARTITIONS, 1).unwrap();
            ready.send(mock.bootstrap_servers()).unwrap();
            while let Ok(order) = waiting.recv() {
                order(&mock);
            }
        });
        Self { orders, brokers: brokers.await.unwrap() }
    }

    async fn order(&self, order: impl FnOnce(&Mock) + Send + 'static) {
        let (done, ended) = oneshot::channel();
        let order: Order = Box::new(move |mock| {
            order(mock);
            done.send(()).unwrap();
        });
        self.orders.send(order).unwrap();
        ended.await.unwrap();
    }

    pub(super) async fn down(&self) {
        self.order(|mock| mock.broker_down(BROKER).unwrap()).await;
    }

    pub(super) async fn up(&self) {
        self.order(|mock| mock.broker_up(BROKER).unwrap()).await;
    }

    pub(super) async fn answers_after(&self, delay: Duration) {
        self.order(move |mock| mock.broker_round_trip_time(BROKER, delay).unwrap()).await;
    }

    /// The next requests to produce fail with these.
    pub(super) async fn fails(&self, errors: Vec<RDKafkaRespErr>) {
        self.order(move |mock| mock.request_errors(RDKafkaApiKey::Produce, &errors)).await;
    }

    /// Asking for the topic fails with this.
    pub(super) async fn topic_fails(&self, error: RDKafkaRespErr) {
        self.order(move |mock| mock.topic_error(TOPIC, error).unwrap()).await;
    }

    pub(super) fn config(&self) -> KafkaConfig {
        let topic = Template::new("out.{header:word|all}").unwrap();
        let mut config = KafkaConfig::new(self.brokers.clone(), topic);
        config.timeout = Duration::from_secs(2);
        config
    }

    pub(super) fn sink(&self, change: impl FnOnce(&mut KafkaConfig)) -> Arc<dyn Sink> {
        let mut config = self.config();
        change(&mut config);
        Arc::new(Kafka::new(config))
    }

    /// All messages, partition by partition.
    pub(super) async fn read(&self) -> Vec<Stored> {
        let brokers = self.brokers.clone();
        spawn_blocking(move || read(&brokers)).await.unwrap()
    }
}

fn read(brokers: &str) -> Vec<Stored> {
    let patience = Duration::from_secs(10);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "reader").set("enable.auto.commit", "false");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut stored = Vec::new();
    for partition in 0..PARTITIONS {
        let (low, high) = consumer.fetch_watermarks(TOPIC, partition, patience).unwrap();
        let mut assignment = TopicPartitionList::new();
        assignment.add_partition_offset(TOPIC, partition, Offset::Offset(low)).unwrap();
        consumer.assign(&assignment).unwrap();
        let mut next = low;
        while next < high {
            let message = consumer.poll(patience).unwrap().unwrap();
            next = message.offset() + 1;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let headers = message.headers().map(|headers| {
                headers.iter().map(|header| (header.key.to_owned(), text(header.value.unwrap()))).collect()
            });
            stored.push(Stored {
                key: message.key().map(<[u8]>::to_vec),
                payload: message.payload().unwrap_or_default().to_vec(),
                headers: headers.unwrap_or_default(),
                timestamp: message.timestamp().to_millis(),
            });
        }
    }
    stored
}
