//! Configuration of a worker: the tree of keys, how it is loaded, checked and documented.
//!
//! Owns every setting that an operator can write, its default and its rules; the rest of the runtime only reads the
//! finished tree. Four invariants: a key that nobody honours does not exist; every mistake is reported in one go, with
//! its key and the way out; secret values appear in no error, no `Debug` and no serialised form; and the process
//! environment is read in one place only, [`ProcessEnv`].
//!
//! Sources, each overriding the one before: the defaults, a TOML file, environment variables, the caller's code.
//!
//! ```toml
//! instances = 4
//!
//! [mqtt]
//! url = "mqtts://broker.example:8883"
//! username = "plant-7"
//! password_file = "/run/secrets/mqtt"
//!
//! [group]
//! name = "thermostats"
//! ```

mod address;
mod advice;
mod elastic;
mod instances;
mod keys;
mod load;
mod lookup;
mod mqtt;
mod mqtt_sink;
mod platform;
mod problem;
mod provenance;
mod reference;
mod reload;
mod secret;
mod sections;
mod shown;
mod sinks;
mod source;
#[cfg(test)]
mod tests;
mod units;
mod validate;

pub(crate) use keys::nearest;
pub(crate) use validate::{MAX_DURATION, MAX_INSTANCES};
mod warnings;

use std::collections::BTreeMap;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use address::{BrokerAddress, Transport};
pub use elastic::ElasticConfig;
pub use instances::Instances;
pub use load::Loader;
pub use lookup::{Lookup, ProcessEnv};
pub use mqtt::{MqttConfig, MqttVersion, ReconnectConfig, TlsConfig, WillConfig};
pub use mqtt_sink::MqttSinkConfig;
pub use platform::{PlatformConfig, PlatformRole, PlatformShape};
pub use problem::{ConfigErrors, ConfigProblem, Origin};
pub use reference::{reference, schema};
pub use reload::ReloadConfig;
pub(crate) use reload::{Content, FileWatch};
pub use secret::Secret;
pub use sections::{
    AdminConfig, DeadLetterConfig, DispatchConfig, DrainConfig, Expired, GroupConfig, IdentityConfig, IdentityMode,
    KillSwitchConfig, LogConfig, LogFormat, Order, Overflow, PresenceConfig, RetryConfig, RuntimeConfig, Verify,
};
pub use sinks::{SinkSettings, SinkStart};

/// The whole configuration of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// How many instances this worker runs, 1 to 1024, or limits between which it finds the number itself. Each is a
    /// connection of its own and a member of the group.
    pub instances: Instances,
    /// Allows several instances without a group. Each of them then receives every event.
    pub broadcast: bool,
    /// The connection to the broker; every instance has one of its own.
    pub mqtt: MqttConfig,
    /// The group that shares the events.
    pub group: GroupConfig,
    /// The client IDs of the instances.
    pub identity: IdentityConfig,
    /// IBM Watson IoT Platform, Maximo IoT: who the worker is there. Needs `identity.mode = "platform"`.
    pub platform: PlatformConfig,
    /// How events get to handlers.
    pub dispatch: DispatchConfig,
    /// What happens after a failed attempt. Routes may override it.
    pub retry: RetryConfig,
    /// Where events go that cannot be handled.
    pub dead_letters: DeadLetterConfig,
    /// How sinks are fed, by the name that the code of the worker gave each. A section takes the place of settings that
    /// stand in the code, all of them. Variables reach a sink whose name is in lower case.
    pub sinks: BTreeMap<String, SinkSettings>,
    /// When a failing route is unsubscribed.
    pub kill_switch: KillSwitchConfig,
    /// When instances are added and taken away, where `instances` has limits.
    pub elastic: ElasticConfig,
    /// How a worker leaves.
    pub drain: DrainConfig,
    /// The HTTP server with `/metrics`, `/livez`, `/readyz` and `/status`.
    pub admin: AdminConfig,
    /// Logs, for programs that let Tidemill set logging up.
    pub log: LogConfig,
    /// Threads of the worker.
    pub runtime: RuntimeConfig,
    /// What happens when the configuration file changes while the worker runs.
    pub reload: ReloadConfig,
    /// Where it was read from.
    #[serde(skip)]
    pub(crate) provenance: provenance::Provenance,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            // Scaling out is a decision: it needs a group and a broker that shares.
            instances: Instances::Fixed(1),
            // Several plain subscriptions multiply the work; nobody should get that by accident.
            broadcast: false,
            mqtt: MqttConfig::default(),
            group: GroupConfig::default(),
            identity: IdentityConfig::default(),
            platform: PlatformConfig::default(),
            dispatch: DispatchConfig::default(),
            retry: RetryConfig::default(),
            dead_letters: DeadLetterConfig::default(),
            sinks: BTreeMap::new(),
            kill_switch: KillSwitchConfig::default(),
            elastic: ElasticConfig::default(),
            drain: DrainConfig::default(),
            admin: AdminConfig::default(),
            log: LogConfig::default(),
            runtime: RuntimeConfig::default(),
            reload: ReloadConfig::default(),
            provenance: provenance::Provenance::default(),
        }
    }
}

impl Config {
    /// Loads the configuration of this process: the file that `TIDEMILL_CONFIG` names, or else `tidemill.toml` in the
    /// working directory if there is one, then the environment.
    ///
    /// Rules about several keys together are not checked yet, as code may still change them: see
    /// [`validate`](Self::validate).
    ///
    /// # Errors
    /// Every unreadable source, unknown key and bad value, all at once.
    pub fn load() -> Result<Self, ConfigErrors> {
        Self::loader().default_file("tidemill.toml").env(&ProcessEnv).load()
    }

    /// Starts to load from chosen sources; it reads nothing that it was not told to read.
    pub fn loader() -> Loader {
        Loader::default()
    }

    /// Reads the configuration from TOML text alone.
    ///
    /// # Errors
    /// Every syntax error, unknown key and bad value, all at once.
    pub fn from_toml(text: &str) -> Result<Self, ConfigErrors> {
        Self::loader().text(text).load()
    }

    /// Checks every rule, those about several keys together included. Reads no files.
    ///
    /// # Errors
    /// Every broken rule, all at once.
    pub fn validate(&self) -> Result<(), ConfigErrors> {
        ConfigErrors::check(self.locate(validate::all(self)))
    }

    /// The file that it was read from, as an absolute path; `None` without one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.provenance.file().map(|file| &*file.path)
    }

    /// Checks that the files which the configuration names can be read, and that secret files hold a secret.
    ///
    /// Blocks for as long as the file system takes.
    ///
    /// # Errors
    /// Every file that cannot be used, with its key and path, never with its content.
    pub fn check_files(&self) -> Result<(), ConfigErrors> {
        ConfigErrors::check(self.locate(validate::files(self)))
    }

    /// Checks what a connection that only publishes follows: the settings of `mqtt`, with the files that they name. A
    /// worker's session is none of its business.
    ///
    /// Blocks for as long as the file system takes.
    ///
    /// # Errors
    /// Every broken rule, all at once.
    pub(crate) fn check_publishing(&self) -> Result<(), ConfigErrors> {
        ConfigErrors::check(validate::publishing(self))
    }

    /// Whether sessions outlive their connections.
    pub(crate) fn is_durable(&self) -> bool {
        match self.identity.mode {
            IdentityMode::Ephemeral => false,
            IdentityMode::Durable => true,
            IdentityMode::Platform => !self.platform.clean_session,
        }
    }

    /// The group that the instances share events in, as people know it; `None` without one.
    pub(crate) fn group_label(&self) -> Option<String> {
        #[cfg(feature = "platform")]
        if let Some(membership) = crate::platform::Membership::of(self) {
            return membership.group();
        }
        self.group.name.clone()
    }

    /// Settings that are allowed and that an operator should know about, such as an unverified server certificate.
    #[must_use]
    pub fn warnings(&self) -> Vec<ConfigProblem> {
        self.locate(warnings::all(self))
    }

    /// Adds to problems where the values were given that they are about: a line or a variable.
    pub(crate) fn locate(&self, problems: Vec<ConfigProblem>) -> Vec<ConfigProblem> {
        self.provenance.locate(self, problems)
    }
}
