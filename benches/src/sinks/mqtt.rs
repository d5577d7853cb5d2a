//! Publications at QoS 1 to a real Mosquitto: bare, a batch handed to rumqttc and then all of its acknowledgements.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PublishProperties};
use rumqttc::v5::{AsyncClient, Event, EventLoop, MqttOptions};
use tidemill_core::{Record, Sink, SinkError};
use tidemill_runtime::config::MqttSinkConfig;
use tidemill_runtime::{Config, MqttSink};
use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig, find};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::contest::Contest;
use crate::feed::Error;

const TOPIC: &str = "out/all";
const IN_FLIGHT: u16 = 1000;

/// `None` where there is no Mosquitto.
pub(super) async fn contest() -> Result<Option<Contest>, Error> {
    if find("mosquitto").is_err() {
        eprintln!("mqtt is left out: mosquitto is not installed");
        return Ok(None);
    }
    // Its own limit of 20 is for devices.
    let config = MosquittoConfig { max_inflight: Some(IN_FLIGHT.into()), ..MosquittoConfig::default() };
    let server = Mosquitto::start(config).await.map_err(|source| Error::because("start Mosquitto", source))?;
    let mut broker = Config::default().mqtt;
    broker.url = server.url();
    let addr = server.addr();
    let ours = move || MqttSink::new(MqttSinkConfig::new(broker.clone(), TOPIC));
    let bare = move || {
        let mut options = MqttOptions::new("bare", addr.ip().to_string(), addr.port());
        options.set_outgoing_inflight_upper_limit(IN_FLIGHT);
        let (client, events) = AsyncClient::new(options, IN_FLIGHT.into());
        let (acks, acked) = watch::channel(0);
        // Made on the benchmark's own runtime.
        let task = tokio::spawn(run(events, acks)).abort_handle();
        Bare { client, sent: AtomicU64::new(0), acked, task }
    };
    Ok(Some(Contest::new("rumqttc, a batch published, all acknowledged", ours, bare).with_server(server)))
}

/// Counts acknowledgements until the connection ends.
async fn run(mut events: EventLoop, acked: watch::Sender<u64>) {
    while let Ok(event) = events.poll().await {
        if let Event::Incoming(Packet::PubAck(_)) = event {
            acked.send_modify(|count| *count += 1);
        }
    }
}

struct Bare {
    client: AsyncClient,
    sent: AtomicU64,
    acked: watch::Receiver<u64>,
    task: AbortHandle,
}

impl Drop for Bare {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        for record in batch {
            let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
            let topic = record.topic.as_ref().map_or("", |topic| topic.as_str()).to_owned();
            let user =
                vec![("tidemill-key".to_owned(), text(record.key.as_deref())), ("tidemill-topic".to_owned(), topic)];
            let properties = PublishProperties { user_properties: user, ..PublishProperties::default() };
            let sent =
                self.client.publish_with_properties(TOPIC, QoS::AtLeastOnce, false, record.payload.clone(), properties);
            sent.await.map_err(SinkError::unavailable)?;
        }
        let sent = self.sent.fetch_add(batch.len() as u64, Ordering::Relaxed) + batch.len() as u64;
        let mut acked = self.acked.clone();
        acked.wait_for(|count| *count >= sent).await.map(drop).map_err(SinkError::unavailable)
    }
}
