//! Reason codes of CONNACK, SUBACK, UNSUBACK, PUBACK and DISCONNECT: one table with the spec's names and what each means for
//! the connection. MQTT 3.1.1's few codes are translated into it, so that the rest of the runtime knows one set.

use std::fmt;

/// An MQTT 5 reason code `[MQTT-2.4]`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Reason(u8);

/// What a failure means for the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// Passing: connect again after the usual backoff.
    Retry,
    /// The broker is overloaded or asks for patience: connect again after the longest backoff.
    RetryLater,
    /// Trying again cannot help until someone changes the set-up.
    Stop,
}

impl Reason {
    /// No error.
    pub const SUCCESS: Self = Self(0x00);
    /// No matching subscribers: the publication was accepted and thrown away.
    pub const NO_MATCHING_SUBSCRIBERS: Self = Self(0x10);
    /// Unspecified error.
    pub const UNSPECIFIED: Self = Self(0x80);
    /// Malformed packet.
    pub const MALFORMED: Self = Self(0x81);
    /// Protocol error.
    pub const PROTOCOL_ERROR: Self = Self(0x82);
    /// Unsupported protocol version.
    pub const UNSUPPORTED_VERSION: Self = Self(0x84);
    /// Bad user name or password.
    pub const BAD_CREDENTIALS: Self = Self(0x86);
    /// Not authorized.
    pub const NOT_AUTHORIZED: Self = Self(0x87);
    /// Session taken over by a connection with the same client ID.
    pub const TAKEN_OVER: Self = Self(0x8E);
    /// Topic name invalid.
    pub const TOPIC_NAME_INVALID: Self = Self(0x90);
    /// Receive Maximum exceeded.
    pub const RECEIVE_MAXIMUM_EXCEEDED: Self = Self(0x93);
    /// Topic alias invalid.
    pub const TOPIC_ALIAS_INVALID: Self = Self(0x94);
    /// Packet too large.
    pub const PACKET_TOO_LARGE: Self = Self(0x95);
    /// Quota exceeded: of the client, not of what it publishes.
    pub const QUOTA_EXCEEDED: Self = Self(0x97);
    /// Shared subscriptions not supported.
    pub const SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: Self = Self(0x9E);

    /// The reason with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Self {
        Self(code)
    }

    /// The reason for a CONNACK return code of MQTT 3.1.1 `[MQTT-3.2.2.3]`.
    #[must_use]
    pub const fn from_v311_connack(code: u8) -> Self {
        match code {
            0 => Self::SUCCESS,
            1 => Self::UNSUPPORTED_VERSION,
            2 => Self(0x85),
            3 => Self(0x88),
            4 => Self::BAD_CREDENTIALS,
            5 => Self::NOT_AUTHORIZED,
            _ => Self::UNSPECIFIED,
        }
    }

    /// The number on the wire.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Whether the code says that something failed.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        self.0 >= 0x80
    }

    /// The name that the specification gives it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.0 {
            0x00..=0x02 => "success",
            0x04 => "disconnect with will message",
            0x10 => "no matching subscribers",
            0x11 => "no subscription existed",
            0x80 => "unspecified error",
            0x81 => "malformed packet",
            0x82 => "protocol error",
            0x83 => "implementation specific error",
            0x84 => "unsupported protocol version",
            0x85 => "client identifier not valid",
            0x86 => "bad user name or password",
            0x87 => "not authorized",
            0x88 => "server unavailable",
            0x89 => "server busy",
            0x8A => "banned",
            0x8B => "server shutting down",
            0x8C => "bad authentication method",
            0x8D => "keep alive timeout",
            0x8E => "session taken over",
            0x8F => "topic filter invalid",
            0x90 => "topic name invalid",
            0x91 => "packet identifier in use",
            0x92 => "packet identifier not found",
            0x93 => "receive maximum exceeded",
            0x94 => "topic alias invalid",
            0x95 => "packet too large",
            0x96 => "message rate too high",
            0x97 => "quota exceeded",
            0x98 => "administrative action",
            0x99 => "payload format invalid",
            0x9A => "retain not supported",
            0x9B => "QoS not supported",
            0x9C => "use another server",
            0x9D => "server moved",
            0x9E => "shared subscriptions not supported",
            0x9F => "connection rate exceeded",
            0xA0 => "maximum connect time",
            0xA1 => "subscription identifiers not supported",
            0xA2 => "wildcard subscriptions not supported",
            _ => "unknown reason",
        }
    }

    /// What it means for the connection.
    #[must_use]
    pub const fn advice(self) -> Advice {
        match self.0 {
            // Credentials, identity, version, permissions and packets that will be the same next time.
            0x84 | 0x85 | 0x86 | 0x87 | 0x8A | 0x8C | 0x8E | 0x8F | 0x90 | 0x95 | 0x9A | 0x9B | 0x9E | 0xA1 | 0xA2 => {
                Advice::Stop
            }
            0x89 | 0x96 | 0x97 | 0x9F => Advice::RetryLater,
            _ => Advice::Retry,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (0x{:02X})", self.name(), self.0)
    }
}

impl fmt::Debug for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
