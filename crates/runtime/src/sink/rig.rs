//! The engine of one sink by itself, for the benchmark of sinks: records are handed in as a dispatcher does it, and
//! the events come back as a session gets them. No broker, no handler.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use prometheus::Registry;
use smallvec::SmallVec;
use tidemill_core::topic::{Pattern, TopicName};
use tidemill_core::{
    BoxError, Captures, Context, Emitted, Event, EventParts, Handler, HandlerResult, QoS, Record, Scope, Sink, SinkId,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::engine::SinkEngine;
use super::open::promises;
use super::state::SinkState;
use super::ticket::{Debt, Origin, Ticket};
use crate::config::{Expired, Order, SinkSettings};
use crate::dispatch::{AgeLimit, Emits, Execution, Key, RetryPolicy, RouteRuntime, fill_in, hand_in};
use crate::observe::Metrics;
use crate::router::Router;
use crate::session::link::{Ack, Finished, Link};

/// See the module's description.
#[derive(Debug)]
pub struct SinkRig {
    route: Arc<RouteRuntime>,
    link: Arc<Link>,
    emitted: Vec<Emitted>,
    router: Router,
    names: Arc<[Box<str>]>,
    state: Arc<SinkState>,
    engine: AbortOnDropHandle<()>,
    window: usize,
    unfinished: usize,
    next: u64,
    done: Finished,
}

/// There is no handler here.
struct Nobody;

#[async_trait]
impl Handler for Nobody {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        Ok(())
    }
}

impl SinkRig {
    /// Starts the engine of a sink that is open, with so many events unfinished at most. Their topics match the pattern.
    ///
    /// # Errors
    /// The pattern is none.
    pub fn start(
        sink: Arc<dyn Sink>,
        settings: SinkSettings,
        window: usize,
        pattern: &Pattern,
    ) -> Result<Self, BoxError> {
        let router = Router::new(std::slice::from_ref(pattern)).map_err(|_| "the pattern cannot be routed")?;
        let names: Arc<[Box<str>]> = pattern.captures().map(Box::from).collect();
        let sinks: Arc<[Box<str>]> = Arc::from(["out".into()]);
        let metrics = Metrics::register(&Registry::new(), &["route".into()], &sinks)?;
        let state = Arc::new(SinkState::new("out".into(), metrics.sink(0, "out"), false));
        let traits = promises(&*sink)?;
        let (engine, handle) =
            SinkEngine::new((sink, traits), settings, Arc::clone(&state), None, CancellationToken::new());
        let scope = Scope::new("route", "rig", sinks);
        let retry = RetryPolicy {
            max_attempts: 0,
            max_elapsed: Duration::ZERO,
            min_delay: Duration::from_secs(1),
            max_delay: Duration::from_secs(1),
        };
        let route = RouteRuntime {
            id: 0,
            scope: Arc::new(scope),
            capture_names: Arc::clone(&names),
            handler: Arc::new(Nobody),
            key: Key::Topic,
            order: Order::Keyed,
            execution: Execution::Inline,
            timeout: None,
            age: AgeLimit::default(),
            on_expired: Expired::DeadLetter,
            dedup: None,
            retry,
            record_key: None,
            sinks: Arc::from([handle.clone()]),
            emits: Arc::new(Emits::new(1)),
            publish: handle,
            dead_letters: None,
            metrics: metrics.route(0, "route"),
        };
        Ok(Self {
            route: Arc::new(route),
            link: Arc::default(),
            emitted: Vec::new(),
            router,
            names,
            state,
            engine: AbortOnDropHandle::new(tokio::spawn(engine.run())),
            window: window.max(1),
            unfinished: 0,
            next: 0,
            done: Finished::default(),
        })
    }

    /// Events that came with one read: each becomes one record, its payload.
    pub async fn burst(&mut self, events: impl IntoIterator<Item = (TopicName, Bytes)>) {
        let (received, wall) = (Instant::now(), SystemTime::now());
        let origin = Origin::new(Arc::clone(&self.route), Arc::clone(&self.link), received, wall);
        let mut spans = SmallVec::new();
        for (topic, payload) in events {
            while self.unfinished >= self.window {
                self.wait().await;
            }
            self.router.route(topic.as_str(), &mut spans);
            let mut event = Event::from(EventParts {
                topic,
                payload,
                properties: None,
                captures: Captures::new(Arc::clone(&self.names), std::mem::take(&mut spans)),
                received_at: wall,
                qos: QoS::AtLeastOnce,
                dup: false,
                retain: false,
            });
            self.emitted.push(Emitted { sink: SinkId::new(0), record: Record::new(event.payload().clone()) });
            fill_in(&self.route, &event, wall, &mut self.emitted);
            let ack = Ack::Number(self.next);
            // As a dispatcher takes it out of a place that it uses again.
            let mut take = || {
                let nothing = Event::new(event.topic_name().clone(), Bytes::new());
                std::mem::replace(&mut event, nothing)
            };
            let waiting = hand_in(&self.route, received, &mut self.emitted, || {
                Ticket::only(Debt { origin: Arc::clone(&origin), ack, event: take(), attempts: 1 })
            });
            for (sink, item) in waiting {
                let _ = self.route.sink(sink).send(item).await;
            }
            self.next += 1;
            self.unfinished += 1;
        }
        self.take();
    }

    /// Waits until every event is finished.
    pub async fn drain(&mut self) {
        while self.unfinished > 0 {
            self.wait().await;
        }
    }

    /// Events that were finished.
    #[must_use]
    pub fn finished(&self) -> u64 {
        self.next - self.unfinished as u64
    }

    /// Batches that were written.
    #[must_use]
    pub fn batches(&self) -> u64 {
        self.state.metrics.batches_written.get()
    }

    /// What the sink failed with last.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.state.status().last_error
    }

    /// Ends the engine, which closes the sink.
    pub async fn end(self) {
        let Self { route, engine, .. } = self;
        drop(route);
        let _ = engine.await;
    }

    async fn wait(&mut self) {
        self.link.finished_ready().await;
        self.take();
    }

    fn take(&mut self) {
        self.link.take_finished(&mut self.done);
        self.unfinished -= self.done.numbers.len();
    }
}
