//! The handler of a run: does what the script says, and writes down when it begins and how it ends.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerError, HandlerResult, Publication, QoS, Record, async_trait};
use tidemill_runtime::WorkerHandle;
use tokio::time::{Instant, sleep};

use crate::log::{AttemptId, Effect, Ended, EventId, Log, What};
use crate::payload;
use crate::script::{Act, Menu, Step};

/// Name of the sink that handlers emit to.
pub(crate) const OUT: &str = "out";

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) log: Log,
    pub(crate) menu: Menu,
    /// Events from here on are handled well.
    pub(crate) fillers: EventId,
    pub(crate) window: usize,
    pub(crate) instances: usize,
    pub(crate) timeout: Option<Duration>,
    /// Filled in once the worker is built.
    pub(crate) handle: Arc<OnceLock<WorkerHandle>>,
}

/// Notes how an attempt ended if it does not say so itself.
struct Running<'a> {
    log: &'a Log,
    attempt: AttemptId,
    ended: bool,
}

impl Running<'_> {
    fn ended(mut self, how: Ended) {
        self.ended = true;
        self.log.add(What::Returned { attempt: self.attempt, how });
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if !self.ended {
            let how = if std::thread::panicking() { Ended::Panicked } else { Ended::Cut };
            self.log.add(What::Returned { attempt: self.attempt, how });
        }
    }
}

#[async_trait]
impl Handler for Drawn {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        let Some(id) = payload::event(event.payload()) else {
            self.log.wrong(format!("a payload came that nobody sent, on {}", event.topic()));
            return Ok(());
        };
        let attempt = self.log.started(cx.instance(), id, cx.attempt());
        let running = Running { log: &self.log, attempt, ended: false };
        self.look_at(cx);
        if attempt.is_multiple_of(7) {
            self.look();
        }
        let step = self.step(id, cx.attempt());
        if let Some(wait) = step.wait {
            sleep(wait).await;
        }
        let result = act(step.act, attempt, event, cx).await;
        running.ended(match result {
            Ok(effects) => Ended::Ok(effects),
            Err(_) => Ended::Failed,
        });
        result.map(drop)
    }
}

impl Drawn {
    fn step(&self, event: EventId, number: u32) -> Step {
        if event >= self.fillers {
            return Step { wait: None, act: Act::Ok };
        }
        let script = self.menu.script(event);
        script[script.len().min(number as usize) - 1]
    }

    /// What the context tells about the attempt, which has just begun.
    fn look_at(&self, cx: &Context) {
        let left = cx.deadline().map(|deadline| Instant::from_std(deadline).duration_since(Instant::now()));
        let told_well = match (self.timeout, left) {
            (Some(limit), Some(left)) => left <= limit && left + Duration::from_millis(2) >= limit,
            (limit, left) => limit.is_none() && left.is_none(),
        };
        if !told_well {
            self.log.wrong(format!("an attempt has {left:?} left when it begins, the limit is {:?}", self.timeout));
        }
        if cx.first_seen().is_some() != (cx.attempt() > 1) {
            self.log.wrong(format!("attempt {} was first seen at {:?}", cx.attempt(), cx.first_seen()));
        }
    }

    /// The bounds as the worker shows them (G5).
    fn look(&self) {
        let Some(handle) = self.handle.get() else { return };
        let status = handle.status();
        for instance in &status.instances {
            let (busy, held) = (instance.running + instance.queued, instance.unacknowledged);
            if busy > self.window || held > self.window {
                let text =
                    format!("G5: {}: {busy} running and queued, {held} held, window {}", instance.id, self.window);
                self.log.wrong(text);
            }
        }
        // An instance that has left may have records in the sinks.
        let most = self.window * self.instances;
        if status.unfinished > most as u64 {
            self.log.wrong(format!("G5: {} events are unfinished, {most} may be", status.unfinished));
        }
    }
}

/// Gives the number of effects.
async fn act(act: Act, attempt: AttemptId, event: &Event, cx: &mut Context) -> Result<u32, HandlerError> {
    let effect = |index| Effect { attempt, index }.to_string();
    match act {
        Act::Ok => Ok(0),
        Act::Fail => Err(HandlerError::retry("it failed, as drawn")),
        Act::RetryAfter(delay) => Err(HandlerError::retry_after(delay, "it is busy, as drawn")),
        Act::Permanent => Err(HandlerError::permanent("it is hopeless, as drawn")),
        // Like a panic, but without a word on standard error.
        Act::Panic => std::panic::resume_unwind(Box::new("it panics, as drawn")),
        Act::Hang => std::future::pending().await,
        Act::Emit(count) => {
            for index in 0..count {
                cx.emit(OUT, Record::new(effect(index)))?;
            }
            Ok(count)
        }
        Act::EmitThenFail(count) => {
            for index in 0..count {
                cx.emit(OUT, Record::new(effect(index)))?;
            }
            Err(HandlerError::retry("it failed after emitting, as drawn"))
        }
        Act::EmitToNobody => {
            cx.emit("nobody", Record::new("x"))?;
            Ok(0)
        }
        Act::Publish { count, at_most_once } => {
            for index in 0..count {
                let topic = tidemill_core::topic::TopicName::new("out/published").unwrap();
                let qos = if at_most_once { QoS::AtMostOnce } else { QoS::AtLeastOnce };
                cx.publish(Publication::new(topic, effect(index)).with_qos(qos));
            }
            Ok(count)
        }
        Act::Reply => {
            // On MQTT 3.1.1 nobody asks for a reply, and this fails.
            cx.reply(event, effect(0))?;
            Ok(1)
        }
    }
}
