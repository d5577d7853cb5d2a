//! Sinks at the start of a worker: what their settings may say, and what happens when one cannot be opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tidemill_core::{Record, Sink, SinkError, SinkTraits, async_trait};
use tidemill_runtime::config::SinkStart;
use tidemill_runtime::{IdempotencyKey, RunErrorKind, SinkSettings, Worker};
use tokio::time::Instant;

use crate::support::*;

/// Opens at the n-th try, unless it hangs.
#[derive(Clone, Debug)]
struct Opening {
    tries: Arc<AtomicUsize>,
    opens_at: usize,
    hangs: bool,
    wrong: bool,
    /// For how long it asks to be left alone.
    rests: Option<Duration>,
}

impl Opening {
    fn at(opens_at: usize) -> Self {
        Self { tries: Arc::default(), opens_at, hangs: false, wrong: false, rests: None }
    }
}

#[async_trait]
impl Sink for Opening {
    fn traits(&self) -> SinkTraits {
        SinkTraits::default().idempotent()
    }

    async fn open(&self) -> Result<(), SinkError> {
        let tried = self.tries.fetch_add(1, Ordering::SeqCst) + 1;
        if self.hangs {
            std::future::pending::<()>().await;
        }
        match tried {
            _ if self.wrong => Err(SinkError::misconfigured("no such table")),
            tried if tried >= self.opens_at => Ok(()),
            _ => {
                let error = SinkError::unavailable("connection refused");
                Err(self
                    .rests
                    .map_or_else(|| SinkError::unavailable("connection refused"), |rest| error.with_retry_after(rest)))
            }
        }
    }

    async fn write(&self, _: &[Record]) -> Result<(), SinkError> {
        Ok(())
    }
}

fn start(sink: &Opening, change: impl FnOnce(&mut SinkSettings)) -> Rig {
    let mut settings = SinkSettings::default();
    change(&mut settings);
    let out = sink.clone();
    Rig::start(config(), |worker| worker.sink_with("out", out, settings).add_route(route(Fine)))
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_waits_joins_when_its_sink_has_opened() {
    let sink = Opening::at(6);
    let mut rig = start(&sink, |s| s.start = SinkStart::Wait);
    let broker = rig.subscribed().await;
    assert_eq!(sink.tries.load(Ordering::SeqCst), 6);
    rig.leave(broker).await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_waits_no_longer_than_it_may_and_says_what_was_wrong() {
    for hangs in [false, true] {
        let began = Instant::now();
        let sink = Opening { hangs, ..Opening::at(usize::MAX) };
        let rig = start(&sink, |s| (s.start, s.start_timeout) = (SinkStart::Wait, Duration::from_secs(20)));
        let error = rig.ended().await.unwrap_err();
        assert_eq!(error.kind(), RunErrorKind::SinkOpen);
        assert!(began.elapsed() > Duration::from_secs(9) && began.elapsed() <= Duration::from_secs(20));
        let told = told(&error);
        let why = if hangs { "no answer within 20s" } else { "connection refused" };
        assert!(told.contains("open sink \"out\"") && told.contains(why), "{told}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_asks_for_more_time_than_there_is_is_a_sink_that_did_not_open() {
    let sink = Opening { rests: Some(Duration::MAX), ..Opening::at(2) };
    let error = start(&sink, |s| s.start = SinkStart::Wait).ended().await.unwrap_err();
    assert_eq!(error.kind(), RunErrorKind::SinkOpen);
    assert!(told(&error).contains("connection refused"));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_set_up_wrongly_ends_the_worker_at_once_even_where_it_waits() {
    let sink = Opening { wrong: true, ..Opening::at(2) };
    let error = start(&sink, |s| s.start = SinkStart::Wait).ended().await.unwrap_err();
    assert!(told(&error).contains("no such table"));
    assert_eq!(sink.tries.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_asked_to_end_while_it_waits_for_a_sink_ends() {
    let sink = Opening { hangs: true, ..Opening::at(1) };
    let rig = start(&sink, |s| s.start = SinkStart::Wait);
    until(|| sink.tries.load(Ordering::SeqCst) == 1).await;
    let began = Instant::now();
    rig.stop();
    assert_eq!(rig.ended().await.unwrap().received, 0);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[test]
fn settings_of_a_sink_that_does_not_exist_are_a_mistake_that_names_those_that_do() {
    let mut config = config();
    config.sinks.insert("alert".into(), SinkSettings::default());
    config.sinks.insert("elsewhere".into(), SinkSettings::default());
    let mut wrong = SinkSettings::default();
    wrong.in_flight = 0;
    let worker = Worker::builder(config).sink_with("alerts", Opening::at(1), wrong).sink("raw", Opening::at(1));
    let error = worker.route("t/#", Fine).build().unwrap_err().to_string();
    assert_eq!(
        error.lines().collect::<Vec<_>>(),
        [
            "sinks.alert: the worker has no sink named \"alert\": did you mean \"alerts\"? it has alerts, raw",
            "sinks.alerts.in_flight: a sink has 1 to 256 writes under way: set a number in that range",
            "sinks.elsewhere: the worker has no sink named \"elsewhere\": correct the name; it has alerts, raw",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_configuration_takes_the_place_of_settings_in_code() {
    let mut config = config();
    config.sinks.insert("out".into(), SinkSettings::default());
    let mut waits = SinkSettings::default();
    waits.start = SinkStart::Wait;
    let rig = Rig::start(config, |worker| worker.sink_with("out", Opening::at(2), waits).add_route(route(Fine)));
    assert_eq!(rig.ended().await.unwrap_err().kind(), RunErrorKind::SinkOpen, "it does not wait");
}

#[test]
fn an_idempotent_sink_without_keys_is_worth_a_warning() {
    let build = |route| Worker::builder(config()).sink("db", Opening::at(1)).add_route(route).build().unwrap();
    let warnings = build(route(Fine)).warnings();
    let said = warnings.iter().find(|warning| warning.key() == "sinks").unwrap().to_string();
    assert!(said.contains("\"db\"") && said.contains("\"t\"") && said.contains("idempotency_key"), "{said}");
    let with_key = build(route(Fine).idempotency_key(IdempotencyKey::Captures));
    assert!(with_key.warnings().iter().all(|warning| warning.key() != "sinks"));
}
