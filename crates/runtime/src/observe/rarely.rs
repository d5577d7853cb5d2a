//! Logs that would repeat: said the first time, then at a growing distance, with how often it was left out.

use std::time::Duration;

use tokio::time::Instant;

/// How soon something is said a second time.
const FIRST: Duration = Duration::from_secs(10);
/// What goes on for a day should be said more than once in it.
const LONGEST: Duration = Duration::from_secs(600);

/// When to say something again.
#[derive(Clone, Debug)]
pub(crate) struct Rarely {
    /// Not before that.
    next: Option<Instant>,
    distance: Duration,
    left_out: u64,
}

impl Default for Rarely {
    fn default() -> Self {
        Self { next: None, distance: FIRST, left_out: 0 }
    }
}

impl Rarely {
    /// It has happened once more. `Some`: it is to be said, and that it happened so often in between without a word.
    pub(crate) fn happens(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.next.is_some_and(|next| now < next) {
            self.left_out += 1;
            return None;
        }
        self.next = Some(now + self.distance);
        self.distance = (self.distance * 2).min(LONGEST);
        Some(std::mem::take(&mut self.left_out))
    }

    /// It is over: the next time is a first time.
    pub(crate) fn is_over(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_goes_on_is_said_at_growing_distance_and_nothing_goes_uncounted() {
        let mut rarely = Rarely::default();
        let (mut said, mut told) = (Vec::new(), 0);
        for second in 0..3600_u64 {
            if let Some(left_out) = rarely.happens() {
                said.push(second);
                told += 1 + left_out;
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(said, [0, 10, 30, 70, 150, 310, 630, 1230, 1830, 2430, 3030]);
        assert_eq!(told, 3031);
        rarely.is_over();
        assert_eq!(rarely.happens(), Some(0));
    }
}
