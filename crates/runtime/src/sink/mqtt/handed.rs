//! Batches that the publisher has, whole or in part, and the broker has not answered.
//!
//! INVARIANT: a write that is given up leaves its batch here, and the same batch written again hands over what is left of
//! it and waits, in place of publishing anything twice. So a publication that the broker ends connections over stays with the publisher, which finds
//! it out, however often the write is given up meanwhile.

use std::collections::VecDeque;
use std::iter::Peekable;
use std::sync::{Mutex, PoisonError};
use std::vec::IntoIter;

use tidemill_core::{Publication, Record, Rejection};

use crate::session::{Handing, PublishError, Publisher, Settled, Started};

/// So many are remembered. Batches are written again before others, so only those that are given up for good are ever
/// forgotten.
const REMEMBERED: usize = 256;

/// A batch that the publisher has, or is being given.
#[derive(Debug)]
pub(super) struct Handed {
    /// Until all is handed over, and what is not yet.
    handing: Option<(Handing, Peekable<IntoIter<Publication>>)>,
    started: Started,
    /// Of each publication, which record it comes from.
    sources: Vec<usize>,
    /// Records that became no publication.
    rejections: Vec<Rejection>,
}

impl Handed {
    /// One of which nothing is handed over yet.
    pub(super) fn new(
        publisher: &Publisher,
        publications: Vec<Publication>,
        sources: Vec<usize>,
        rejections: Vec<Rejection>,
    ) -> Self {
        let (handing, started) = publisher.hand_over();
        Self { handing: Some((handing, publications.into_iter().peekable())), started, sources, rejections }
    }

    async fn settled(&mut self) -> Result<Settled, PublishError> {
        if let Some((handing, rest)) = &mut self.handing {
            handing.push_all(rest).await?;
            self.handing = None;
        }
        Ok(self.started.settled().await)
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct HandedOver(Mutex<VecDeque<(Vec<Record>, Handed)>>);

impl HandedOver {
    /// What was left of an earlier write of these records.
    pub(super) fn take(&self, batch: &[Record]) -> Option<Handed> {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = left.iter().position(|(records, _)| records == batch)?;
        left.remove(at).map(|(_, handed)| handed)
    }

    /// A write that waits, and leaves its batch here when it is given up.
    pub(super) fn wait<'a>(&'a self, batch: &'a [Record], handed: Handed) -> Waiting<'a> {
        Waiting { left: self, batch, handed: Some(handed) }
    }
}

/// A write that waits for the broker's answers.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    left: &'a HandedOver,
    batch: &'a [Record],
    /// Until it is over.
    handed: Option<Handed>,
}

impl Waiting<'_> {
    /// Hands over what is left, and waits until everything is settled. Cancel-safe.
    ///
    /// # Errors
    /// The connection has ended for good; a part may have been published.
    pub(super) async fn settled(&mut self) -> Result<Settled, PublishError> {
        match &mut self.handed {
            Some(handed) => handed.settled().await,
            None => Ok(Settled::default()),
        }
    }

    /// It was settled. Gives which record each publication comes from, and those that became none.
    pub(super) fn over(mut self) -> (Vec<usize>, Vec<Rejection>) {
        self.handed.take().map(|handed| (handed.sources, handed.rejections)).unwrap_or_default()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let Some(handed) = self.handed.take() else { return };
        let mut left = self.left.0.lock().unwrap_or_else(PoisonError::into_inner);
        if left.len() >= REMEMBERED {
            left.pop_front();
        }
        left.push_back((self.batch.to_vec(), handed));
    }
}
