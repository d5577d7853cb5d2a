//! The options of `tidemill doctor`, checked.
//!
//! No message here repeats the URL: people put passwords there.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use tidemill::Config;
use tidemill::config::MqttConfig;
use tidemill::topic::TopicName;

use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  tidemill doctor --broker mqtt://127.0.0.1:1883
  tidemill doctor --broker mqtts://broker.example:8883 --username me --password-file secret --ca-file ca.pem
  tidemill doctor --broker mqtt://127.0.0.1:1883 --json | tail -n 1

Everything happens below --prefix, in topics of this run's own, and is removed at the end.

Exit codes: 0 a group can work on this broker, 2 it cannot, 1 the broker could not be examined, 64 wrong usage.";

/// Longest prefix, so that the topics below it stay within every broker's limits.
const MAX_PREFIX: usize = 128;
const MIN_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_TIMEOUT: Duration = Duration::from_secs(600);

/// Which versions of MQTT are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Versions {
    /// MQTT 5.0
    #[value(name = "5")]
    V5,
    /// MQTT 3.1.1
    #[value(name = "3.1.1")]
    V3_1_1,
    /// Both
    #[value(name = "both")]
    Both,
}

/// Arguments of `tidemill doctor`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// The broker: mqtt://, mqtts://, ws:// or wss://, host and port
    #[arg(long, value_name = "URL")]
    pub(crate) broker: String,
    /// Versions of MQTT to try
    #[arg(long, value_name = "VERSION", default_value = "both")]
    pub(crate) version: Versions,
    /// User name
    #[arg(long, value_name = "NAME")]
    pub(crate) username: Option<String>,
    /// File that holds the password
    #[arg(long, value_name = "FILE", requires = "username")]
    pub(crate) password_file: Option<PathBuf>,
    /// PEM file with the certificates to trust, for mqtts:// and wss:// [default: those of the system]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// PEM file with the client certificate and its chain
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub(crate) cert_file: Option<PathBuf>,
    /// PEM file with the key of the client certificate
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub(crate) key_file: Option<PathBuf>,
    /// What the topics of the probes start with; access rules must allow it
    #[arg(long, value_name = "TOPIC", default_value = "tidemill/doctor")]
    pub(crate) prefix: String,
    /// Ends after this time with what is known by then
    #[arg(long, value_name = "DURATION", default_value = "15s", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
    /// Writes the result to standard output, as one JSON object on the last line; the table goes to standard error
    #[arg(long)]
    pub(crate) json: bool,
}

impl DoctorArgs {
    /// The connection that they describe.
    ///
    /// # Errors
    /// What cannot be right, in terms of the options.
    pub(crate) fn mqtt(&self) -> Result<MqttConfig, Failure> {
        let is_bounded = (MIN_TIMEOUT..=MAX_TIMEOUT).contains(&self.timeout);
        if !is_bounded {
            return Err(Failure::Usage("--timeout must lie between 1s and 10m".to_owned()));
        }
        if self.prefix.len() > MAX_PREFIX || self.prefix.starts_with('$') || TopicName::new(&self.prefix).is_err() {
            let why = "--prefix must be a topic without wildcards, of at most 128 bytes, that starts with no $";
            return Err(Failure::Usage(why.to_owned()));
        }
        let mut config = Config::default();
        config.mqtt.url.clone_from(&self.broker);
        config.mqtt.username.clone_from(&self.username);
        config.mqtt.password_file.clone_from(&self.password_file);
        config.mqtt.tls.ca_file.clone_from(&self.ca_file);
        config.mqtt.tls.cert_file.clone_from(&self.cert_file);
        config.mqtt.tls.key_file.clone_from(&self.key_file);
        config
            .validate()
            .and_then(|()| config.check_files())
            .map_err(|errors| Failure::Usage(in_options(&errors.to_string())))?;
        Ok(config.mqtt)
    }
}

/// What the library says about its configuration keys, in terms of the options that set them.
pub(super) fn in_options(text: &str) -> String {
    const OPTIONS: [(&str, &str); 6] = [
        ("mqtt.url", "--broker"),
        ("mqtt.username", "--username"),
        ("mqtt.password_file", "--password-file"),
        ("mqtt.tls.ca_file", "--ca-file"),
        ("mqtt.tls.cert_file", "--cert-file"),
        ("mqtt.tls.key_file", "--key-file"),
    ];
    OPTIONS.iter().fold(text.to_owned(), |text, (key, option)| text.replace(key, option))
}
