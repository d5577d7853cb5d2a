//! Starting and failing to: handlers, sinks, and a broker that is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidemill_core::{BoxError, Context, Event, Handler, HandlerResult, Record, Sink, SinkError, async_trait};
use tidemill_runtime::RunErrorKind;

use crate::support::*;

#[derive(Clone, Debug, Default)]
struct Counted {
    started: Arc<AtomicUsize>,
    stopped: Arc<AtomicUsize>,
    fails: bool,
}

#[async_trait]
impl Handler for Counted {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        Ok(())
    }

    async fn start(&self) -> Result<(), BoxError> {
        if self.fails {
            return Err("no database".into());
        }
        self.started.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    async fn stop(&self) {
        self.stopped.fetch_add(1, Ordering::SeqCst);
    }
}

impl Counted {
    fn counts(&self) -> (usize, usize) {
        (self.started.load(Ordering::SeqCst), self.stopped.load(Ordering::SeqCst))
    }
}

#[tokio::test(start_paused = true)]
async fn handlers_start_before_the_connection_and_stop_after_the_last_event() {
    let counted = Counted::default();
    let mut config = config();
    config.instances = 2.into();
    let mut rig = Rig::with_handler(config, counted.clone());
    let mut first = rig.subscribed().await;
    let mut second = rig.subscribed().await;
    assert_eq!(counted.counts(), (1, 0), "once, however many instances there are");
    rig.stop();
    for broker in [&mut first, &mut second] {
        broker.accept_unsubscribe().await;
        assert_eq!(counted.counts(), (1, 0));
        broker.accept_ping().await;
        broker.expect_disconnect().await;
    }
    rig.ended().await.unwrap();
    assert_eq!(counted.counts(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_cannot_start_ends_the_worker_before_it_connects() {
    let (good, bad) = (Counted::default(), Counted { fails: true, ..Counted::default() });
    let (first, second) = (good.clone(), bad.clone());
    let mut rig = Rig::start(config(), |worker| worker.route("a/#", first).route("b/#", second));
    assert!(rig.stays_away(Duration::from_secs(5)).await);
    let error = rig.ended().await.unwrap_err();
    assert_eq!((error.kind(), error.exit_code()), (RunErrorKind::HandlerStart, 1));
    assert!(told(&error).contains("b/#") && told(&error).contains("no database"), "{}", told(&error));
    assert_eq!((good.counts(), bad.counts()), ((1, 1), (0, 0)), "what was started is stopped");
}

/// Its `start` never comes back.
#[derive(Clone, Copy, Debug)]
struct Never;

#[async_trait]
impl Handler for Never {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        Ok(())
    }

    async fn start(&self) -> Result<(), BoxError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_told_to_leave_while_a_handler_starts_leaves_and_stops_what_has_started() {
    let counted = Counted::default();
    let handler = counted.clone();
    let rig = Rig::start(config(), |worker| worker.route("a/#", handler).route("b/#", Never));
    settle().await;
    assert_eq!(counted.counts(), (1, 0));
    rig.stop();
    let began = tokio::time::Instant::now();
    rig.ended().await.unwrap();
    assert_eq!((counted.counts(), began.elapsed()), ((1, 1), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_a_worker_that_has_ended_waits_no_longer() {
    let mut rig = Rig::with_handler(config(), Fine);
    let broker = rig.subscribed().await;
    let handle = rig.handle.clone();
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.admin_address().await }
    });
    rig.leave(broker).await;
    assert_eq!(waiting.await.unwrap(), None);
    handle.ready().await;
    handle.settled().await;
    assert!(!handle.status().ready);
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_cannot_be_opened_ends_the_worker_and_closes_those_that_could() {
    let (good, bad) = (Recording::new(), Recording::new());
    bad.with(|all| all.open_fails = true);
    let counted = Counted::default();
    let (handler, first, second) = (counted.clone(), good.clone(), bad.clone());
    let mut rig =
        Rig::start(config(), |worker| worker.sink("first", first).sink("second", second).add_route(route(handler)));
    assert!(rig.stays_away(Duration::from_secs(5)).await);
    let error = rig.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::SinkOpen);
    assert!(told(&error).contains("second") && told(&error).contains("stays shut"), "{}", told(&error));
    assert_eq!(good.with(|all| (all.opened, all.closed)), (1, 1));
    assert_eq!(bad.with(|all| (all.opened, all.closed)), (0, 0));
    assert_eq!(counted.counts(), (1, 1));
}

/// A sink whose `close` never comes back.
#[derive(Debug)]
struct Clinging;

#[async_trait]
impl Sink for Clinging {
    async fn write(&self, _: &[Record]) -> Result<(), SinkError> {
        Ok(())
    }

    async fn close(&self) -> Result<(), SinkError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn sinks_that_do_not_close_after_a_failed_start_take_no_longer_than_both_deadlines() {
    let bad = Recording::new();
    bad.with(|all| all.open_fails = true);
    let mut config = config();
    (config.drain.deadline, config.drain.force) = (Duration::from_secs(2), Duration::from_secs(1));
    let began = tokio::time::Instant::now();
    let rig = Rig::start(config, |worker| {
        worker.sink("a", Clinging).sink("b", Clinging).sink("c", bad).add_route(route(Fine))
    });
    assert_eq!(rig.ended().await.unwrap_err().kind(), RunErrorKind::SinkOpen);
    assert!(began.elapsed() <= Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_never_connects_gives_up_after_the_startup_timeout() {
    let mut config = config();
    config.mqtt.startup_timeout = Duration::from_secs(45);
    let mut rig = Rig::with_handler(config, Fine);
    let began = tokio::time::Instant::now();
    let refusing = tokio::spawn(async move {
        for _ in 0..10_000 {
            if rig.stays_away(Duration::from_secs(40)).await {
                break;
            }
        }
        rig.ended().await
    });
    let error = refusing.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::Broker);
    assert!(began.elapsed() < Duration::from_secs(100));
    let told = told(&error);
    assert!(told.contains("45s") && told.contains("closed the connection"), "{told}");
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_connected_once_does_not_give_up() {
    let mut config = config();
    config.mqtt.startup_timeout = Duration::from_secs(45);
    let mut rig = Rig::with_handler(config, Fine);
    rig.subscribed().await.cut();
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(600) {
        drop(rig.stream().await);
    }
    let broker = rig.subscribed().await;
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_without_a_startup_timeout_waits_for_ever() {
    let mut config = config();
    config.mqtt.startup_timeout = Duration::ZERO;
    let mut rig = Rig::with_handler(config, Fine);
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(3600) {
        drop(rig.stream().await);
    }
    let broker = rig.subscribed().await;
    rig.leave(broker).await;
}

/// What a connector of somebody else's says reaches the operator.
#[tokio::test(start_paused = true)]
async fn a_connector_that_fails_is_asked_again_and_quoted() {
    #[derive(Debug, Default)]
    struct Failing(Arc<AtomicUsize>);
    #[async_trait]
    impl tidemill_runtime::Connector for Failing {
        async fn connect(&self) -> Result<tidemill_runtime::BoxStream, tidemill_runtime::SessionError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(tidemill_runtime::SessionError::unreachable("open the tunnel", "no key"))
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let worker = tidemill_runtime::Worker::builder(config())
        .connector(Failing(Arc::clone(&asked)))
        .on_one_runtime()
        .add_route(route(Fine))
        .build()
        .unwrap();
    let error = worker.run_until(std::future::pending::<()>()).await.unwrap_err();
    assert!(told(&error).contains("open the tunnel: no key"), "{}", told(&error));
    let asked = asked.load(Ordering::SeqCst);
    assert!((5..100).contains(&asked), "asked {asked} times within a minute");
}
