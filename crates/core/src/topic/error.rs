//! Why a string is not a topic name, filter, pattern or share name.

use std::fmt;

/// What is wrong with a topic string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicErrorKind {
    /// The string has no characters `[MQTT-4.7.3-1]`.
    Empty,
    /// Longer than [`MAX_LEN`](super::MAX_LEN) bytes `[MQTT-4.7.3-3]`.
    TooLong,
    /// Not UTF-8 `[MQTT-1.5.4-1]`.
    NotUtf8,
    /// Contains U+0000 `[MQTT-4.7.3-2]`.
    NullCharacter,
    /// A topic name contains `+` or `#` `[MQTT-4.7.1-1]`.
    WildcardInName,
    /// `+` does not fill a whole level `[MQTT-4.7.1-2]`.
    PlusNotAlone,
    /// `#` is not the whole last level `[MQTT-4.7.1-1]`.
    HashNotLast,
    /// A share name is empty or contains `/`, `+` or `#` `[MQTT-4.8.2-1]`, `[MQTT-4.8.2-2]`.
    BadShareName,
    /// `$share/name` without a filter behind it.
    ShareWithoutFilter,
    /// A filter starts with `$share/`; a [`Subscription`](super::Subscription) has the share beside its filter.
    ShareInFilter,
    /// A route pattern starts with `$share/`; the share comes from the group.
    ShareInPattern,
    /// A brace in a pattern that does not open or close a capture filling one whole level.
    CaptureNotAlone,
    /// A capture whose name is not letters, digits, `_` or `-`.
    BadCaptureName,
    /// Two captures of one pattern have the same name.
    DuplicateCapture,
}

impl TopicErrorKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Empty => "it is empty",
            Self::TooLong => "it is longer than 65535 bytes",
            Self::NotUtf8 => "it is not UTF-8",
            Self::NullCharacter => "it contains the null character",
            Self::WildcardInName => "a topic name cannot contain '+' or '#'",
            Self::PlusNotAlone => "'+' must fill a whole level, as in 'a/+/b'",
            Self::HashNotLast => "'#' must be the whole last level, as in 'a/#'",
            Self::BadShareName => "a share name needs at least one character and no '/', '+' or '#'",
            Self::ShareWithoutFilter => "'$share/name/' must be followed by a filter",
            Self::ShareInFilter => "a filter has no '$share' prefix; give the share name apart from it",
            Self::ShareInPattern => "a route has no '$share' prefix; set the group instead",
            Self::CaptureNotAlone => "a capture must fill a whole level, as in 'plant/{line}/temperature'",
            Self::BadCaptureName => "a capture name is made of letters, digits, '_' and '-'",
            Self::DuplicateCapture => "two captures have the same name",
        }
    }
}

/// A string that is not what it should be: a topic name, filter, pattern or share name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicError {
    kind: TopicErrorKind,
    input: Box<str>,
}

impl TopicError {
    pub(super) fn new(kind: TopicErrorKind, input: &str) -> Self {
        const SHOWN: usize = 80;
        let input = match input.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("{}...", &input[..at]),
            None => input.to_owned(),
        };
        Self { kind, input: input.into() }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> TopicErrorKind {
        self.kind
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "topic {:?}: {}", self.input, self.kind.text())
    }
}

impl std::error::Error for TopicError {}
