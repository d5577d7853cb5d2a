//! Who the emulated platform knows: API keys with their tokens and roles, devices with their tokens.

use std::collections::HashMap;
use std::fmt;

use tidemill_core::platform::identity::Accepted;
use tidemill_core::platform::{ApiKey, Role};

/// API keys and device tokens. Empty at first: only Quickstart gets in.
#[derive(Clone, Default)]
pub struct Accounts {
    keys: HashMap<String, (String, Role)>,
    devices: HashMap<String, String>,
    any_device: Option<String>,
}

impl Accounts {
    /// Knows an API key of the standard role.
    #[must_use]
    pub fn with_key(self, key: &str, token: &str) -> Self {
        self.with_key_of_role(key, token, Role::Standard)
    }

    /// Knows an API key.
    #[must_use]
    pub fn with_key_of_role(mut self, key: &str, token: &str, role: Role) -> Self {
        self.keys.insert(key.to_owned(), (token.to_owned(), role));
        self
    }

    /// Knows a device or gateway by its client ID.
    #[must_use]
    pub fn with_device(mut self, client_id: &str, token: &str) -> Self {
        self.devices.insert(client_id.to_owned(), token.to_owned());
        self
    }

    /// Takes every device that has this token, as if it were registered.
    #[must_use]
    pub fn with_any_device(mut self, token: &str) -> Self {
        self.any_device = Some(token.to_owned());
        self
    }

    /// The role of a client whose CONNECT has passed the rules; `None` when key, token or device is not known.
    pub(super) fn admit(&self, accepted: &Accepted, password: &str) -> Option<Role> {
        if accepted.client.org().is_quickstart() {
            return Some(Role::Standard);
        }
        let (token, role) = match accepted.key.as_ref().map(ApiKey::as_str) {
            Some(key) => self.keys.get(key).map(|(token, role)| (token, *role))?,
            None => {
                let known = self.devices.get(&accepted.client.to_string());
                (known.or(self.any_device.as_ref())?, Role::Device)
            }
        };
        (token == password).then_some(role)
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.keys.keys().collect();
        let devices: Vec<&String> = self.devices.keys().collect();
        f.debug_struct("Accounts").field("keys", &keys).field("devices", &devices).finish_non_exhaustive()
    }
}
