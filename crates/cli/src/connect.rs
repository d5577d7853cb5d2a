//! How commands reach a broker that people name on the command line.
//!
//! No message here repeats the URL: people put passwords there.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use tidemill::config::MqttConfig;
use tidemill::{Config, Connector, MqttVersion};
use tidemill_testkit::wire::{self, v5};

use crate::exit::Failure;

/// The options of a connection.
#[derive(Args, Debug)]
pub(crate) struct ConnectArgs {
    /// The broker: mqtt://, mqtts://, ws:// or wss://, host and port
    #[arg(long, value_name = "URL")]
    pub(crate) broker: String,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
}

/// Who connects, and whom to trust. The same options wherever there is a `--broker`.
#[derive(Args, Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LoginArgs {
    /// User name for the broker
    #[arg(long, value_name = "NAME", requires = "broker")]
    pub(crate) username: Option<String>,
    /// File that holds the password
    #[arg(long, value_name = "FILE", requires = "username")]
    pub(crate) password_file: Option<PathBuf>,
    /// PEM file with the certificates to trust, for mqtts:// and wss:// [default: those of the system]
    #[arg(long, value_name = "FILE", requires = "broker")]
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM file with the client certificate and its chain
    #[arg(long, value_name = "FILE", requires = "broker", requires = "key_file")]
    pub(crate) cert_file: Option<PathBuf>,
    /// PEM file with the key of the client certificate
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub(crate) key_file: Option<PathBuf>,
}

impl LoginArgs {
    /// Puts them where the library has them.
    pub(crate) fn apply(&self, mqtt: &mut MqttConfig) {
        let Self { username, password_file, ca_file, cert_file, key_file } = self;
        mqtt.username.clone_from(username);
        mqtt.password_file.clone_from(password_file);
        mqtt.tls.ca_file.clone_from(ca_file);
        mqtt.tls.cert_file.clone_from(cert_file);
        mqtt.tls.key_file.clone_from(key_file);
    }
}

/// A way to a broker, checked.
pub(crate) struct Reach {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) login: Option<v5::Login>,
    /// How long an answer may take.
    pub(crate) patience: Duration,
    /// The broker, for people.
    pub(crate) broker: String,
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach").field("broker", &self.broker).field("patience", &self.patience).finish_non_exhaustive()
    }
}

impl ConnectArgs {
    fn mqtt(&self) -> Result<MqttConfig, Failure> {
        let mut config = Config::default();
        config.mqtt.url.clone_from(&self.broker);
        self.login.apply(&mut config.mqtt);
        config
            .validate()
            .and_then(|()| config.check_files())
            .map_err(|errors| Failure::Usage(in_options(&errors.to_string())))?;
        Ok(config.mqtt)
    }

    /// The way that they describe. Connects to nothing.
    ///
    /// # Errors
    /// What cannot be right, in terms of the options.
    pub(crate) fn reach(&self, patience: Duration) -> Result<Reach, Failure> {
        let mqtt = self.mqtt()?;
        let connector = connector(&mqtt)?;
        let password = mqtt.read_password().map_err(|problem| Failure::Usage(in_options(&problem.to_string())))?;
        let password = password.map(|password| password.expose().to_owned()).unwrap_or_default();
        let login = mqtt.username.clone().map(|user| v5::Login::new(user, password));
        let broker = mqtt.broker().map(|address| address.to_string()).unwrap_or_default();
        Ok(Reach { connector, login, patience, broker })
    }
}

/// What opens streams to this broker. Reads certificates, connects to nothing.
///
/// # Errors
/// What cannot be right, in terms of the options.
pub(crate) fn connector(mqtt: &MqttConfig) -> Result<Arc<dyn Connector>, Failure> {
    tidemill::connector(mqtt).map_err(|error| Failure::Usage(in_options(&tidemill::report(&error))))
}

/// MQTT versions as they are written on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Version {
    // No doc comments here: they would turn the whole help into its long form.
    #[value(name = "5", alias = "5.0")]
    V5,
    #[value(name = "3.1.1", alias = "3")]
    V3_1_1,
}

impl Version {
    /// As the library has it.
    pub(crate) fn mqtt(self) -> MqttVersion {
        match self {
            Self::V5 => MqttVersion::V5,
            Self::V3_1_1 => MqttVersion::V3_1_1,
        }
    }

    /// As packets have it.
    pub(crate) fn wire(self) -> wire::Version {
        match self {
            Self::V5 => wire::Version::V5,
            Self::V3_1_1 => wire::Version::V4,
        }
    }
}

/// A version as it is written on the command line.
pub(crate) fn label(version: MqttVersion) -> &'static str {
    match version {
        MqttVersion::V3_1_1 => "3.1.1",
        _ => "5",
    }
}

/// What the library says about its configuration keys, in terms of the options that set them.
pub(crate) fn in_options(text: &str) -> String {
    // A key that begins with another one stands before it.
    const OPTIONS: [(&str, &str); 8] = [
        ("mqtt.url", "--broker"),
        ("mqtt.version", "--mqtt-version"),
        ("mqtt.username", "--username"),
        ("mqtt.password_file", "--password-file"),
        ("mqtt.password", "--password-file"),
        ("mqtt.tls.ca_file", "--ca-file"),
        ("mqtt.tls.cert_file", "--cert-file"),
        ("mqtt.tls.key_file", "--key-file"),
    ];
    OPTIONS.iter().fold(text.to_owned(), |text, (key, option)| text.replace(key, option))
}
