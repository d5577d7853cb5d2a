//! Handlers that are slow or block: the connection lives on (G6), and memory stays where it is (G5).

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerResult, async_trait};
use tidemill_runtime::config::Verify;
use tidemill_runtime::{RunErrorKind, Worker};
use tidemill_testkit::mosquitto::MosquittoConfig;

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_full_window_of_slow_events_costs_a_bounded_amount_of_memory_and_no_connection() {
    const EVENTS: u32 = 8000;
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    let mut config = config(broker.url());
    config.mqtt.window = 1000;
    config.mqtt.keep_alive = Duration::from_secs(2);
    config.drain.deadline = Duration::from_secs(1);
    let counted = Counted::default();
    // All of one key: some twenty a second.
    let worker = Running::joined(config.clone(), Slow(counted.clone(), Duration::from_millis(50))).await;
    let publisher = publisher(&config);
    let filler = "x".repeat(1000);
    publish(&publisher, (0..EVENTS).map(|number| ("t/one".to_owned(), format!("{number} {filler}")))).await;
    publisher.close().await;
    until(|| worker.handle.status().unfinished == 1000).await;
    let before = resident_kib();
    let mut most = 0;
    // Three keep-alives, and one and a half more for the broker's patience.
    for _ in 0..90 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let status = worker.handle.status();
        most = most.max(status.unfinished);
        assert!(status.unfinished <= 1000 && status.instances[0].unacknowledged <= 1000, "{status:?}");
        assert_eq!((status.instances[0].epoch, status.abandoned), (1, 0), "{status:?}");
    }
    let grown = resident_kib().saturating_sub(before);
    assert!(most > 950 && grown < 8 * 1024, "{most} unfinished, {grown} KiB more than in the beginning");
    assert!(counted.distinct() > 100);
    worker.stop();
    let error = worker.ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::DrainDeadline);
}

/// Holds its thread, which no handler should, and many do.
#[derive(Clone, Debug)]
struct Blocking(Counted, Duration);

#[async_trait]
impl Handler for Blocking {
    async fn handle(&self, event: &Event, _: &mut Context) -> HandlerResult {
        #[expect(clippy::disallowed_methods, reason = "a handler that blocks is what is tested")]
        std::thread::sleep(self.1);
        self.0.add(event);
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handlers_that_block_their_threads_for_longer_than_the_keep_alive_cost_no_connection() {
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    let mut config = config(broker.url());
    config.mqtt.keep_alive = Duration::from_secs(2);
    config.instances = 2.into();
    let counted = Counted::default();
    let worker = Running::joined(config.clone(), Blocking(counted.clone(), Duration::from_secs(5))).await;
    let publisher = publisher(&config);
    // One for each instance, and so one for each thread.
    publish(&publisher, events(0..2)).await;
    publisher.close().await;
    until(|| counted.distinct() == 2).await;
    until(|| worker.handle.status().instances.iter().map(|instance| instance.acked).sum::<u64>() == 2).await;
    let status = worker.handle.status();
    assert!(status.instances.iter().all(|instance| instance.epoch == 1 && instance.last_error.is_none()), "{status:?}");
    let log = broker.log();
    assert!(!log.contains("exceeded timeout"), "{log}");
    assert_eq!(worker.leave().await.handled, 2);
}

/// Says that it has begun, and holds its thread until it is let go.
struct Held(tokio::sync::mpsc::Sender<()>, Mutex<Receiver<()>>);

#[async_trait]
impl Handler for Held {
    async fn handle(&self, event: &Event, _: &mut Context) -> HandlerResult {
        if event.topic() == "t/held" {
            self.0.try_send(()).unwrap();
            self.1.lock().unwrap().recv().unwrap();
        }
        Ok(())
    }
}

/// Everything of the worker is on one thread, and a handler has it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_handler_holds_the_only_thread_events_are_read_and_the_broker_is_pinged() {
    let Some(broker) = mosquitto(MosquittoConfig::default()).await else { return };
    let mut config = config(broker.url());
    config.mqtt.keep_alive = Duration::from_secs(1);
    config.group.verify = Verify::Never;
    let (begun, mut begins) = tokio::sync::mpsc::channel(1);
    let (release, released) = sync_channel::<()>(1);
    let worker = Worker::builder(config.clone()).route("t/#", Held(begun, Mutex::new(released))).build().unwrap();
    let handle = worker.handle();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let stopped = async move { stopped.await.unwrap() };
        runtime.block_on(worker.run_until(stopped)).unwrap().handled
    });
    handle.ready().await;
    let publisher = publisher(&config);
    publish(&publisher, [("t/held".to_owned(), "held".to_owned())]).await;
    begins.recv().await.unwrap();
    publish(&publisher, events(0..60)).await;
    publisher.close().await;
    let read = || handle.status().instances[0].received;
    until(|| read() == 61).await;
    // Longer than the broker waits for a sign of life.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let status = handle.status();
    assert_eq!((status.handled, status.instances[0].epoch), (0, 1), "{status:?}");
    release.send(()).unwrap();
    until(|| handle.status().instances[0].acked == 61).await;
    stop.send(()).unwrap();
    assert_eq!(tokio::task::spawn_blocking(move || thread.join().unwrap()).await.unwrap(), 61);
    let log = broker.log();
    assert!(!log.contains("exceeded timeout"), "{log}");
}
