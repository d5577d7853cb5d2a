//! The seeds of the matrix, on all cores, and what they must have met for the matrix to mean anything.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::{Ended, What};
use crate::plan::End;
use crate::run::{Outcome, run};

/// Seeds of a normal run.
const SEEDS: u64 = 256;

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("a seed is a number, not {text:?}"))
}

/// `TIDEMILL_SEEDS`: how many, or from where to where.
fn asked_for() -> std::ops::Range<u64> {
    match std::env::var("TIDEMILL_SEEDS") {
        Ok(text) => match text.split_once("..") {
            Some((from, to)) => number(from)..number(to),
            None => 0..number(&text),
        },
        Err(_) => 0..SEEDS,
    }
}

#[test]
fn every_guarantee_holds_for_every_seed() {
    if let Ok(seed) = std::env::var("TIDEMILL_SEED") {
        let outcome = run(number(&seed));
        if !outcome.violations.is_empty() {
            for (at, line) in outcome.lines.iter().enumerate() {
                eprintln!("{at:5} {:12?} {:?}", line.at, line.what);
            }
            panic!("{}", told(&outcome));
        }
        return;
    }
    let seeds = asked_for();
    let next = AtomicU64::new(seeds.start);
    let (failed, met) = (Mutex::new(Vec::new()), Mutex::new(Met::default()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let Ok(outcome) = std::panic::catch_unwind(|| run(seed)) else {
                failed.lock().unwrap().push(format!("seed {seed} panicked\n{}", again(seed)));
                continue;
            };
            if !outcome.violations.is_empty() {
                failed.lock().unwrap().push(told(&outcome));
            }
            met.lock().unwrap().take(&outcome);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of the seeds {seeds:?} failed:\n{}", failed.len(), failed.join("\n"));
    met.into_inner().unwrap().enough(&seeds);
}

fn again(seed: u64) -> String {
    format!("  again: TIDEMILL_SEED={seed} cargo test -p tidemill-runtime --test matrix every_guarantee")
}

fn told(outcome: &Outcome) -> String {
    let mut text = format!("seed {}:\n", outcome.plan.seed);
    for violation in outcome.violations.iter().take(8) {
        text.push_str(&format!("  {violation}\n"));
    }
    let more = outcome.violations.len().saturating_sub(8);
    if more > 0 {
        text.push_str(&format!("  and {more} more\n"));
    }
    text.push_str(&format!("  {:?}\n{}", outcome.plan, again(outcome.plan.seed)));
    text
}

/// What the runs met, all together.
#[derive(Debug, Default)]
struct Met {
    events: usize,
    again: usize,
    cuts: u32,
    panics: usize,
    cut_attempts: usize,
    refused: usize,
    written: usize,
    published: usize,
    permanent: usize,
    attempts: usize,
    elapsed: usize,
    stalled: usize,
    rejected: usize,
    stalls: u64,
    retries: u64,
    dropped: u64,
    abandoned: u64,
    relays: u32,
    deadlines: u32,
}

impl Met {
    fn take(&mut self, outcome: &Outcome) {
        let count = |like: &dyn Fn(&What) -> bool| outcome.lines.iter().filter(|line| like(&line.what)).count();
        let ended = |how| count(&|what| matches!(what, What::Returned { how: other, .. } if *other == how));
        let buried = |reason| count(&|what| matches!(what, What::Buried(letter) if letter.reason == reason));
        self.events += count(&|what| matches!(what, What::Delivered { .. }));
        self.again += count(&|what| matches!(what, What::Delivered { dup: true, .. }));
        self.cuts += outcome.cuts;
        self.panics += ended(Ended::Panicked);
        self.cut_attempts += ended(Ended::Cut);
        self.refused += count(&|what| matches!(what, What::Refused(_)));
        self.written += count(&|what| matches!(what, What::Written(_)));
        self.published += count(&|what| matches!(what, What::Published(_)));
        self.permanent += buried("permanent");
        self.attempts += buried("attempts");
        self.elapsed += buried("elapsed");
        self.stalled += buried("stalled");
        self.rejected += buried("rejected");
        for totals in &outcome.totals {
            self.stalls += totals.stalls;
            self.retries += totals.retries;
            self.dropped += totals.dropped;
            self.abandoned += totals.abandoned;
        }
        self.relays += u32::from(outcome.plan.end == End::Relay);
        self.deadlines += u32::from(outcome.deadline_passed);
    }

    /// A matrix that does not meet what it is for proves nothing.
    fn enough(&self, seeds: &std::ops::Range<u64>) {
        eprintln!("the seeds {seeds:?} met {self:?}");
        if seeds.end - seeds.start < SEEDS {
            return;
        }
        let text = format!("{self:?}");
        let missing = text.split([',', '{']).find(|field| field.trim().trim_end_matches(" }").ends_with(": 0"));
        assert_eq!(missing, None, "the seeds never met it");
    }
}
