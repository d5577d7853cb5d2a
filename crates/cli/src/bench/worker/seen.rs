//! Which events were seen: a growing set of numbers, one bit each.

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    words: Vec<u64>,
    count: u64,
}

const BITS: u64 = 64;
/// More events than a benchmark ever has: 16 GiB of bits would be needed for more.
const MOST: u64 = 1 << 37;

impl Seen {
    /// Enters a number. Says whether it was new; numbers beyond reason never are.
    pub(crate) fn insert(&mut self, number: u64) -> bool {
        if number >= MOST {
            return false;
        }
        let Ok(at) = usize::try_from(number / BITS) else { return false };
        if at >= self.words.len() {
            self.words.resize((at + 1).max(self.words.len() * 2), 0);
        }
        let bit = 1 << (number % BITS);
        let new = self.words[at] & bit == 0;
        self.words[at] |= bit;
        self.count += u64::from(new);
        new
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let word = usize::try_from(number / BITS).ok().and_then(|at| self.words.get(at));
        word.is_some_and(|word| word & (1 << (number % BITS)) != 0)
    }

    /// How many numbers below `end` are missing, those in `excused` left out.
    pub(crate) fn missing(&self, end: u64, excused: impl Iterator<Item = u64>) -> u64 {
        let below = if self.count > 0 { self.count_below(end) } else { 0 };
        let excused = excused.filter(|number| *number < end && !self.contains(*number)).count();
        end.saturating_sub(below).saturating_sub(excused as u64)
    }

    fn count_below(&self, end: u64) -> u64 {
        let whole = usize::try_from(end / BITS).unwrap_or(usize::MAX).min(self.words.len());
        let ones: u64 = self.words[..whole].iter().map(|word| u64::from(word.count_ones())).sum();
        let rest = self.words.get(whole).map_or(0, |word| word & ((1 << (end % BITS)) - 1));
        ones + u64::from(rest.count_ones())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_of_numbers(numbers in proptest::collection::vec(0_u64..500, 0..300), excused in proptest::collection::btree_set(0_u64..600, 0..20), end in 0_u64..600) {
            let (mut seen, mut model) = (Seen::default(), BTreeSet::new());
            for number in numbers {
                prop_assert_eq!(seen.insert(number), model.insert(number));
            }
            let missing = (0..end).filter(|number| !model.contains(number) && !excused.contains(number)).count() as u64;
            prop_assert_eq!(seen.missing(end, excused.into_iter()), missing);
            prop_assert!((0..600).all(|number| seen.contains(number) == model.contains(&number)));
        }
    }

    #[test]
    fn a_number_beyond_reason_takes_no_memory() {
        assert!(!Seen::default().insert(u64::MAX));
    }
}
