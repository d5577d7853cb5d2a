//! Load control: a concurrency limit that finds itself. Where a fixed limit must be measured and goes stale, this one
//! follows what the handler's own dependencies can take at the moment.

mod aimd;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidemill_core::{Disposition, HandlerResult};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tower::Layer;

use super::{Attempt, HandlerService, Next, Stack, from_fn};
use aimd::{Aimd, Generation, Sample};

/// Most attempts at a time unless [`LoadControlLayer::between`] says otherwise.
const MAX: u32 = 1000;

/// Lets as many attempts run at a time as end within a target time; the others wait, first come, first served.
///
/// An attempt that takes longer than the target, fails in a way that a retry may mend, or is cut, is a sign of overload:
/// the limit shrinks by a fifth, once for all attempts that ran side by side. While attempts end well and at least half
/// of it is used, it grows by about one for every round of attempts. Permanent failures say nothing about the load.
///
/// One limit for everything that this layer and its clones are added to, across instances. What an attempt waits does
/// not count towards the route's timeout.
#[derive(Clone)]
pub struct LoadControlLayer {
    target: Duration,
    control: Arc<Control>,
}

impl fmt::Debug for LoadControlLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadControlLayer").field("target", &self.target).field("limit", &self.limit()).finish()
    }
}

impl LoadControlLayer {
    /// Aims at attempts that take no longer than `target`, with 1 to 1000 of them at a time.
    #[must_use]
    pub fn new(target: Duration) -> Self {
        Self { target, control: Arc::new(Control::new(1, MAX)) }
    }

    /// Sets the least and the most attempts at a time; it begins with the most. 0 counts as 1.
    #[must_use]
    pub fn between(self, min: u32, max: u32) -> Self {
        Self { control: Arc::new(Control::new(min, max)), ..self }
    }

    /// How many attempts may run at a time at the moment.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.control.state().aimd.limit()
    }
}

impl<S: HandlerService> Layer<S> for LoadControlLayer {
    type Service = Stack;

    fn layer(&self, inner: S) -> Stack {
        let layer = self.clone();
        from_fn(move |mut attempt: Attempt, next: Next| {
            let LoadControlLayer { target, control } = layer.clone();
            async move {
                let mut running = attempt.wait(control.enter()).await;
                let result = next.run(attempt).await;
                running.sample = sample(&result, running.started.elapsed(), target);
                result
            }
        })
        .layer(inner)
    }
}

fn sample(result: &HandlerResult, took: Duration, target: Duration) -> Sample {
    match result {
        Err(error) if error.disposition() == Disposition::Permanent => Sample::Neither,
        Err(_) => Sample::Overload,
        Ok(()) if took > target => Sample::Overload,
        Ok(()) => Sample::Good,
    }
}

/// Lets attempts in, in the order they came: the first in the queue waits for room, the others for their place.
#[derive(Debug)]
struct Control {
    state: Mutex<State>,
    queue: Semaphore,
    left: Notify,
}

#[derive(Debug)]
struct State {
    aimd: Aimd,
    running: usize,
}

impl Control {
    fn new(min: u32, max: u32) -> Self {
        let state = Mutex::new(State { aimd: Aimd::new(min, max), running: 0 });
        Self { state, queue: Semaphore::new(1), left: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room. Cancel-safe: one that goes away takes nothing, and the next moves up.
    async fn enter(&self) -> Running<'_> {
        let _first = self.queue.acquire().await;
        loop {
            if let Some(generation) = self.begin() {
                return Running { control: self, generation, started: Instant::now(), sample: Sample::Overload };
            }
            self.left.notified().await;
        }
    }

    fn begin(&self) -> Option<Generation> {
        let mut state = self.state();
        if state.running >= state.aimd.limit() {
            return None;
        }
        state.running += 1;
        Some(state.aimd.generation())
    }
}

/// An attempt that runs. One that is cut never gets to say how it went.
#[derive(Debug)]
struct Running<'a> {
    control: &'a Control,
    generation: Generation,
    started: Instant,
    sample: Sample,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut state = self.control.state();
        let running = state.running;
        state.aimd.ended(self.generation, self.sample, running);
        state.running -= 1;
        drop(state);
        self.control.left.notify_one();
    }
}
