//! A canary: one event through a shared subscription of its own, to see whether the broker shares at all. Some grant
//! `$share/...` and take it for a plain filter that no topic matches; then nothing ever comes, and nobody says why.
//!
//! INVARIANT: the broker is blamed only when a second event, through a plain subscription beside it, did come: what access
//! rules or a lost connection swallow proves nothing.

use std::time::Duration;

use bytes::BytesMut;
use tidemill_core::topic::TopicName;
use tidemill_core::{BoxError, Publication, QoS};
use tokio::time::{Instant, timeout_at};

use super::codec::{self, Incoming};
use super::connection::open;
use super::error::{SessionError, SessionErrorKind};
use super::handshake::{ConnectOptions, write_disconnect, write_subscribe};
use super::outgoing::write_publish;
use super::reason::Reason;
use super::settings::Settings;
use super::transport::Connector;
use super::wire::{Driven, Interest, Wire, Writing};

/// How long everything may take once there is a session.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after the plain event the shared one may come, although it was published first, before it is sent again.
const GRACE: Duration = Duration::from_secs(1);
/// How often it is sent: the nodes of a cluster may take a moment to tell each other of a shared subscription.
const TRIES: u16 = 4;
const SUBSCRIBE: u16 = 1;
const PLAIN: u16 = 2;
/// The first of those for the shared events.
const SHARED: u16 = 3;

/// What the canary showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Shared subscriptions work.
    Works,
    /// The shared subscription was granted, and nothing came through it.
    Ignored,
    /// It could not be seen, for this reason.
    Unknown(String),
    /// The connection was lost meanwhile.
    Cut,
}

/// Connects, and sends a canary to topics below `topic`. The caller bounds the time until there is a session.
///
/// # Errors
/// There is no session.
pub(crate) async fn send_canary(
    connector: &dyn Connector,
    options: &ConnectOptions,
    settings: &Settings,
    topic: &str,
    connect_timeout: Duration,
) -> Result<Verdict, SessionError> {
    let (shared, plain) = (format!("{topic}/shared"), format!("{topic}/plain"));
    let group: String = options.client_id.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let filters = vec![plain.clone(), format!("$share/{group}/{shared}")];
    let settings = Settings { filters, ..settings.clone() };
    let turn = connector.turn();
    let opened = match tokio::time::timeout(connect_timeout, open(connector, options, &settings)).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => {
            connector.unusable(turn);
            if let Some(reference) = error.server_reference() {
                connector.redirect(reference);
            }
            return Err(error);
        }
        Err(_) => {
            connector.unusable(turn);
            let text = format!("no connection within {connect_timeout:?}; check the host and the port of `mqtt.url`");
            return Err(SessionError::new(SessionErrorKind::Timeout, text));
        }
    };
    let mut canary = Canary { wire: opened.wire, settings: &settings, shared, plain };
    let verdict = canary.fly().await.unwrap_or_else(|error| Verdict::Unknown(error.to_string()));
    if verdict != Verdict::Cut {
        write_disconnect(settings.version, Reason::SUCCESS, &mut canary.wire.output);
        let _ = tokio::time::timeout(GRACE, canary.wire.close()).await;
    }
    Ok(verdict)
}

struct Canary<'a> {
    wire: Wire,
    settings: &'a Settings,
    shared: String,
    plain: String,
}

impl Canary<'_> {
    async fn fly(&mut self) -> Result<Verdict, BoxError> {
        let Settings { version, qos, filters, max_packet_bytes, .. } = self.settings;
        write_subscribe(*version, SUBSCRIBE, filters, *qos, &mut self.wire.output)?;
        let mut until = Instant::now() + PATIENCE;
        let (mut plain_came, mut tries) = (false, 0);
        loop {
            while let Some(packet) = codec::decode(*version, &mut self.wire.input, *max_packet_bytes)? {
                match packet {
                    Incoming::SubAck { pkid: SUBSCRIBE, reasons } => {
                        let refused = reasons.iter().zip(filters).find(|(reason, _)| reason.is_failure());
                        if let Some((reason, filter)) = refused {
                            return Ok(Verdict::Unknown(format!("the broker refuses {filter:?}: {reason}")));
                        }
                        // Each in its time: where the plain one comes, the shared one had longer.
                        self.publish(SHARED)?;
                        self.publish(PLAIN)?;
                        tries = 1;
                    }
                    Incoming::Publish(publish) => {
                        if publish.qos == QoS::AtLeastOnce {
                            codec::write_puback(&mut self.wire.output, publish.pkid);
                        }
                        if publish.topic == self.shared.as_bytes() {
                            return Ok(Verdict::Works);
                        }
                        if publish.topic == self.plain.as_bytes() && !plain_came {
                            plain_came = true;
                            until = until.min(Instant::now() + GRACE);
                        }
                    }
                    Incoming::PubAck { reason, .. } if reason.is_failure() => {
                        let text = format!("the broker refuses publications to {:?}: {reason}", self.shared);
                        return Ok(Verdict::Unknown(text));
                    }
                    Incoming::Disconnect(disconnect) => {
                        return Ok(Verdict::Unknown(format!("the broker ends the connection: {}", disconnect.reason)));
                    }
                    _ => {}
                }
            }
            match timeout_at(until, self.wire.drive(Interest { read: true, write: Writing::AtOnce, flush: false }))
                .await
            {
                Ok(Ok(Driven::Read | Driven::Flushed)) => {}
                Ok(Ok(Driven::Eof) | Err(_)) => return Ok(Verdict::Cut),
                Err(_) if plain_came && tries < TRIES => {
                    self.publish(SHARED + tries)?;
                    tries += 1;
                    until = Instant::now() + GRACE;
                }
                Err(_) if plain_came => return Ok(Verdict::Ignored),
                Err(_) => {
                    return Ok(Verdict::Unknown(format!(
                        "nothing came back from {:?}, not even through a plain subscription",
                        self.plain
                    )));
                }
            }
        }
    }

    fn publish(&mut self, pkid: u16) -> Result<(), BoxError> {
        let Settings { version, qos, .. } = self.settings;
        let topic = TopicName::new(if pkid == PLAIN { &self.plain } else { &self.shared })?;
        let publication = Publication::new(topic, "canary").with_qos(*qos);
        let pkid = if *qos == QoS::AtMostOnce { 0 } else { pkid };
        let out: &mut BytesMut = &mut self.wire.output;
        Ok(write_publish(*version, out, &publication, pkid, u32::MAX)?)
    }
}
