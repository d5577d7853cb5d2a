//! Many seeds, and one again.

use std::cell::Cell;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tidemill_runtime::config::{LogConfig, LogFormat};
use tokio::runtime::Builder;

use crate::judge::Record;
use crate::life;
use crate::scenario::Scenario;
use crate::tap::Mutation;

/// Seeds in a normal run.
const SEEDS: u64 = 500;
/// How often one seed is run again: hash maps and the scheduler's fairness are not part of the seed.
const AGAIN: u64 = 20;
/// Virtual time that a run may take.
const LONGEST: Duration = Duration::from_secs(3600);

thread_local! {
    static PANICS: Cell<u32> = const { Cell::new(0) };
}

/// A task that panics is restarted by the worker: a run must hear of it all the same.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.set(PANICS.get() + 1);
            before(info);
        }));
    });
}

/// One run on a clock of its own.
pub(crate) fn run(scenario: &Scenario, mutation: Mutation) -> Result<Record, String> {
    count_panics();
    let before = PANICS.get();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let result = runtime.block_on(async {
        let ran = tokio::time::timeout(LONGEST, life::run(scenario, mutation)).await;
        ran.unwrap_or_else(|_| Err(format!("it takes longer than {LONGEST:?}")))
    });
    match result {
        Ok(_) if PANICS.get() > before => Err("something panicked".to_owned()),
        result => result,
    }
}

fn env(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// What `TIDEMILL_LOG` asks for, such as `debug`: of use with one seed that is run once.
fn log_if_asked() {
    if let Ok(filter) = std::env::var("TIDEMILL_LOG") {
        let mut config = LogConfig::default();
        (config.filter, config.format) = (filter, LogFormat::Text);
        tidemill_runtime::telemetry::init(&config).unwrap();
    }
}

#[test]
fn whatever_happens_to_the_group_the_guarantees_hold() {
    let one = env("TIDEMILL_SEED");
    let seeds = env("TIDEMILL_SEEDS").unwrap_or(if one.is_some() { AGAIN } else { SEEDS });
    log_if_asked();
    let next = AtomicU64::new(0);
    #[expect(clippy::disallowed_methods, reason = "how long it really takes")]
    let started = Instant::now();
    let threads = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(8);
    let (mut total, mut failures) = (Record::default(), Vec::new());
    std::thread::scope(|scope| {
        let work = || {
            let mut results = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= seeds {
                    return results;
                }
                let scenario = Scenario::from_seed(one.unwrap_or(number));
                let result = run(&scenario, Mutation::None);
                results.push((scenario, result));
            }
        };
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for (scenario, result) in threads.into_iter().flat_map(|thread| thread.join().unwrap()) {
            match result {
                Ok(record) => total.add(&record),
                Err(error) => failures.push((scenario, error)),
            }
        }
    });
    println!("{seeds} runs in {:?}: {total:?}", started.elapsed());
    failures.sort_by_key(|(scenario, _)| scenario.seed);
    for (scenario, error) in &failures {
        println!("seed {}: {}", scenario.seed, error.lines().take(2).collect::<String>());
    }
    if let Some((scenario, error)) = failures.first() {
        let all: Vec<u64> = failures.iter().map(|(scenario, _)| scenario.seed).collect();
        panic!(
            "{} of {seeds} runs fail: {all:?}\n{scenario:?}\n{error}\n\nrun it again with:\n  \
             TIDEMILL_SEED={} cargo test -p tidemill-runtime --test sim whatever_happens -- --nocapture\n",
            failures.len(),
            scenario.seed
        );
    }
}
