//! The options of `tidemill demo`, and the plan that comes of them once they are checked.
//!
//! No message here repeats the URL: people put passwords there.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tidemill::QoS;
use tidemill::config::MqttConfig;

use crate::connect::{LoginArgs, Version, connector, in_options};
use crate::exit::Failure;
use crate::number::{self, within};

const EXAMPLES: &str = "\
Examples:
  tidemill demo                                   in one process, no set-up
  tidemill demo --events 1M --instances 8         more of both
  tidemill demo --rate 20K                        latencies that mean something
  tidemill demo --scene                           members join and leave
  tidemill demo --platform                        the same, Watson IoT Platform
  tidemill demo --broker mqtt://127.0.0.1:1883    your own broker
  tidemill demo --json 2>/dev/null | tail -n 1    the result as one JSON object

Exit codes:
  0   every event was handled exactly once, in order
  1   some were not, or the run failed
  64  wrong usage";

/// Two bits for each: what was published and what was handled.
const MAX_EVENTS: u64 = 1_000_000_000;
const MAX_DEVICES: u64 = 1_000_000;
const MAX_INSTANCES: u64 = 256;
const MAX_PUBLISHERS: u64 = 64;
const MAX_AHEAD: u64 = 1_000_000;
/// A reading without padding takes at most 85 bytes.
const PAYLOAD: std::ops::RangeInclusive<u64> = 96..=65_536;
/// What every instance remembers of every device: four bytes each.
const MAX_ORDERS: u64 = 64_000_000;
/// Bytes of the events that are on their way at most.
const MAX_BYTES_AHEAD: u64 = 256 * 1024 * 1024;

/// The worker warns at its start of what its settings mean in production, which a demo is not.
pub(crate) const LOG: &str = "warn,tidemill_runtime::worker::run=error";

/// Arguments of `tidemill demo`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DemoArgs {
    /// How many events the fleet publishes
    #[arg(long, value_name = "N", default_value = "100000", value_parser = within(1, MAX_EVENTS))]
    pub(crate) events: u64,
    /// How many devices there are; the events of a device keep their order
    #[arg(long, value_name = "N", default_value = "1000", value_parser = within(1, MAX_DEVICES))]
    pub(crate) devices: u64,
    /// How many instances share the events
    #[arg(long, value_name = "N", default_value = "4", value_parser = within(1, MAX_INSTANCES))]
    pub(crate) instances: u64,
    /// Events per second; 0 is as fast as they are handled
    #[arg(long, value_name = "N", default_value = "0", value_parser = number::parse)]
    pub(crate) rate: u64,
    /// QoS of the events and of the subscription. At 0 the broker may lose events, and the demo says so
    #[arg(long, value_name = "QOS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) qos: u8,
    /// Size of a payload in bytes
    #[arg(long, value_name = "BYTES", default_value = "128", value_parser = within(*PAYLOAD.start(), *PAYLOAD.end()))]
    pub(crate) payload: u64,
    /// Connections that the fleet publishes through [default: 4, or as many as there are instances or devices when
    /// that is less]
    #[arg(long, value_name = "N", value_parser = within(1, MAX_PUBLISHERS))]
    pub(crate) publishers: Option<u64>,
    /// Most events that are published and not yet handled [default: 4000; with --broker 250 per instance at most,
    /// which the usual queue limits of brokers hold]
    #[arg(long, value_name = "N", value_parser = within(1, MAX_AHEAD))]
    pub(crate) ahead: Option<u64>,
    /// Another broker than the embedded one: mqtt://, mqtts://, ws:// or wss://, host and port
    #[arg(long, value_name = "URL")]
    pub(crate) broker: Option<String>,
    /// Version of MQTT to speak
    #[arg(long, alias = "broker-version", value_name = "VERSION", default_value = "5")]
    pub(crate) mqtt_version: Version,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
    /// File that alerts are appended to [default: a temporary one]
    #[arg(long, value_name = "FILE")]
    pub(crate) alerts: Option<PathBuf>,
    /// The same seed makes the same readings
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Gives up when nothing was published or handled for so long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) patience: Duration,
    /// Plays the scene that groups are for: members join and leave one after another while events are published, and
    /// each has its even share
    #[arg(long, conflicts_with_all = ["events", "devices", "instances", "publishers", "ahead", "payload", "alerts", "qos", "seed"])]
    pub(crate) scene: bool,
    /// Plays the same scene on an emulation of IBM Watson IoT Platform: a device publishes, and the members are three
    /// connections of one client ID, A:demo01:scene
    #[arg(long, conflicts_with_all = ["broker", "mqtt_version", "events", "devices", "instances", "publishers", "ahead", "payload", "alerts", "qos", "seed"])]
    pub(crate) platform: bool,
    /// Writes the result to standard output, as one JSON object on the last line
    #[arg(long)]
    pub(crate) json: bool,
    /// What is logged: a level, or directives such as `info,tidemill_runtime=debug` [default: warnings, without those
    /// about the settings]
    #[arg(long, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// What to do, once it is known that it can be done.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Name of this run: the device type in the topics, so that two demos on one broker do not meet.
    pub(crate) run: String,
    pub(crate) events: u64,
    pub(crate) devices: u32,
    pub(crate) instances: u32,
    pub(crate) publishers: u32,
    pub(crate) ahead: u32,
    pub(crate) rate: u64,
    pub(crate) qos: QoS,
    pub(crate) payload: usize,
    pub(crate) seed: u64,
    pub(crate) patience: Duration,
    /// Everything about the connection; the URL of the embedded broker is filled in once it runs.
    pub(crate) mqtt: MqttConfig,
    pub(crate) embedded: bool,
}

impl Plan {
    /// How many places on the way are taken or given back at a time. Small enough that what lies about in part-filled
    /// hands never holds up the rest: at most a quarter of all places.
    pub(crate) fn chunk(&self) -> u32 {
        (self.ahead / (4 * (self.publishers + self.instances))).clamp(1, 32)
    }
}

impl DemoArgs {
    /// Checks what one option cannot know of another.
    ///
    /// # Errors
    /// The first combination that cannot work, with the way out.
    pub(crate) fn plan(&self, run: String) -> Result<Plan, Failure> {
        let usage = |text: String| Err(Failure::Usage(text));
        if self.devices * self.instances > MAX_ORDERS {
            return usage(format!(
                "{} devices and {} instances are too many to watch: \
                 lower --devices or --instances until their product is at most {MAX_ORDERS}",
                self.devices, self.instances
            ));
        }
        // Mosquitto reads one packet of each connection in turn: with more publishers than instances, events come in
        // faster than acknowledgements do, and its queues overflow however few events are really unhandled.
        let publishers = self.publishers.unwrap_or(4.min(self.devices).min(self.instances));
        if publishers > self.devices {
            return usage(format!(
                "{publishers} publishers are more than {} devices, and a device publishes over one connection: \
                 lower --publishers or raise --devices",
                self.devices
            ));
        }
        if self.patience < Duration::from_secs(1) {
            return usage("--patience is shorter than a second: give the broker some time, such as 30s".to_owned());
        }
        let bound = MAX_BYTES_AHEAD / self.payload;
        let ahead = match self.ahead {
            Some(ahead) if ahead > bound => {
                return usage(format!(
                    "--ahead {ahead} events of --payload {} bytes are more than this demo keeps on the way: \
                     lower --ahead to at most {bound}",
                    self.payload
                ));
            }
            Some(ahead) => ahead,
            None if self.broker.is_some() => (250 * self.instances).min(4000).min(bound),
            None => 4000.min(bound),
        };
        Ok(Plan {
            run,
            events: self.events,
            devices: narrow(self.devices),
            instances: narrow(self.instances),
            publishers: narrow(publishers),
            ahead: narrow(ahead),
            rate: self.rate,
            qos: QoS::from_level(self.qos).unwrap_or(QoS::AtLeastOnce),
            payload: usize::try_from(self.payload).unwrap_or(usize::MAX),
            seed: self.seed,
            patience: self.patience,
            mqtt: self.mqtt()?,
            embedded: self.broker.is_none(),
        })
    }

    fn mqtt(&self) -> Result<MqttConfig, Failure> {
        let mut mqtt = MqttConfig::default();
        mqtt.version = self.mqtt_version.mqtt();
        mqtt.qos = QoS::from_level(self.qos).unwrap_or(QoS::AtLeastOnce);
        self.login.apply(&mut mqtt);
        // Somebody is watching: say soon what is wrong, and come back soon after a broker that restarts.
        mqtt.connect_timeout = Duration::from_secs(5);
        mqtt.startup_timeout = Duration::from_secs(10);
        mqtt.reconnect.min = Duration::from_millis(250);
        mqtt.reconnect.max = Duration::from_secs(2);
        if let Some(url) = &self.broker {
            mqtt.url.clone_from(url);
            mqtt.broker().map_err(|problem| Failure::Usage(in_options(&problem.to_string())))?;
        }
        let mut config = tidemill::Config::default();
        config.mqtt = mqtt;
        config
            .validate()
            .and_then(|()| config.check_files())
            .map_err(|errors| Failure::Usage(in_options(&errors.to_string())))?;
        // Certificates that cannot be used are wrong usage, too.
        connector(&config.mqtt)?;
        Ok(config.mqtt)
    }
}

/// The parsers have bounded every number far below this.
fn narrow(value: u64) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}
