//! The acts, and how even the shares of an act have to be.

/// One act of the scene.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) title: &'static str,
    /// Members that share the events.
    pub(crate) members: usize,
    /// Most members that there ever were up to here: those that left must take nothing.
    pub(crate) most: usize,
}

/// The example of the page on scalable applications that this project grew from.
pub(crate) const ACTS: [Act; 4] = [
    Act { title: "one member takes everything", members: 1, most: 1 },
    Act { title: "a second joins: half each", members: 2, most: 2 },
    Act { title: "a third joins: a third each", members: 3, most: 3 },
    Act { title: "two leave: one takes everything again", members: 1, most: 3 },
];

/// A share may differ by so much from an even one, in parts of 1.
const TOLERANCE: f64 = 0.05;

impl Act {
    /// Whether every member has its even share, and nobody else any.
    #[expect(clippy::cast_precision_loss, reason = "a handful of members")]
    pub(crate) fn is_even(&self, shares: &[f64]) -> bool {
        let even = 1.0 / self.members as f64;
        shares.iter().enumerate().all(|(number, share)| {
            let due = if number < self.members { even } else { 0.0 };
            (share - due).abs() <= TOLERANCE
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_shares_are_even_within_five_points() {
        assert!(ACTS[1].is_even(&[0.54, 0.46]));
        assert!(!ACTS[1].is_even(&[0.56, 0.44]));
        assert!(ACTS[2].is_even(&[0.333, 0.333, 0.334]));
    }

    #[test]
    fn who_has_left_takes_nothing() {
        assert!(ACTS[3].is_even(&[1.0, 0.0, 0.0]));
        assert!(!ACTS[3].is_even(&[0.9, 0.1, 0.0]));
    }
}
