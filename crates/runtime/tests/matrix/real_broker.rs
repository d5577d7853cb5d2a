//! A shorter matrix on a real Mosquitto, in real time: no connection is cut, and half way one worker takes over from
//! another.

use std::time::Duration;

use tidemill_runtime::MqttVersion;
use tidemill_testkit::mosquitto::{Mosquitto, MosquittoConfig, require_or_skip};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use crate::check::check;
use crate::crew::Crew;
use crate::log::Log;
use crate::plan::Plan;
use crate::publisher::Publisher;
use crate::run::{books, rules};
use crate::tap::Dial;

/// Everything ends within this.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a plan on a broker of its own; `false` when there is no Mosquitto here.
async fn run(seed: u64, version: MqttVersion) -> bool {
    let config = MosquittoConfig { max_inflight: Some(0), ..MosquittoConfig::default() };
    let Some(broker) = require_or_skip(Mosquitto::start(config).await) else { return false };
    let plan = Plan::gentle(seed, version);
    let (log, dial) = (Log::new(), Dial::Tcp(broker.addr()));
    let first = Crew::start(&plan, "first", dial.clone(), &log);
    first.handle.ready().await;
    let mut publisher = Publisher::connect(&plan, TcpStream::connect(broker.addr()).await.unwrap()).await;
    publisher.publish_to(plan.events / 2).await;
    let second = Crew::start(&plan, "second", dial, &log);
    second.handle.ready().await;
    let leaving = tokio::spawn(first.leave(plan.deadline));
    publisher.publish_to(plan.events).await;
    let mut ended = vec![leaving.await.unwrap()];
    let before = ended[0].totals.received;
    let start = Instant::now();
    while before + second.received() < u64::from(plan.events) || second.handle.status().unfinished > 0 {
        assert!(start.elapsed() < PATIENCE, "{before} came before, and then {:?}", second.handle.status());
        sleep(Duration::from_millis(20)).await;
    }
    ended.push(second.leave(plan.deadline).await);

    let (mut violations, counts) = check(&log.lines(), &rules(&plan, publisher.published(), 0));
    let totals: Vec<_> = ended.iter().map(|crew| crew.totals).collect();
    violations.extend(ended.into_iter().flat_map(|crew| crew.violations));
    violations.extend(books(&plan, &totals, counts, 0));
    assert!(violations.is_empty(), "seed {seed}: {plan:?}\n{}", violations.join("\n"));
    assert!(counts.dead_lettered > 0 && counts.handled > 0, "{counts:?}");
    true
}

#[tokio::test]
async fn every_guarantee_holds_on_mosquitto_and_mqtt_5() {
    for seed in 1..=3 {
        if !run(seed, MqttVersion::V5).await {
            return;
        }
    }
}

#[tokio::test]
async fn every_guarantee_holds_on_mosquitto_and_mqtt_3() {
    for seed in 4..=6 {
        if !run(seed, MqttVersion::V3_1_1).await {
            return;
        }
    }
}
