//! A connection that only publishes. Handlers' dead letters and commands go through one of these, never through an
//! instance's own connection: an instance that stops reading at its high-water mark could not see the PUBACKs.

use std::fmt;
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use tidemill_core::{Publication, report};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::done::{Done, Shares, Started};
use super::link::Link;
use super::outgoing::{Outgoing, Receipt, Request};
use super::settings::Settings;
use super::status::Status;
use super::transport::{Connector, UrlConnector};
use super::{Backoff, ConnectOptions, Connection, Phase, PublishError};
use crate::config::{Config, ConfigProblem};
use crate::error::BuildError;

/// Publishes events over a connection of its own. Cloning shares the connection; when the last clone is dropped, it is
/// closed as [`close`](Self::close) does, and nobody waits for that.
#[derive(Clone)]
pub struct Publisher {
    requests: mpsc::Sender<Request>,
    status: Arc<Status>,
    leave: CancellationToken,
    force: CancellationToken,
    /// Without anybody who could publish the connection serves nobody.
    _last: Arc<DropGuard>,
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("phase", &self.status.phase()).finish_non_exhaustive()
    }
}

/// How many publications may wait to be sent.
const QUEUE: usize = 1024;
/// For how many places in the queue is waited at a time, so that the connection has work meanwhile.
const AT_ONCE: usize = QUEUE / 4;

impl Publisher {
    /// Starts a publishing connection as `config.mqtt` says, on the current runtime, under the client ID `id`. It
    /// connects by itself, and again whenever the connection is lost.
    ///
    /// # Errors
    /// Everything that is wrong with the settings of `mqtt` and the files that they name, all at once.
    ///
    /// # Panics
    /// Outside a Tokio runtime.
    pub fn start_with(config: &Config, id: impl Into<String>) -> Result<Self, BuildError> {
        #[cfg(feature = "platform")]
        if let Some(membership) = crate::platform::Membership::of(config) {
            let wrong = |problem: ConfigProblem| BuildError::of(vec![problem]);
            config.validate().map_err(|errors| BuildError::of(errors.into_problems()))?;
            let id: String = id.into();
            let client = membership
                .publisher(&id)
                .map_err(|error| wrong(ConfigProblem::new("platform.app", error.to_string(), "shorten it")))?;
            return Self::connect(&membership.applied(config), client.to_string());
        }
        Self::connect(config, id.into())
    }

    fn connect(config: &Config, id: String) -> Result<Self, BuildError> {
        let wrong = |problem: ConfigProblem| BuildError::of(vec![problem]);
        config.check_publishing().map_err(|errors| BuildError::of(errors.into_problems()))?;
        let connector = UrlConnector::new(&config.mqtt)
            .map_err(|error| wrong(ConfigProblem::new("mqtt.url", report(&error), "see the message")))?;
        let options = ConnectOptions::new(config, String::new()).for_publisher(id);
        let settings = Settings::new(config, Vec::new());
        let backoff = Backoff::full_jitter(config.mqtt.reconnect.min, config.mqtt.reconnect.max);
        let timeout = config.mqtt.connect_timeout;
        let (publisher, connection) = Self::prepare(Arc::new(connector), options, &settings, timeout, &backoff);
        tokio::spawn(async move {
            if let Err(error) = connection.run().await {
                tracing::error!(error = report(&error), "the publishing connection cannot be used");
            }
        });
        Ok(publisher)
    }

    /// A publisher and its connection, which the caller runs.
    pub(crate) fn prepare(
        connector: Arc<dyn Connector>,
        options: ConnectOptions,
        settings: &Settings,
        connect_timeout: Duration,
        backoff: &Backoff,
    ) -> (Self, Connection) {
        let (requests, receiver) = mpsc::channel(QUEUE);
        let leave = CancellationToken::new();
        let publisher = Self {
            requests,
            status: Arc::new(Status::default()),
            _last: Arc::new(leave.clone().drop_guard()),
            leave,
            force: CancellationToken::new(),
        };
        let connection = Connection {
            connector,
            options,
            settings: Settings { filters: Vec::new(), ..settings.clone() },
            connect_timeout,
            backoff: backoff.clone(),
            link: Arc::new(Link::default()),
            outgoing: Outgoing::new(Some(receiver)),
            status: Arc::clone(&publisher.status),
            paused: watch::channel(Vec::new()).1,
            leave: publisher.leave.clone(),
            force: publisher.force.clone(),
            parting: Arc::default(),
            place: None,
        };
        (publisher, connection)
    }

    /// Publishes and waits until the broker has it: for PUBACK at QoS 1; at QoS 0 until it is in the
    /// connection's write buffer, from where it may get lost. Waits through
    /// reconnects, unless they seem to be its own fault. When it is cancelled after it began to wait, the event may be
    /// published all the same.
    ///
    /// # Errors
    /// The broker's refusal, that connection after connection ended over it, or that the connection has ended for good.
    pub async fn publish(&self, publication: Publication) -> Result<(), PublishError> {
        self.start(publication).await?.await.unwrap_or(Err(PublishError::Closed)).map(|_| ())
    }

    /// Waits for a place in the queue and hands the publication over; the receiver tells how it ended.
    ///
    /// # Errors
    /// The connection has ended for good.
    pub async fn start(
        &self,
        publication: Publication,
    ) -> Result<oneshot::Receiver<Result<Receipt, PublishError>>, PublishError> {
        let (done, outcome) = oneshot::channel();
        let request = Request::new(publication, Done::One(done));
        self.requests.send(request).await.map_err(|_| PublishError::Closed)?;
        Ok(outcome)
    }

    /// Hands over many publications, in their order, as the queue has places, and tells of all at once how they ended:
    /// cheaper than one by one. When it is cancelled, a part may have been handed over.
    ///
    /// # Errors
    /// The connection has ended for good; a part may have been published.
    pub async fn start_many(
        &self,
        publications: impl IntoIterator<Item = Publication>,
    ) -> Result<Started, PublishError> {
        let (mut handing, started) = self.hand_over();
        handing.push_all(&mut publications.into_iter().peekable()).await?;
        Ok(started)
    }

    /// For publications that are handed over bit by bit and settled together, once the first part is dropped too.
    pub(crate) fn hand_over(&self) -> (Handing, Started) {
        let (shares, started) = Shares::new();
        (Handing { requests: self.requests.clone(), shares, next: 0 }, started)
    }

    /// How many sessions there have been.
    pub(crate) fn sessions(&self) -> u64 {
        self.status.epoch()
    }

    /// Whether there is a session.
    pub(crate) fn is_ready(&self) -> bool {
        self.status.phase() == Phase::Ready
    }

    /// Whether the connection has ended for good.
    pub(crate) fn is_closed(&self) -> bool {
        self.requests.is_closed()
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

/// Hands publications over to one connection. It does not keep the connection open.
#[derive(Debug)]
pub(crate) struct Handing {
    requests: mpsc::Sender<Request>,
    shares: Shares,
    /// The place of the next one among all.
    next: usize,
}

impl Handing {
    /// Hands over what is left of these, in their order, as the queue has places. Cancel-safe: what was not handed over is
    /// left.
    ///
    /// # Errors
    /// The connection has ended for good.
    pub(crate) async fn push_all<I>(&mut self, publications: &mut Peekable<I>) -> Result<(), PublishError>
    where
        I: Iterator<Item = Publication>,
    {
        while publications.peek().is_some() {
            let places = publications.size_hint().0.clamp(1, AT_ONCE);
            let places = self.requests.reserve_many(places).await.map_err(|_| PublishError::Closed)?;
            for (place, publication) in places.zip(&mut *publications) {
                place.send(Request::new(publication, self.shares.share(self.next)));
                self.next += 1;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tidemill_core::async_trait;

    use super::super::SessionError;
    use super::super::transport::BoxStream;
    use super::*;

    #[derive(Debug)]
    struct Nowhere;

    #[async_trait]
    impl Connector for Nowhere {
        async fn connect(&self) -> Result<BoxStream, SessionError> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn everything_that_is_wrong_with_its_settings_is_told_at_once_and_what_is_a_workers_is_not() {
        let mut config = Config::default();
        (config.mqtt.url, config.mqtt.window) = ("http://h".to_owned(), 0);
        config.mqtt.password_file = Some("/nowhere/password".into());
        let error = Publisher::start_with(&config, "p").unwrap_err();
        let keys: Vec<_> = error.problems().iter().map(ConfigProblem::key).collect();
        assert_eq!(keys, ["mqtt.password_file", "mqtt.url", "mqtt.window"]);
        let mut config = Config { instances: 7.into(), ..Config::default() };
        config.mqtt.session_expiry = Duration::from_secs(60);
        assert!(Publisher::start_with(&config, "p").is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_when_nobody_is_left_who_could_publish() {
        let config = Config::default();
        let options = ConnectOptions::new(&config, String::new()).for_publisher("p".into());
        let settings = Settings::new(&config, Vec::new());
        let backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(1));
        let (publisher, connection) =
            Publisher::prepare(Arc::new(Nowhere), options, &settings, Duration::from_secs(1), &backoff);
        let mut running = tokio::spawn(connection.run());
        let clone = publisher.clone();
        drop(publisher);
        assert!(tokio::time::timeout(Duration::from_secs(60), &mut running).await.is_err());
        drop(clone);
        tokio::time::timeout(Duration::from_secs(60), running).await.unwrap().unwrap().unwrap();
    }
}
