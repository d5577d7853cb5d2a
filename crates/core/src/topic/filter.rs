//! Topic filters: what is subscribed to. Matching walks both strings once, level by level.

use std::fmt;
use std::str::FromStr;

use super::{MAX_LEN, TopicError, TopicErrorKind};

/// A valid topic filter without a `$share` prefix: `plant/+/temperature`, `plant/#`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicFilter(Box<str>);

impl TopicFilter {
    /// Checks a topic filter.
    ///
    /// # Errors
    /// A [`TopicError`] that says which rule is broken.
    pub fn new(filter: &str) -> Result<Self, TopicError> {
        match broken_rule(filter) {
            Some(kind) => Err(TopicError::new(kind, filter)),
            None => Ok(Self(filter.into())),
        }
    }

    /// The filter as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the filter contains `+` or `#`.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        memchr::memchr2(b'+', b'#', self.0.as_bytes()).is_some()
    }

    /// Whether events published to `topic` reach a subscriber of this filter.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        if topic.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let mut levels = topic.split('/');
        for want in self.0.split('/') {
            match (want, levels.next()) {
                ("#", _) => return true,
                ("+", Some(_)) => {}
                (want, Some(level)) if want == level => {}
                _ => return false,
            }
        }
        levels.next().is_none()
    }

    /// Whether some topic could match both filters.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut mine, mut theirs) = (self.0.split('/').peekable(), other.0.split('/').peekable());
        let special = |first: Option<&&str>| first.is_some_and(|level| level.starts_with('$'));
        let wild = |first: Option<&&str>| first.is_some_and(|level| matches!(*level, "+" | "#"));
        if (special(mine.peek()) && wild(theirs.peek())) || (special(theirs.peek()) && wild(mine.peek())) {
            return false;
        }
        loop {
            match (mine.next(), theirs.next()) {
                (Some("#"), _) | (_, Some("#")) | (None, None) => return true,
                (Some(a), Some(b)) if a == b || a == "+" || b == "+" => {}
                _ => return false,
            }
        }
    }
}

fn broken_rule(filter: &str) -> Option<TopicErrorKind> {
    if filter.is_empty() {
        return Some(TopicErrorKind::Empty);
    }
    if filter.len() > MAX_LEN {
        return Some(TopicErrorKind::TooLong);
    }
    if filter.contains('\0') {
        return Some(TopicErrorKind::NullCharacter);
    }
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        if level.contains('#') && (level != "#" || levels.peek().is_some()) {
            return Some(TopicErrorKind::HashNotLast);
        }
        if level.contains('+') && level != "+" {
            return Some(TopicErrorKind::PlusNotAlone);
        }
    }
    None
}

impl fmt::Debug for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TopicFilter {
    type Err = TopicError;
    fn from_str(filter: &str) -> Result<Self, TopicError> {
        Self::new(filter)
    }
}
