//! What the handler does with every event, attempt by attempt.

use std::time::Duration;

use fastrand::Rng;

use crate::log::EventId;

/// What one attempt does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Ok,
    Fail,
    RetryAfter(Duration),
    Permanent,
    Panic,
    Hang,
    Emit(u32),
    EmitThenFail(u32),
    EmitToNobody,
    Publish { count: u32, at_most_once: bool },
    Reply,
}

/// An attempt: what it waits for first, and what it does then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) wait: Option<Duration>,
    pub(crate) act: Act,
}

/// How often which trouble comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Menu {
    seed: u64,
    /// So many of 100 events are trouble.
    trouble: u32,
    /// Whether something ends a handler that hangs.
    hangs: bool,
    /// Longest wait of a handler, in milliseconds.
    longest: u64,
}

impl Menu {
    pub(crate) fn draw(rng: &mut Rng, hangs: bool) -> Self {
        let trouble = [0, 5, 20, 60, 100][rng.usize(..5)];
        Self { seed: rng.u64(..), trouble, hangs, longest: [2, 30, 300][rng.usize(..3)] }
    }

    /// Nothing that takes long.
    pub(crate) fn gentle(seed: u64) -> Self {
        Self { seed, trouble: 30, hangs: false, longest: 5 }
    }

    /// The attempts at an event; the last one goes for all that follow.
    pub(crate) fn script(&self, event: EventId) -> Vec<Step> {
        let mut rng = Rng::with_seed(self.seed ^ (u64::from(event) << 24));
        let rng = &mut rng;
        let acts = if rng.u32(..100) < self.trouble { self.trouble(rng) } else { Self::fair(rng) };
        let step = |act| {
            // An attempt that hangs does so from the beginning.
            let wait = (act != Act::Hang && rng.bool()).then(|| Duration::from_millis(rng.u64(1..=self.longest)));
            Step { wait, act }
        };
        acts.into_iter().map(step).collect()
    }

    fn fair(rng: &mut Rng) -> Vec<Act> {
        vec![match rng.u32(..8) {
            0 => Act::Emit(1),
            1 => Act::Emit(3),
            2 => Act::Publish { count: rng.u32(1..3), at_most_once: rng.bool() },
            3 => Act::Reply,
            _ => Act::Ok,
        }]
    }

    fn trouble(&self, rng: &mut Rng) -> Vec<Act> {
        let mut well = Self::fair(rng);
        let some = rng.usize(1..4);
        let mut acts = match rng.u32(..13) {
            0 => vec![Act::Fail; some],
            1 => return vec![Act::Fail],
            2 => return vec![Act::Permanent],
            3 => vec![Act::RetryAfter(Duration::from_millis(rng.u64(1..10 * self.longest))); some],
            4 => vec![Act::Panic; some],
            5 => return vec![Act::Panic],
            6 if self.hangs => vec![Act::Hang],
            7 if self.hangs => return vec![Act::Hang],
            8 => return vec![Act::EmitToNobody],
            9 => vec![Act::EmitThenFail(2); some],
            10 => return vec![Act::Fail, Act::Fail, Act::Permanent],
            11 => vec![Act::Panic, Act::EmitThenFail(1)],
            _ => vec![Act::Fail, Act::EmitToNobody],
        };
        acts.append(&mut well);
        acts
    }
}
