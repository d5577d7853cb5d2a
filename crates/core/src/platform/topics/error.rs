//! Why a text is no topic or filter of the platform, and which closing code the platform gives for it.

use std::fmt;

use crate::platform::CloseCode;
use crate::platform::identity::{IdentityError, IdentityErrorKind};
use crate::topic::TopicError;

/// What is wrong with a topic or filter.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TopicRuleErrorKind {
    /// It is no MQTT topic at all.
    Mqtt(TopicError),
    /// It contains `#`, which the proxy refuses for every application (`nohash` in `topicrule.c`).
    Hash,
    /// It starts with `$`: shared prefixes are for the platform's own use.
    Dollar,
    /// It starts with `$SYS`.
    System,
    /// It has none of the shapes that applications may use.
    NoShape,
    /// A level has `+` where the shape has a fixed word.
    PlusInFixedLevel,
    /// A topic to publish to has a wildcard.
    WildcardInTopic,
    /// A level is empty.
    EmptyLevel,
    /// A type, device or application is not a valid name.
    Name(IdentityErrorKind),
    /// A word has a control character or a code point that Unicode keeps from being a character.
    ControlCharacter,
    /// A word contains `/`, so it would be more than one level.
    Slash,
    /// The shape has no such place, e.g. an event in a filter for monitoring.
    NoSuchPlace(&'static str),
    /// Applications may subscribe to this shape, but not publish to it.
    NotPublishable,
}

/// A text that is no topic or filter of the platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicRuleError {
    kind: TopicRuleErrorKind,
    input: Box<str>,
}

impl TopicRuleError {
    pub(super) fn new(kind: TopicRuleErrorKind, input: &str) -> Self {
        const SHOWN: usize = 120;
        let input = match input.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("{}...", &input[..at]),
            None => input.to_owned(),
        };
        Self { kind, input: input.into() }
    }

    /// The same error, told about a longer text that `input` is a part of.
    pub(super) fn within(self, input: &str) -> Self {
        Self::new(self.kind, input)
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> &TopicRuleErrorKind {
        &self.kind
    }

    /// The code with which the platform closes an MQTT 3.1.1 connection over this topic, on publish and on subscribe:
    /// 289 for `$SYS`, 276 for all others, shared prefixes included (proxy, `convertTopic`). With MQTT 5 only the one packet
    /// is refused.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        match self.kind {
            TopicRuleErrorKind::System => CloseCode::SystemTopic,
            _ => CloseCode::TopicNotValid,
        }
    }
}

impl From<IdentityError> for TopicRuleErrorKind {
    fn from(error: IdentityError) -> Self {
        Self::Name(error.kind())
    }
}

impl fmt::Display for TopicRuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match &self.kind {
            TopicRuleErrorKind::Mqtt(error) => return error.fmt(f),
            TopicRuleErrorKind::Name(kind) => return write!(f, "{:?}: {kind}", self.input),
            TopicRuleErrorKind::NoSuchPlace(place) => {
                return write!(f, "{:?}: this kind of topic has no {place}", self.input);
            }
            TopicRuleErrorKind::Hash => {
                "the platform refuses '#' from applications and closes the connection (276); write '+' for each level"
            }
            TopicRuleErrorKind::Dollar => {
                "topics with '$' are the platform's own; subscribe to the plain filter, members of 'A:org:app' share \
                 it without a prefix"
            }
            TopicRuleErrorKind::System => "applications have no system topics; use the monitoring topics",
            TopicRuleErrorKind::NoShape => {
                "it is no topic of the platform's applications; an event's is \
                 'iot-2/type/T/id/I/evt/E/fmt/F', see the platform guide for all"
            }
            TopicRuleErrorKind::PlusInFixedLevel => {
                "'+' may stand only for a type, id, event, command, format, application, interface or rule"
            }
            TopicRuleErrorKind::WildcardInTopic => "a topic to publish to has no wildcards; name the device and event",
            TopicRuleErrorKind::EmptyLevel => "no level may be empty",
            TopicRuleErrorKind::ControlCharacter => {
                "control characters and code points that are no characters are not allowed"
            }
            TopicRuleErrorKind::Slash => "'/' is not allowed within a level",
            TopicRuleErrorKind::NotPublishable => {
                "applications publish events and commands only; the platform publishes this one"
            }
        };
        write!(f, "topic {:?}: {text}", self.input)
    }
}

impl std::error::Error for TopicRuleError {}
