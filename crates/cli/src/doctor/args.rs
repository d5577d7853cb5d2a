//! The options of `tidemill doctor`, checked.

use std::time::Duration;

use clap::{Args, ValueEnum};
use tidemill::topic::TopicName;

use crate::connect::{ConnectArgs, Reach};
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  tidemill doctor --broker mqtt://127.0.0.1:1883
  tidemill doctor --broker mqtts://broker.example:8883 --ca-file ca.pem
  tidemill doctor --broker mqtt://broker --username me --password-file secret
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
    #[command(flatten)]
    pub(crate) connection: ConnectArgs,
    /// Versions of MQTT to try
    #[arg(long, alias = "version", value_name = "VERSION", default_value = "both")]
    pub(crate) mqtt_version: Versions,
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
    /// The way to the broker that they describe.
    ///
    /// # Errors
    /// What cannot be right, in terms of the options.
    pub(crate) fn reach(&self) -> Result<Reach, Failure> {
        let is_bounded = (MIN_TIMEOUT..=MAX_TIMEOUT).contains(&self.timeout);
        if !is_bounded {
            return Err(Failure::Usage("--timeout must lie between 1s and 10m".to_owned()));
        }
        if self.prefix.len() > MAX_PREFIX || self.prefix.starts_with('$') || TopicName::new(&self.prefix).is_err() {
            let why = "--prefix must be a topic without wildcards, of at most 128 bytes, that starts with no $";
            return Err(Failure::Usage(why.to_owned()));
        }
        self.connection.reach((self.timeout / 4).clamp(Duration::from_millis(500), Duration::from_secs(4)))
    }
}
