//! What becomes of letters: replayed, dropped, or put back to the end.
//!
//! INVARIANT: a letter is taken off its pile in the order in which letters lie there, and only after the broker has
//! acknowledged its replay, or its copy where it stays. Whenever this stops, a letter is on the pile, or where it should
//! be, or both.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use tidemill::{Publication, PublishError, Publisher, Receipt, async_trait, report};
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::letter::Letter;
use super::tally::Tally;
use crate::exit::Failure;

/// Publications that are on their way at the same time, when no rate is set.
const AHEAD: usize = 64;

/// A letter on a pile.
#[derive(Clone, Debug)]
pub(super) struct Held<P> {
    /// As `list` shows it.
    pub(super) number: u64,
    /// What takes it off.
    pub(super) place: P,
    pub(super) letter: Letter,
}

/// What is to become of a letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Replay,
    Drop,
    /// It stays, but is in the way of others.
    Keep,
}

impl Fate {
    /// What was done, for programs.
    pub(super) fn done(self) -> &'static str {
        match self {
            Self::Replay => "replayed",
            Self::Drop => "dropped",
            Self::Keep => "put back",
        }
    }
}

/// Where letters lie.
#[async_trait]
pub(super) trait Pile<P>: Send {
    /// Takes a letter off. Called in the order of the pile.
    async fn take_off(&mut self, place: P) -> Result<(), Failure>;
}

/// The way to the broker.
#[async_trait]
pub(super) trait Publish: Send + Sync {
    /// Starts publishing; the receiver tells when the broker has it.
    async fn start(
        &self,
        publication: Publication,
    ) -> Result<oneshot::Receiver<Result<Receipt, PublishError>>, PublishError>;

    /// Why it takes so long.
    fn trouble(&self) -> Option<String>;
}

#[async_trait]
impl Publish for Publisher {
    async fn start(
        &self,
        publication: Publication,
    ) -> Result<oneshot::Receiver<Result<Receipt, PublishError>>, PublishError> {
        Self::start(self, publication).await
    }

    fn trouble(&self) -> Option<String> {
        self.last_error()
    }
}

/// A letter that is done with as soon as the broker answers.
struct Open<P> {
    held: Held<P>,
    fate: Fate,
    answer: Option<oneshot::Receiver<Result<Receipt, PublishError>>>,
}

/// See the module's description.
pub(super) struct Settler<'a, P> {
    pile: &'a mut dyn Pile<P>,
    publisher: Option<&'a dyn Publish>,
    pace: Option<Interval>,
    patience: Duration,
    open: VecDeque<Open<P>>,
    told: &'a mut (dyn FnMut(u64, &Letter, Fate) + Send),
    tally: Tally,
}

impl<'a, P: Send> Settler<'a, P> {
    /// `rate` is letters per second, 0 for no limit. `told` hears of each letter that is done with.
    pub(super) fn new(
        pile: &'a mut dyn Pile<P>,
        publisher: Option<&'a dyn Publish>,
        rate: u32,
        patience: Duration,
        told: &'a mut (dyn FnMut(u64, &Letter, Fate) + Send),
    ) -> Self {
        let pace = (rate > 0).then(|| {
            let mut pace = interval(Duration::from_secs(1) / rate);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        });
        Self { pile, publisher, pace, patience, open: VecDeque::new(), told, tally: Tally::default() }
    }

    /// Begins to settle a letter, the next of the pile.
    ///
    /// # Errors
    /// It cannot go on. Letters that are not done with stay on the pile.
    pub(super) async fn settle(&mut self, held: Held<P>, fate: Fate) -> Result<(), Failure> {
        // With a rate, nobody wants to hear of a letter long after it went.
        let ahead = if self.pace.is_some() { 1 } else { AHEAD };
        while self.open.len() >= ahead {
            self.finish_first().await?;
        }
        let publication = match fate {
            Fate::Replay => Some(held.letter.replay().map_err(Failure::Run)?),
            Fate::Drop => None,
            Fate::Keep => match held.letter.put_back() {
                Some(publication) => Some(publication),
                // It stays where it is.
                None => return Ok(()),
            },
        };
        if let (Fate::Replay, Some(pace)) = (fate, &mut self.pace) {
            pace.tick().await;
        }
        let answer = match publication {
            Some(publication) => Some(self.start(publication).await?),
            None => None,
        };
        self.open.push_back(Open { held, fate, answer });
        Ok(())
    }

    /// Waits for everything that was begun.
    ///
    /// # Errors
    /// As for [`settle`](Self::settle).
    pub(super) async fn finish(&mut self) -> Result<(), Failure> {
        while !self.open.is_empty() {
            self.finish_first().await?;
        }
        Ok(())
    }

    /// What was done so far.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    async fn finish_first(&mut self) -> Result<(), Failure> {
        let Some(Open { held, mut fate, answer }) = self.open.pop_front() else { return Ok(()) };
        if let Some(answer) = answer
            && let Err(why) = self.answered(answer).await?
        {
            if fate == Fate::Keep {
                return Err(Failure::Run(format!(
                    "letter {} could not be put back to {}: {why}; let this user publish there, or choose letters from the \
                     first on, so that none is in the way",
                    held.number,
                    held.letter.carrier_topic().unwrap_or_default()
                )));
            }
            self.tally.refuse(format!("letter {}: {why}", held.number));
            // It stays, and what was begun behind it can only be taken off when it is out of the way.
            let Some(copy) = held.letter.put_back() else { return Ok(()) };
            let answer = self.start(copy).await?;
            if let Err(why) = self.answered(answer).await? {
                return Err(Failure::Run(format!(
                    "letter {} was not replayed, and could not be put back: {why}; {} more may have been replayed that are \
                     listed still",
                    held.number,
                    self.open.len()
                )));
            }
            fate = Fate::Keep;
        }
        let Held { number, place, letter } = held;
        self.pile.take_off(place).await?;
        match fate {
            Fate::Replay => self.tally.replayed += 1,
            Fate::Drop => self.tally.dropped += 1,
            Fate::Keep => self.tally.kept += 1,
        }
        (self.told)(number, &letter, fate);
        Ok(())
    }

    async fn start(
        &self,
        publication: Publication,
    ) -> Result<oneshot::Receiver<Result<Receipt, PublishError>>, Failure> {
        let Some(publisher) = self.publisher else {
            return Err(Failure::Run("there is no broker to publish to".to_owned()));
        };
        match timeout(self.patience, publisher.start(publication)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.stopped(Some(&error))),
            Err(_) => Err(self.stopped(None)),
        }
    }

    /// The broker's answer: that it has it, or why not.
    async fn answered(
        &self,
        answer: oneshot::Receiver<Result<Receipt, PublishError>>,
    ) -> Result<Result<(), String>, Failure> {
        match timeout(self.patience, answer).await {
            Ok(Ok(Ok(receipt))) if receipt.no_subscribers => {
                Ok(Err("nobody is subscribed to its topic, so that the broker has thrown it away".to_owned()))
            }
            Ok(Ok(Ok(_))) => Ok(Ok(())),
            Ok(Ok(Err(PublishError::Closed)) | Err(_)) => Err(self.stopped(Some(&PublishError::Closed))),
            Ok(Ok(Err(error))) => Ok(Err(report(&error))),
            Err(_) => Err(self.stopped(None)),
        }
    }

    fn stopped(&self, error: Option<&PublishError>) -> Failure {
        let trouble = self.publisher.and_then(Publish::trouble);
        let why = match (trouble, error) {
            (Some(trouble), _) => trouble,
            (None, Some(error)) => report(error),
            (None, None) => "it does not answer".to_owned(),
        };
        let patience = humantime::format_duration(self.patience);
        Failure::Run(format!("the broker has not taken a letter within {patience}: {why}; what is not done with stays"))
    }
}
