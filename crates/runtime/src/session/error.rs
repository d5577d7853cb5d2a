//! How a connection can fail, and what that means for the next attempt.

use std::fmt;

use tidemill_core::BoxError;

use super::reason::{Advice, Reason};

/// What went wrong with a connection to the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionErrorKind {
    /// No transport connection: refused, unreachable, name not found.
    Connect,
    /// The TLS handshake or a certificate failed.
    Tls,
    /// The WebSocket handshake failed.
    WebSocket,
    /// The broker did not answer in time while connecting or subscribing.
    Timeout,
    /// CONNACK with a failure code.
    Refused,
    /// The broker does not grant a subscription.
    SubscriptionRefused,
    /// The broker cannot do what the configuration asks for.
    Unsupported,
    /// The broker sent a DISCONNECT.
    Disconnected,
    /// The broker broke the protocol or sent something over a limit.
    Protocol,
    /// No answer to a ping: the connection is dead.
    PingTimeout,
    /// The connection broke.
    Io,
}

/// A failed connection.
#[derive(Debug)]
pub struct SessionError {
    kind: SessionErrorKind,
    advice: Advice,
    reason: Option<Reason>,
    server_reference: Option<String>,
    message: String,
    source: Option<BoxError>,
}

impl SessionError {
    pub(crate) fn new(kind: SessionErrorKind, message: impl Into<String>) -> Self {
        let advice = match kind {
            SessionErrorKind::Unsupported | SessionErrorKind::SubscriptionRefused => Advice::Stop,
            _ => Advice::Retry,
        };
        Self { kind, advice, reason: None, server_reference: None, message: message.into(), source: None }
    }

    /// For a [`Connector`](crate::Connector) that cannot open a stream; it is tried again later.
    #[must_use]
    pub fn unreachable(message: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::new(SessionErrorKind::Connect, message).with_source(source)
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn with_advice(mut self, advice: Advice) -> Self {
        self.advice = advice;
        self
    }

    /// The broker said `reason` to CONNECT or in DISCONNECT.
    pub(crate) fn from_reason(
        kind: SessionErrorKind,
        reason: Reason,
        text: Option<&str>,
        server_reference: Option<&str>,
    ) -> Self {
        let mut message = match kind {
            SessionErrorKind::Refused => format!("the broker refused the connection: {reason}"),
            _ => format!("the broker ended the connection: {reason}"),
        };
        if let Some(text) = text.filter(|text| !text.is_empty()) {
            message.push_str(&format!(", {text:?}"));
        }
        if let Some(server) = server_reference {
            message.push_str(&format!("; it names another server: {server:?}"));
        }
        if let Some(way_out) = way_out(reason) {
            message.push_str("; ");
            message.push_str(way_out);
        }
        let server_reference = server_reference.map(str::to_owned);
        Self { reason: Some(reason), server_reference, ..Self::new(kind, message).with_advice(reason.advice()) }
    }

    /// The platform refused CONNECT. Its return codes stand for closing codes, which know what to do.
    #[cfg(feature = "platform")]
    pub(crate) fn from_platform(reason: Reason) -> Self {
        use tidemill_core::platform::CloseCode;
        use tidemill_core::platform::monitoring::Retry;
        let code = CloseCode::from_connack(match reason.code() {
            0x84 => 1,
            0x85 => 2,
            0x88 => 3,
            0x86 => 4,
            0x87 => 5,
            other => other,
        });
        let advice = match code.retry() {
            Retry::Later => Advice::RetryLater,
            Retry::AfterFix => Advice::Stop,
            _ => Advice::Retry,
        };
        let message = format!("the platform refused the connection: {code}; {}", code.advice());
        Self { reason: Some(reason), ..Self::new(SessionErrorKind::Refused, message).with_advice(advice) }
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(&self) -> SessionErrorKind {
        self.kind
    }

    /// The reason that the broker gave, if it gave one.
    #[must_use]
    pub fn reason(&self) -> Option<Reason> {
        self.reason
    }

    /// The server that the broker names instead of itself `[MQTT-4.11]`.
    pub(crate) fn server_reference(&self) -> Option<&str> {
        self.server_reference.as_deref()
    }

    /// Whether and how soon to try again.
    #[must_use]
    pub fn advice(&self) -> Advice {
        self.advice
    }
}

/// What the operator can do about a reason.
fn way_out(reason: Reason) -> Option<&'static str> {
    Some(match reason.code() {
        0x84 => "set `mqtt.version` to one that the broker speaks",
        0x85 => "change `identity.prefix` to something shorter or plainer",
        0x86 => "check `mqtt.username` and `mqtt.password`",
        0x87 => "check the credentials and the broker's access rules for this client",
        0x8E => "another client uses the same client ID",
        0x95 => "the broker's packet size limit is smaller than what was sent",
        _ => return None,
    })
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
