//! What the platform says to a CONNECT packet, as far as the packet alone decides it: form of the client ID, clean
//! session, keep alive, user name. Whether key and token are valid is for whoever knows them.

use std::fmt;

use super::{ApiKey, ClientId, IdentityError, IdentityErrorKind, TOKEN_AUTH_USER};
use crate::platform::CloseCode;
use crate::platform::quickstart::{self, QuickstartError};

/// The parts of a CONNECT that rules are about.
#[derive(Clone, Copy, Debug)]
pub struct ConnectRequest<'a> {
    /// The client ID as sent.
    pub client_id: &'a str,
    /// Clean session, in MQTT 5 clean start.
    pub clean_session: bool,
    /// Keep alive in seconds.
    pub keep_alive: u16,
    /// The user name as sent.
    pub user: Option<&'a str>,
    /// Whether there is a password.
    pub has_password: bool,
    /// Whether the connection uses TLS.
    pub tls: bool,
}

/// A connection that may go on to authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// Who it is.
    pub client: ClientId,
    /// The API key of an application; `None` for devices, gateways and in Quickstart.
    pub key: Option<ApiKey>,
    /// The keep alive that the platform goes by, in seconds; `0` is none.
    pub keep_alive: u16,
    /// Whether the platform tells members apart by an instance that it makes up, as for `A:org:app`.
    pub generates_instance: bool,
}

/// Why a connection is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The client ID is wrong.
    ClientId(IdentityError),
    /// `A:org:app` without clean session.
    NeedsCleanSession,
    /// User name or password is missing or has the wrong form.
    Credentials,
    /// The API key belongs to another organization.
    OtherOrganization(IdentityError),
    /// Quickstart does not offer it.
    Quickstart(QuickstartError),
}

/// A refused connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    reason: RefusalReason,
}

impl Refusal {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> &RefusalReason {
        &self.reason
    }

    /// The return code of the MQTT 3.1.1 CONNACK: 2 when the client ID has a form but a part of it is wrong, else 5.
    #[must_use]
    pub fn connack(&self) -> u8 {
        match &self.reason {
            RefusalReason::ClientId(error) if error.kind() != IdentityErrorKind::NoForm => 2,
            _ => 5,
        }
    }

    /// The closing code that the platform reports: 166 for CONNACK 2, 180 for CONNACK 5.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        CloseCode::from_connack(self.connack())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            RefusalReason::ClientId(error) | RefusalReason::OtherOrganization(error) => error.fmt(f),
            RefusalReason::NeedsCleanSession => f.write_str(
                "a client ID 'A:org:app' without instance needs a clean session; set clean session to true, or add an \
                 instance",
            ),
            RefusalReason::Credentials => f.write_str(
                "credentials are missing or of the wrong form; an application's user name is its API key and its \
                 password the token",
            ),
            RefusalReason::Quickstart(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refusal {}

/// Judges a CONNECT.
///
/// # Errors
/// A [`Refusal`] with CONNACK and closing code.
pub fn check_connect(request: &ConnectRequest<'_>) -> Result<Accepted, Refusal> {
    let refuse = |reason| Refusal { reason };
    let client = ClientId::new(request.client_id).map_err(|error| refuse(RefusalReason::ClientId(error)))?;
    if client.org().is_quickstart() {
        quickstart::check_connect(&client, request.tls).map_err(|error| refuse(RefusalReason::Quickstart(error)))?;
    }
    if client.needs_clean_session() && !request.clean_session {
        return Err(refuse(RefusalReason::NeedsCleanSession));
    }
    let key = check_credentials(&client, request).map_err(refuse)?;
    Ok(Accepted {
        keep_alive: client.effective_keep_alive(request.keep_alive),
        generates_instance: !client.is_taken_over(),
        client,
        key,
    })
}

fn check_credentials(client: &ClientId, request: &ConnectRequest<'_>) -> Result<Option<ApiKey>, RefusalReason> {
    if client.org().is_quickstart() {
        return Ok(None);
    }
    if !request.has_password {
        return Err(RefusalReason::Credentials);
    }
    let user = request.user.ok_or(RefusalReason::Credentials)?;
    if client.app().is_none() {
        return if user == TOKEN_AUTH_USER { Ok(None) } else { Err(RefusalReason::Credentials) };
    }
    let key = ApiKey::new(user).map_err(|_| RefusalReason::Credentials)?;
    key.check_client(client).map_err(RefusalReason::OtherOrganization)?;
    Ok(Some(key))
}
