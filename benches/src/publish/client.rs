//! The process that is measured: a publisher alone, or a worker whose handler publishes once per event.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use clap::ValueEnum;
use serde::Serialize;
use tidemill_core::prelude::*;
use tidemill_core::topic::TopicName;
use tidemill_core::{Publication, QoS};
use tidemill_runtime::{BoxStream, Config, Connector, PublishError, Publisher, Receipt, SessionError, Worker};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

use super::ClientArgs;
use crate::feed::rusage::{Measured, Meter};
use crate::feed::{Error, PATTERN};

/// Who publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// A publisher of its own, with as many publications under way as its queue takes
    Publisher,
    /// The same, handed over a hundred at a time
    PublisherMany,
    /// The handler of a worker, one publication per event
    Handlers,
}

impl Who {
    /// As it is said on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Publisher => "publisher",
            Self::PublisherMany => "publisher-many",
            Self::Handlers => "handlers",
        }
    }
}

/// Publications that the program waits for at a time.
const DEPTH: usize = 4096;
/// Publications that are handed over together.
const MANY: usize = 100;
const OUT_TOPICS: usize = 64;

pub(super) fn run(args: &ClientArgs) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::because("start the runtime", source))?;
    let measured = match args.who {
        Who::Publisher => runtime.block_on(publisher(args)),
        Who::PublisherMany => runtime.block_on(publisher_many(args)),
        Who::Handlers => runtime.block_on(handlers(args)),
    }?;
    let line = serde_json::to_string(&measured).map_err(|source| Error::because("print the result", source))?;
    println!("{line}");
    Ok(())
}

fn config(args: &ClientArgs) -> Config {
    let mut config = Config::default();
    config.mqtt.url = format!("mqtt://{}", args.addr);
    config.mqtt.window = args.window;
    config.group.name = Some("bench".to_owned());
    config.group.verify = tidemill_runtime::config::Verify::Never;
    config.instances = 1.into();
    config
}

/// What is published, in turn.
fn publications(qos: QoS, payload: usize) -> Result<Vec<Publication>, Error> {
    let payload = Bytes::from(vec![b'x'; payload]);
    (0..OUT_TOPICS)
        .map(|at| {
            let topic = TopicName::new(&format!("out/{:02}/line/a/sensor/temperature/c", at));
            let topic = topic.map_err(|source| Error::because("name a topic", source))?;
            Ok(Publication::new(topic, payload.clone()).with_qos(qos))
        })
        .collect()
}

async fn connected(args: &ClientArgs) -> Result<Publisher, Error> {
    let publisher = Publisher::start_with(&config(args), "publisher")
        .map_err(|source| Error::because("start the publisher", source))?;
    if publisher.connected().await { Ok(publisher) } else { Err(Error::new("connect: the server refused")) }
}

async fn publisher(args: &ClientArgs) -> Result<Measured, Error> {
    let failed = |source| Error::because("publish", source);
    let publisher = connected(args).await?;
    let publications = publications(args.qos, args.payload)?;
    let mut next = publications.iter().cycle();
    let mut waiting = VecDeque::with_capacity(DEPTH);
    let meter = Meter::default();
    meter.start();
    for _ in 0..args.events {
        if waiting.len() == DEPTH
            && let Some(done) = waiting.pop_front()
        {
            settled(done).await?;
        }
        let Some(publication) = next.next() else { break };
        waiting.push_back(publisher.start(publication.clone()).await.map_err(failed)?);
    }
    for done in waiting {
        settled(done).await?;
    }
    meter.stop();
    publisher.close().await;
    meter.finish(args.events)
}

async fn settled(done: oneshot::Receiver<Result<Receipt, PublishError>>) -> Result<(), Error> {
    let failed = |source| Error::because("publish", source);
    done.await.map_err(|source| Error::because("publish", source))?.map(drop).map_err(failed)
}

async fn publisher_many(args: &ClientArgs) -> Result<Measured, Error> {
    let failed = |source| Error::because("publish", source);
    let publisher = connected(args).await?;
    let publications = publications(args.qos, args.payload)?;
    let mut next = publications.iter().cycle();
    let mut waiting = VecDeque::with_capacity(DEPTH / MANY);
    let mut left = usize::try_from(args.events).unwrap_or(usize::MAX);
    let meter = Meter::default();
    meter.start();
    while left > 0 || !waiting.is_empty() {
        if left > 0 && waiting.len() < DEPTH / MANY {
            let count = MANY.min(left);
            left -= count;
            let started = publisher.start_many(next.by_ref().take(count).cloned()).await;
            waiting.push_back(started.map_err(failed)?);
        } else if let Some(mut started) = waiting.pop_front()
            && let Some((_, error)) = started.settled().await.failed.pop()
        {
            return Err(failed(error));
        }
    }
    meter.stop();
    publisher.close().await;
    meter.finish(args.events)
}

/// Leads the first connection, which is the instance's, to the events, and all others to where publications go.
#[derive(Debug)]
struct TwoServers {
    events: SocketAddr,
    publications: SocketAddr,
    is_taken: AtomicBool,
}

#[async_trait]
impl Connector for TwoServers {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        let addr = if self.is_taken.swap(true, Ordering::Relaxed) { self.publications } else { self.events };
        let failed = |source| SessionError::unreachable("the server of the benchmark does not answer", source);
        let stream = TcpStream::connect(addr).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        Ok(Box::new(stream))
    }
}

/// Publishes once per event.
#[derive(Debug)]
struct Forward {
    publications: Vec<Publication>,
    expected: u64,
    handled: AtomicU64,
    meter: Meter,
    done: Notify,
}

#[derive(Debug)]
struct Shared(Arc<Forward>);

#[async_trait]
impl Handler for Shared {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let before = self.0.handled.fetch_add(1, Ordering::Relaxed);
        if before == 0 {
            self.0.meter.start();
        }
        let at = usize::try_from(before).unwrap_or(0) % self.0.publications.len();
        let mut publication = self.0.publications[at].clone();
        publication.payload = event.payload().clone();
        cx.publish(publication);
        if before + 1 == self.0.expected {
            self.0.done.notify_one();
        }
        Ok(())
    }
}

async fn handlers(args: &ClientArgs) -> Result<Measured, Error> {
    let forward = Arc::new(Forward {
        publications: publications(args.qos, args.payload)?,
        expected: args.events,
        handled: AtomicU64::new(0),
        meter: Meter::default(),
        done: Notify::new(),
    });
    let servers =
        TwoServers { events: args.events_from.unwrap_or(args.addr), publications: args.addr, is_taken: false.into() };
    let worker = Worker::builder(config(args))
        .connector(servers)
        .route(PATTERN, Shared(Arc::clone(&forward)))
        .build()
        .map_err(|source| Error::because("build the worker", source))?;
    let finished = Arc::clone(&forward);
    worker
        .run_until(async move { finished.done.notified().await })
        .await
        .map_err(|source| Error::because("run the worker", source))?;
    // Leaving waits until the last publication is acknowledged.
    forward.meter.stop();
    forward.meter.finish(forward.handled.load(Ordering::Relaxed))
}
