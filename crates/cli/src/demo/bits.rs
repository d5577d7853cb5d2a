//! A fixed number of bits that many threads set. A bit is set once and stays set.

use std::sync::atomic::{AtomicU64, Ordering};

const WORD: u64 = 64;

/// See the module's description. Bits that do not exist read as not set.
#[derive(Debug)]
pub(crate) struct Bits(Box<[AtomicU64]>);

impl Bits {
    pub(crate) fn new(count: u64) -> Self {
        Self((0..count.div_ceil(WORD)).map(|_| AtomicU64::new(0)).collect())
    }

    /// Sets a bit. Says whether it was not set before.
    pub(crate) fn set(&self, at: u64) -> bool {
        let Some(word) = usize::try_from(at / WORD).ok().and_then(|word| self.0.get(word)) else { return false };
        let bit = 1 << (at % WORD);
        // Only the bit itself is passed between threads; whoever counts them joins the threads first.
        word.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }

    /// How many are set here and not there.
    pub(crate) fn count_without(&self, other: &Self) -> u64 {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let pairs = self.0.iter().zip(&other.0);
        pairs.map(|(own, other)| u64::from((load(own) & !load(other)).count_ones())).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bits_are_a_set_of_numbers(ours in proptest::collection::vec(0_u64..300, 0..200), theirs: Vec<u8>) {
            let (bits, other) = (Bits::new(300), Bits::new(300));
            let mut model = BTreeSet::new();
            for at in ours {
                prop_assert_eq!(bits.set(at), model.insert(at));
            }
            let theirs: BTreeSet<u64> = theirs.into_iter().map(u64::from).collect();
            for at in &theirs {
                other.set(*at);
            }
            prop_assert_eq!(bits.count_without(&other), model.difference(&theirs).count() as u64);
            prop_assert!(!bits.set(10_000));
        }
    }
}
