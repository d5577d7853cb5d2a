//! One run of a plan on the embedded broker, under paused time: publish, break things, let the workers leave, check.

use std::sync::Arc;
use std::time::Duration;

use tidemill_core::QoS;
use tidemill_runtime::Order;
use tidemill_testkit::broker::{Broker, BrokerConfig, Traced, What as Seen, ack_order_violations};
use tidemill_testkit::client::{ConnectOptions, RawClient};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::check::{Counts, Rules, check};
use crate::crew::{Crew, EndedCrew, Totals};
use crate::log::{Line, Log};
use crate::plan::{End, Plan, Victim};
use crate::publisher::Publisher;
use crate::tap::Dial;

/// Everything ends within this, on the paused clock.
const A_DAY: Duration = Duration::from_secs(24 * 3600);
/// Everything that is to be finished is so within this.
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
/// The same on a real clock: a run takes a tenth of a second.
const REAL_PATIENCE: Duration = Duration::from_secs(30);
/// How often a window that hangs is filled up.
const FILLINGS: u32 = 200;

/// What a run came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) plan: Plan,
    pub(crate) violations: Vec<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) totals: Vec<Totals>,
    pub(crate) cuts: u32,
    pub(crate) deadline_passed: bool,
}

/// Runs what a seed stands for, on a runtime of its own.
pub(crate) fn run(seed: u64) -> Outcome {
    // The worker's jitter and identifiers come from here too.
    fastrand::seed(seed);
    let plan = Plan::draw(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let log = runtime.block_on(async { Log::new() });
    let ended = runtime.block_on(async { timeout(A_DAY, Run::new(&plan, log.clone()).go()).await });
    ended.unwrap_or_else(|_| Outcome {
        plan: plan.clone(),
        violations: vec![format!("G11: it is not over after {A_DAY:?}")],
        lines: log.lines(),
        totals: Vec::new(),
        cuts: 0,
        deadline_passed: false,
    })
}

struct Run<'a> {
    plan: &'a Plan,
    log: Log,
}

/// Cuts connections as planned; gives how many it cut.
async fn break_things(plan: Plan, broker: Arc<Broker>, log: Log) -> u32 {
    let start = Instant::now();
    let mut cuts = plan.cuts;
    cuts.sort_by_key(|(at, _)| *at);
    let mut done = 0;
    for (at, victim) in cuts {
        sleep_until(start + at).await;
        let clients = log.clients();
        let victims = match victim {
            Victim::All => &clients[..],
            Victim::Any(_) if clients.is_empty() => &[],
            Victim::Any(which) => {
                let which = which as usize % clients.len();
                &clients[which..=which]
            }
        };
        // A client whose CONNECT is still on its way cannot be cut.
        done += victims.iter().map(|client| u32::from(broker.cut(client))).sum::<u32>();
    }
    done
}

impl<'a> Run<'a> {
    fn new(plan: &'a Plan, log: Log) -> Self {
        Self { plan, log }
    }

    async fn go(self) -> Outcome {
        let plan = self.plan;
        let mut config = BrokerConfig::in_memory().with_trace(1_000_000);
        if plan.dead_forbidden {
            config.access = config.access.deny_publish("tidemill/dead/#".parse().unwrap());
        }
        let broker = Arc::new(Broker::start(config).await.unwrap());
        hold_the_group(&broker).await;
        let dial = Dial::Memory(Arc::clone(&broker));
        let mut crews = vec![Crew::start(plan, "first", dial.clone(), &self.log)];
        crews[0].handle.ready().await;

        let breaking = tokio::spawn(break_things(plan.clone(), Arc::clone(&broker), self.log.clone()));
        let mut publisher = Publisher::connect(plan, broker.connect()).await;
        let mut ended = Vec::new();
        let half = plan.events / 2;
        publisher.publish_to(half).await;
        if plan.end == End::Relay {
            crews.push(Crew::start(plan, "second", dial, &self.log));
            crews[1].handle.ready().await;
            let first = crews.remove(0);
            let leaving = tokio::spawn(first.leave(plan.deadline));
            publisher.publish_to(plan.events).await;
            ended.push(leaving.await.unwrap());
        }
        publisher.publish_to(plan.events).await;
        let cuts = breaking.await.unwrap();

        let mut stuck = None;
        match plan.end {
            End::Settled | End::Relay => stuck = self.settle(&broker, &mut publisher, &crews).await,
            End::InFlight => stuck = self.all_handed_out(&broker, &crews).await,
            End::Deadline => sleep(Duration::from_secs(3)).await,
        }
        for crew in crews {
            ended.push(crew.leave(plan.deadline).await);
        }
        self.look_back(&broker, &publisher, ended, cuts, stuck)
    }

    /// Waits until nothing is left to do. Gives what is wrong if that does not come.
    async fn settle(&self, broker: &Broker, publisher: &mut Publisher, crews: &[Crew]) -> Option<String> {
        let stalls = !self.plan.stall_after.is_zero() && self.plan.timeout.is_none();
        let mut fillings = 0;
        let mut wait = Duration::from_millis(20);
        let (began, real) = (Instant::now(), real_now());
        loop {
            let (stats, status) = (broker.stats(), crews.iter().map(|crew| crew.handle.status()).collect::<Vec<_>>());
            let unfinished: u64 = status.iter().map(|status| status.unfinished).sum();
            let arrived = self.plan.qos == QoS::AtLeastOnce
                || !self.plan.cuts.is_empty()
                || crews.iter().map(Crew::received).sum::<u64>() >= u64::from(publisher.published())
                || self.plan.end == End::Relay;
            if stats.queued == 0 && stats.inflight == 0 && unfinished == 0 && arrived {
                return None;
            }
            if began.elapsed() > PATIENCE || real.elapsed() > REAL_PATIENCE {
                return Some(format!("G11: {unfinished} events stay unfinished: {stats:?}, {status:?}"));
            }
            if stalls && fillings < FILLINGS && began.elapsed() > self.plan.stall_after * (fillings + 1) {
                fillings += 1;
                // A window that is not full may hang for as long as it likes.
                let room = 2 * u32::from(self.plan.window) * self.plan.instances + 8;
                publisher.publish_to(publisher.published() + room).await;
            }
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }

    /// Waits until the broker holds nothing that the worker has not been sent. Gives what is wrong if that does not come.
    async fn all_handed_out(&self, broker: &Broker, crews: &[Crew]) -> Option<String> {
        let mut wait = Duration::from_millis(20);
        let (began, real) = (Instant::now(), real_now());
        loop {
            for crew in crews {
                crew.handle.ready().await;
            }
            if broker.stats().queued == 0 {
                return None;
            }
            if began.elapsed() > PATIENCE || real.elapsed() > REAL_PATIENCE {
                return Some(format!("G11: {:?} are not taken by {crews:?}", broker.stats()));
            }
            sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(5));
        }
    }

    fn look_back(
        &self,
        broker: &Broker,
        publisher: &Publisher,
        ended: Vec<EndedCrew>,
        cuts: u32,
        stuck: Option<String>,
    ) -> Outcome {
        let plan = self.plan;
        let lines = self.log.lines();
        let rules = rules(plan, publisher.published(), cuts);
        let (mut violations, counts) = check(&lines, &rules);
        violations.extend(stuck);
        let trace = broker.trace();
        violations.extend(ack_order_violations(&trace).iter().map(|line| format!("G2: the broker saw {line:?}")));
        if cuts == 0 && plan.end != End::Deadline {
            violations.extend(same_as_the_broker_saw(&trace, counts));
        }
        let stats = broker.stats();
        if rules.acks && (stats.dropped, stats.expired, stats.too_large) != (0, 0, 0) {
            violations.push(format!("the broker threw something away: {stats:?}"));
        }
        if rules.complete && (stats.queued, stats.inflight) != (0, 0) {
            violations.push(format!("G7: the broker is left with something: {stats:?}"));
        }
        let deadline_passed = ended.iter().any(|crew| crew.deadline_passed);
        if deadline_passed && plan.end != End::Deadline {
            violations.push("G10: the deadline passed, long as it is".to_owned());
        }
        let totals: Vec<Totals> = ended.iter().map(|crew| crew.totals).collect();
        violations.extend(ended.into_iter().flat_map(|crew| crew.violations));
        violations.extend(books(plan, &totals, counts, cuts));
        Outcome { plan: plan.clone(), violations, lines, totals, cuts, deadline_passed }
    }
}

/// What the log of a run is held against.
pub(crate) fn rules(plan: &Plan, published: u32, cuts: u32) -> Rules {
    let keyed = plan.order == Order::Keyed;
    Rules {
        acks: plan.qos == QoS::AtLeastOnce,
        keys: keyed.then(|| (0..published).map(|event| plan.key_of(event)).collect()),
        topics: (0..published).map(|event| plan.topic_of(event)).collect(),
        window: usize::from(plan.window),
        places: plan.places(),
        max_attempts: plan.max_attempts,
        timeout: plan.timeout,
        cuts: cuts > 0,
        complete: plan.is_complete(),
    }
}

/// A group keeps its queue while some session holds its subscription: this one, which is never there.
async fn hold_the_group(broker: &Broker) {
    let mut anchor = RawClient::new(broker.connect());
    anchor.connect(ConnectOptions::new("anchor").expiry(u32::MAX)).await;
    anchor.subscribe("$share/g/t/+/+", QoS::AtLeastOnce).await;
    anchor.disconnect().await;
}

/// What the broker wrote down about the workers, against what was seen at their end.
fn same_as_the_broker_saw(trace: &[Traced], counts: Counts) -> Option<String> {
    let seen = |like: fn(&Seen) -> bool| trace.iter().filter(|line| like(&line.what)).count() as u64;
    let sent = seen(|what| matches!(what, Seen::Sent { .. }));
    let acked = seen(|what| matches!(what, Seen::Acked { .. }));
    ((sent, acked) != (counts.delivered, counts.acked))
        .then(|| format!("the broker sent {sent} and got {acked} acknowledged, the workers say {counts:?}"))
}

/// The metrics against the log (G9).
pub(crate) fn books(plan: &Plan, totals: &[Totals], counts: Counts, cuts: u32) -> Option<String> {
    let sum = |of: fn(&Totals) -> u64| totals.iter().map(of).sum::<u64>();
    let received = sum(|all| all.received);
    let (handled, dead_lettered) = (sum(|all| all.handled), sum(|all| all.dead_lettered));
    let exact = cuts == 0 && plan.end != End::Deadline;
    let fits = if exact {
        let dropped = if plan.drop_newest { counts.delivered - counts.handled - counts.dead_lettered } else { 0 };
        (received, handled, dead_lettered) == (counts.delivered, counts.handled, counts.dead_lettered)
            && (sum(|all| all.dropped), sum(|all| all.abandoned)) == (dropped, 0)
    } else {
        // What was read and not decoded before a connection broke was not received.
        received <= counts.delivered && handled + dead_lettered >= counts.acked
    };
    (!fits).then(|| format!("G9: the metrics say {totals:?}, the log says {counts:?}"))
}

#[expect(clippy::disallowed_methods, reason = "patience with a run that hangs is real time")]
fn real_now() -> std::time::Instant {
    std::time::Instant::now()
}
