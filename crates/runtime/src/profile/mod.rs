//! Broker profiles: what is known about the brokers that workers meet, and which identity is safe on which of them.
//!
//! The knowledge is data, one row per broker in one table; nothing else in the runtime knows a broker by name. Two
//! invariants: every row says where it is known from, and what is not known counts as unsafe, never as safe.
//!
//! ```
//! use tidemill_core::QoS;
//! use tidemill_runtime::config::IdentityMode;
//! use tidemill_runtime::profile::{Advice, Profile};
//!
//! let mosquitto = "mosquitto".parse::<Profile>()?.facts();
//! assert!(matches!(mosquitto.advice(IdentityMode::Ephemeral, QoS::AtLeastOnce, 1024), Advice::Warn { .. }));
//! assert_eq!(mosquitto.advice(IdentityMode::Durable, QoS::AtLeastOnce, 1024), Advice::Safe);
//! # Ok::<(), tidemill_runtime::profile::UnknownProfile>(())
//! ```

mod advice;
pub(crate) mod check;
mod facts;
mod reference;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use advice::Advice;
pub use facts::{BrokerProfile, ClientIds, Fate, InFlight, Known, OfflineMembers, ReceiveMaximum, Sharing};
pub use reference::reference;

use crate::config::nearest;

/// A broker that something is known about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "their names say it, and a description of each would fill the reference of keys")]
pub enum Profile {
    Mosquitto,
    Emqx,
    Hivemq,
    Rmqtt,
    Vernemq,
    Nanomq,
    Flashmq,
    Bifromq,
    AwsIot,
    AzureEventGrid,
    Rabbitmq,
    Nats,
    WatsonIot,
    Tidemill,
    #[default]
    Generic,
}

impl Profile {
    /// All of them, the one about which nothing is known last.
    pub const ALL: [Self; 15] = [
        Self::Mosquitto,
        Self::Emqx,
        Self::Hivemq,
        Self::Rmqtt,
        Self::Vernemq,
        Self::Nanomq,
        Self::Flashmq,
        Self::Bifromq,
        Self::AwsIot,
        Self::AzureEventGrid,
        Self::Rabbitmq,
        Self::Nats,
        Self::WatsonIot,
        Self::Tidemill,
        Self::Generic,
    ];

    /// The name in the configuration, such as `aws-iot`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Emqx => "emqx",
            Self::Hivemq => "hivemq",
            Self::Rmqtt => "rmqtt",
            Self::Vernemq => "vernemq",
            Self::Nanomq => "nanomq",
            Self::Flashmq => "flashmq",
            Self::Bifromq => "bifromq",
            Self::AwsIot => "aws-iot",
            Self::AzureEventGrid => "azure-event-grid",
            Self::Rabbitmq => "rabbitmq",
            Self::Nats => "nats",
            Self::WatsonIot => "watson-iot",
            Self::Tidemill => "tidemill",
            Self::Generic => "generic",
        }
    }

    /// What is known about it.
    #[must_use]
    pub const fn facts(self) -> &'static BrokerProfile {
        table::row(self)
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        let wanted = text.trim().to_ascii_lowercase().replace(['_', ' '], "-");
        Self::ALL.into_iter().find(|profile| profile.name() == wanted).ok_or_else(|| {
            let names = Self::ALL.into_iter().map(|profile| profile.name().to_owned());
            UnknownProfile { name: text.to_owned(), nearest: nearest(&wanted, names) }
        })
    }
}

/// A name that is no profile's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProfile {
    name: String,
    nearest: Option<String>,
}

impl fmt::Display for UnknownProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no broker profile {:?}, ", self.name)?;
        match &self.nearest {
            Some(nearest) => write!(f, "did you mean {nearest:?}?"),
            None => {
                let names: Vec<_> = Profile::ALL.into_iter().map(Profile::name).collect();
                write!(f, "there are {}", names.join(", "))
            }
        }
    }
}

impl std::error::Error for UnknownProfile {}
