//! Events, contexts and handlers for layers to stand around.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::topic::TopicName;
use tidemill_core::{Context, Event, Handler, HandlerResult, Record, Scope, async_trait};
use tidemill_runtime::layer::{Attempt, HandlerLayer, Layered, Next, from_fn};
use tokio::time::{Instant, sleep};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// An event of that topic.
pub(crate) fn event(topic: &str) -> Event {
    Event::new(TopicName::new(topic).unwrap(), "payload")
}

/// A context of route `r` with a sink `out`.
pub(crate) fn context() -> Context {
    Context::new(Arc::new(Scope::new("r", "i-1", Arc::from(["out".into()]))))
}

/// One attempt: how it ended, and what it emitted.
pub(crate) async fn attempt(layered: &Layered, event: &Event) -> (HandlerResult, Vec<String>) {
    let mut cx = context();
    let result = layered.handle(event, &mut cx).await;
    (result, emitted(&mut cx))
}

pub(crate) fn emitted(cx: &mut Context) -> Vec<String> {
    let records = cx.take_emitted().into_iter();
    records.map(|emitted| String::from_utf8(emitted.record.payload.to_vec()).unwrap()).collect()
}

/// A handler that does this, on the spot.
pub(crate) struct Does<F>(pub(crate) F);

#[async_trait]
impl<F: Fn(&Event, &mut Context) -> HandlerResult + Send + Sync + 'static> Handler for Does<F> {
    async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
        (self.0)(event, cx)
    }
}

/// A handler that ends well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fine;

#[async_trait]
impl Handler for Fine {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        Ok(())
    }
}

/// A handler that takes its time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Takes(pub(crate) Duration);

#[async_trait]
impl Handler for Takes {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        sleep(self.0).await;
        Ok(())
    }
}

/// What happened, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Arc<Mutex<Vec<String>>>);

impl Journal {
    pub(crate) fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// A layer that notes when an attempt passes it, in and out.
    pub(crate) fn layer(&self, name: &'static str) -> impl HandlerLayer + use<> {
        let journal = self.clone();
        from_fn(move |attempt: Attempt, next: Next| {
            let journal = journal.clone();
            async move {
                journal.note(format!("{name} in {}", attempt.cx.attempt()));
                let result = next.run(attempt).await;
                journal.note(format!("{name} {}", if result.is_ok() { "ok" } else { "failed" }));
                result
            }
        })
    }
}

/// A layer that emits to `out` before the handler, and after it if it ended well.
pub(crate) fn emitting(before: &'static str, after: &'static str) -> impl HandlerLayer {
    from_fn(move |mut attempt: Attempt, next: Next| async move {
        attempt.cx.emit("out", Record::new(before))?;
        let mut cx = attempt.cx.lend();
        next.run(attempt).await?;
        cx.emit("out", Record::new(after))?;
        Ok(())
    })
}

/// Handlers that note when they begin, as milliseconds since the journal was made.
#[derive(Clone, Debug)]
pub(crate) struct Begins {
    since: Instant,
    begun: Arc<Mutex<Vec<(String, u128)>>>,
}

impl Begins {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), begun: Arc::default() }
    }

    pub(crate) fn times(&self) -> Vec<u128> {
        self.begun.lock().unwrap().iter().map(|(_, at)| *at).collect()
    }

    pub(crate) fn topics(&self) -> Vec<String> {
        self.begun.lock().unwrap().iter().map(|(topic, _)| topic.clone()).collect()
    }

    /// When events of this topic began.
    pub(crate) fn times_of(&self, topic: &str) -> Vec<u128> {
        self.begun.lock().unwrap().iter().filter(|(of, _)| of == topic).map(|(_, at)| *at).collect()
    }
}

#[async_trait]
impl Handler for Begins {
    async fn handle(&self, event: &Event, _: &mut Context) -> HandlerResult {
        self.begun.lock().unwrap().push((event.topic().to_owned(), self.since.elapsed().as_millis()));
        Ok(())
    }
}

/// Makes an attempt in a task of its own.
pub(crate) fn spawn(layered: &Arc<Layered>, topic: &str) -> tokio::task::JoinHandle<HandlerResult> {
    let (layered, event) = (Arc::clone(layered), event(topic));
    tokio::spawn(async move { layered.handle(&event, &mut context()).await })
}

/// Lets everything happen that can happen without waiting for a clock.
pub(crate) async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}
