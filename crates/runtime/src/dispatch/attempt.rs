//! One attempt: the handler's future with the event and the context that it borrows, in one allocation that is used
//! again for the next event. A panic is caught and is a failed attempt.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use futures_util::FutureExt;
use tidemill_core::{Captures, Context, Event, EventParts, HandlerError, HandlerResult};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::ReusableBoxFuture;

use super::cut::Cut;
use super::lanes::LaneKey;
use super::route::RouteRuntime;

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
    /// The lane of the event; `None` where no order is kept.
    pub(crate) fn lane(&self) -> Option<LaneKey> {
        self.lane.or_else(|| self.route.lane(&self.event))
    }

    /// Takes the event, which goes with its records. An empty one of its topic stands in its place until the next.
    pub(crate) fn take_event(&mut self) -> Event {
        let nothing = Event::from(EventParts {
            topic: self.event.topic_name().clone(),
            payload: Bytes::new(),
            properties: None,
            captures: Captures::default(),
            received_at: self.event.received_at(),
            qos: self.event.qos(),
            dup: false,
            retain: false,
        });
        std::mem::replace(&mut self.event, nothing)
    }
}

/// How an attempt ended, with what it worked on.
pub(crate) struct Attempted {
    pub(crate) result: HandlerResult,
    pub(crate) work: Box<Work>,
}

/// A place for attempts, one after another.
pub(crate) struct Slot(ReusableBoxFuture<'static, Attempted>);

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

impl Slot {
    pub(crate) fn new(work: Box<Work>) -> Self {
        Self(ReusableBoxFuture::new(attempt(work)))
    }

    /// Begins the next attempt in the same place.
    #[inline]
    pub(crate) fn set(&mut self, work: Box<Work>) {
        self.0.set(attempt(work));
    }

    #[inline]
    pub(crate) fn poll(&mut self, cx: &mut TaskContext<'_>) -> Poll<Attempted> {
        self.0.poll(cx)
    }
}

impl Future for Slot {
    type Output = Attempted;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Attempted> {
        self.0.poll(cx)
    }
}

async fn attempt(mut work: Box<Work>) -> Attempted {
    let Work { event, cx, route, cut, lane } = &mut *work;
    let event = &*event;
    let handling = AssertUnwindSafe(route.handler.handle(event, cx)).catch_unwind();
    let result = match (Limited { handling, event, route, timer: None, cut, lane: *lane, waited: false }).await {
        Some(Ok(result)) => result,
        Some(Err(panic)) => Err(HandlerError::retry(format!("the handler panicked: {}", panic_message(&*panic)))),
        None => Err(HandlerError::retry("the handler took too long and was cut")),
    };
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

/// What a panic said, as far as it was text.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message")
}
