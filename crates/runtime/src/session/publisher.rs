//! A connection that only publishes. Handlers' dead letters and commands go through one of these, never through an
//! instance's own connection: an instance that stops reading at its high-water mark could not see the PUBACKs.

use std::fmt;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::outgoing::Request;
use super::status::Status;
use super::{Connection, Phase, Publication, PublishError};

/// Publishes events over a connection of its own. Cloning shares the connection.
#[derive(Clone)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
    status: Arc<Status>,
    leave: CancellationToken,
    force: CancellationToken,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("phase", &self.status.phase()).finish_non_exhaustive()
    }
}

impl Publisher {
    /// How many publications may wait to be sent.
    pub(crate) const QUEUE: usize = 1024;

    pub(crate) fn new(requests: mpsc::Sender<Request>, connection: &Connection) -> Self {
        Self {
            requests,
            status: Arc::clone(&connection.status),
            leave: connection.leave.clone(),
            force: connection.force.clone(),
        }
    }

    /// Publishes and waits until the broker has it: for PUBACK at QoS 1, for the write at QoS 0. Waits through
    /// reconnects. When it is cancelled after it began to wait, the event may be published all the same.
    ///
    /// # Errors
    /// The broker's refusal, or that the connection has ended for good.
    pub async fn publish(&self, publication: Publication) -> Result<(), PublishError> {
        self.start(publication).await?.await.unwrap_or(Err(PublishError::Closed))
    }

    /// Waits for a place in the queue and hands the publication over; the receiver tells how it ended.
    ///
    /// # Errors
    /// The connection has ended for good.
    pub async fn start(
        &self,
        publication: Publication,
    ) -> Result<oneshot::Receiver<Result<(), PublishError>>, PublishError> {
        let (done, outcome) = oneshot::channel();
        self.requests.send(Request { publication, done }).await.map_err(|_| PublishError::Closed)?;
        Ok(outcome)
    }

    /// Waits until the connection is up, or has ended for good.
    pub async fn connected(&self) -> bool {
        let mut phase = self.status.watch();
        let state = phase.wait_for(|phase| matches!(phase, Phase::Ready | Phase::Leaving | Phase::Ended)).await;
        state.is_ok_and(|phase| *phase != Phase::Ended)
    }

    /// The last error of the connection, while it is down.
    #[must_use]
    pub fn last_error(&self) -> Option<String> {
        self.status.last_error()
    }

    /// Sends what waits, awaits its acknowledgement, and closes the connection.
    pub async fn close(&self) {
        self.leave.cancel();
        let mut phase = self.status.watch();
        let _ = phase.wait_for(|phase| *phase == Phase::Ended).await;
    }

    /// Closes the connection at once; what waits fails with [`PublishError::Closed`].
    pub fn abort(&self) {
        self.force.cancel();
    }
}
