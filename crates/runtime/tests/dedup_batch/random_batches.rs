//! Random arrivals, results, panics, hangs and cuts: every attempt that is not cut gets exactly its own result.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tidemill_core::Handler;
use tidemill_runtime::batch::{BatchSettings, Batched};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::support::{Call, Does, MS, context, emitted, event, paused};

#[derive(Clone, Debug)]
struct Plan {
    /// When the attempt begins, and after how long it is cut.
    arrives: u64,
    patience: u64,
    does: &'static str,
    padding: usize,
}

fn plan() -> impl Strategy<Value = Plan> {
    let does = prop_oneof![
        12 => Just("ok"), 3 => Just("err"), 2 => Just("permanent"), 2 => Just("5"), 1 => Just("30"),
        1 => Just("short"), 1 => Just("panic"), 1 => Just("sort"), 1 => Just("long"), 1 => Just("hang"),
    ];
    let patience = prop_oneof![3 => Just(10_000_u64), 1 => 0_u64..60];
    (0_u64..60, patience, does, 0_usize..40).prop_map(|(arrives, patience, does, padding)| Plan {
        arrives,
        patience,
        does,
        padding,
    })
}

impl Plan {
    fn payload(&self, id: usize) -> String {
        format!("{id:03}- {} {}", self.does, "x".repeat(self.padding))
    }
}

/// What an attempt that waited for its result was told.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Emitted(Vec<String>),
    Failed(String),
}

struct Ended {
    joined: Instant,
    /// `None`: cut.
    told: Option<Told>,
}

/// What the event of this payload must be told, from the batch that it was in alone.
fn expected(payload: &str, call: &Call) -> Told {
    let any = |word: &str| call.payloads.iter().any(|other| other.split(' ').any(|other| other == word));
    let events = call.payloads.len();
    let mut order = call.payloads.clone();
    if any("sort") {
        order.sort_by(|a, b| b.cmp(a));
    }
    let given = order.iter().position(|other| other.contains("short")).unwrap_or(events) + usize::from(any("long"));
    let place = order.iter().position(|other| other == payload).unwrap();
    match () {
        () if any("panic") => Told::Failed("the batch handler panicked: out of luck".to_owned()),
        () if given > events || place >= given => {
            Told::Failed(format!("the batch handler gave {given} results for {events} events; this one has none"))
        }
        // A short list with one more: that one goes to the first that had none.
        () if payload.contains("short") => Told::Emitted(Vec::new()),
        () if payload.contains("permanent") || payload.contains("err") => Told::Failed(payload.to_owned()),
        () => Told::Emitted(vec![payload.to_owned()]),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn every_attempt_gets_exactly_its_own_result(
        plans in prop::collection::vec(plan(), 1..60),
        max_events in 1_usize..9,
        max_bytes in prop_oneof![Just(usize::MAX), 20_usize..200],
        linger in 0_u64..25,
    ) {
        paused(async {
            let linger = Duration::from_millis(linger);
            let settings = BatchSettings::default().max_events(max_events).max_bytes(max_bytes).linger(linger);
            let does = Does::default();
            let batched = Arc::new(Batched::new(does.clone(), settings));
            let attempts = plans.iter().cloned().enumerate().map(|(id, plan)| {
                let batched = Arc::clone(&batched);
                tokio::spawn(async move {
                    sleep(Duration::from_millis(plan.arrives)).await;
                    let joined = Instant::now();
                    let mut cx = context();
                    let event = event(plan.payload(id));
                    let until = joined + Duration::from_millis(plan.patience);
                    let told = match timeout_at(until, batched.handle(&event, &mut cx)).await {
                        Ok(Ok(())) => Some(Told::Emitted(emitted(&mut cx))),
                        Ok(Err(error)) => {
                            assert!(cx.is_outbox_empty(), "what a failed attempt emitted is discarded");
                            Some(Told::Failed(error.to_string()))
                        }
                        Err(_) => None,
                    };
                    Ended { joined, told }
                })
            });
            let attempts: Vec<_> = attempts.collect();
            let mut ended = Vec::new();
            for attempt in attempts {
                ended.push(attempt.await.unwrap());
            }
            sleep_until(Instant::now() + MS * 100).await;

            let calls = does.calls();
            let mut of_payload: HashMap<&str, &Call> = HashMap::new();
            for call in &calls {
                prop_assert!(call.payloads.len() <= max_events, "{:?}", call);
                prop_assert!(call.bytes <= max_bytes || call.payloads.len() == 1, "{:?}", call);
                for payload in &call.payloads {
                    prop_assert!(of_payload.insert(payload, call).is_none(), "{} was handled twice", payload);
                }
            }
            for (id, (plan, ended)) in plans.iter().zip(&ended).enumerate() {
                let payload = plan.payload(id);
                let call = of_payload.get(&*payload);
                if let Some(told) = &ended.told {
                    prop_assert!(call.is_some(), "{} was told {:?} though it was in no batch", payload, told);
                    prop_assert_eq!(told, &expected(&payload, call.unwrap()), "{} in {:?}", &payload, call);
                } else {
                    prop_assert!(plan.patience < 10_000 || call.is_some_and(|call| does_hang(call)), "{}", payload);
                }
                if let Some(call) = call {
                    prop_assert!(call.at - ended.joined <= linger + MS, "{} waited longer than the linger", payload);
                }
            }
            Ok(())
        })?;
    }
}

fn does_hang(call: &Call) -> bool {
    call.payloads.iter().any(|payload| payload.contains("hang"))
}
