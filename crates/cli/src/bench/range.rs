//! Lists of numbers on the command line: `1,2,8`, and `1..16` for the powers of two from 1 to 16 and both ends.
//! INVARIANT: a list is sorted, has no number twice and is never empty.

use std::str::FromStr;

use crate::number;

/// Longest list: every point of a sweep takes seconds.
const MOST: usize = 64;

/// See the module's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbers(Vec<u64>);

impl Numbers {
    /// The numbers, smallest first.
    pub(crate) fn get(&self) -> &[u64] {
        &self.0
    }
}

impl FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut numbers = Vec::new();
        for part in text.split(',') {
            match part.split_once("..") {
                None => numbers.push(number::parse(part)?),
                Some((from, to)) => {
                    let (from, to) = (number::parse(from)?, number::parse(to)?);
                    if from > to {
                        return Err(format!("{part:?} begins above its end; write the smaller number first"));
                    }
                    numbers.push(from);
                    let powers = (0..u64::BITS).map(|shift| 1_u64 << shift);
                    numbers.extend(powers.filter(|power| (from..=to).contains(power)));
                    numbers.push(to);
                }
            }
        }
        numbers.sort_unstable();
        numbers.dedup();
        if numbers.len() > MOST {
            return Err(format!("{} numbers are more than {MOST}", numbers.len()));
        }
        Ok(Self(numbers))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn list(text: &str) -> Vec<u64> {
        text.parse::<Numbers>().unwrap().0
    }

    #[test]
    fn a_range_is_the_powers_of_two_and_both_ends() {
        assert_eq!(list("1..16"), [1, 2, 4, 8, 16]);
        assert_eq!(list("3..12"), [3, 4, 8, 12]);
        assert_eq!(list("5..5"), [5]);
    }

    #[test]
    fn lists_and_ranges_mix_and_are_sorted() {
        assert_eq!(list("64,1..4,2"), [1, 2, 4, 64]);
        assert_eq!(list("1K"), [1000]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "a", "4..2", "1,,2", "1..", "-1"] {
            assert!(text.parse::<Numbers>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_list_is_sorted_and_has_nothing_twice(from in 0_u64..5000, more in 0_u64..5000) {
            let numbers = list(&format!("{from}..{}", from + more));
            prop_assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!((numbers[0], *numbers.last().unwrap()), (from, from + more));
            prop_assert!(numbers[1..numbers.len().max(2) - 1].iter().all(|n| n.is_power_of_two() || *n == from + more));
        }
    }
}
