//! Where a run takes place: a broker that can stop and start again, the network to it, and a publisher that is well
//! connected and knows of each event whether the broker took it.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{QoS, async_trait};
use tidemill_runtime::{BoxStream, Connector, SessionError};
use tidemill_testkit::broker::{Broker, BrokerStats, Traced};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tidemill_testkit::fault::Faults;

use crate::log::{EventId, Log};
use crate::scenario::Scenario;
use crate::tap::{Leftovers, Mutation, WireTap};

/// A part of what the broker saw.
#[derive(Clone, Debug)]
pub(crate) enum Seen {
    Line(Traced),
    /// It stopped and started again, with what outlives connections.
    Restarted,
}

/// An event as it was published.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Published {
    pub(crate) qos: QoS,
    pub(crate) key: u32,
}

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) log: Log,
    pub(crate) faults: Faults,
    mutation: Mutation,
    leftovers: Leftovers,
    broker: Mutex<Option<Broker>>,
    publisher: tokio::sync::Mutex<Option<RawClient>>,
    seen: Mutex<Vec<Seen>>,
    published: Mutex<Vec<Published>>,
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World").field("scenario", &self.scenario).finish_non_exhaustive()
    }
}

impl World {
    pub(crate) async fn new(scenario: &Scenario, mutation: Mutation) -> Arc<Self> {
        let broker = Broker::start(scenario.broker()).await.unwrap();
        let publisher = publisher(&broker).await;
        Arc::new(Self {
            scenario: scenario.clone(),
            log: Log::default(),
            faults: Faults::new(),
            mutation,
            leftovers: Leftovers::default(),
            broker: Mutex::new(Some(broker)),
            publisher: tokio::sync::Mutex::new(Some(publisher)),
            seen: Mutex::default(),
            published: Mutex::default(),
        })
    }

    fn broker<T>(&self, look: impl FnOnce(&Broker) -> T) -> Option<T> {
        self.broker.lock().unwrap().as_ref().map(look)
    }

    pub(crate) fn stats(&self) -> BrokerStats {
        self.broker(Broker::stats).unwrap()
    }

    /// Cuts every connection at the broker's end, the publisher's too.
    pub(crate) async fn cut_all(&self) {
        self.broker(Broker::kill);
        self.publish_again().await;
    }

    async fn publish_again(&self) {
        let connection = self.broker(Broker::connect).unwrap();
        *self.publisher.lock().await = Some(greeted(connection).await);
    }

    /// The broker dies, or stops in good order, and is back after a while.
    pub(crate) async fn restart(&self, crash: bool, away: Duration) {
        let broker = self.broker.lock().unwrap().take().unwrap();
        // Nothing happens between this and the end: there is no await.
        {
            let mut seen = self.seen.lock().unwrap();
            seen.extend(broker.trace().into_iter().map(Seen::Line));
            seen.push(Seen::Restarted);
        }
        let state = if crash { broker.crash() } else { broker.stop().await };
        tokio::time::sleep(away).await;
        let broker = Broker::start_with(self.scenario.broker(), state).await.unwrap();
        *self.broker.lock().unwrap() = Some(broker);
        self.publish_again().await;
    }

    /// Publishes so many events and waits until the broker has them.
    pub(crate) async fn publish(&self, random: &mut fastrand::Rng, events: u32) {
        let mut publisher = self.publisher.lock().await;
        let publisher = publisher.as_mut().unwrap();
        for _ in 0..events {
            // A few at QoS 0 among the others.
            let qos = if random.u8(..20) == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
            let key = random.u32(..self.scenario.keys);
            let topic = format!("t/{key}/{}", self.next_event(Published { qos, key }));
            let event = topic.rsplit('/').next().unwrap().to_owned();
            match qos {
                QoS::AtMostOnce => drop(publisher.publish(&topic, qos, event).await),
                _ => drop(publisher.publish_acked(&topic, event).await),
            }
        }
        // Behind everything at QoS 0.
        publisher.publish_acked("nobody/listens", "").await;
    }

    fn next_event(&self, event: Published) -> EventId {
        let mut published = self.published.lock().unwrap();
        published.push(event);
        EventId::try_from(published.len() - 1).unwrap()
    }

    /// Every event that was published, by its number.
    pub(crate) fn published(&self) -> Vec<Published> {
        self.published.lock().unwrap().clone()
    }

    /// All that the brokers saw.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        let mut seen = self.seen.lock().unwrap().clone();
        seen.extend(self.broker(Broker::trace).unwrap().into_iter().map(Seen::Line));
        seen
    }
}

async fn publisher(broker: &Broker) -> RawClient {
    greeted(broker.connect()).await
}

async fn greeted(connection: tokio::io::DuplexStream) -> RawClient {
    let mut client = RawClient::new(connection);
    client.connect(ConnectOptions::new("publisher")).await;
    client
}

/// The workers' way to the broker.
#[derive(Clone, Debug)]
pub(crate) struct Through(pub(crate) Arc<World>);

#[async_trait]
impl Connector for Through {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        let world = &self.0;
        let tap = WireTap::new(&world.log, world.mutation, &world.leftovers);
        let opened = world.broker(Broker::connect).and_then(|far| world.faults.connect(far, Some(Box::new(tap))).ok());
        Ok(match opened {
            Some((stream, _)) => Box::new(stream),
            // Ends at once.
            None => Box::new(tokio::io::duplex(1).0),
        })
    }
}
