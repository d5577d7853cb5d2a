//! MQTT packets on a byte buffer, for both ends: rumqttc's packet types, read and written without their traps.
//!
//! The invariant: whatever the bytes are, reading either asks for more of them, takes exactly one packet, or says what
//! is wrong. It never panics, and it never waits for more bytes of a packet that is whole but cut short inside.

use std::fmt;

use bytes::{Buf, BufMut, BytesMut};

use crate::convert;

pub use rumqttc::mqttbytes::v4;
/// The QoS of the packets.
pub use rumqttc::v5::mqttbytes::QoS as WireQoS;
pub use rumqttc::v5::mqttbytes::v5;

/// The version of the protocol that a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// MQTT 3.1.1.
    V4,
    /// MQTT 5.
    V5,
}

/// What is wrong with the bytes of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireErrorKind {
    /// Not a packet of this version: reason 0x81.
    Malformed,
    /// A packet that must not stand here: reason 0x82.
    Protocol,
    /// A packet larger than was allowed: reason 0x95.
    TooLarge,
}

/// Bytes that are not a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    kind: WireErrorKind,
    what: String,
}

impl WireError {
    pub(crate) fn malformed(what: impl Into<String>) -> Self {
        Self { kind: WireErrorKind::Malformed, what: what.into() }
    }

    pub(crate) fn protocol(what: impl Into<String>) -> Self {
        Self { kind: WireErrorKind::Protocol, what: what.into() }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> WireErrorKind {
        self.kind
    }

    /// The reason code that a DISCONNECT should carry.
    #[must_use]
    pub fn reason(&self) -> u8 {
        match self.kind {
            WireErrorKind::Malformed => 0x81,
            WireErrorKind::Protocol => 0x82,
            WireErrorKind::TooLarge => 0x95,
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            WireErrorKind::Malformed => "malformed packet",
            WireErrorKind::Protocol => "protocol error",
            WireErrorKind::TooLarge => "packet too large",
        };
        write!(f, "{kind}: {}", self.what)
    }
}

impl std::error::Error for WireError {}

/// A whole packet at the start of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    /// The first byte: packet type and flags.
    pub(crate) first: u8,
    /// Bytes before the variable header.
    pub(crate) header: usize,
    /// Bytes of the packet, header included.
    pub(crate) len: usize,
}

impl Frame {
    /// The packet type, 0 to 15.
    pub(crate) const fn kind(self) -> u8 {
        self.first >> 4
    }

    const fn remaining(self) -> usize {
        self.len - self.header
    }
}

/// Looks for a whole packet at the start of `bytes`; `None` asks for more bytes.
pub(crate) fn peek(bytes: &[u8], max: usize) -> Result<Option<Frame>, WireError> {
    let Some(&first) = bytes.first() else { return Ok(None) };
    let mut remaining = 0_usize;
    for at in 0..4 {
        let Some(&byte) = bytes.get(at + 1) else { return Ok(None) };
        remaining |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            let frame = Frame { first, header: at + 2, len: at + 2 + remaining };
            if frame.len > max {
                let what = format!("{} bytes where {max} are allowed", frame.len);
                return Err(WireError { kind: WireErrorKind::TooLarge, what });
            }
            check_flags(first)?;
            return Ok((bytes.len() >= frame.len).then_some(frame));
        }
    }
    Err(WireError::malformed("remaining length of more than four bytes"))
}

fn check_flags(first: u8) -> Result<(), WireError> {
    let flags = first & 0x0F;
    let legal = match first >> 4 {
        0 => return Err(WireError::malformed("packet type 0")),
        3 => flags & 0b0110 != 0b0110 && flags & 0b1110 != 0b1000,
        6 | 8 | 10 => flags == 0b0010,
        _ => flags == 0,
    };
    if legal { Ok(()) } else { Err(WireError::malformed(format!("flags {flags:04b} of packet type {}", first >> 4))) }
}

/// Takes one MQTT 5 packet off the start of `bytes`; `None` asks for more bytes.
///
/// # Errors
/// A [`WireError`] when the bytes are not a packet or it has more than `max` bytes. The buffer is of no use then.
pub fn read_v5(bytes: &mut BytesMut, max: usize) -> Result<Option<v5::Packet>, WireError> {
    let Some(frame) = peek(bytes, max)? else { return Ok(None) };
    match (frame.kind(), frame.remaining()) {
        // The codec insists on a reason code, which may be left out when it is 0, and on properties behind it.
        (14, 0) => {
            bytes.advance(frame.len);
            Ok(Some(v5::Packet::Disconnect(v5::Disconnect::new(v5::DisconnectReasonCode::NormalDisconnection))))
        }
        (14, 1) => {
            let code = bytes[frame.header];
            bytes.advance(frame.len);
            let code =
                v5::DisconnectReasonCode::try_from(code).map_err(|error| WireError::malformed(error.to_string()))?;
            Ok(Some(v5::Packet::Disconnect(v5::Disconnect::new(code))))
        }
        (15, _) => Err(WireError::protocol("AUTH, but no authentication method was agreed on")),
        _ => v5::Packet::read(bytes, None).map(Some).map_err(|error| WireError::malformed(error.to_string())),
    }
}

/// Takes one MQTT 3.1.1 packet off the start of `bytes`; `None` asks for more bytes.
///
/// # Errors
/// A [`WireError`] when the bytes are not a packet or it has more than `max` bytes. The buffer is of no use then.
pub fn read_v4(bytes: &mut BytesMut, max: usize) -> Result<Option<v4::Packet>, WireError> {
    let Some(frame) = peek(bytes, max)? else { return Ok(None) };
    if frame.kind() == 15 {
        return Err(WireError::malformed("packet type 15"));
    }
    v4::Packet::read(bytes, usize::MAX).map(Some).map_err(|error| WireError::malformed(error.to_string()))
}

/// Takes one packet of that version off the start of `bytes`, in the form of MQTT 5; `None` asks for more bytes.
///
/// # Errors
/// See [`read_v5`].
pub fn read(version: Version, bytes: &mut BytesMut, max: usize) -> Result<Option<v5::Packet>, WireError> {
    match version {
        Version::V5 => read_v5(bytes, max),
        Version::V4 => read_v4(bytes, max).map(|packet| packet.map(convert::from_v4)),
    }
}

/// Writes a packet behind what is in `bytes` as that version has it. What MQTT 3.1.1 has no place for is left out.
///
/// # Errors
/// When the packet cannot be written: an identifier of 0 where one is needed, too long, or none that the version has.
pub fn write(version: Version, packet: v5::Packet, bytes: &mut BytesMut) -> Result<(), WireError> {
    match version {
        Version::V5 => write_v5(&packet, bytes),
        Version::V4 => convert::to_v4(packet).and_then(|packet| write_v4(&packet, bytes)),
    }
}

/// Writes an MQTT 5 packet behind what is in `bytes`.
///
/// # Errors
/// When the packet cannot be written: an identifier of 0 where one is needed, or too long.
pub fn write_v5(packet: &v5::Packet, bytes: &mut BytesMut) -> Result<(), WireError> {
    packet.write(bytes, None).map(drop).map_err(|error| WireError::malformed(error.to_string()))
}

/// Writes an MQTT 3.1.1 packet behind what is in `bytes`.
///
/// # Errors
/// When the packet cannot be written: an identifier of 0 where one is needed, or too long.
pub fn write_v4(packet: &v4::Packet, bytes: &mut BytesMut) -> Result<(), WireError> {
    packet.write(bytes, usize::MAX).map(drop).map_err(|error| WireError::malformed(error.to_string()))
}

/// Writes a variable byte integer: lengths of packets and of properties.
pub(crate) fn put_varint(out: &mut BytesMut, mut value: usize) {
    loop {
        #[expect(clippy::cast_possible_truncation, reason = "masked to seven bits")]
        let byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            out.put_u8(byte);
            return;
        }
        out.put_u8(byte | 0x80);
    }
}

/// How many bytes [`put_varint`] writes.
pub(crate) const fn varint_len(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x001F_FFFF => 3,
        _ => 4,
    }
}
