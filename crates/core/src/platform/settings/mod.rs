//! Settings as the platform's SDKs take them: `WIOTP_*` variables, and their YAML files behind the feature
//! `platform-yaml`. For moving an application from an SDK to a worker; all mistakes are reported at once.
//!
//! Both sources become the same raw texts, and one set of rules reads those. Nothing is read from the process or disk.

mod problem;
mod raw;
mod read;
#[cfg(test)]
mod tests;
#[cfg(feature = "platform-yaml")]
mod yaml;

pub use problem::{SettingsError, SettingsProblem, SettingsWarning};

use super::identity::{DEFAULT_DOMAIN, IdentityError};
use super::{ApiKey, ClientId, Endpoint, Name, OrgId, Token, identity::Transport};

/// How the SDKs name their levels of logging.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogLevel {
    /// `error`
    Error,
    /// `warning`
    Warning,
    /// `info`
    #[default]
    Info,
    /// `debug`
    Debug,
}

/// Which certificates to trust beyond the default.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaFile {
    /// `_os_`, the Python SDK's word for the trust store of the operating system.
    System,
    /// A PEM file.
    Path(String),
}

/// How the application's connections share their subscriptions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sharing {
    /// Not at all: `a:org:app`.
    #[default]
    None,
    /// `sharedSubscription`, in the SDKs for Java, Node.js and C: `A:org:app`.
    Shared,
    /// `instanceId`, in the SDK for Python: `A:org:app:instance`.
    Instance(Name),
}

/// API key and token.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Credentials {
    /// The user name.
    pub key: ApiKey,
    /// The password.
    pub token: Token,
}

/// What an SDK is told about its connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlatformSettings {
    /// The organization: that of the API key, or Quickstart without one.
    pub org: OrgId,
    /// `identity.appId`. The SDKs make up a random one; here [`client_id`](Self::client_id) is given it.
    pub app: Option<Name>,
    /// `auth.key` and `auth.token`; `None` in Quickstart.
    pub credentials: Option<Credentials>,
    /// `options.mqtt.sharedSubscription` and `options.mqtt.instanceId`.
    pub sharing: Sharing,
    /// `options.domain`.
    pub domain: String,
    /// `options.logLevel`.
    pub log_level: LogLevel,
    /// `options.mqtt.transport`.
    pub transport: Transport,
    /// `options.mqtt.port`; without it the port follows from transport and organization, see [`Endpoint::new`].
    pub port: Option<u16>,
    /// `options.mqtt.caFile`.
    pub ca_file: Option<CaFile>,
    /// `options.mqtt.cleanStart` as it is documented: whether the session starts anew. `None` is the default of every
    /// SDK, a clean session. The Python SDK does the opposite of what is written (`clean_session = not cleanStart`).
    pub clean_start: Option<bool>,
    /// `options.mqtt.sessionExpiry` in seconds. The SDKs accept it and speak MQTT 3.1.1, which has no such thing.
    pub session_expiry: u32,
    /// `options.mqtt.keepAlive` in seconds.
    pub keep_alive: u16,
    /// `options.http.verify`: for the HTTP API, not used for MQTT.
    pub http_verify: bool,
    /// `options.apiRoot`: for the HTTP API, not used for MQTT.
    pub api_root: Option<String>,
    /// What was read but will not do what it seems to say.
    pub warnings: Vec<SettingsWarning>,
}

impl PlatformSettings {
    /// Reads `WIOTP_*` variables, e.g. those of `std::env::vars()`; others are skipped. An empty value counts as unset.
    ///
    /// # Errors
    /// A [`SettingsError`] with every mistake.
    pub fn from_env<K, V>(vars: impl IntoIterator<Item = (K, V)>) -> Result<Self, SettingsError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        read::settings(raw::Raw::from_env(vars))
    }

    /// Reads the YAML layout of the SDKs' configuration files.
    ///
    /// # Errors
    /// A [`SettingsError`] with every mistake; a text that is not of the layout has one, which names the line.
    #[cfg(feature = "platform-yaml")]
    pub fn from_yaml(text: &str) -> Result<Self, SettingsError> {
        read::settings(yaml::raw(text)?)
    }

    /// The client ID. `generated` is the application when the settings name none.
    #[must_use]
    pub fn client_id(&self, generated: &Name) -> ClientId {
        let (org, app) = (self.org.clone(), self.app.as_ref().unwrap_or(generated).clone());
        match &self.sharing {
            Sharing::None => ClientId::Application { org, app },
            Sharing::Shared => ClientId::Scalable { org, app },
            Sharing::Instance(instance) => ClientId::ScalableInstance { org, app, instance: instance.clone() },
        }
    }

    /// Whether to connect with a clean session: always for `A:org:app`, else as
    /// [`clean_start`](Self::clean_start) says.
    #[must_use]
    pub fn clean_session(&self) -> bool {
        self.sharing == Sharing::Shared || self.clean_start.unwrap_or(true)
    }

    /// Where to connect.
    ///
    /// # Errors
    /// When [`domain`](Self::domain) was set to something that is no domain.
    pub fn endpoint(&self) -> Result<Endpoint, IdentityError> {
        Endpoint::new(&self.org, &self.domain, self.transport, self.port)
    }
}

/// What the SDKs take when nothing is set.
impl Default for PlatformSettings {
    fn default() -> Self {
        Self {
            org: OrgId::quickstart(),
            app: None,
            credentials: None,
            sharing: Sharing::None,
            domain: DEFAULT_DOMAIN.to_owned(),
            log_level: LogLevel::Info,
            transport: Transport::Tcp,
            port: None,
            ca_file: None,
            clean_start: None,
            session_expiry: 3600,
            keep_alive: 60,
            http_verify: true,
            api_root: None,
            warnings: Vec::new(),
        }
    }
}
