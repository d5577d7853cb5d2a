//! The rule that tells a difference from noise. Pure.
//!
//! Benchmarks are not normally distributed and have outliers, so it compares ranks: the Mann-Whitney U test, two-sided;
//! exact for small samples without ties, by the normal distribution with corrections for ties and continuity otherwise. A
//! difference must be certain (p < 0.01) and large enough to matter. The spread that is shown is the median absolute
//! deviation.

use serde::Serialize;

use crate::figures::rounded;

/// Chance below which a difference is no chance.
const CERTAIN: f64 = 0.01;
/// Largest product of sample sizes that is counted out.
const EXACT: usize = 900;

/// Two samples side by side.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Comparison {
    pub(super) median_a: f64,
    pub(super) mad_a: f64,
    pub(super) median_b: f64,
    pub(super) mad_b: f64,
    /// From A to B as a part of A.
    pub(super) change: f64,
    /// Chance of a difference at least as large when there is none.
    pub(super) p: f64,
    #[serde(skip)]
    least: f64,
}

/// What the difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    More,
    Less,
}

impl Comparison {
    pub(super) fn verdict(&self) -> Verdict {
        // So that a change from nothing counts as one, it is compared with both.
        let scale = self.median_a.abs().max(f64::MIN_POSITIVE);
        let difference = self.median_b - self.median_a;
        match self.p < CERTAIN && difference.abs() >= self.least * scale {
            true if difference > 0.0 => Verdict::More,
            true if difference < 0.0 => Verdict::Less,
            _ => Verdict::Same,
        }
    }
}

/// Compares two samples. Without values on one side nothing can be told.
pub(super) fn compare(a: &[f64], b: &[f64], least: f64) -> Comparison {
    let (median_a, median_b) = (median(a), median(b));
    let change = if median_a == 0.0 { 0.0 } else { (median_b - median_a) / median_a };
    Comparison {
        median_a,
        mad_a: rounded(mad(a, median_a), 6),
        median_b,
        mad_b: rounded(mad(b, median_b), 6),
        change: rounded(change, 6),
        p: if a.is_empty() || b.is_empty() { 1.0 } else { mann_whitney(a, b) },
        least,
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        len if len % 2 == 1 => sorted[len / 2],
        len => f64::midpoint(sorted[len / 2 - 1], sorted[len / 2]),
    }
}

fn mad(values: &[f64], median_of: f64) -> f64 {
    median(&values.iter().map(|value| (value - median_of).abs()).collect::<Vec<_>>())
}

/// The two-sided p value of the Mann-Whitney U test.
fn mann_whitney(a: &[f64], b: &[f64]) -> f64 {
    let mut all: Vec<(f64, bool)> =
        a.iter().map(|value| (*value, true)).chain(b.iter().map(|value| (*value, false))).collect();
    all.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (mut rank_sum, mut ties, mut at) = (0.0, 0.0, 0);
    while at < all.len() {
        let same = all[at..].iter().take_while(|(value, _)| *value == all[at].0).count();
        // Equal values share the mean of their ranks.
        let rank = at as f64 + (same as f64 + 1.0) / 2.0;
        rank_sum += rank * all[at..at + same].iter().filter(|(_, is_a)| *is_a).count() as f64;
        ties += (same as f64).powi(3) - same as f64;
        at += same;
    }
    let (n, m) = (a.len() as f64, b.len() as f64);
    let u = rank_sum - n * (n + 1.0) / 2.0;
    let smaller = u.min(n * m - u);
    if ties == 0.0 && a.len() * b.len() <= EXACT {
        return (2.0 * chance_up_to(a.len(), b.len(), smaller)).min(1.0);
    }
    let count = n + m;
    let variance = n * m / 12.0 * (count + 1.0 - ties / (count * (count - 1.0)).max(1.0));
    if variance <= 0.0 {
        return 1.0;
    }
    let z = ((n * m / 2.0 - smaller) - 0.5).max(0.0) / variance.sqrt();
    erfc(z / std::f64::consts::SQRT_2).min(1.0)
}

/// The chance that U is at most so large, counted over all orders of the two samples: the largest value is one of B, or
/// one of A, which then stands above every value of B.
fn chance_up_to(n: usize, m: usize, u: f64) -> f64 {
    let most = n * m;
    // ways[i][u]: orders of i values of A and of the values of B so far that have this U. Without any of B it is 0.
    let mut ways = vec![vec![0.0_f64; most + 1]; n + 1];
    for of_a in &mut ways {
        of_a[0] = 1.0;
    }
    for of_b in 1..=m {
        for of_a in 1..=n {
            for at in of_b..=most {
                ways[of_a][at] += ways[of_a - 1][at - of_b];
            }
        }
    }
    let all: f64 = ways[n].iter().sum();
    let up_to: f64 = ways[n].iter().enumerate().filter(|(at, _)| *at as f64 <= u).map(|(_, ways)| ways).sum();
    if all == 0.0 { 1.0 } else { up_to / all }
}

/// The complementary error function, to seven digits (Abramowitz and Stegun 7.1.26).
fn erfc(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let parts = [0.254_829_592, -0.284_496_736, 1.421_413_741, -1.453_152_027, 1.061_405_429];
    let sum = parts.iter().rev().fold(0.0, |sum, part| (sum + part) * t);
    sum * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// U of A by its definition: pairs in which the value of A is larger.
    fn u(a: &[u32], b: &[u32]) -> usize {
        a.iter().map(|a| b.iter().filter(|b| a > b).count()).sum()
    }

    /// Every choice of `n` of the numbers below `of`.
    fn choices(n: usize, of: u32) -> Vec<Vec<u32>> {
        (0_u32..1 << of)
            .filter(|bits| bits.count_ones() as usize == n)
            .map(|bits| (0..of).filter(|bit| bits & (1 << bit) != 0).collect())
            .collect()
    }

    proptest! {
        #[test]
        fn the_chance_is_that_of_counting_every_order(n in 1_usize..5, m in 1_usize..5, limit in 0_usize..16) {
            let of = u32::try_from(n + m).unwrap();
            let all = choices(n, of);
            let few = all.iter().filter(|a| {
                let b: Vec<u32> = (0..of).filter(|number| !a.contains(number)).collect();
                u(a, &b) <= limit
            });
            let expected = few.count() as f64 / all.len() as f64;
            prop_assert!((chance_up_to(n, m, limit as f64) - expected).abs() < 1e-9);
        }

        #[test]
        fn p_is_a_chance_and_the_same_both_ways(a in proptest::collection::vec(-1e3_f64..1e3, 1..40), b in proptest::collection::vec(-1e3_f64..1e3, 1..40)) {
            let (there, back) = (mann_whitney(&a, &b), mann_whitney(&b, &a));
            prop_assert!((0.0..=1.0).contains(&there) && (there - back).abs() < 1e-9, "{} {}", there, back);
        }

        #[test]
        fn what_is_compared_with_itself_is_the_same(values in proptest::collection::vec(0.0_f64..1e3, 1..60)) {
            prop_assert_eq!(compare(&values, &values, 0.02).verdict(), Verdict::Same);
        }

        #[test]
        fn a_shift_beyond_all_noise_is_seen(values in proptest::collection::vec(100.0_f64..110.0, 5..60)) {
            let more: Vec<f64> = values.iter().map(|value| value + 20.0).collect();
            prop_assert_eq!(compare(&values, &more, 0.02).verdict(), Verdict::More);
            prop_assert_eq!(compare(&more, &values, 0.02).verdict(), Verdict::Less);
        }
    }

    #[test]
    fn noise_of_one_source_is_rarely_taken_for_a_difference() {
        let mut random = fastrand::Rng::with_seed(7);
        let mut sample = || (0..20).map(|_| 100.0 + 10.0 * random.f64()).collect::<Vec<f64>>();
        let wrong = (0..1000).filter(|_| compare(&sample(), &sample(), 0.0).verdict() != Verdict::Same).count();
        assert!(wrong < 25, "{wrong} of 1000");
    }

    #[test]
    fn a_difference_that_is_certain_and_too_small_to_matter_is_none() {
        let values: Vec<f64> = (0..50).map(|n| 100.0 + f64::from(n) * 0.001).collect();
        let more: Vec<f64> = values.iter().map(|value| value + 1.0).collect();
        let comparison = compare(&values, &more, 0.02);
        assert!(comparison.p < 0.001);
        assert_eq!(comparison.verdict(), Verdict::Same);
    }

    #[test]
    fn three_values_a_side_are_too_few_to_be_certain() {
        assert!(mann_whitney(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0]) > CERTAIN);
        assert_eq!(compare(&[], &[1.0], 0.02).verdict(), Verdict::Same);
    }

    #[test]
    fn many_equal_values_are_no_division_by_zero() {
        assert!((mann_whitney(&[1.0; 40], &[1.0; 40]) - 1.0).abs() < 1e-9);
    }
}
