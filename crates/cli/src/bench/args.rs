//! Options that several benchmarks have: the broker, and the load. What one option cannot know of another is checked here.
//!
//! No message here repeats a URL: people put passwords there.

use std::time::Duration;

use clap::{Args, ValueEnum};
use tidemill::Config;
use tidemill::profile::Profile;

use super::clock;
use super::process::{Link, LoadJob, WorkerJob};
use super::scenario::Scenario;
use super::schedule::{Schedule, Shape};
use super::stage::Setup;
use super::stamp;
use super::template::Template;
use super::work::Work;
use crate::connect::{LoginArgs, Version, connector, in_options};
use crate::exit::Failure;
use crate::names;
use crate::number::{self, within};

const MAX_PUBLISHERS: u64 = 1024;
const MAX_INSTANCES: u64 = 1024;
const MAX_KEYS: u64 = 1_000_000;
const MAX_PAYLOAD: u64 = 256 * 1024;
const MAX_RATE: u64 = 100_000_000;
const MAX_COUNT: u64 = 10_000_000_000;
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Events that wait in a broker that nobody has set up for more: the usual queue limits hold them.
const AHEAD_PER_INSTANCE: u64 = 250;
/// The same for the embedded broker, which holds publishers back instead of dropping.
const AHEAD_EMBEDDED: u64 = 2_000;

/// How often a worker says how much it handled: for the view, or because publishers wait for it.
const REPORT_PACED_MS: u64 = 50;
const REPORT_FLAT_OUT_MS: u64 = 2;

/// Reads a window.
pub(crate) fn window(text: &str) -> Result<u16, String> {
    let number = within(1, u64::from(u16::MAX))(text)?;
    u16::try_from(number).map_err(|error| error.to_string())
}

/// Where the embedded broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Home {
    #[value(name = "process")]
    Process,
    #[value(name = "publishers")]
    Publishers,
}

/// Which broker, and how to reach it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Broker")]
pub(crate) struct BrokerArgs {
    /// A broker that runs: mqtt://, mqtts://, ws:// or wss://, host and port; or `mosquitto`, which starts one that is
    /// installed [default: the embedded broker]
    #[arg(long, value_name = "URL")]
    pub(crate) broker: Option<String>,
    /// Where the embedded broker runs: in a process of its own, or in that of the publishers
    #[arg(long, value_name = "WHERE", default_value = "process", conflicts_with = "broker")]
    pub(crate) broker_in: Home,
    /// Version of MQTT to speak
    #[arg(long, alias = "broker-version", value_name = "VERSION", default_value = "5")]
    pub(crate) mqtt_version: Version,
    #[command(flatten)]
    pub(crate) login: LoginArgs,
    /// QoS of the events and of the subscription. At 0 a broker may lose events, and the result says so
    #[arg(long, value_name = "QOS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=1))]
    pub(crate) qos: u8,
}

impl BrokerArgs {
    /// Whether the embedded broker runs in the publishers' process.
    pub(crate) fn is_in_publishers(&self) -> bool {
        self.broker.is_none() && self.broker_in == Home::Publishers
    }

    /// The broker in a word, for results. Never the URL.
    pub(crate) fn label(&self) -> &'static str {
        match self.broker.as_deref() {
            None => "embedded",
            Some("mosquitto") => "mosquitto",
            Some(_) => "url",
        }
    }

    /// How the broker is reached, as far as that is known before it runs.
    ///
    /// # Errors
    /// What cannot be right, in terms of the options.
    pub(crate) fn link(&self) -> Result<Link, Failure> {
        let url = match self.broker.as_deref() {
            None | Some("mosquitto") => "mqtt://127.0.0.1:1883",
            Some(url) => url,
        };
        let link = Link {
            url: url.to_owned(),
            profile: Profile::Generic,
            version: self.mqtt_version.mqtt(),
            qos: self.qos,
            login: self.login.clone(),
        };
        let mut config = Config::default();
        config.mqtt = link.mqtt();
        config
            .validate()
            .and_then(|()| config.check_files())
            .map_err(|errors| Failure::Usage(in_options(&errors.to_string())))?;
        // Certificates that cannot be used are wrong usage, too.
        connector(&config.mqtt)?;
        Ok(link)
    }
}

/// What is published and what handlers do with it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Load")]
pub(crate) struct LoadArgs {
    /// Publishers, instances and rate by a name of the Open MQTT Benchmark Suite: sharedsub-<publishers>-<instances>-<in>-<out>
    #[arg(long, value_name = "NAME", conflicts_with_all = ["publishers", "rate"])]
    pub(crate) scenario: Option<Scenario>,
    /// Connections that publish
    #[arg(long, value_name = "N", default_value = "4", value_parser = within(1, MAX_PUBLISHERS))]
    pub(crate) publishers: u64,
    /// Events per second in an open loop: what is due is due, and latency counts from then on; 0 publishes as fast as
    /// events are handled, which `rebalance` does not take [default: 0, or 20K of `rebalance`]
    #[arg(long, value_name = "N", value_parser = number::parse)]
    pub(crate) rate: Option<u64>,
    /// How the load changes over a run, its mean being the rate: constant, a ramp from 0 to twice the rate, ten bursts at
    /// four times the rate, or one day from night to night
    #[arg(long, value_name = "SHAPE", default_value = "constant")]
    pub(crate) shape: Shape,
    /// Size of a payload in bytes; the first 32 carry number and time
    #[arg(long, value_name = "BYTES", default_value = "128", value_parser = number::parse)]
    pub(crate) payload: u64,
    /// Topics, with {run}, {key} and perhaps {publisher}
    #[arg(long, value_name = "TEMPLATE", default_value = "tidemill-bench/{run}/{key}")]
    pub(crate) topic: Template,
    /// Different keys, that is topics; events of a key are handled in order
    #[arg(long, value_name = "N", default_value = "10000", value_parser = number::parse)]
    pub(crate) keys: u64,
    /// Unconfirmed events of one publisher at most
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) inflight: u16,
    /// Without a rate: events that are published and not handled at most [default: the windows, and what usual queue
    /// limits of brokers hold]
    #[arg(long, value_name = "N", value_parser = number::parse)]
    pub(crate) ahead: Option<u64>,
    /// What a handler does with an event: 0, a time to wait such as 5ms, or CPU time such as cpu:200us
    #[arg(long, value_name = "WORK", default_value = "0")]
    pub(crate) work: Work,
    /// Handles events without order
    #[arg(long)]
    pub(crate) unordered: bool,
}

/// What differs from one measurement to the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) instances: u64,
    pub(crate) window: u16,
    pub(crate) concurrency: u32,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    pub(crate) count: Option<u64>,
}

impl LoadArgs {
    /// Events per second; 0 is as fast as they are handled.
    pub(crate) fn rate(&self) -> u64 {
        self.scenario.map_or(self.rate.unwrap_or(0), |scenario| scenario.rate)
    }

    pub(crate) fn publishers(&self) -> u64 {
        self.scenario.map_or(self.publishers, |scenario| scenario.publishers)
    }

    /// The measurement that these options describe.
    ///
    /// # Errors
    /// The first combination that cannot work, with the way out.
    pub(crate) fn setup(&self, broker: &BrokerArgs, link: &Link, size: Size) -> Result<Setup, Failure> {
        let usage = |text: String| Err(Failure::Usage(text));
        let (rate, publishers) = (self.rate(), self.publishers());
        let bounds = [
            ("--publishers", publishers, 1, MAX_PUBLISHERS),
            ("--instances", size.instances, 1, MAX_INSTANCES),
            ("--keys", self.keys, 1, MAX_KEYS),
            ("--payload", self.payload, stamp::BYTES as u64, MAX_PAYLOAD),
            ("--rate", rate, 0, MAX_RATE),
            ("--count", size.count.unwrap_or(1), 1, MAX_COUNT),
        ];
        for (what, number, low, high) in bounds {
            if !(low..=high).contains(&number) {
                let more = if number > high { "; more needs further machines" } else { "" };
                return usage(format!("{what} {number}: choose {low} to {high}{more}"));
            }
        }
        if publishers > self.keys {
            return usage(format!("{publishers} publishers need as many --keys: each key belongs to one of them"));
        }
        if rate == 0 && self.shape != Shape::Constant {
            return usage("--shape needs a --rate: as fast as possible has no shape".to_owned());
        }
        if rate > 0 && self.ahead.is_some() {
            return usage("--ahead bounds a load that has no rate: leave it or --rate out".to_owned());
        }
        if size.warm_up > LONGEST || size.duration > LONGEST || (size.duration.is_zero() && size.count.is_none()) {
            return usage("--duration must be more than 0s, and neither it nor --warm-up more than a day".to_owned());
        }
        let warm_up_ns = clock::ns(size.warm_up);
        let length_ns = match size.count {
            // A schedule without an end that would cut it short.
            Some(count) if rate > 0 => warm_up_ns.max(count.saturating_mul(1_000_000_000) / rate + 1),
            Some(_) => clock::ns(LONGEST),
            None => warm_up_ns + clock::ns(size.duration),
        };
        let schedule = (rate > 0).then_some(Schedule { shape: self.shape, rate, length_ns });
        let windows = size.instances * u64::from(size.window);
        let each = if broker.broker.is_none() { AHEAD_EMBEDDED } else { AHEAD_PER_INSTANCE };
        let run = names::of_run("bench");
        let narrow = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let load = LoadJob {
            link: link.clone(),
            with_broker: broker.is_in_publishers(),
            run: run.clone(),
            publishers: narrow(publishers),
            keys: narrow(self.keys),
            template: self.topic.text().to_owned(),
            payload: usize::try_from(self.payload).unwrap_or(usize::MAX),
            inflight: self.inflight,
            schedule,
            ahead: self.ahead.unwrap_or(windows + size.instances * each).max(1),
            length_ns,
            count: size.count,
            warm_up_ns,
        };
        let worker = WorkerJob {
            link: link.clone(),
            run,
            template: self.topic.text().to_owned(),
            publishers: narrow(publishers),
            instances: narrow(size.instances),
            window: size.window,
            concurrency: size.concurrency,
            unordered: self.unordered,
            work: self.work,
            warm_up_ns,
            measured_ns: if size.count.is_some() { None } else { Some(clock::ns(size.duration)) },
            replica: None,
            report_ms: if rate > 0 { REPORT_PACED_MS } else { REPORT_FLAT_OUT_MS },
            journal: None,
        };
        Ok(Setup { load, worker })
    }
}
