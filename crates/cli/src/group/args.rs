//! The options of `tidemill group`.

use std::time::Duration;

use clap::Args;
use tidemill::topic::TopicFilter;
use tidemill_testkit::wire;

use crate::connect::{ConnectArgs, Version};
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  tidemill group --broker mqtt://broker
  tidemill group --broker mqtt://broker --json
  tidemill group --broker mqtt://broker --watch --topic 'tidemill/groups/mill/#'

Workers say how they are where `group.presence.topic` is set; it is not by default. Nothing is published here.

Exit codes: 0 somebody is present, 1 nobody is (who is lost or silent does not count) or the broker could not be \
asked, 64 wrong usage.";

/// Arguments of `tidemill group`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GroupArgs {
    #[command(flatten)]
    pub(super) connection: ConnectArgs,
    /// Where workers say how they are: `group.presence.topic`, with + or # for the names in it
    #[arg(long, value_name = "FILTER", default_value = "tidemill/groups/#")]
    pub(super) topic: String,
    /// Version of MQTT
    #[arg(long, alias = "version", value_name = "VERSION", default_value = "5")]
    mqtt_version: Version,
    /// Shows it again every two seconds, until it is stopped
    #[arg(long)]
    pub(super) watch: bool,
    /// Writes one JSON object per look to standard output
    #[arg(long)]
    pub(super) json: bool,
    /// Gives up when the broker does not answer for so long
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub(super) patience: Duration,
}

impl GroupArgs {
    pub(super) fn version(&self) -> wire::Version {
        self.mqtt_version.wire()
    }

    /// Checks what the parser cannot.
    ///
    /// # Errors
    /// What cannot be right, with the option that says it.
    pub(super) fn check(&self) -> Result<(), Failure> {
        if let Err(error) = TopicFilter::new(&self.topic) {
            return Err(Failure::Usage(format!("--topic: {error}")));
        }
        if self.topic.starts_with("$share/") {
            let text = "--topic: a shared subscription is not sent what is retained; leave the share out";
            return Err(Failure::Usage(text.to_owned()));
        }
        if self.patience.is_zero() {
            return Err(Failure::Usage("--patience must be longer than 0s".to_owned()));
        }
        Ok(())
    }
}
