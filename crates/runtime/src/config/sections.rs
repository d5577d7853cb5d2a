//! Settings of everything but the connection. The rules about them stand in `validate`.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::units::{self, AddressText, DurationText};
use super::{ConfigProblem, Secret, validate};

/// The group that shares the events of its subscriptions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct GroupConfig {
    /// Share name of the group: instances with the same name and the same routes share the events. Unset: a plain
    /// subscription, where every instance receives every event.
    pub name: Option<String>,
    /// Whether a worker tries at its start, with an event of its own, that the broker shares at all: some grant shared
    /// subscriptions and deliver nothing through them. `auto`: where `mqtt.broker` does not say, and no route of the
    /// worker would take that event for one of its own.
    pub verify: Verify,
    /// Topic below which that event is published and subscribed to. Where access rules forbid it, a warning says so.
    pub verify_topic: String,
    /// What the worker lets others know of itself.
    pub presence: PresenceConfig,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self {
            // A name that two different workers share by accident splits events between them.
            name: None,
            // A group that waits for ever without a word is worse than one event too many.
            verify: Verify::Auto,
            // Beside the devices' topics, and recognisable.
            verify_topic: "tidemill/canary".into(),
            presence: PresenceConfig::default(),
        }
    }
}

/// When a worker tries whether the broker shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verify {
    /// Where the broker's profile does not say.
    Auto,
    /// At every start.
    Always,
    /// Never.
    Never,
}

/// What a worker lets others know of itself: a retained message that says who and how it is, for `tidemill group`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct PresenceConfig {
    /// Topic of the message, such as `tidemill/groups/{group}/{id}`. `{group}` is the group's name, `{replica}` the
    /// replica's, and `{id}` what the client IDs of the worker's instances start with. Unset: no message.
    pub topic: Option<String>,
    /// How often the message is published. On MQTT 5 it expires after three times as long.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub every: Duration,
}

impl Default for PresenceConfig {
    fn default() -> Self {
        Self {
            // Access rules have to allow it, and it costs a connection per worker.
            topic: None,
            // Fresh enough to watch, and a fleet of a thousand costs the broker a hundred messages/s.
            every: Duration::from_secs(10),
        }
    }
}

impl PresenceConfig {
    /// The topic of a worker; `None` when it publishes none.
    pub(crate) fn topic_of(&self, group: Option<&str>, replica: &str, id: &str) -> Option<String> {
        let topic = self.topic.as_deref()?.replace("{group}", group.unwrap_or_default());
        Some(topic.replace("{replica}", replica).replace("{id}", id))
    }
}

/// Where the client IDs of the instances come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum IdentityMode {
    /// A generated ID and a session that ends with its connection. For replicas that come and go.
    Ephemeral,
    /// A stable ID, made of the replica's name and the instance's number, and a session that outlives its connection by
    /// `mqtt.session_expiry`: what was unacknowledged at a crash comes again, on a broker that keeps sessions.
    Durable,
    /// The client IDs of IBM Watson IoT Platform and Maximo IoT, which make the group by themselves; see `[platform]`.
    Platform,
}

/// The client IDs of the instances.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct IdentityConfig {
    /// Where the client IDs come from.
    pub mode: IdentityMode,
    /// What every client ID starts with: 1 to 128 printable ASCII characters without space, `/`, `+` and `#`.
    pub prefix: String,
    /// Name of this replica, the same after a restart and different from all others, such as the name of a pod of a
    /// StatefulSet. Needed where sessions are kept, which is the durable mode, or the platform mode with
    /// `platform.clean_session` false; same characters as the prefix.
    pub replica: Option<String>,
    /// Directory for a small file per replica that says which subscriptions and sessions the broker may still hold for
    /// it, so that a restart with other routes or fewer instances leaves nothing behind. For the durable mode only, on
    /// storage that outlives the pod. Unset: nothing is known of earlier runs, and nothing is guessed.
    #[schemars(extend("x-shape" = "a path"))]
    pub state_dir: Option<PathBuf>,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        Self {
            // Needs no stable storage and no ordinal: right for a Deployment and for a laptop.
            mode: IdentityMode::Ephemeral,
            // Recognisable in the broker's client list.
            prefix: "tidemill".into(),
            // Only the operator knows a name that stays.
            replica: None,
            // A library writes no file unless told where.
            state_dir: None,
        }
    }
}

/// Which order a route keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Order {
    /// Events of one key are handled one after another.
    Keyed,
    /// No order is kept.
    Unordered,
}

/// What happens to QoS 0 events where the high-water mark is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Overflow {
    /// The session stops reading; pings and acks go on.
    Block,
    /// The new event is dropped and counted.
    DropNewest,
}

/// How events get to handlers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DispatchConfig {
    /// How many handlers of one instance run at the same time. 0 means as many as `mqtt.window`.
    pub concurrency: u32,
    /// Which order is kept. Routes may override it.
    pub order: Order,
    /// What happens to QoS 0 events where the high-water mark is reached.
    pub qos0_overflow: Overflow,
    /// How long one attempt of a handler may take; a longer one is cut and counts as failed. Unset: no limit. Routes may
    /// override it.
    #[serde(with = "units::optional_duration")]
    #[schemars(with = "Option<DurationText>")]
    pub timeout: Option<Duration>,
    /// Age at which an event is too old to be handled, by the publisher's time stamp where the route knows one, since it
    /// arrived otherwise; unset: never. An event's own expiry interval (MQTT 5) holds in any case.
    #[serde(with = "units::optional_duration")]
    #[schemars(with = "Option<DurationText>")]
    pub max_age: Option<Duration>,
    /// What happens to an event that is too old or has expired: `drop` or `dead_letter`.
    pub on_expired: Expired,
    /// When the window stays full and one event stays its oldest for this long, it is reported; after twice as
    /// long its attempt is cut, after three times as long it goes to the dead letters. 0s: never.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub stall_after: Duration,
}

impl Default for DispatchConfig {
    fn default() -> Self {
        Self {
            // The window is already the bound; a second one below it helps only handlers that burn memory.
            concurrency: 0,
            // Devices expect their readings in order.
            order: Order::Keyed,
            // Dropping is a decision.
            qos0_overflow: Overflow::Block,
            // Only the author knows how long a handler may take.
            timeout: None,
            // Only the author knows when a reading is worth nothing.
            max_age: None,
            // The publisher said that nobody needs it any more.
            on_expired: Expired::Drop,
            // Far above what a handler should take; a full window that stands still for minutes is an outage.
            stall_after: Duration::from_secs(60),
        }
    }
}

/// What happens after a failed attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryConfig {
    /// How many attempts an event gets, the first included; then it is dead-lettered. 0 means no limit.
    pub max_attempts: u32,
    /// How long attempts of one event go on before it is dead-lettered. `0s` means no limit.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub max_elapsed: Duration,
    /// Least wait before every further attempt. The longest is twice that before the second, then doubled, with jitter.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub min_delay: Duration,
    /// Upper bound of all waits.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub max_delay: Duration,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            // Covers a restart of a database, and a poisoned event blocks its key for seconds only.
            max_attempts: 5,
            // A lane that waits longer is a stall that somebody should see.
            max_elapsed: Duration::from_secs(5 * 60),
            // Longer than a lost connection to a database takes to come back.
            min_delay: Duration::from_millis(200),
            // Beyond that, waiting longer spares nobody.
            max_delay: Duration::from_secs(30),
        }
    }
}

/// What happens to an event that is too old to be handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Expired {
    /// It is acknowledged and counted as dropped.
    Drop,
    /// It goes to the dead letters.
    DeadLetter,
}

/// When a route whose events fail is unsubscribed for a while, so that other members of the group take over. With no
/// other member, events that are published meanwhile are lost on most brokers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct KillSwitchConfig {
    /// Share of failed attempts, from 0 to 1, at which a route is unsubscribed. 0: never.
    pub failure_ratio: f64,
    /// So many attempts within an interval are needed to judge a route.
    pub min_attempts: u64,
    /// Whether a route is unsubscribed also while the breaker of a sink is open that the route has emitted to.
    pub sink_breakers: bool,
    /// How often routes are judged.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub interval: Duration,
    /// How long a route stays unsubscribed before it is tried again.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub pause: Duration,
}

impl Default for KillSwitchConfig {
    fn default() -> Self {
        Self {
            // Leaving helps only where somebody else stays.
            failure_ratio: 0.0,
            // A few unlucky events are no trend.
            min_attempts: 20,
            // When the target of all replicas is down, all of them would leave, and the broker would drop events.
            sink_breakers: false,
            // A route that fails everything holds up a window for about this long.
            interval: Duration::from_secs(10),
            // What a restart of a database takes.
            pause: Duration::from_secs(30),
        }
    }
}

/// Where events go that were given up: after the last attempt, or at once when their handler says so.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DeadLetterConfig {
    /// Beginning of the topic that dead letters are published to; the route's name follows. It must lie outside the
    /// worker's own routes.
    pub topic_prefix: String,
    /// Name of a sink of the worker that takes the dead letters instead of a topic.
    pub sink: Option<String>,
}

impl Default for DeadLetterConfig {
    fn default() -> Self {
        Self {
            // Beside the devices' topics, and recognisable.
            topic_prefix: "tidemill/dead".into(),
            sink: None,
        }
    }
}

/// How a worker leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DrainConfig {
    /// How long leaving may take; what is unfinished then is cut, stays unacknowledged and is counted. Keep the sum of
    /// this and `drain.force` below the `terminationGracePeriodSeconds` of the pod.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub deadline: Duration,
    /// How long the worker has left after that, or after a second signal: handlers are cut, sinks get a last call,
    /// connections end without acknowledging what is unfinished. The whole end takes at most `drain.deadline` and this.
    #[serde(with = "units::duration")]
    #[schemars(with = "DurationText")]
    pub force: Duration,
}

impl Default for DrainConfig {
    fn default() -> Self {
        Self {
            // Longer than a window of ordinary handlers takes; equal to the grace period of Kubernetes, which the chart
            // raises above it.
            deadline: Duration::from_secs(30),
            // One slow write of a sink; whoever waits for more has set the deadline too low.
            force: Duration::from_secs(5),
        }
    }
}

/// The HTTP server with `/metrics`, `/livez`, `/readyz` and `/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct AdminConfig {
    /// Whether the server runs.
    pub enabled: bool,
    /// Address and port to listen on. Port 0 takes a free one.
    #[schemars(with = "AddressText")]
    pub listen: SocketAddr,
    /// File with the token that requests which change state must carry. Unset: there are no such requests.
    #[schemars(extend("x-shape" = "a path"))]
    pub token_file: Option<PathBuf>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            // A library opens no port unless told to.
            enabled: false,
            // Nobody outside the host sees it; 9464 is the usual port of metrics exporters.
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9464)),
            token_file: None,
        }
    }
}

impl AdminConfig {
    /// The token in `token_file`, read now.
    ///
    /// Blocks for as long as the file system takes.
    ///
    /// # Errors
    /// The file cannot be used; names the key and the path, never the content.
    pub fn read_token(&self) -> Result<Option<Secret>, ConfigProblem> {
        self.token_file.as_ref().map(|path| Secret::read("admin.token_file", path)).transpose()
    }
}

/// How a log line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum LogFormat {
    /// `text` on a terminal, `json` elsewhere.
    Auto,
    /// For people.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

/// Logs, for programs that let Tidemill set logging up. The library alone never does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct LogConfig {
    /// What is logged: a level, or directives such as `info,tidemill_runtime=debug`.
    pub filter: String,
    /// How a line is written.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            // Lifecycle only: a handful of lines per process life.
            filter: "info".into(),
            format: LogFormat::Auto,
        }
    }
}

/// Threads of the worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RuntimeConfig {
    /// How many threads of their own the sessions have, up to 256. 0: they run beside the handlers, which saves two
    /// switches between threads whenever events come one at a time; when handlers block their threads, a stand-in gives
    /// the sessions a turn about five times per second, so that reads, acks and pings go on. Threads of their own never
    /// wait for handlers at all, and decode while handlers compute. Most brokers send events one at a time, where a switch
    /// between threads costs more than the event.
    #[schemars(range(max = validate::MAX_IO_THREADS))]
    pub io_threads: u16,
}
