//! One attempt: the handler's future with the event and the context that it borrows, in a place that is used again for
//! the next event. A panic is caught and is a failed attempt.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::FutureExt;
use pin_project_lite::pin_project;
use smallvec::SmallVec;
use tidemill_core::topic::TopicName;
use tidemill_core::{Captures, Context, Event, EventParts, HandlerError, HandlerResult, QoS};
use tokio::time::{Instant, Sleep, sleep};

use super::cut::Cut;
use super::lanes::LaneKey;
use super::route::RouteRuntime;
use crate::guard::panicked;

/// What an attempt works on. In a box of its own that is used again for the next event, so that it is written once and
/// never moved.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) event: Event,
    pub(crate) cx: Context,
    pub(crate) route: Arc<RouteRuntime>,
    pub(crate) cut: Arc<Cut>,
    /// Where it was needed so far: an event that ends on the spot while nothing waits needs none.
    pub(crate) lane: Option<LaneKey>,
}

impl Work {
    /// For the events of a route; the first is still to be written into it.
    pub(crate) fn new(route: Arc<RouteRuntime>, topic: TopicName) -> Self {
        let event = nothing(&route, topic, SystemTime::UNIX_EPOCH, QoS::AtMostOnce);
        Self { event, cx: Context::new(Arc::clone(&route.scope)), route, cut: Arc::default(), lane: None }
    }

    /// The lane of the event; `None` where no order is kept.
    pub(crate) fn lane(&self) -> Option<LaneKey> {
        self.lane.or_else(|| self.route.lane(&self.event))
    }

    /// Takes the event, which goes with its records. An empty one of its topic stands in its place until the next.
    pub(crate) fn take_event(&mut self) -> Event {
        let event = &self.event;
        let nothing = nothing(&self.route, event.topic_name().clone(), event.received_at(), event.qos());
        std::mem::replace(&mut self.event, nothing)
    }
}

/// An empty event of a route.
#[inline]
fn nothing(route: &RouteRuntime, topic: TopicName, received_at: SystemTime, qos: QoS) -> Event {
    Event::from(EventParts {
        topic,
        payload: Bytes::new(),
        properties: None,
        captures: Captures::new(Arc::clone(&route.capture_names), SmallVec::new()),
        received_at,
        qos,
        dup: false,
        retain: false,
    })
}

/// When an attempt is cut that begins now; `None` beyond what a clock can show, which is never.
#[inline]
pub(super) fn deadline(limit: Duration) -> Option<std::time::Instant> {
    Instant::now().checked_add(limit).map(Instant::into_std)
}

/// How an attempt ended, with what it worked on.
pub(crate) struct Attempted {
    pub(crate) result: HandlerResult,
    pub(crate) work: Box<Work>,
}

/// A place for attempts, one after another. An empty one is never ready.
pub(crate) struct Slot(Pin<Box<dyn Place + Send>>);

/// Takes attempts in, whose type nobody can name.
trait Place {
    /// Begins an attempt.
    fn begin(self: Pin<&mut Self>, work: Box<Work>);
    /// Polls the attempt; the next one, if there is one to begin with. That is all that most attempts need, in one call.
    fn poll(self: Pin<&mut Self>, next: Option<Box<Work>>, cx: &mut TaskContext<'_>) -> Poll<Attempted>;
}

pin_project! {
    struct Held<M, F> {
        make: M,
        #[pin]
        future: Option<F>,
    }
}

impl<M, F> Held<M, F>
where
    M: Fn(Box<Work>) -> F,
    F: Future<Output = Attempted>,
{
    fn empty(make: M) -> Self {
        Self { make, future: None }
    }
}

impl<M, F> Place for Held<M, F>
where
    M: Fn(Box<Work>) -> F,
    F: Future<Output = Attempted>,
{
    #[inline]
    fn begin(self: Pin<&mut Self>, work: Box<Work>) {
        let mut held = self.project();
        held.future.set(Some((held.make)(work)));
    }

    fn poll(mut self: Pin<&mut Self>, next: Option<Box<Work>>, cx: &mut TaskContext<'_>) -> Poll<Attempted> {
        if let Some(work) = next {
            self.as_mut().begin(work);
        }
        match self.project().future.as_pin_mut() {
            Some(future) => future.poll(cx),
            None => Poll::Pending,
        }
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Slot {
    pub(crate) fn empty() -> Self {
        Self(Box::pin(Held::empty(attempt)))
    }

    pub(crate) fn new(work: Box<Work>) -> Self {
        let mut slot = Self::empty();
        slot.0.as_mut().begin(work);
        slot
    }

    /// Begins the next attempt in the same place, and polls it once.
    #[inline]
    pub(crate) fn attempt(&mut self, work: Box<Work>, cx: &mut TaskContext<'_>) -> Poll<Attempted> {
        self.0.as_mut().poll(Some(work), cx)
    }
}

impl Future for Slot {
    type Output = Attempted;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Attempted> {
        self.0.as_mut().poll(None, cx)
    }
}

async fn attempt(mut work: Box<Work>) -> Attempted {
    let Work { event, cx, route, cut, lane } = &mut *work;
    let event = &*event;
    let handler = &route.handler;
    // A handler that is written by hand may panic before it returns its future.
    let ended = match catch_unwind(AssertUnwindSafe(move || {
        // Moved out: the future borrows it for longer than this call lasts.
        let cx = cx;
        handler.handle(event, cx)
    })) {
        Ok(handling) => {
            let handling = AssertUnwindSafe(handling).catch_unwind();
            let mut limited = Limited { handling, event, route, timer: None, cut, lane: *lane, waited: false };
            (&mut limited).await.unwrap_or_else(|| {
                // What it held is dropped here, by code of the user's too.
                let dropped = catch_unwind(AssertUnwindSafe(|| drop(limited)));
                let end = if dropped.is_ok() { "was cut" } else { "panicked when it was cut" };
                Ok(Err(HandlerError::retry(format!("the handler took too long and {end}"))))
            })
        }
        Err(panic) => Err(panic),
    };
    let result = ended.unwrap_or_else(|panic| Err(HandlerError::retry(panicked("the handler", &*panic))));
    Attempted { result, work }
}

/// A future with a time limit whose timer exists only once the future has to wait. Gives `None` when it is cut.
struct Limited<'a, F> {
    handling: F,
    event: &'a Event,
    route: &'a RouteRuntime,
    timer: Option<Pin<Box<Sleep>>>,
    cut: &'a Cut,
    lane: Option<LaneKey>,
    waited: bool,
}

impl<F: Future + Unpin> Future for Limited<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = Pin::new(&mut self.handling).poll(cx) {
            return Poll::Ready(Some(output));
        }
        if !std::mem::replace(&mut self.waited, true) {
            let lane = self.lane.or_else(|| self.route.lane(self.event));
            self.cut.set_waiting(self.event.topic_name(), lane);
        }
        if self.cut.poll(cx.waker()) {
            return Poll::Ready(None);
        }
        let Some(limit) = self.route.timeout else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        timer.as_mut().poll(cx).map(|()| None)
    }
}
