//! The options of `tidemill dead`, and the checks of what one option cannot know of another.
//!
//! No message here repeats the URL: people put passwords there.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use tidemill::Config;
use tidemill::topic::TopicFilter;

use super::select::{self, Reference, Selection, Times};
use crate::connect::{LoginArgs, Version, in_options};
use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  Once: letters are kept from now on
    tidemill dead subscribe --broker mqtt://broker
  What lies there, and one letter with everything it came with; changes nothing
    tidemill dead list --broker mqtt://broker
    tidemill dead show 3 --broker mqtt://broker
  Some of them again, or away with them
    tidemill dead replay --route orders --rate 50 --broker mqtt://broker
    tidemill dead drop --reason expired --until 2h --broker mqtt://broker
  Letters that a file sink wrote
    tidemill dead list --file /var/lib/worker/dead.ndjson
    tidemill dead replay 1-20 --file dead.ndjson --broker mqtt://b --dry-run

Exit codes: 0 all is well, 1 something went wrong or could not be replayed, 64 wrong usage.";

const REPLAY_NOTE: &str = "\
A letter is published to its original topic with its original properties, and `tidemill-replay-count` counts how \
often. It leaves the dead letters once the broker has acknowledged that. MQTT acknowledges in order: letters \
that lie before a chosen one and stay are published to their dead-letter topic again, and so move to the end.";

const DROP_NOTE: &str = "\
MQTT acknowledges in order: letters that lie before a chosen one and stay are published to their dead-letter \
topic again, and so move to the end.";

/// Arguments of `tidemill dead`.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DeadArgs {
    #[command(subcommand)]
    pub(super) command: DeadCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum DeadCommand {
    /// Has the broker keep dead letters for this tool from now on, also while it is away
    Subscribe(SubscribeArgs),
    /// Ends that: the broker drops what it keeps for this tool, and keeps nothing more
    Unsubscribe(UnsubscribeArgs),
    /// Lists dead letters; changes nothing
    List(LookArgs),
    /// Shows dead letters with all headers and payloads; changes nothing
    Show(LookArgs),
    /// Publishes dead letters to their original topics again
    #[command(after_help = REPLAY_NOTE)]
    Replay(ReplayArgs),
    /// Removes dead letters for good
    #[command(after_help = DROP_NOTE)]
    Drop(DropArgs),
}

#[derive(Args, Debug)]
pub(super) struct SubscribeArgs {
    /// Where dead letters are published
    #[arg(long, value_name = "FILTER", default_value = "tidemill/dead/#")]
    pub(super) topic: String,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
}

#[derive(Args, Debug)]
pub(super) struct UnsubscribeArgs {
    /// Also when letters lie there; they are lost
    #[arg(long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
}

#[derive(Args, Debug)]
pub(super) struct LookArgs {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    /// Writes one JSON object per letter to standard output
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Args, Debug)]
pub(super) struct ReplayArgs {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) act: ActArgs,
    /// Letters per second at most; 0 is as fast as the broker takes them
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub(super) rate: u32,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

#[derive(Args, Debug)]
pub(super) struct DropArgs {
    #[command(flatten)]
    pub(super) select: SelectArgs,
    #[command(flatten)]
    pub(super) act: ActArgs,
    #[command(flatten)]
    pub(super) source: SourceArgs,
}

/// What commands that change something have in common.
#[derive(Args, Debug)]
pub(super) struct ActArgs {
    /// Takes all letters when nothing else chooses
    #[arg(long)]
    pub(super) all: bool,
    /// Says what would be done, and changes nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Goes on behind the letters that the broker hands out at once, by moving all that stay to the end
    #[arg(long)]
    pub(super) through: bool,
    /// Writes one JSON object per letter to standard output
    #[arg(long)]
    pub(super) json: bool,
}

/// Which letters. What is given more than one way must fit all of them.
#[derive(Args, Debug)]
pub(super) struct SelectArgs {
    /// Numbers (3), ranges (5-9) or IDs (at least four letters of one) as `list` shows them. Numbers change when
    /// letters go, IDs do not
    #[arg(value_name = "LETTER", value_parser = select::parse_reference)]
    letters: Vec<Reference>,
    /// Letters of this route
    #[arg(long, value_name = "NAME")]
    route: Option<String>,
    /// Letters with this reason
    #[arg(long, value_name = "REASON", value_parser = select::REASONS)]
    reason: Option<String>,
    /// Letters whose original topic matches this filter
    #[arg(long, value_name = "FILTER")]
    topic_filter: Option<String>,
    /// Letters that died at this time or later: a time (2026-01-31T08:00:00Z) or how long ago (2h)
    #[arg(long, value_name = "TIME", value_parser = select::parse_time)]
    since: Option<Times>,
    /// Letters that died before this time
    #[arg(long, value_name = "TIME", value_parser = select::parse_time)]
    until: Option<Times>,
    /// So many letters at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
}

/// Where the letters are.
#[derive(Args, Debug)]
pub(super) struct SourceArgs {
    /// NDJSON file that a file sink wrote, instead of a topic
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    #[command(flatten)]
    pub(super) broker: BrokerArgs,
}

#[derive(Args, Debug)]
pub(super) struct BrokerArgs {
    /// The broker: mqtt://, mqtts://, ws:// or wss://, host and port
    #[arg(long, value_name = "URL")]
    broker: Option<String>,
    /// Version of MQTT. Letters of MQTT 5 workers can be read with 5 only
    #[arg(long, alias = "broker-version", value_name = "VERSION", default_value = "5")]
    mqtt_version: Version,
    #[command(flatten)]
    login: LoginArgs,
    /// Client ID that the broker keeps letters under; one at a time can use it
    #[arg(long, value_name = "ID", default_value = "tidemill-dead")]
    session: String,
    /// How long the broker keeps letters after the last look; MQTT 3.1.1 cannot say
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = humantime::parse_duration)]
    keep: Duration,
    /// How many letters are looked at together; some brokers hand out less
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..))]
    window: u16,
    /// Gives up when the broker does not answer for so long
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    patience: Duration,
}

/// A broker and how to speak to it, checked.
#[derive(Clone, Debug)]
pub(super) struct Broker {
    pub(super) config: Config,
    /// Client ID of the durable session.
    pub(super) session: String,
    pub(super) keep: Duration,
    pub(super) window: u16,
    pub(super) patience: Duration,
}

impl BrokerArgs {
    pub(super) fn is_given(&self) -> bool {
        self.broker.is_some()
    }

    /// Checks everything that needs no broker.
    ///
    /// # Errors
    /// What cannot be used, with the option that says it.
    pub(super) fn checked(&self) -> Result<Broker, Failure> {
        let Some(url) = &self.broker else {
            return Err(Failure::Usage(
                "--broker is missing: name the broker, as in --broker mqtt://host:1883".to_owned(),
            ));
        };
        if self.keep < Duration::from_secs(1) {
            return Err(Failure::Usage(
                "--keep must be at least 1s, or the letters end with the connection".to_owned(),
            ));
        }
        if self.patience.is_zero() {
            return Err(Failure::Usage("--patience must be longer than 0s".to_owned()));
        }
        if self.session.is_empty() || self.session.len() > 1024 || self.session.contains(['\0', '+', '#', '/']) {
            let text = "--session must be 1 to 1024 bytes long, without +, # and /";
            return Err(Failure::Usage(text.to_owned()));
        }
        let mut config = Config::default();
        let mqtt = &mut config.mqtt;
        mqtt.url.clone_from(url);
        mqtt.version = self.mqtt_version.mqtt();
        self.login.apply(mqtt);
        mqtt.connect_timeout = self.patience.min(Duration::from_secs(10));
        mqtt.reconnect.max = Duration::from_secs(1);
        // Said before anything else is wrong with a URL that cannot be parsed.
        mqtt.broker()
            .map_err(|problem| Failure::Usage(format!("--broker: {}: {}", problem.why(), in_options(problem.fix()))))?;
        config
            .validate()
            .and_then(|()| config.check_files())
            .map_err(|errors| Failure::Usage(in_options(&errors.to_string())))?;
        let Self { session, keep, window, patience, .. } = self;
        Ok(Broker { config, session: session.clone(), keep: *keep, window: *window, patience: *patience })
    }
}

impl SelectArgs {
    /// Checks what the parser cannot.
    ///
    /// # Errors
    /// A topic filter that is none, or a time that ends before it begins.
    pub(super) fn checked(&self) -> Result<Selection, Failure> {
        if self.since.zip(self.until).is_some_and(|(since, until)| since.0 >= until.0) {
            let text = "--since is not before --until, so nothing can lie between: exchange them";
            return Err(Failure::Usage(text.to_owned()));
        }
        let topic = self.topic_filter.as_deref().map(TopicFilter::new).transpose();
        let topic = topic.map_err(|error| Failure::Usage(format!("--topic-filter: {error}")))?;
        Ok(Selection {
            references: self.letters.clone(),
            route: self.route.clone(),
            reason: self.reason.clone(),
            topic,
            since: self.since.map(|time| time.0),
            until: self.until.map(|time| time.0),
            limit: self.limit,
        })
    }

    /// The same for a command that changes something: it must be said which letters are meant.
    ///
    /// # Errors
    /// Nothing was chosen.
    pub(super) fn checked_for(&self, act: &ActArgs) -> Result<Selection, Failure> {
        let selection = self.checked()?;
        if selection.is_open() && !act.all {
            let text = "say which letters: numbers or IDs, --route, --reason, --topic-filter, --since, --until, --limit, \
                        or --all for all of them";
            return Err(Failure::Usage(text.to_owned()));
        }
        Ok(selection)
    }
}

/// Says where letters could be, when it was not said.
pub(super) fn no_source() -> Failure {
    Failure::Usage("say where the dead letters are: --broker URL for a topic, --file FILE for a file".to_owned())
}
