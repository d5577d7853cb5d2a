//! What is wrong with settings, and what is merely surprising. Never shows a secret (G12).

use std::fmt;

use crate::platform::identity::IdentityError;
use crate::platform::quickstart::QuickstartError;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsProblem {
    /// The text is not YAML of the SDKs' layout.
    Yaml(String),
    /// A name, key, token or domain is wrong.
    Identity {
        /// What the source calls the setting.
        setting: &'static str,
        /// What is wrong.
        error: IdentityError,
    },
    /// The value is not one of the words or numbers that the setting takes.
    Value {
        /// What the source calls the setting.
        setting: &'static str,
        /// What it takes.
        takes: &'static str,
    },
    /// One of API key and token is there without the other.
    HalfCredentials {
        /// What the source calls the missing one.
        missing: &'static str,
    },
    /// Members of a scalable application need its name: a random one would make each member a group of its own.
    SharingNeedsApp {
        /// What the source calls the setting.
        setting: &'static str,
    },
    /// `instanceId` is set and `sharedSubscription` is false.
    InstanceWithoutSharing,
    /// Quickstart, i.e. no credentials, does not offer it.
    Quickstart(QuickstartError),
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yaml(message) => write!(f, "the settings are not of the SDKs' YAML layout: {message}"),
            Self::Identity { setting, error } => write!(f, "{setting}: {error}"),
            Self::Value { setting, takes } => write!(f, "{setting}: write {takes}"),
            Self::HalfCredentials { missing } => {
                write!(f, "{missing} is missing; give both API key and token, or neither for quickstart")
            }
            Self::SharingNeedsApp { setting } => write!(
                f,
                "{setting} is missing; members of a scalable application share by its name, so set the same one for all"
            ),
            Self::InstanceWithoutSharing => f.write_str(
                "instanceId makes a scalable application and sharedSubscription is false; remove one of the two",
            ),
            Self::Quickstart(error) => write!(f, "without credentials the settings mean quickstart: {error}"),
        }
    }
}

/// Settings with mistakes: all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    problems: Vec<SettingsProblem>,
}

impl SettingsError {
    pub(super) fn new(problems: Vec<SettingsProblem>) -> Self {
        Self { problems }
    }

    /// The mistakes; at least one.
    #[must_use]
    pub fn problems(&self) -> &[SettingsProblem] {
        &self.problems
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if at == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}

/// A setting that will not do what it seems to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingsWarning {
    /// Nothing reads it.
    Unused(String),
    /// `A:org:app` always has a clean session.
    CleanStartIgnored,
    /// The Python SDK, the only one with instances, would have done the opposite.
    CleanStartNegatedByPython,
    /// The organization has not the six characters that the service issues.
    OddOrganization,
    /// The session expiry has no effect with MQTT 3.1.1.
    SessionExpiryIgnored,
}

impl fmt::Display for SettingsWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unused(name) => write!(f, "{name} has no effect"),
            Self::CleanStartIgnored => f.write_str(
                "cleanStart false is ignored: the platform refuses 'A:org:app' without a clean session; set an \
                 instanceId to keep sessions",
            ),
            Self::CleanStartNegatedByPython => f.write_str(
                "cleanStart is taken as documented; the Python SDK did the opposite, so check which one you rely on",
            ),
            Self::OddOrganization => {
                f.write_str("the organization has not six characters as the service issues them; check the API key")
            }
            Self::SessionExpiryIgnored => {
                f.write_str("sessionExpiry has no effect: the platform speaks MQTT 3.1.1, which has no session expiry")
            }
        }
    }
}
