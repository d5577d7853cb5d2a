//! Closing codes: why a messaging connection ended, whether to try again, and what to do.
//!
//! Numbers and meanings are those of the applications page, section "Connection Closing Codes", and for the codes that
//! it leaves out, of `ismrc.h` in Eclipse Amlen's `server_utils/include`. The words are ours. A number that stands in
//! neither is kept as [`CloseCode::Other`].

use std::fmt;

/// Whether connecting again makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retry {
    /// The connection ended as it should.
    NotNeeded,
    /// Yes, with the usual backoff.
    Now,
    /// Yes, but not soon: the server or the organization needs time.
    Later,
    /// No: the same will happen until something is mended.
    AfterFix,
}

macro_rules! close_codes {
    ($($number:literal $name:ident $retry:ident: $text:literal, $advice:literal;)+) => {
        /// Why a connection was closed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum CloseCode {
            $(#[doc = concat!($number, ": ", $text, ". To do: ", $advice, ".")] $name,)+
            /// A number that is not in the list.
            Other(u32),
        }

        impl CloseCode {
            /// All codes with a name, by number.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The code of that number. A monitoring message without one means 0.
            #[must_use]
            pub const fn from_number(number: u32) -> Self {
                match number {
                    $($number => Self::$name,)+
                    other => Self::Other(other),
                }
            }

            /// The number, as in the field `CloseCode`.
            #[must_use]
            pub const fn number(self) -> u32 {
                match self {
                    $(Self::$name => $number,)+
                    Self::Other(number) => number,
                }
            }

            /// What it means.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                    Self::Other(_) => "a code that is not known",
                }
            }

            /// What to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self {
                    $(Self::$name => $advice,)+
                    Self::Other(_) => "read the reason that came with it",
                }
            }

            /// Whether connecting again makes sense. An unknown code is worth a try, not a hurry.
            #[must_use]
            pub const fn retry(self) -> Retry {
                match self {
                    $(Self::$name => Retry::$retry,)+
                    Self::Other(_) => Retry::Later,
                }
            }
        }
    };
}

// Clients of MQTT 3.1.1 never see the number: their connection just ends. Monitoring messages carry it.
close_codes! {
    0 Normal NotNeeded: "the connection ended normally", "nothing: the client sent DISCONNECT";
    90 NormalEnd NotNeeded: "the connection ended normally",
        "nothing: another number for 0, which the platform's source uses for the same text";
    91 ClosedByClient Now: "the connection was closed by the client",
        "look at the client and the network in between: the socket ended without a DISCONNECT";
    92 ClosedByServer Now: "the connection was closed by the server",
        "look for what the client did last; it happens again if that is not mended";
    93 ServerShutdown Later: "the server is shutting down",
        "connect again; it may take a while, the service is being updated";
    94 ClosedByAdministrator Later: "the connection was closed by an administrator",
        "ask the organization's administrator, who may have disabled it";
    95 ClosedWhileSending Now: "the connection was closed while data was being sent",
        "connect again; read faster if it repeats";
    96 ClientDidNotAcknowledge AfterFix: "the client did not acknowledge",
        "acknowledge every QoS 1 and 2 message in time";
    104 CapacityReached Later: "the server has reached its capacity", "connect again later, with growing delays";
    105 DataNotValid AfterFix: "the data from the client is not valid",
        "look for a defect of the client's MQTT library or of a middlebox";
    119 ClientIdMalformed AfterFix: "the client ID is not valid, with details", "correct the client ID";
    120 ClientIdMissing AfterFix: "the client ID is missing", "send a client ID";
    121 ClientIdInUse AfterFix: "the client ID is in use",
        "give every connection a client ID of its own, or use 'A:org:app'";
    153 NetworkError Now: "the network failed", "connect again";
    154 TooManySubscriptions AfterFix: "too many producers or consumers in one connection",
        "subscribe to fewer, wider filters; 500 subscriptions are an application's limit";
    159 ConnectNotAuthorized AfterFix: "the connection is not authorized", "check API key, token and the key's roles";
    160 TimedOut Now: "the connection timed out: nothing was received within the keep alive",
        "send PINGREQ in time; lengthen the keep alive if the client pauses";
    161 PingFailed Now: "a ping failed", "connect again";
    162 PingNotAnswered Now: "a ping was not answered", "connect again";
    163 ClosedInTlsHandshake AfterFix: "the connection was closed during the TLS handshake",
        "check that the client trusts the certificate and offers TLS 1.2 or later";
    164 NoData AfterFix: "no data was received on a new connection",
        "send CONNECT at once; the server waits for about a minute";
    165 FirstPacketTooLarge AfterFix: "the first packet is too large",
        "send CONNECT first, and wait for CONNACK before anything large";
    166 ClientIdNotValid AfterFix: "the client ID is not valid",
        "use 1 to 36 of letters, digits, '-', '_' and '.' for each part";
    167 ServerNotAvailable Now: "the server is not available for a short time", "connect again";
    168 MessagingNotAvailable Later: "messaging is not available", "connect again later";
    169 CertificateMissing AfterFix: "a client certificate is required and missing", "send the client certificate";
    170 CertificateNotValid AfterFix: "the client certificate is not valid", "renew or replace the client certificate";
    171 HttpHandshakeFailed AfterFix: "the HTTP handshake failed",
        "check the WebSocket upgrade: path, headers and proxies in between";
    172 MessageIdNotRemoved Now: "a message ID could not be removed", "connect again";
    173 TooManyConnections Later: "the organization has too many connections",
        "close connections or raise the organization's limit";
    175 AuthorizationHeaderChanged AfterFix: "the HTTP Authorization header changed within a connection",
        "send the same header with each request, or connect anew";
    176 AuthorizationDelayed Later: "authorization is delayed or has too many requests",
        "connect again later, with growing delays; spread the connects of many clients";
    177 AutoRegistrationFailed AfterFix: "a device could not be created automatically",
        "register the device, or check the gateway's rights";
    178 SendBufferExceeded Now: "the server's send buffer is full: the client reads too slowly",
        "read faster, subscribe to less, or add members to the application";
    180 NotAuthorized AfterFix: "the operation is not authorized",
        "check API key, token, roles and topic; a client ID without a known form ends so too";
    181 AuthenticationFailed AfterFix: "authentication failed", "check API key and token";
    188 AuthorizationUnavailable Later: "the authorization service is down", "connect again later";
    193 CredentialsExpired AfterFix: "the credentials or the connection expired", "renew the credentials";
    270 WillNotAllowed AfterFix: "a will message is not allowed", "connect without a will";
    271 LengthNotCorrect AfterFix: "the length of the message is not correct",
        "look for a defect of the client's MQTT library";
    272 EncodingNotValid AfterFix: "the MQTT encoding is not valid", "look for a defect of the client's MQTT library";
    273 PayloadNotValid AfterFix: "the payload is not valid", "mend the payload; text must be UTF-8";
    274 JsonNotValid AfterFix: "the JSON is not valid", "mend the payload";
    275 CommandNotKnown AfterFix: "the command is not known", "look for a defect of the client's MQTT library";
    276 TopicNotValid AfterFix: "the topic is not valid",
        "correct the topic: no '#', '+' only where a value may stand, one of the platform's shapes";
    277 WillIncomplete AfterFix: "the will is incomplete", "give the will a topic and a message";
    282 ConnectNotFirst AfterFix: "CONNECT is not the first packet", "look for a defect of the client's MQTT library";
    284 QosNotValid AfterFix: "the QoS is not valid", "use QoS 0, 1 or 2";
    285 PacketIdNotValid AfterFix: "the packet ID is not valid", "look for a defect of the client's MQTT library";
    286 PasswordWithoutUser AfterFix: "there is a password without a user name", "send the API key as the user name";
    287 MessageTooLarge AfterFix: "the message is too large for this endpoint", "keep payloads within 131072 bytes";
    288 ClientIdReused AfterFix: "the client ID was reused: a newer connection took over",
        "give every connection a client ID of its own; retrying would close the newer one";
    289 SystemTopic AfterFix: "the topic is a system topic", "use no topic that starts with '$'";
    290 ShareMismatch AfterFix: "the shared subscription exists with other properties",
        "use one filter and one durability for a share";
    291 QosTooHigh AfterFix: "the QoS is higher than the organization may use", "lower the QoS";
    292 DurableNotAllowed AfterFix: "clean session false is not allowed", "set clean session to true";
    293 ProtocolVersionNotValid AfterFix: "the protocol version is not supported", "use MQTT 3.1.1";
    294 TooMuchBeforeAuthorization AfterFix: "too much data came before authorization",
        "wait for CONNACK before sending";
    295 NotBinary AfterFix: "a WebSocket frame is not binary", "send binary frames";
    297 ProtocolError AfterFix: "the protocol was violated", "look for a defect of the client's MQTT library";
    298 TopicAliasNotValid AfterFix: "the topic alias is not valid",
        "keep to the number of aliases that CONNACK allows";
    299 ReceiveMaximumExceeded AfterFix: "the receive maximum was exceeded",
        "keep to the receive maximum that CONNACK gives";
}

impl CloseCode {
    /// The closing code that goes with a return code of the MQTT 3.1.1 CONNACK (proxy, `pxmqtt.c`).
    #[must_use]
    pub const fn from_connack(return_code: u8) -> Self {
        match return_code {
            0 => Self::Normal,
            1 => Self::ProtocolVersionNotValid,
            2 => Self::ClientIdNotValid,
            3 => Self::ServerNotAvailable,
            4 | 5 => Self::NotAuthorized,
            other => Self::Other(other as u32),
        }
    }

    /// Whether the connection ended as it should: 0, and 90, which the platform's source also calls normal.
    #[must_use]
    pub const fn is_normal(self) -> bool {
        matches!(self, Self::Normal | Self::NormalEnd)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.text(), self.number())
    }
}
