//! The members of a group share its events evenly, and take over from each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidemill_core::{Context, Event, Handler, HandlerResult, async_trait};
use tidemill_runtime::{Config, Summary, Worker, WorkerHandle};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::direct::Direct;

/// Events handled, by worker.
type Shares = Arc<Mutex<HashMap<&'static str, u32>>>;

struct Counting(Shares, &'static str);

#[async_trait]
impl Handler for Counting {
    async fn handle(&self, _: &Event, _: &mut Context) -> HandlerResult {
        sleep(Duration::from_millis(5)).await;
        *self.0.lock().unwrap().entry(self.1).or_default() += 1;
        Ok(())
    }
}

struct Member {
    handle: WorkerHandle,
    stop: CancellationToken,
    task: JoinHandle<Summary>,
}

impl Member {
    async fn join(broker: &Arc<Broker>, shares: &Shares, name: &'static str) -> Self {
        let mut config = Config::default();
        config.group.name = Some("g".to_owned());
        config.group.verify = tidemill_runtime::config::Verify::Never;
        config.mqtt.window = 16;
        let worker = Worker::builder(config)
            .connector(Direct(Arc::clone(broker)))
            .on_one_runtime()
            .route("t/{key}", Counting(Arc::clone(shares), name))
            .build()
            .unwrap();
        let (handle, stop) = (worker.handle(), CancellationToken::new());
        let stopped = stop.clone();
        let task =
            tokio::spawn(async move { worker.run_until(async move { stopped.cancelled().await }).await.unwrap() });
        handle.ready().await;
        Self { handle, stop, task }
    }

    async fn leave(self) -> Summary {
        assert!(self.handle.status().ready);
        self.stop.cancel();
        self.task.await.unwrap()
    }
}

const EVENTS: u32 = 600;

/// Publishes steadily until everything is handled, and says how many each worker had.
async fn shares(publisher: &mut RawClient, shares: &Shares) -> HashMap<&'static str, u32> {
    shares.lock().unwrap().clear();
    for number in 0..EVENTS {
        publisher.publish_acked(&format!("t/{}", number % 60), "x").await;
        sleep(Duration::from_millis(1)).await;
    }
    while shares.lock().unwrap().values().sum::<u32>() < EVENTS {
        sleep(Duration::from_millis(1)).await;
    }
    shares.lock().unwrap().clone()
}

#[track_caller]
fn assert_even(shares: &HashMap<&'static str, u32>, members: &[&'static str]) {
    assert_eq!(shares.values().sum::<u32>(), EVENTS, "{shares:?}");
    assert_eq!(shares.len(), members.len(), "{shares:?}");
    let even = EVENTS / u32::try_from(members.len()).unwrap();
    for member in members {
        let share = shares[member];
        assert!(share.abs_diff(even) <= even / 10, "{member} has {share} of {EVENTS}: {shares:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_member_takes_all_two_take_half_each_three_a_third_and_one_takes_all_again() {
    let broker = Arc::new(Broker::start(BrokerConfig::in_memory()).await.unwrap());
    let mut publisher = RawClient::new(broker.connect());
    publisher.connect(ConnectOptions::new("publisher")).await;
    let counts = Shares::default();

    let first = Member::join(&broker, &counts, "first").await;
    assert_even(&shares(&mut publisher, &counts).await, &["first"]);
    let second = Member::join(&broker, &counts, "second").await;
    assert_even(&shares(&mut publisher, &counts).await, &["first", "second"]);
    let third = Member::join(&broker, &counts, "third").await;
    assert_even(&shares(&mut publisher, &counts).await, &["first", "second", "third"]);
    let mut handled = 0;
    handled += first.leave().await.handled;
    handled += third.leave().await.handled;
    assert_even(&shares(&mut publisher, &counts).await, &["second"]);
    handled += second.leave().await.handled;

    assert_eq!(handled, u64::from(4 * EVENTS), "nothing was lost or handled twice");
    assert_eq!((broker.stats().redelivered, broker.stats().dropped), (0, 0));
}
