//! The verdict: whether every event that was published was handled exactly once and in order. Pure arithmetic.

use crate::figures::grouped;

/// The sums of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Events that the broker has.
    pub(crate) published: u64,
    /// Events that were sent to the broker without an answer.
    pub(crate) unconfirmed: u64,
    /// Events that a handler has seen.
    pub(crate) handled: u64,
    pub(crate) dead_lettered: u64,
    /// Events that the broker has and that no handler has seen.
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) out_of_order: u64,
    /// Readings that called for an alert.
    pub(crate) alerts: u64,
    /// Alerts that are in the file.
    pub(crate) alerts_written: u64,
}

impl Sums {
    /// Everything that is wrong, a phrase each. Nothing means that all is well.
    pub(crate) fn faults(&self) -> Vec<String> {
        let counted = [
            (self.lost, "lost"),
            (self.duplicated, "handed out twice"),
            (self.out_of_order, "out of order"),
            (self.dead_lettered, "dead-lettered"),
            (self.unconfirmed, "not confirmed by the broker"),
        ];
        let mut faults: Vec<String> = counted
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", grouped(*count)))
            .collect();
        if self.alerts_written < self.alerts {
            faults.push(format!("{} alerts not written", grouped(self.alerts - self.alerts_written)));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Sums {
        Sums { published: 1000, handled: 1000, alerts: 2, alerts_written: 2, ..Sums::default() }
    }

    #[test]
    fn a_run_without_faults_is_good() {
        assert_eq!(good().faults(), Vec::<String>::new());
    }

    #[test]
    fn each_fault_alone_is_named() {
        let with = |change: fn(&mut Sums)| {
            let mut sums = good();
            change(&mut sums);
            sums.faults()
        };
        assert_eq!(with(|sums| sums.lost = 1234), ["1,234 lost"]);
        assert_eq!(with(|sums| sums.duplicated = 1), ["1 handed out twice"]);
        assert_eq!(with(|sums| sums.out_of_order = 1), ["1 out of order"]);
        assert_eq!(with(|sums| sums.dead_lettered = 1), ["1 dead-lettered"]);
        assert_eq!(with(|sums| sums.unconfirmed = 1), ["1 not confirmed by the broker"]);
        assert_eq!(with(|sums| sums.alerts_written = 1), ["1 alerts not written"]);
    }

    #[test]
    fn an_alert_that_a_redelivery_wrote_twice_is_no_fault_of_its_own() {
        assert_eq!(Sums { alerts_written: 3, ..good() }.faults(), Vec::<String>::new());
    }
}
