//! Topic names: what events are published to. A [`TopicName`] is checked once and shared without copying.

use std::fmt;

use bytes::Bytes;
use bytestring::ByteString;

use super::{MAX_LEN, TopicError, TopicErrorKind};

/// A valid topic name: not empty, at most 65535 bytes of UTF-8, without wildcards and null characters.
///
/// Cloning is cheap: the bytes are shared.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TopicName(ByteString);

impl TopicName {
    /// Checks a topic name.
    ///
    /// # Errors
    /// A [`TopicError`] that says which rule is broken.
    pub fn new(name: &str) -> Result<Self, TopicError> {
        Self::from_bytes(Bytes::copy_from_slice(name.as_bytes()))
    }

    /// Checks the bytes of a topic name and keeps them without copying.
    ///
    /// # Errors
    /// A [`TopicError`] that says which rule is broken.
    #[inline(always)]
    pub fn from_bytes(bytes: Bytes) -> Result<Self, TopicError> {
        if !is_plain(&bytes) {
            look_closer(&bytes)?;
        }
        // Plain names have been checked, and the others a moment ago.
        ByteString::try_from(bytes).map(Self).map_err(|_| not_utf8())
    }

    /// The name as text.
    #[inline]
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes of the name, shared.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }
}

/// Whether a name needs no closer look: some ASCII characters, not too many, none of them forbidden. Nearly every topic is
/// plain. Looks at whole blocks without branches; the last block overlaps the one before rather than being looked at byte
/// by byte.
#[inline]
fn is_plain(name: &[u8]) -> bool {
    let Some(last) = name.last_chunk::<16>() else {
        return !name.is_empty() && !name.iter().fold(false, |odd, byte| odd | is_odd(*byte));
    };
    let mut odd = [0; 16];
    for block in name.as_chunks::<16>().0 {
        note_odd(&mut odd, block);
    }
    note_odd(&mut odd, last);
    name.len() <= MAX_LEN && u128::from_ne_bytes(odd) == 0
}

/// Lane by lane, so that it takes a few instructions for a whole block.
#[inline]
fn note_odd(odd: &mut [u8; 16], block: &[u8; 16]) {
    for (odd, byte) in odd.iter_mut().zip(block) {
        *odd |= u8::from(is_odd(*byte));
    }
}

/// `+` and `#` differ in one bit.
#[inline]
fn is_odd(byte: u8) -> bool {
    (byte & !(b'+' ^ b'#') == b'#') | (byte == 0) | !byte.is_ascii()
}

/// What the few names need that are not plain.
#[cold]
fn look_closer(name: &[u8]) -> Result<(), TopicError> {
    match broken_rule(name) {
        Some(kind) => Err(TopicError::new(kind, &String::from_utf8_lossy(name))),
        None => Ok(()),
    }
}

#[cold]
fn not_utf8() -> TopicError {
    TopicError::new(TopicErrorKind::NotUtf8, "")
}

fn broken_rule(name: &[u8]) -> Option<TopicErrorKind> {
    if name.is_empty() {
        return Some(TopicErrorKind::Empty);
    }
    if name.len() > MAX_LEN {
        return Some(TopicErrorKind::TooLong);
    }
    if std::str::from_utf8(name).is_err() {
        return Some(TopicErrorKind::NotUtf8);
    }
    memchr::memchr3(b'+', b'#', 0, name).map(|at| match name[at] {
        0 => TopicErrorKind::NullCharacter,
        _ => TopicErrorKind::WildcardInName,
    })
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<&str> for TopicName {
    type Error = TopicError;
    fn try_from(name: &str) -> Result<Self, TopicError> {
        Self::new(name)
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}
