//! What may stand in one level of a topic: a [`Name`], a [`Word`], or in filters either of them or `+`.

use std::fmt;

use super::{TopicRuleError, TopicRuleErrorKind};
use crate::platform::Name;

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::platform::Name {}
    impl Sealed for super::Word {}
    impl<T> Sealed for super::Slot<T> {}
}

/// One level of a topic. Implemented here alone.
pub trait Level: sealed::Sealed + Sized {
    /// Whether the level may be `+`.
    const WILD: bool;

    /// Reads a level.
    ///
    /// # Errors
    /// A [`TopicRuleError`] about this level.
    fn read(level: &str) -> Result<Self, TopicRuleError>;

    /// The level as it stands in the topic.
    fn text(&self) -> &str;
}

/// An event, command, format, interface or rule: anything that fills one level. Its length is limited by that of the
/// whole topic alone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Word(Box<str>);

impl Word {
    /// Checks a word: not empty, without `/`, `+`, `#`, control characters and code points that are no
    /// characters (proxy, `convertTopic`).
    ///
    /// # Errors
    /// A [`TopicRuleError`] that says which rule is broken.
    pub fn new(word: &str) -> Result<Self, TopicRuleError> {
        let kind = if word.is_empty() {
            TopicRuleErrorKind::EmptyLevel
        } else if word.contains('/') {
            TopicRuleErrorKind::Slash
        } else if word.contains('#') {
            TopicRuleErrorKind::Hash
        } else if word.contains('+') {
            TopicRuleErrorKind::WildcardInTopic
        } else if word.contains(|c: char| c.is_control() || is_no_character(c)) {
            TopicRuleErrorKind::ControlCharacter
        } else {
            return Ok(Self(word.into()));
        };
        Err(TopicRuleError::new(kind, word))
    }

    /// The word as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The 66 code points that Unicode keeps from being characters.
fn is_no_character(c: char) -> bool {
    let point = u32::from(c);
    point & 0xfffe == 0xfffe || (0xfdd0..=0xfdef).contains(&point)
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Level for Word {
    const WILD: bool = false;

    fn read(level: &str) -> Result<Self, TopicRuleError> {
        Self::new(level)
    }

    fn text(&self) -> &str {
        self.as_str()
    }
}

impl Level for Name {
    const WILD: bool = false;

    fn read(level: &str) -> Result<Self, TopicRuleError> {
        match Word::new(level) {
            Ok(_) => Self::new(level).map_err(|error| TopicRuleError::new(error.into(), level)),
            Err(error) => Err(error),
        }
    }

    fn text(&self) -> &str {
        self.as_str()
    }
}

/// One level of a filter: a value, or `+` for any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slot<T> {
    /// `+`.
    #[default]
    Any,
    /// Only this.
    Only(T),
}

impl<T: Level> Level for Slot<T> {
    const WILD: bool = true;

    fn read(level: &str) -> Result<Self, TopicRuleError> {
        if level == "+" { Ok(Self::Any) } else { T::read(level).map(Self::Only) }
    }

    fn text(&self) -> &str {
        match self {
            Self::Any => "+",
            Self::Only(value) => value.text(),
        }
    }
}
