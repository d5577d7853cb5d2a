//! Events at a steady rate, numbered without gaps; each carries its number.
//!
//! INVARIANT: when the load has ended, the broker has confirmed every event that counts as sent.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tidemill_core::Publication;
use tidemill_core::topic::TopicName;
use tidemill_runtime::{Config, Publisher};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Error;
use super::broker::Server;
use super::pod::TOPIC;

/// Topics, which are the keys that order is kept by.
const TOPICS: u32 = 1000;
/// Bytes of a payload.
const PAYLOAD: usize = 128;
/// How often due events are sent.
const TICK: Duration = Duration::from_millis(2);
/// Unconfirmed events at most.
const UNCONFIRMED: usize = 8192;

/// A running load.
#[derive(Debug)]
pub(super) struct Load {
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    publishing: JoinHandle<Result<(), Error>>,
}

impl Load {
    pub(super) fn start(server: &Server, rate: u32) -> Result<Self, Error> {
        let mut config = Config::default();
        config.mqtt.url = server.url();
        config.mqtt.broker = server.profile();
        let publisher = Publisher::start_with(&config, "rollout-load")
            .map_err(|error| Error::because("start the publisher", error))?;
        let topic = |n: u32| TopicName::new(&TOPIC.replace("{n}", &n.to_string()));
        let topics = (0..TOPICS).map(topic).collect::<Result<Vec<_>, _>>();
        let topics = topics.map_err(|error| Error::because("name the topics", error))?;
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let publishing = tokio::spawn(publish(publisher, topics, rate, Arc::clone(&sent), Arc::clone(&stop)));
        Ok(Self { sent, stop, publishing })
    }

    /// Events so far.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Ends it and waits for the confirmations. Gives the number of events.
    pub(super) async fn stop(self) -> Result<u64, Error> {
        self.stop.store(true, Ordering::Release);
        self.publishing.await.map_err(|error| Error::because("publish", error))??;
        Ok(self.sent.load(Ordering::Acquire))
    }
}

async fn publish(
    publisher: Publisher,
    topics: Vec<TopicName>,
    rate: u32,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
) -> Result<(), Error> {
    let refused = |error| Error::because("publish an event", error);
    let mut unconfirmed = VecDeque::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (began, mut seq) = (Instant::now(), 0);
    while !stop.load(Ordering::Acquire) {
        ticks.tick().await;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a positive number of events")]
        let due = (began.elapsed().as_secs_f64() * f64::from(rate)) as u64;
        for topic in topics.iter().cycle().skip(usize::try_from(seq % u64::from(TOPICS)).unwrap_or(0)) {
            if seq >= due {
                break;
            }
            let publication = Publication::new(topic.clone(), payload(seq));
            unconfirmed.push_back(publisher.start(publication).await.map_err(refused)?);
            seq += 1;
            sent.store(seq, Ordering::Release);
            if unconfirmed.len() >= UNCONFIRMED
                && let Some(oldest) = unconfirmed.pop_front()
            {
                oldest.await.map_err(|error| Error::because("publish an event", error))?.map_err(refused)?;
            }
        }
    }
    for outcome in unconfirmed {
        outcome.await.map_err(|error| Error::because("publish an event", error))?.map_err(refused)?;
    }
    publisher.close().await;
    Ok(())
}

fn payload(seq: u64) -> Bytes {
    let mut payload = BytesMut::zeroed(PAYLOAD);
    (&mut payload[..]).put_u64(seq);
    payload.freeze()
}
