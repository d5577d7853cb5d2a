//! Topic filters: what is subscribed to. Matching walks both strings once, and so do the two questions that may be
//! asked of two filters: whether they share a topic, and whether one receives all that the other does.

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
        // In a checked filter `+` and `#` always fill a level, so bytes can be compared without finding levels first.
        let (filter, topic) = (self.0.as_bytes(), topic.as_bytes());
        let mut at = 0;
        for (seen, want) in filter.iter().enumerate() {
            match want {
                b'#' => return true,
                b'+' => at += level_len(&topic[at..]),
                want => match topic.get(at) {
                    Some(byte) if byte == want => at += 1,
                    Some(_) => return false,
                    // `a/#` also matches `a`, the parent.
                    None => return filter[seen..] == *b"/#",
                },
            }
        }
        at == topic.len()
    }

    /// Whether every topic that `other` matches is matched by this filter too.
    ///
    /// Different filters may cover each other: `#` and `+/#` match the same topics, and so do `/#` and `/+/#`.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        if other.0.starts_with('$') && self.0.starts_with(['+', '#']) {
            return false;
        }
        let (mut mine, mut theirs) = (self.0.split('/'), other.without_empty_topic().split('/'));
        loop {
            match (mine.next(), theirs.next()) {
                (Some("#"), _) | (None, None) => return true,
                (Some("+"), Some(theirs)) if theirs != "#" => {}
                (Some(mine), Some(theirs)) if mine == theirs => {}
                _ => return false,
            }
        }
    }

    /// Whether some topic could match both filters.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.without_empty_topic(), other.without_empty_topic());
        let (mut mine, mut theirs) = (mine.split('/').peekable(), theirs.split('/').peekable());
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

    /// The same filter, written so that by its levels it does not match the empty string. A `#` matches its parent
    /// too, but what stands before `#` or `/#` alone is no topic.
    fn without_empty_topic(&self) -> &str {
        match &*self.0 {
            "#" => "+/#",
            "/#" => "/+/#",
            filter => filter,
        }
    }
}

fn level_len(rest: &[u8]) -> usize {
    memchr::memchr(b'/', rest).unwrap_or(rest.len())
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
    if filter.starts_with("$share/") {
        return Some(TopicErrorKind::ShareInFilter);
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
