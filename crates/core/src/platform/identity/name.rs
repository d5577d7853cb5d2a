//! The parts that client IDs and topics are made of: names of applications, instances, types and devices, and
//! organizations. A value of these types has only characters that are safe as a level of a topic.

use std::fmt;
use std::str::FromStr;

use super::{IdentityError, IdentityErrorKind};

/// The longest name, in characters, all of which are ASCII.
pub const MAX_NAME_LEN: usize = 36;

/// The organization of the sandbox that needs no account.
pub const QUICKSTART: &str = "quickstart";

/// The name of an application, instance, device type or device: 1 to 36 of `A-Z a-z 0-9 - _ .`
///
/// The rule is the proxy's expression `^[A-Za-z0-9\_\.-]{1,36}$` (proxy, `pxmqtt.c`), which the documentation states
/// in words. Before 2016 application names had no rule, so names of that age may be refused here.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Box<str>);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// [`IdentityErrorKind::Empty`], [`IdentityErrorKind::TooLong`] or [`IdentityErrorKind::Character`].
    pub fn new(name: &str) -> Result<Self, IdentityError> {
        Self::of("name", name)
    }

    /// [`new`](Self::new) with the word that errors call the name.
    pub(in crate::platform) fn of(what: &'static str, name: &str) -> Result<Self, IdentityError> {
        let wrong = |kind| Err(IdentityError::new(kind, what, name));
        if name.is_empty() {
            return wrong(IdentityErrorKind::Empty);
        }
        let odd = |c: &char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'));
        if let Some(odd) = name.chars().find(odd) {
            return wrong(IdentityErrorKind::Character(odd));
        }
        if name.len() > MAX_NAME_LEN {
            return wrong(IdentityErrorKind::TooLong);
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An organization: letters and digits, at most 36.
///
/// The service issues six characters (applications page), but the proxy only demands that there are some (its own tests
/// use four), so other lengths are accepted: see [`has_issued_length`](Self::has_issued_length). A `-` cannot occur, as
/// the SDKs split API keys there.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrgId(Box<str>);

impl OrgId {
    /// Checks an organization.
    ///
    /// # Errors
    /// [`IdentityErrorKind::Empty`], [`IdentityErrorKind::TooLong`] or [`IdentityErrorKind::OrgCharacter`].
    pub fn new(org: &str) -> Result<Self, IdentityError> {
        let wrong = |kind| Err(IdentityError::new(kind, "organization", org));
        if org.is_empty() {
            return wrong(IdentityErrorKind::Empty);
        }
        if let Some(odd) = org.chars().find(|c| !c.is_ascii_alphanumeric()) {
            return wrong(IdentityErrorKind::OrgCharacter(odd));
        }
        if org.len() > MAX_NAME_LEN {
            return wrong(IdentityErrorKind::TooLong);
        }
        Ok(Self(org.into()))
    }

    /// The sandbox.
    #[must_use]
    pub fn quickstart() -> Self {
        Self(QUICKSTART.into())
    }

    /// Whether this is the sandbox, whose rules are in [`quickstart`](crate::platform::quickstart).
    #[must_use]
    pub fn is_quickstart(&self) -> bool {
        *self.0 == *QUICKSTART
    }

    /// Whether it has the six characters that the service issues. The Java SDK cuts them out of the API key by position.
    #[must_use]
    pub fn has_issued_length(&self) -> bool {
        self.0.len() == 6
    }

    /// The organization as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_type {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl FromStr for $name {
            type Err = IdentityError;
            fn from_str(text: &str) -> Result<Self, IdentityError> {
                Self::new(text)
            }
        }
    };
}

text_type!(Name);
text_type!(OrgId);
