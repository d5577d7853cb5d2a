//! Properties of an incoming PUBLISH, taken apart here rather than by rumqttc: it counts a subscription identifier one
//! byte too long, so that properties behind several of them end up in the payload, and it reads beyond their end.
//!
//! INVARIANT: nothing outside the slice that the length field names is read, and all of it is.

use std::time::Duration;

use bytes::{Buf, Bytes};
use tidemill_core::Properties;

/// What is wrong with the properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PropertyError {
    /// They end in the middle of one.
    Short,
    /// A string is not UTF-8 `[MQTT-1.5.4-1]`.
    NotUtf8,
    /// One that a PUBLISH does not have.
    Unknown(u8),
}

impl std::fmt::Display for PropertyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short => f.write_str("its properties end too early"),
            Self::NotUtf8 => f.write_str("a property is not UTF-8"),
            Self::Unknown(id) => write!(f, "property 0x{id:02X} does not belong there"),
        }
    }
}

/// A variable byte integer at the start of `bytes`, and how many bytes it takes.
pub(super) fn varint(bytes: &[u8]) -> Result<(usize, u32), PropertyError> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((at + 1, value));
        }
    }
    Err(PropertyError::Short)
}

/// Properties and topic alias, from exactly the bytes that the length field names.
pub(super) fn read(mut bytes: Bytes) -> Result<(Properties, Option<u16>), PropertyError> {
    let mut properties = Properties::default();
    let mut topic_alias = None;
    while bytes.has_remaining() {
        match bytes.get_u8() {
            0x01 => properties.utf8_payload = bytes.try_get_u8().map_err(short)? == 1,
            0x02 => {
                let seconds = bytes.try_get_u32().map_err(short)?;
                properties.message_expiry = Some(Duration::from_secs(seconds.into()));
            }
            0x03 => properties.content_type = Some(string(&mut bytes)?),
            0x08 => properties.response_topic = Some(string(&mut bytes)?),
            0x09 => properties.correlation_data = Some(binary(&mut bytes)?),
            0x0B => {
                let (size, id) = varint(&bytes)?;
                bytes.advance(size);
                properties.subscription_ids.push(id);
            }
            0x23 => topic_alias = Some(bytes.try_get_u16().map_err(short)?),
            0x26 => {
                let name = string(&mut bytes)?;
                properties.user.push((name, string(&mut bytes)?));
            }
            id => return Err(PropertyError::Unknown(id)),
        }
    }
    Ok((properties, topic_alias))
}

/// What texts and numbers take in memory beside their bytes, where there may be very many: a user property of five bytes
/// takes twenty times as much.
pub(super) fn overhead(properties: &Properties) -> usize {
    /// A text knows its place, length and room, and so does the allocator.
    const TEXT: usize = 2 * size_of::<String>();
    properties.user.len() * 2 * TEXT + properties.subscription_ids.len() * size_of::<u32>()
}

fn short(_: bytes::TryGetError) -> PropertyError {
    PropertyError::Short
}

fn binary(bytes: &mut Bytes) -> Result<Bytes, PropertyError> {
    let length = usize::from(bytes.try_get_u16().map_err(short)?);
    if length > bytes.len() {
        return Err(PropertyError::Short);
    }
    Ok(bytes.split_to(length))
}

fn string(bytes: &mut Bytes) -> Result<String, PropertyError> {
    let text = binary(bytes)?;
    std::str::from_utf8(&text).map(str::to_owned).map_err(|_| PropertyError::NotUtf8)
}
