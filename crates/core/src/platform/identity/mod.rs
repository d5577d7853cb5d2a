//! Who connects: organizations, client IDs, API keys, and where and how they may connect.
//!
//! Every text is checked once, when its type is made; secrets never show in `Debug` (G12).

mod client_id;
mod connect;
mod credentials;
mod endpoint;
mod error;
mod name;
#[cfg(test)]
mod tests;

pub(in crate::platform) use client_id::MAX_KEEP_ALIVE;
pub use client_id::{Class, ClientId};
pub use connect::{Accepted, ConnectRequest, Refusal, RefusalReason, check_connect};
pub use credentials::{ApiKey, TOKEN_AUTH_USER, Token};
pub use endpoint::{DEFAULT_DOMAIN, Endpoint, Transport};
pub use error::{IdentityError, IdentityErrorKind};
pub use name::{MAX_NAME_LEN, Name, OrgId, QUICKSTART};
