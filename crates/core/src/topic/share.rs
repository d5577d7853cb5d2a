//! Shared subscriptions: `$share/{share name}/{filter}` `[MQTT-4.8.2]`.

use std::fmt;
use std::str::FromStr;

use super::{TopicError, TopicErrorKind, TopicFilter};

/// The name of a share: at least one character, none of them `/`, `+`, `#` or null.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShareName(Box<str>);

impl ShareName {
    /// Checks a share name.
    ///
    /// # Errors
    /// [`TopicErrorKind::BadShareName`] when it is empty or has a forbidden character.
    pub fn new(name: &str) -> Result<Self, TopicError> {
        if name.is_empty() || name.contains(['/', '+', '#', '\0']) {
            return Err(TopicError::new(TopicErrorKind::BadShareName, name));
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What stands in a SUBSCRIBE: a filter, with or without a share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Subscription {
    /// The share that the subscription joins; `None` for a plain subscription.
    pub share: Option<ShareName>,
    /// Which topics it receives.
    pub filter: TopicFilter,
}

impl FromStr for Subscription {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        let Some(rest) = text.strip_prefix("$share/") else {
            return Ok(Self { share: None, filter: TopicFilter::new(text)? });
        };
        let (name, filter) =
            rest.split_once('/').ok_or_else(|| TopicError::new(TopicErrorKind::ShareWithoutFilter, text))?;
        if filter.is_empty() {
            return Err(TopicError::new(TopicErrorKind::ShareWithoutFilter, text));
        }
        Ok(Self { share: Some(ShareName::new(name)?), filter: TopicFilter::new(filter)? })
    }
}

impl fmt::Display for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.share {
            Some(share) => write!(f, "$share/{share}/{}", self.filter),
            None => fmt::Display::fmt(&self.filter, f),
        }
    }
}
