//! Why a text is not a name, an organization, a client ID or an API key.
//!
//! INVARIANT: a text that is or may be a secret is not shown (G12).

use std::fmt;

/// What is wrong with an identity text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdentityErrorKind {
    /// A name has no characters.
    Empty,
    /// A name is longer than [`MAX_NAME_LEN`](super::MAX_NAME_LEN) characters.
    TooLong,
    /// A name has a character other than letters, digits, `-`, `_` and `.`.
    Character(char),
    /// An organization has a character other than letters and digits.
    OrgCharacter(char),
    /// A client ID does not match any form: wrong class letter, or a part is missing.
    NoForm,
    /// An API key is not `a-{org}-{random}`.
    NotAnApiKey,
    /// A token is empty.
    EmptyToken,
    /// A domain is not a host name.
    NotADomain,
    /// The API key belongs to another organization than the client ID.
    OtherOrganization,
}

impl fmt::Display for IdentityErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Empty => "it is empty; give it 1 to 36 characters",
            Self::TooLong => "it is longer than 36 characters",
            Self::Character(c) => {
                return write!(f, "{c:?} is not allowed; use letters, digits, '-', '_' and '.'");
            }
            Self::OrgCharacter(c) => {
                return write!(
                    f,
                    "{c:?} is not allowed; an organization is made of letters and digits, as in 'abc123'"
                );
            }
            Self::NoForm => {
                "it has none of the forms 'a:org:app', 'A:org:app', 'A:org:app:instance', 'd:org:type:device' and \
                 'g:org:type:device'"
            }
            Self::NotAnApiKey => "it is not an API key; it looks like 'a-abc123-x1y2z3'",
            Self::EmptyToken => "it is empty; give the token that came with the API key",
            Self::NotADomain => "it is not a domain; write it as in 'internetofthings.ibmcloud.com'",
            Self::OtherOrganization => "the API key belongs to another organization; use a key of the client ID's one",
        };
        f.write_str(text)
    }
}

/// A text that is no name, organization, client ID, API key or domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdentityError {
    kind: IdentityErrorKind,
    what: &'static str,
    /// `None` where it may be a secret.
    input: Option<Box<str>>,
}

impl IdentityError {
    pub(in crate::platform) fn new(kind: IdentityErrorKind, what: &'static str, input: &str) -> Self {
        const SHOWN: usize = 80;
        let input = match input.char_indices().nth(SHOWN) {
            Some((at, _)) => format!("{}...", &input[..at]),
            None => input.to_owned(),
        };
        Self { kind, what, input: Some(input.into()) }
    }

    /// An error about a text that is, or may be, a secret.
    pub(in crate::platform) fn secret(kind: IdentityErrorKind, what: &'static str) -> Self {
        Self { kind, what, input: None }
    }

    /// What is wrong.
    #[must_use]
    pub fn kind(&self) -> IdentityErrorKind {
        self.kind
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.input {
            Some(input) => write!(f, "{} {input:?}: {}", self.what, self.kind),
            None => write!(f, "{}: {}", self.what, self.kind),
        }
    }
}

impl std::error::Error for IdentityError {}
