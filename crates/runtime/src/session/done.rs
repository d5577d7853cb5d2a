//! Whom to tell how a publication ended: one who waits for it alone, or one who handed over many at once.
//!
//! INVARIANT: whoever waits is told exactly once, and a publication that is dropped without a word counts as
//! [`PublishError::Closed`].

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use super::outgoing::{PublishError, Receipt};

type Outcome = Result<Receipt, PublishError>;

/// Told how one publication ended: after PUBACK at QoS 1, after it was written at QoS 0.
#[derive(Debug)]
pub(crate) enum Done {
    /// It was handed over alone.
    One(oneshot::Sender<Outcome>),
    /// It is one of many.
    OneOf(Share),
}

impl Done {
    pub(crate) fn send(self, outcome: Outcome) {
        match self {
            // Who has gone does not want to know.
            Self::One(sender) => drop(sender.send(outcome)),
            Self::OneOf(share) => share.send(outcome),
        }
    }
}

/// What became of publications that were handed over together. Whichever is not named here the broker has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settled {
    /// Those that were not accepted, by their places among those handed over, in any order.
    pub failed: Vec<(usize, PublishError)>,
    /// Those that nobody is subscribed to, as far as the broker says so; see [`Receipt::no_subscribers`].
    pub unheard: Vec<usize>,
}

/// Publications that were handed over together and are not all settled.
#[derive(Debug)]
pub struct Started(oneshot::Receiver<Settled>);

impl Started {
    /// Waits until all are settled. Cancel-safe: it can be asked again until it has answered.
    pub async fn settled(&mut self) -> Settled {
        // The last share sends before it goes.
        (&mut self.0).await.unwrap_or_default()
    }
}

/// The part of one publication. The last one that goes tells how all ended.
#[derive(Debug)]
pub(crate) struct Share {
    many: Arc<Many>,
    at: usize,
    is_told: bool,
}

impl Share {
    fn send(mut self, outcome: Outcome) {
        self.is_told = true;
        match outcome {
            Ok(Receipt { no_subscribers: false }) => {}
            Ok(_) => self.many.settled().unheard.push(self.at),
            Err(error) => self.many.settled().failed.push((self.at, error)),
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if !self.is_told {
            self.many.settled().failed.push((self.at, PublishError::Closed));
        }
    }
}

#[derive(Debug)]
struct Many {
    settled: Mutex<Settled>,
    waiter: Option<oneshot::Sender<Settled>>,
}

impl Many {
    fn settled(&self) -> std::sync::MutexGuard<'_, Settled> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Many {
    fn drop(&mut self) {
        let settled = std::mem::take(&mut *self.settled());
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.send(settled);
        }
    }
}

/// Gives out shares of publications that are handed over together. All are settled when it and they are gone.
#[derive(Debug)]
pub(super) struct Shares(Arc<Many>);

impl Shares {
    pub(super) fn new() -> (Self, Started) {
        let (waiter, started) = oneshot::channel();
        (Self(Arc::new(Many { settled: Mutex::default(), waiter: Some(waiter) })), Started(started))
    }

    pub(super) fn share(&self, at: usize) -> Done {
        Done::OneOf(Share { many: Arc::clone(&self.0), at, is_told: false })
    }
}

#[cfg(test)]
mod tests {
    use super::super::reason::Reason;
    use super::*;

    #[tokio::test]
    async fn many_are_settled_when_the_last_one_is_and_only_the_others_are_named() {
        let (shares, mut started) = Shares::new();
        let mut done: Vec<Done> = (0..5).map(|at| shares.share(at)).collect();
        drop(shares);
        done.pop().unwrap().send(Ok(Receipt::default()));
        done.pop().unwrap().send(Err(PublishError::Refused(Reason::NOT_AUTHORIZED)));
        drop(done.pop());
        done.pop().unwrap().send(Ok(Receipt { no_subscribers: true }));
        assert!(started.0.try_recv().is_err(), "one is under way");
        done.pop().unwrap().send(Ok(Receipt::default()));
        let settled = started.settled().await;
        assert_eq!(settled.unheard, [1]);
        let failed = [(3, PublishError::Refused(Reason::NOT_AUTHORIZED)), (2, PublishError::Closed)];
        assert_eq!(settled.failed, failed);
    }

    #[tokio::test]
    async fn none_at_all_are_settled_at_once() {
        let (shares, mut started) = Shares::new();
        drop(shares);
        assert_eq!(started.settled().await, Settled::default());
    }

    #[test]
    fn nobody_needs_to_wait() {
        let (shares, started) = Shares::new();
        drop(started);
        shares.share(0).send(Err(PublishError::Closed));
        let (sender, receiver) = oneshot::channel();
        drop(receiver);
        Done::One(sender).send(Ok(Receipt::default()));
    }
}
