//! The publishers of a benchmark, in a process of their own with one thread that never waits for anybody.
//!
//! With a schedule it is an open loop: an event is due at its time whatever became of the others, everything that is due
//! is written in one batch, and each event carries the time that it was due at. Without one, publishers go as fast as
//! events are handled, never more than a bounded number ahead.

mod encode;
mod pace;
mod publisher;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tidemill_testkit::broker::{Broker, BrokerConfig};
use tokio::sync::{Notify, watch};
use tokio::task::LocalSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::clock;
use super::process::child::{Orders, say};
use super::process::{LoadFigures, LoadJob, Order, Said, Sent};
use super::usage::{Moment, memory_kib};
use crate::connect::in_options;
use pace::Pacer;
use publisher::Publisher;

/// How often the parent hears how much was sent.
const REPORT: Duration = Duration::from_millis(50);

/// What the publishers of a process have in common. One thread owns all of it.
#[derive(Debug)]
struct Shared {
    job: LoadJob,
    /// Time zero of the run, once it is known.
    start_ns: watch::Receiver<Option<u64>>,
    /// Wakes the publishers to see what is due.
    tick: Arc<Notify>,
    stopped: Cell<bool>,
    /// Events that a handler has seen, as far as is known.
    handled: Cell<u64>,
    /// Events that the broker would not have, so that no handler ever sees them.
    refused: Cell<u64>,
    sent: Cell<u64>,
    figures: RefCell<LoadFigures>,
}

/// Publishes until everything is published and confirmed, or the parent is gone.
///
/// # Errors
/// A publisher cannot connect, or not any more.
pub(crate) async fn run(job: LoadJob, orders: Orders) -> Result<(), String> {
    LocalSet::new().run_until(publish(job, orders)).await
}

async fn publish(mut job: LoadJob, mut orders: Orders) -> Result<(), String> {
    let broker = match job.with_broker {
        true => Some(Broker::start(BrokerConfig::default()).await.map_err(|error| tidemill::report(&error))?),
        false => None,
    };
    if let Some(broker) = &broker {
        job.link.url = broker.url();
    }
    let url = job.link.url.clone();
    let (go, start_ns) = watch::channel(None);
    let tick = Arc::new(Notify::new());
    let figures = LoadFigures {
        sent: Sent { events: vec![0; job.publishers as usize], ..Sent::default() },
        ..LoadFigures::default()
    };
    let shared = Rc::new(Shared {
        start_ns,
        tick: Arc::clone(&tick),
        stopped: Cell::new(false),
        handled: Cell::new(0),
        refused: Cell::new(0),
        sent: Cell::new(0),
        figures: RefCell::new(figures),
        job,
    });
    let connector =
        tidemill::connector(&shared.job.link.mqtt()).map_err(|error| in_options(&tidemill::report(&error)))?;
    let mut tasks = tokio::task::JoinSet::new();
    let mut publishers = Vec::new();
    for number in 0..shared.job.publishers {
        let mut publisher = Publisher::new(Rc::clone(&shared), Arc::clone(&connector), number)?;
        publisher.connect().await?;
        publishers.push(publisher);
    }
    for publisher in publishers {
        tasks.spawn_local(publisher.run());
    }
    let (idle_kib, _) = memory_kib();
    say(&Said::Ready { url });
    let mut start = loop {
        match orders.next().await {
            Some(Order::Go { start_ns }) => break start_ns,
            Some(_) => {}
            None => return Ok(()),
        }
    };
    let _ = go.send(Some(start));
    start += shared.job.warm_up_ns;
    let warm = Instant::now() + Duration::from_nanos(start.saturating_sub(clock::now_ns()));
    let _pacer = Pacer::start(tick).map_err(|error| format!("no thread for the pace: {error}"))?;
    let mut warmed = None;
    let mut reports = interval(REPORT);
    reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !tasks.is_empty() {
        tokio::select! {
            order = orders.next() => match order {
                Some(Order::Handled(events)) => {
                    shared.handled.set(events);
                    shared.tick.notify_waiters();
                }
                Some(Order::Stop) => {
                    shared.stopped.set(true);
                    shared.tick.notify_waiters();
                }
                Some(_) => {}
                None => return Ok(()),
            },
            Some(ended) = tasks.join_next() => ended.map_err(|crash| format!("a publisher crashed: {crash}"))??,
            _ = reports.tick() => say(&Said::Progress(shared.sent.get())),
            () = sleep_until(warm), if warmed.is_none() => warmed = Some((Moment::now(), shared.sent.get())),
        }
    }
    let mut figures = shared.figures.take();
    if let Some((moment, sent)) = warmed {
        figures.used = Moment::now().since(&moment);
        figures.measured = shared.sent.get() - sent;
    }
    figures.idle_kib = idle_kib;
    (_, figures.peak_kib) = memory_kib();
    say(&Said::Loaded(Box::new(figures)));
    // The parent may have more to say; the end of the input is the end.
    while orders.next().await.is_some() {}
    Ok(())
}
