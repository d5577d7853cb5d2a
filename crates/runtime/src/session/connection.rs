//! The connection of an instance over all its sessions: connect, run a session, wait, connect again.
//!
//! INVARIANT (G3): between two sessions the ack window is emptied and its floor raised, before the next session can
//! receive anything.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tidemill_core::report;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::backoff::Backoff;
use super::error::{SessionError, SessionErrorKind};
use super::handshake::{ConnectOptions, handshake, write_disconnect};
use super::link::{Finished, Link};
use super::manifest::Place;
use super::outgoing::Outgoing;
use super::parting::{Parting, PartingCell};
use super::reason::{Advice, Reason};
use super::running::{End, Running};
use super::settings::Settings;
use super::status::{Phase, Status};
use super::transport::Connector;
use super::unreleased::Unreleased;
use super::window::AckWindow;
use super::wire::Wire;
use crate::config::MqttVersion;
use crate::observe::Rarely;

/// A session that lasted this long shows that the broker is well: the next wait starts small again.
const STABLE: Duration = Duration::from_secs(10);

/// Everything a connection needs.
pub(crate) struct Connection {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) options: ConnectOptions,
    pub(crate) settings: Settings,
    pub(crate) connect_timeout: Duration,
    pub(crate) backoff: Backoff,
    pub(crate) link: Arc<Link>,
    pub(crate) outgoing: Outgoing,
    pub(crate) status: Arc<Status>,
    /// Which filters are paused, by their place.
    pub(crate) paused: watch::Receiver<Vec<bool>>,
    /// Ask to leave without loss.
    pub(crate) leave: CancellationToken,
    /// Stop at once.
    pub(crate) force: CancellationToken,
    /// How to leave.
    pub(crate) parting: Arc<PartingCell>,
    /// Where it is written down what the broker may hold for this client.
    pub(crate) place: Option<Place>,
}

impl Connection {
    /// Runs until the connection has left, was forced to end, or cannot go on.
    ///
    /// # Errors
    /// The reason why trying again cannot help.
    pub(crate) async fn run(mut self) -> Result<(), SessionError> {
        let result = self.sessions().await;
        self.outgoing.close();
        self.status.set_phase(Phase::Ended);
        self.status.set_occupied(0, 0);
        self.status.set_full(false);
        self.link.close();
        result
    }

    /// Tells once of each time for which the broker keeps the session instead of the configured one (G8).
    fn tell_of_shorter_session(&self, told: &mut Option<Duration>, kept: Option<Duration>) {
        if kept == *told {
            return;
        }
        *told = kept;
        if let Some(kept) = kept {
            warn!(
                instance = self.options.client_id,
                asked = %humantime::format_duration(self.options.session_expiry),
                kept = %humantime::format_duration(kept),
                "the broker keeps the session of a durable member for a shorter time than `mqtt.session_expiry`: what comes \
                 for it is gone when it is away for longer; raise the broker's limit, or lower the setting to what it keeps"
            );
        }
    }

    async fn sessions(&mut self) -> Result<(), SessionError> {
        let mut window = AckWindow::default();
        let mut released = Unreleased::default();
        let mut failing = Rarely::default();
        let mut shortened = None;
        let client_id = self.options.client_id.clone();
        loop {
            self.status.set_phase(Phase::Connecting);
            if let Some(place) = &self.place
                && !self.leave.is_cancelled()
            {
                place.expect(&self.settings.filters).await;
            }
            let turn = self.connector.turn();
            let opened = tokio::select! {
                biased;
                () = self.force.cancelled() => return Ok(()),
                () = self.may_go() => return Ok(()),
                opened = timeout(self.connect_timeout, open(&*self.connector, &self.options, &self.settings)) => opened,
                never = self.show_unfinished(&mut window, &mut released) => match never {},
            };
            if !matches!(opened, Ok(Ok(_))) {
                self.connector.unusable(turn);
            }
            let error = match opened {
                Err(_) => {
                    let text = format!(
                        "no connection within {:?}; check the host and the port of `mqtt.url`",
                        self.connect_timeout
                    );
                    SessionError::new(SessionErrorKind::Timeout, text)
                }
                Ok(Err(error)) => error,
                Ok(Ok(opened)) => {
                    let opened_at = Instant::now();
                    let epoch = self.status.begin_epoch();
                    self.status.set_phase(Phase::Subscribing);
                    self.status.set_last_error(None);
                    info!(
                        instance = client_id,
                        epoch,
                        session_present = opened.session_present,
                        "connected to the broker"
                    );
                    self.tell_of_shorter_session(&mut shortened, opened.shortened);
                    self.outgoing.begin_session(opened.receive_maximum, opened.max_packet_bytes);
                    let kept = self.place.as_ref().filter(|_| opened.session_present);
                    let running = Running {
                        settings: &self.settings,
                        wire: opened.wire,
                        window: &mut window,
                        link: &self.link,
                        outgoing: &mut self.outgoing,
                        status: &self.status,
                        keep_alive: opened.keep_alive,
                        paused: self.paused.clone(),
                        parting: &self.parting,
                        outlives: !self.options.clean_start,
                        released: &mut released,
                        strays: kept.map(|place| place.strays(&self.settings.filters)).unwrap_or_default(),
                        stopped_reading: false,
                        instance: &client_id,
                    };
                    let end = tokio::select! {
                        biased;
                        end = Box::pin(running.run(&self.leave, &self.force)) => end,
                        never = settled(self.place.as_ref(), &self.status, &self.settings.filters) => match never {},
                    };
                    self.outgoing.end_session();
                    let unacknowledged = window.reset();
                    self.link.lose_session(window.base());
                    if opened_at.elapsed() >= STABLE {
                        self.backoff.reset();
                        failing.is_over();
                    }
                    match end {
                        End::Left => {
                            debug!(instance = client_id, epoch, "session ended");
                            self.left().await;
                            return Ok(());
                        }
                        End::Forced => {
                            debug!(instance = client_id, epoch, unacknowledged, "session ended");
                            return Ok(());
                        }
                        End::Lost(error) => {
                            warn!(
                                instance = client_id,
                                epoch,
                                unacknowledged,
                                error = report(&error),
                                "connection to the broker lost"
                            );
                            error
                        }
                    }
                }
            };
            if let Some(reference) = error.server_reference() {
                self.connector.redirect(reference);
            }
            self.status.set_last_error(Some(report(&error)));
            let delay = match error.advice() {
                Advice::Stop => return Err(error),
                Advice::Retry => self.backoff.next(),
                Advice::RetryLater => self.backoff.longest(),
            };
            self.status.set_phase(Phase::Connecting);
            if let Some(left_out) = failing.happens() {
                let error = report(&error);
                warn!(instance = client_id, error, ?delay, left_out, "connecting again after a delay");
            }
            tokio::select! {
                () = self.force.cancelled() => return Ok(()),
                () = self.may_go() => return Ok(()),
                () = sleep(delay) => {}
                never = self.show_unfinished(&mut window, &mut released) => match never {},
            }
        }
    }
}

impl Connection {
    /// Waits until it is told to leave and can do so without a session. An ephemeral one can: nothing is unacknowledged
    /// between sessions. One whose session lives on cannot, unless it is back in a moment: the broker holds a subscription
    /// and hands events to it that nobody else would ask for. It connects once more and leaves in order.
    async fn may_go(&self) {
        self.leave.cancelled().await;
        if !self.options.clean_start && !self.parting.conclude(Parting::KeepPlace) {
            std::future::pending::<()>().await;
        }
    }

    /// Shows, while there is no session, what of earlier ones is still being handled. Never ready. Cancel-safe.
    async fn show_unfinished(&self, window: &mut AckWindow, released: &mut Unreleased) -> Infallible {
        let mut finished = Finished::default();
        loop {
            self.link.take_finished(&mut finished);
            released.take_back(window, &mut finished);
            self.status.set_occupied(window.len(), window.occupied() + released.events);
            self.status.set_full(!released.leave_room(window, &self.settings));
            self.link.finished_ready().await;
        }
    }

    /// The session has left in order: what the broker keeps of it is ended, unless it is to be taken up again, and noted.
    async fn left(&self) {
        if self.parting.get() == Parting::KeepPlace {
            return;
        }
        // DISCONNECT cannot say so there.
        let forgotten = self.options.clean_start || self.options.version != MqttVersion::V3_1_1 || self.forget().await;
        if forgotten {
            self.parting.conclude(Parting::Leave);
        }
        match &self.place {
            Some(place) if forgotten => place.forget().await,
            Some(place) => place.settle(&[]).await,
            None => {}
        }
    }

    /// Ends the session that the broker keeps: connects cleanly once and disconnects `[MQTT-3.1.2-6]`.
    async fn forget(&self) -> bool {
        let options = ConnectOptions { clean_start: true, ..self.options.clone() };
        let opened = timeout(self.connect_timeout, open(&*self.connector, &options, &self.settings)).await;
        match opened {
            Ok(Ok(mut opened)) => {
                write_disconnect(options.version, Reason::SUCCESS, &mut opened.wire.output);
                let _ = timeout(self.connect_timeout, opened.wire.close()).await;
                return true;
            }
            Ok(Err(error)) => {
                warn!(instance = options.client_id, error = report(&error), "the session on the broker was not ended");
            }
            Err(_) => warn!(instance = options.client_id, "the session on the broker was not ended: no connection"),
        }
        false
    }
}

/// Notes, once the session is subscribed, that the broker holds these filters and no others. Never ready.
async fn settled(place: Option<&Place>, status: &Status, filters: &[String]) -> Infallible {
    if let Some(place) = place
        && status.watch().wait_for(|phase| *phase == Phase::Ready).await.is_ok()
    {
        place.settle(filters).await;
    }
    std::future::pending().await
}

/// A session that CONNACK has opened.
pub(super) struct Opened {
    pub(super) wire: Wire,
    session_present: bool,
    keep_alive: Duration,
    receive_maximum: u16,
    max_packet_bytes: u32,
    /// How long the broker keeps the session, where that is shorter than a durable member asked for.
    shortened: Option<Duration>,
}

/// Connects and opens a session; checks that the broker can do what the settings ask for.
pub(super) async fn open(
    connector: &dyn Connector,
    options: &ConnectOptions,
    settings: &Settings,
) -> Result<Opened, SessionError> {
    let mut wire = Wire::new(connector.connect().await?);
    let ack = handshake(&mut wire, options).await?;
    let shared = settings.filters.iter().find(|filter| filter.starts_with("$share/"));
    if let Some(filter) = shared
        && !ack.shared_available
    {
        let text = format!(
            "the broker has no shared subscriptions, so {filter:?} cannot be joined; \
             use another broker, or one instance without `group.name`"
        );
        return Err(SessionError::new(SessionErrorKind::Unsupported, text));
    }
    if !ack.wildcard_available
        && let Some(filter) = settings.filters.iter().find(|filter| filter.contains(['+', '#']))
    {
        let text = format!("the broker has no wildcard subscriptions, so {filter:?} cannot be subscribed to");
        return Err(SessionError::new(SessionErrorKind::Unsupported, text));
    }
    if ack.max_qos < settings.qos {
        let text = format!(
            "the broker's highest QoS is {}; set `mqtt.qos = {}` if losing events on a reconnect is acceptable",
            ack.max_qos.level(),
            ack.max_qos.level()
        );
        return Err(SessionError::new(SessionErrorKind::Unsupported, text));
    }
    Ok(Opened {
        wire,
        session_present: ack.session_present && !options.clean_start,
        // The broker's value is to be obeyed, 0 included [MQTT-3.2.2-21].
        keep_alive: ack.server_keep_alive.unwrap_or(options.keep_alive),
        receive_maximum: ack.receive_maximum,
        max_packet_bytes: ack.max_packet_bytes,
        shortened: ack.session_expiry.filter(|kept| !options.clean_start && *kept < options.session_expiry),
    })
}
