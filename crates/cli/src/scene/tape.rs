//! The tape: which member handled which event. Events are numbered in the order in which they are published.
//!
//! INVARIANT: an event has the owner that handled it first; every further handling counts as a duplicate.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Played;

/// See the module's description.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    owners: Vec<Option<u8>>,
    duplicated: u64,
}

/// What the whole scene came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) published: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    /// Whether the shares of every act were even.
    pub(crate) even: bool,
}

impl Verdict {
    /// Whether all was as it should be.
    pub(crate) fn is_good(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.even
    }
}

impl Tape {
    /// The number of the next event, which is about to be published.
    pub(crate) fn publish(&self) -> u64 {
        let mut inner = self.lock();
        inner.owners.push(None);
        inner.owners.len() as u64 - 1
    }

    /// How many events were published.
    pub(crate) fn published(&self) -> u64 {
        self.lock().owners.len() as u64
    }

    /// A member has this event in hand. Whether it is the first time; `None` when no such event was published.
    pub(crate) fn handled(&self, seq: u64, member: u8) -> Option<bool> {
        let mut inner = self.lock();
        let owner = inner.owners.get_mut(usize::try_from(seq).ok()?)?;
        let first = owner.is_none();
        if first {
            *owner = Some(member);
        } else {
            inner.duplicated += 1;
        }
        Some(first)
    }

    /// Whether all of these events were published and handled.
    pub(crate) fn all_handled(&self, from: u64, to: u64) -> bool {
        self.lock().range(from, to).is_some_and(|owners| owners.iter().all(Option::is_some))
    }

    /// How many of these events each member handled.
    pub(crate) fn counts(&self, from: u64, to: u64, members: usize) -> Vec<u64> {
        let inner = self.lock();
        let to = to.min(inner.owners.len() as u64);
        let mut counts = vec![0; members];
        for owner in inner.range(from, to).unwrap_or_default().iter().flatten() {
            if let Some(count) = counts.get_mut(usize::from(*owner)) {
                *count += 1;
            }
        }
        counts
    }

    /// The share of each member in these events, in parts of 1.
    #[expect(clippy::cast_precision_loss, reason = "for show")]
    pub(crate) fn shares(&self, from: u64, to: u64, members: usize) -> Vec<f64> {
        let whole = (to - from).max(1) as f64;
        self.counts(from, to, members).into_iter().map(|count| count as f64 / whole).collect()
    }

    /// What it all came to.
    pub(crate) fn verdict(&self, played: &[Played]) -> Verdict {
        let inner = self.lock();
        Verdict {
            published: inner.owners.len() as u64,
            lost: inner.owners.iter().filter(|owner| owner.is_none()).count() as u64,
            duplicated: inner.duplicated,
            even: played.iter().all(|played| played.act.is_even(&played.shares)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn range(&self, from: u64, to: u64) -> Option<&[Option<u8>]> {
        self.owners.get(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ACTS;
    use super::*;

    #[test]
    fn lost_and_duplicated_events_are_told_apart() {
        let tape = Tape::default();
        for _ in 0..3 {
            tape.publish();
        }
        assert_eq!(tape.handled(0, 0), Some(true));
        assert_eq!(tape.handled(0, 0), Some(false));
        assert_eq!(tape.handled(2, 0), Some(true));
        assert_eq!(tape.handled(3, 0), None);
        let verdict = tape.verdict(&[]);
        assert_eq!(verdict, Verdict { published: 3, lost: 1, duplicated: 1, even: true });
        assert!(!verdict.is_good());
    }

    #[test]
    fn shares_are_those_of_the_asked_range() {
        let tape = Tape::default();
        for seq in 0..6 {
            tape.publish();
            tape.handled(seq, u8::from(seq >= 4));
        }
        assert_eq!(tape.shares(2, 6, 2), [0.5, 0.5]);
        assert!(tape.all_handled(2, 6));
        assert!(!tape.all_handled(2, 7));
    }

    #[test]
    fn an_uneven_act_is_no_good_scene() {
        let tape = Tape::default();
        let played = Played { act: &ACTS[1], shares: vec![0.7, 0.3] };
        assert!(!tape.verdict(&[played]).is_good());
    }
}
