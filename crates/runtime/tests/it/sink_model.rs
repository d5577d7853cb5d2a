//! Random loads, failures and settings against three rules: every record is written (or its event dead-lettered),
//! records of one key are written in their order, and no event is acknowledged before its records are written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use tidemill_core::{Event, Record, Rejection, Sink, SinkError, SinkTraits, async_trait};
use tidemill_runtime::SinkSettings;
use tokio::time::sleep;

use crate::support::*;

/// How one write goes.
#[derive(Clone, Copy, Debug)]
enum Go {
    Well,
    /// Nothing is written.
    Fails,
    /// All is written, but the answer is lost: the batch comes again.
    Forgets,
    /// All is written, and then it never answers.
    Hangs,
    Panics,
}

fn go() -> impl Strategy<Value = Go> {
    prop_oneof![
        6 => Just(Go::Well), 2 => Just(Go::Fails), 1 => Just(Go::Forgets), 1 => Just(Go::Hangs), 1 => Just(Go::Panics)
    ]
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// A bad record is named.
    Names,
    /// The batch with a bad record is refused.
    Refuses,
}

#[derive(Debug)]
struct World {
    script: Vec<(Go, u64)>,
    kind: Kind,
    bad: BTreeSet<String>,
    /// Payloads, in the order in which they reached the target.
    target: Vec<String>,
    writes: usize,
}

#[derive(Clone, Debug)]
struct Unreliable {
    world: Arc<Mutex<World>>,
    traits: SinkTraits,
}

fn text(record: &Record) -> String {
    String::from_utf8(record.payload.to_vec()).unwrap()
}

#[async_trait]
impl Sink for Unreliable {
    fn traits(&self) -> SinkTraits {
        self.traits
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let (go, millis, kind, bad) = {
            let mut world = self.world.lock().unwrap();
            let (go, millis) = world.script.get(world.writes).copied().unwrap_or((Go::Well, 1));
            world.writes += 1;
            let bad: Vec<usize> = (0..batch.len()).filter(|at| world.bad.contains(&text(&batch[*at]))).collect();
            (go, millis, world.kind, bad)
        };
        sleep(Duration::from_millis(millis)).await;
        let put = |without: &[usize]| {
            let kept = batch.iter().enumerate().filter(|(at, _)| !without.contains(at)).map(|(_, record)| text(record));
            self.world.lock().unwrap().target.extend(kept);
        };
        match go {
            Go::Fails => return Err(SinkError::unavailable("down")),
            Go::Panics => panic!("a bug in the sink"),
            _ if kind == Kind::Refuses && !bad.is_empty() => return Err(SinkError::batch_refused("bad")),
            _ => put(&bad),
        }
        match go {
            Go::Forgets => return Err(SinkError::unavailable("the answer is lost")),
            Go::Hangs => std::future::pending::<()>().await,
            _ => {}
        }
        match bad.is_empty() {
            true => Ok(()),
            false => Err(SinkError::rejected(
                bad.into_iter().map(|index| Rejection { index, reason: "bad".to_owned() }).collect(),
            )),
        }
    }
}

#[derive(Clone, Debug)]
struct Case {
    /// Per event, its key and how many records it emits.
    events: Vec<(u8, usize)>,
    script: Vec<(Go, u64)>,
    bad: Vec<prop::sample::Index>,
    kind: Kind,
    order: u8,
    settings: (u32, u32, u64, u32),
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::collection::vec((0..6_u8, 1..4_usize), 1..60),
        prop::collection::vec((go(), 0..50_u64), 0..80),
        prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        prop_oneof![Just(Kind::Names), Just(Kind::Refuses)],
        0..3_u8,
        (1..6_u32, 1..12_u32, 0..30_u64, 1..40_u32),
    )
        .prop_map(|(events, script, bad, kind, order, settings)| Case {
            events,
            script,
            bad,
            kind,
            order,
            settings,
        })
}

/// Payloads of the records of an event.
fn payloads(number: usize, records: usize) -> impl Iterator<Item = String> {
    (0..records).map(move |record| format!("{number}.{record}"))
}

async fn hold(case: Case) {
    let all: Vec<String> =
        case.events.iter().enumerate().flat_map(|(number, (_, records))| payloads(number, *records)).collect();
    let bad: BTreeSet<String> = case.bad.iter().map(|at| at.get(&all).clone()).collect();
    let traits = match case.order {
        0 => SinkTraits::default(),
        1 => SinkTraits::default().ordered(),
        _ => SinkTraits::default().serial(),
    };
    let world = World { script: case.script, kind: case.kind, bad: bad.clone(), target: Vec::new(), writes: 0 };
    let world = Arc::new(Mutex::new(world));
    let sink = Unreliable { world: Arc::clone(&world), traits };
    let mut settings = SinkSettings::default();
    (settings.in_flight, settings.max_batch_records) = (case.settings.0, case.settings.1);
    settings.linger = Duration::from_millis(case.settings.2);
    settings.queue_records = case.settings.3;
    settings.write_timeout = Duration::from_secs(1);
    let handler = does(|event: &Event, cx| {
        let (number, records) = std::str::from_utf8(event.payload()).unwrap().split_once(' ').unwrap();
        for payload in payloads(number.parse().unwrap(), records.parse().unwrap()) {
            cx.emit("out", Record::new(payload))?;
        }
        Ok(())
    });
    let letters = Recording::new();
    let mut config = config();
    config.dead_letters.sink = Some("dead".to_owned());
    let dead = letters.clone();
    let mut rig = Rig::start(config, |worker| {
        worker.sink("dead", dead).sink_with("out", sink, settings).add_route(route(handler))
    });
    let mut broker = rig.subscribed().await.with_patience(Duration::from_secs(3600));
    for (number, (key, records)) in case.events.iter().enumerate() {
        let pkid = u16::try_from(number + 1).unwrap();
        broker.publish(pkid, &format!("t/{key}"), Q1, format!("{number} {records}")).await;
    }
    let mut acked = 0;
    while acked < case.events.len() {
        match broker.recv().await {
            v5::Packet::PubAck(ack) => {
                assert_eq!(usize::from(ack.pkid), acked + 1, "G2");
                let in_target: BTreeSet<String> = world.lock().unwrap().target.iter().cloned().collect();
                let mut owed = payloads(acked, case.events[acked].1).filter(|payload| !in_target.contains(payload));
                assert!(owed.all(|payload| bad.contains(&payload)), "event {acked} was acknowledged too early");
                acked += 1;
            }
            v5::Packet::PingReq(_) => broker.send(v5::Packet::PingResp(v5::PingResp)).await,
            other => panic!("{other:?}"),
        }
    }
    let ruined: BTreeSet<String> = (0..case.events.len())
        .filter(|number| payloads(*number, case.events[*number].1).any(|payload| bad.contains(&payload)))
        .map(|number| format!("{number} {}", case.events[number].1))
        .collect();
    let mut written = letters.payloads();
    written.sort();
    assert_eq!(written, ruined.into_iter().collect::<Vec<_>>(), "one dead letter for each event with a bad record");
    if traits.ordered || traits.serial {
        let mut sorted: BTreeMap<u8, Vec<&String>> = BTreeMap::new();
        for (number, (key, records)) in case.events.iter().enumerate() {
            for payload in payloads(number, *records).filter(|payload| !bad.contains(payload)) {
                sorted.entry(*key).or_default().push(all.iter().find(|other| **other == payload).unwrap());
            }
        }
        let target = world.lock().unwrap().target.clone();
        for (key, expected) in sorted {
            // Batches that came again repeat a stretch; what reached the target first must be in order.
            let mut seen = BTreeSet::new();
            let first: Vec<_> =
                target.iter().filter(|payload| expected.contains(payload) && seen.insert((*payload).clone())).collect();
            assert_eq!(first, expected, "of key {key}");
        }
    }
    rig.leave(broker).await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_sink_does_records_arrive_in_order_and_before_their_ack(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(hold(case));
    }
}
