//! API keys and tokens. A token is a secret: it shows in no `Debug`, and only [`Token::reveal`] gives it away (G12).

use std::fmt;
use std::str::FromStr;

use super::{ClientId, IdentityError, IdentityErrorKind, OrgId};

/// The user name of devices and gateways, whose password is their token.
pub const TOKEN_AUTH_USER: &str = "use-token-auth";

/// An API key `a-{org}-{random}`: the user name of an application (applications page).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ApiKey {
    text: Box<str>,
    org: OrgId,
}

impl ApiKey {
    /// Reads an API key. The organization is what stands between the first two `-`.
    ///
    /// # Errors
    /// [`IdentityErrorKind::NotAnApiKey`] when the text has another shape.
    pub fn new(text: &str) -> Result<Self, IdentityError> {
        // Without the text: key and token are easily confused.
        let wrong = || IdentityError::secret(IdentityErrorKind::NotAnApiKey, "API key");
        let (org, random) = text.strip_prefix("a-").and_then(|rest| rest.split_once('-')).ok_or_else(wrong)?;
        let printable = |c: char| c.is_ascii_graphic();
        if random.is_empty() || !random.chars().all(printable) {
            return Err(wrong());
        }
        let org = OrgId::new(org).map_err(|_| wrong())?;
        Ok(Self { text: text.into(), org })
    }

    /// The key as text: the MQTT user name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The organization that issued it.
    #[must_use]
    pub fn org(&self) -> &OrgId {
        &self.org
    }

    /// Checks that the key belongs to the organization of a client ID.
    ///
    /// # Errors
    /// [`IdentityErrorKind::OtherOrganization`] when it does not.
    pub fn check_client(&self, client: &ClientId) -> Result<(), IdentityError> {
        if self.org == *client.org() {
            return Ok(());
        }
        Err(IdentityError::new(IdentityErrorKind::OtherOrganization, "client ID", &client.to_string()))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ApiKey {
    type Err = IdentityError;
    fn from_str(text: &str) -> Result<Self, IdentityError> {
        Self::new(text)
    }
}

/// The token of an API key, a device or a gateway: the MQTT password.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Box<str>);

impl Token {
    /// Takes a token.
    ///
    /// # Errors
    /// [`IdentityErrorKind::EmptyToken`] when there is none.
    pub fn new(token: &str) -> Result<Self, IdentityError> {
        if token.is_empty() {
            return Err(IdentityError::secret(IdentityErrorKind::EmptyToken, "token"));
        }
        Ok(Self(token.into()))
    }

    /// The secret itself, for the CONNECT packet.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
