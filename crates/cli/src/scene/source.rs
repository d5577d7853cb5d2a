//! The source: publishes numbered events at a steady rate, and knows when the broker has them all.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use serde::{Deserialize, Serialize};
use tidemill::topic::TopicName;
use tidemill::{Event, Publication, PublishError, Publisher, QoS, Receipt, report};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::Stage;
use super::tape::Tape;
use crate::exit::Failure;

/// How often some events are published: a rate within such a time is a burst.
const TICK: Duration = Duration::from_millis(5);
/// What the broker may have unconfirmed before the source waits.
const UNCONFIRMED: usize = 512;
/// Longest wait for the connection.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

#[derive(Serialize, Deserialize)]
struct Numbered {
    seq: u64,
}

/// The number of an event of the scene.
pub(crate) fn seq(event: &Event) -> Option<u64> {
    // Other publishers may use the same topics: what is not numbered is not ours.
    event.json::<Numbered>().ok().map(|numbered| numbered.seq)
}

/// Connects the publishing side.
///
/// # Errors
/// It cannot be connected; it says why.
pub(crate) async fn connect(stage: &Stage) -> Result<Publisher, Failure> {
    let id = stage.source_id.as_str();
    let publisher = Publisher::start_with(&stage.source, id).map_err(|error| Failure::Usage(error.to_string()))?;
    if timeout(CONNECT_LIMIT, publisher.connected()).await == Ok(true) {
        return Ok(publisher);
    }
    let why = publisher.last_error().unwrap_or_else(|| "the broker does not answer".to_owned());
    publisher.abort();
    Err(Failure::Run(format!("no connection to publish through: {why}")))
}

/// See the module's description.
pub(crate) struct Source {
    stop: CancellationToken,
    task: Option<JoinHandle<Result<(), PublishError>>>,
}

impl Source {
    /// Starts to publish.
    pub(crate) fn start(stage: &Stage, publisher: Publisher, tape: Arc<Tape>) -> Self {
        let stop = CancellationToken::new();
        let (topic, rate) = (stage.topic.clone(), stage.rate);
        let task = tokio::spawn(run(publisher, topic, rate, tape, stop.clone()));
        Self { stop, task: Some(task) }
    }

    /// Why publishing ended too early, if it did.
    pub(crate) async fn failure(&mut self) -> Option<String> {
        if !self.task.as_ref().is_some_and(JoinHandle::is_finished) {
            return None;
        }
        Some(match self.task.take()?.await {
            Ok(Ok(())) => "it ended early".to_owned(),
            Ok(Err(error)) => report(&error),
            Err(crash) => crash.to_string(),
        })
    }

    /// Stops, and comes back when everything published was confirmed and handled, or patience is at its end.
    ///
    /// # Errors
    /// The broker did not confirm what was sent.
    pub(crate) async fn finish(mut self, tape: &Tape, patience: Duration) -> Result<(), Failure> {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            let ended = timeout(patience, task).await.map_err(|_| "the broker does not confirm it".to_owned());
            let ended = ended.and_then(|joined| joined.map_err(|crash| crash.to_string()));
            ended
                .and_then(|result| result.map_err(|error| report(&error)))
                .map_err(|why| Failure::Run(format!("publishing failed: {why}")))?;
        }
        let began = Instant::now();
        while !tape.all_handled(0, tape.published()) && began.elapsed() < patience {
            sleep(TICK).await;
        }
        Ok(())
    }
}

async fn run(
    publisher: Publisher,
    topic: TopicName,
    rate: u64,
    tape: Arc<Tape>,
    stop: CancellationToken,
) -> Result<(), PublishError> {
    let began = Instant::now();
    let mut sent = 0_u64;
    let mut unconfirmed = FuturesUnordered::new();
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut payload = Vec::new();
    while !stop.is_cancelled() {
        ticks.tick().await;
        let due = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_mul(rate) / 1000;
        while sent < due && !stop.is_cancelled() {
            payload.clear();
            // A number always serializes.
            let _ = serde_json::to_writer(&mut payload, &Numbered { seq: tape.publish() });
            let publication = Publication::new(topic.clone(), payload.clone()).with_qos(QoS::AtLeastOnce);
            unconfirmed.push(publisher.start(publication).await?);
            sent += 1;
            while unconfirmed.len() >= UNCONFIRMED {
                confirmed(&mut unconfirmed).await?;
            }
        }
    }
    while !unconfirmed.is_empty() {
        confirmed(&mut unconfirmed).await?;
    }
    Ok(())
}

type Unconfirmed = FuturesUnordered<tokio::sync::oneshot::Receiver<Result<Receipt, PublishError>>>;

async fn confirmed(unconfirmed: &mut Unconfirmed) -> Result<(), PublishError> {
    match unconfirmed.next().await {
        None | Some(Ok(Ok(_))) => Ok(()),
        Some(Ok(Err(error))) => Err(error),
        Some(Err(_)) => Err(PublishError::Closed),
    }
}
