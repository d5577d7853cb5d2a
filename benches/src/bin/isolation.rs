//! What a failing route costs a healthy one in the same worker: the throughput of the healthy route alone and beside a
//! route whose events all fail, in one run, at QoS 1 on the embedded broker.
//!
//! Run with `cargo run --release -p tidemill-benches --bin isolation`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use clap::Parser;
use comfy_table::{Table, presets};
use tidemill_benches::stats::{median, range};
use tidemill_core::topic::TopicName;
use tidemill_core::{Context, Event, Publication, ResultExt, handler_fn};
use tidemill_runtime::{Config, Publisher, Route, Worker};
use tidemill_testkit::broker::{Broker, BrokerConfig};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a failing route costs a healthy one in the same worker.
#[derive(Debug, Parser)]
struct Args {
    /// Events per second offered to the healthy route in the paced scenarios.
    #[arg(long, default_value_t = 20_000)]
    rate: u32,
    /// Events per second offered to the failing route.
    #[arg(long, default_value_t = 200)]
    failing: u32,
    /// Seconds that each scenario is measured.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Receive Maximum of the instances.
    #[arg(long, default_value_t = 4096)]
    window: u16,
    /// Times that all scenarios are run, interleaved.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// How the second route fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    No,
    /// Every event goes to the dead letters at once.
    Permanent,
    /// Every event is tried three times, with delays from 10 ms.
    Retried,
}

#[derive(Clone, Copy, Debug)]
struct Scenario {
    name: &'static str,
    failing: Failing,
    paced: bool,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario { name: "offered load, healthy route alone", failing: Failing::No, paced: true },
    Scenario { name: "offered load, beside a route that dead-letters", failing: Failing::Permanent, paced: true },
    Scenario { name: "offered load, beside a route that retries", failing: Failing::Retried, paced: true },
    Scenario { name: "flat out, healthy route alone", failing: Failing::No, paced: false },
    Scenario { name: "flat out, beside a route that dead-letters", failing: Failing::Permanent, paced: false },
    Scenario { name: "flat out, beside a route that retries", failing: Failing::Retried, paced: false },
];

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let args = Args::parse();
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); SCENARIOS.len()];
    for run in 0..args.runs {
        for (scenario, rates) in SCENARIOS.iter().zip(&mut rates) {
            let rate = measure(&args, *scenario).await?;
            eprintln!("run {}/{}  {:<50} {rate:>9.0} events/s", run + 1, args.runs, scenario.name);
            rates.push(rate);
        }
    }
    let median = |rates: &[f64]| median(rates.iter().copied()).unwrap_or(f64::NAN);
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(["scenario", "healthy events/s", "min..max", ": alone"]);
    let alone = |paced: bool| {
        SCENARIOS
            .iter()
            .zip(&rates)
            .find(|(scenario, _)| scenario.paced == paced && scenario.failing == Failing::No)
            .map_or(f64::NAN, |(_, rates)| median(rates))
    };
    for (scenario, rates) in SCENARIOS.iter().zip(&rates) {
        let (low, high) = range(rates.iter().copied()).unwrap_or_default();
        table.add_row([
            scenario.name.to_owned(),
            format!("{:.0}", median(rates)),
            format!("{low:.0}..{high:.0}"),
            format!("{:.2} x", median(rates) / alone(scenario.paced)),
        ]);
    }
    println!("{table}");
    println!(
        "QoS 1, 2 instances, window {}, {} failing events/s, {} healthy events/s offered where paced; medians of {} runs.",
        args.window, args.failing, args.rate, args.runs
    );
    Ok(())
}

/// Healthy events handled per second.
async fn measure(args: &Args, scenario: Scenario) -> Result<f64, Failure> {
    let broker = Broker::start(BrokerConfig::default()).await?;
    let mut config = Config::default();
    config.mqtt.url = broker.url();
    config.mqtt.window = args.window;
    config.group.name = Some("isolation".to_owned());
    config.group.verify = tidemill_runtime::config::Verify::Never;
    config.instances = 2.into();
    config.retry.max_attempts = 3;
    config.retry.min_delay = Duration::from_millis(10);
    config.retry.max_delay = Duration::from_millis(100);
    let handled = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&handled);
    let healthy = handler_fn(move |_: Event, _: Context| {
        counter.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    });
    let failing = handler_fn(move |_: Event, _: Context| async move {
        match scenario.failing {
            Failing::Permanent => Err::<(), _>("always").permanent(),
            _ => Err("always".into()),
        }
    });
    let worker = Worker::builder(config.clone())
        .add_route(Route::new("healthy/{n}", healthy))
        .add_route(Route::new("failing/{n}", failing))
        .build()?;
    let handle = worker.handle();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(worker.run_until(async move {
        let _ = stopped.await;
    }));
    handle.ready().await;
    let mut publishers = vec![tokio::spawn(publish(config.clone(), "healthy", scenario.paced.then_some(args.rate)))];
    if scenario.failing != Failing::No {
        publishers.push(tokio::spawn(publish(config, "failing", Some(args.failing))));
    }
    sleep(Duration::from_secs(1)).await;
    let (before, started) = (handled.load(Ordering::Relaxed), Instant::now());
    sleep(Duration::from_secs(args.seconds)).await;
    let events = handled.load(Ordering::Relaxed) - before;
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    let rate = events as f64 / started.elapsed().as_secs_f64();
    for publisher in publishers {
        publisher.abort();
    }
    let _ = stop.send(());
    running.await??;
    broker.shutdown().await;
    Ok(rate)
}

/// Publishes for ever: so many per second, or as fast as the broker takes them.
async fn publish(config: Config, kind: &'static str, rate: Option<u32>) -> Result<(), Failure> {
    const PAYLOAD: &[u8] = &[b'x'; 128];
    let publisher = Publisher::start_with(&config, format!("isolation-{kind}"))?;
    let topics: Vec<TopicName> = (0..64).map(|n| TopicName::new(&format!("{kind}/{n}"))).collect::<Result<_, _>>()?;
    let mut ticks = interval(Duration::from_millis(5));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut next = topics.iter().cycle();
    loop {
        let count = match rate {
            Some(rate) => {
                ticks.tick().await;
                rate / 200
            }
            None => 1000,
        };
        for topic in next.by_ref().take(count.max(1) as usize) {
            // Acknowledgements are awaited by the publisher itself: its queue and the broker's window bound it.
            drop(publisher.start(Publication::new(topic.clone(), PAYLOAD)).await?);
        }
    }
}
