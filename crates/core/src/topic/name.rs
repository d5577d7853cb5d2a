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
    pub fn from_bytes(bytes: Bytes) -> Result<Self, TopicError> {
        if let Some(kind) = broken_rule(&bytes) {
            return Err(TopicError::new(kind, &String::from_utf8_lossy(&bytes)));
        }
        // Nearly every topic is ASCII, which is quicker to see than that it is UTF-8.
        if !bytes.is_ascii() && std::str::from_utf8(&bytes).is_err() {
            return Err(TopicError::new(TopicErrorKind::NotUtf8, &String::from_utf8_lossy(&bytes)));
        }
        ByteString::try_from(bytes).map(Self).map_err(|_| TopicError::new(TopicErrorKind::NotUtf8, ""))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes of the name, shared.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        self.0.as_bytes()
    }
}

fn broken_rule(name: &[u8]) -> Option<TopicErrorKind> {
    if name.is_empty() {
        return Some(TopicErrorKind::Empty);
    }
    if name.len() > MAX_LEN {
        return Some(TopicErrorKind::TooLong);
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
