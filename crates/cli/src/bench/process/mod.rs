//! The processes of a benchmark. Publishers, worker and embedded broker are children of the same program, so that
//! what each uses is measured apart and any of them can be killed.
//!
//! A child gets its job as the first line of its standard input, orders on the lines after it, and answers on standard
//! output; every line is one JSON value. The end of its input ends a child, so none outlives its parent.

pub(crate) mod child;
pub(crate) mod parent;

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tidemill::config::MqttConfig;
use tidemill::profile::Profile;
use tidemill::{MqttVersion, QoS};

use super::histogram::{Latencies, Percentiles};
use super::schedule::Schedule;
use super::usage::Used;
use super::work::Work;
use crate::connect::LoginArgs;

/// What a child is to be.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Job {
    Broker,
    Load(Box<LoadJob>),
    Worker(Box<WorkerJob>),
}

/// How the broker is reached. Passwords stay in their file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) url: String,
    pub(crate) profile: Profile,
    pub(crate) version: MqttVersion,
    pub(crate) qos: u8,
    pub(crate) login: LoginArgs,
}

impl Link {
    /// The connection as the library wants it.
    pub(crate) fn mqtt(&self) -> MqttConfig {
        let mut mqtt = MqttConfig::default();
        mqtt.url.clone_from(&self.url);
        mqtt.broker = self.profile;
        mqtt.version = self.version;
        mqtt.qos = QoS::from_level(self.qos).unwrap_or(QoS::AtLeastOnce);
        self.login.apply(&mut mqtt);
        // A measurement wants to know soon that there is no broker, and to be back soon after it restarts.
        mqtt.connect_timeout = Duration::from_secs(5);
        mqtt.startup_timeout = Duration::from_secs(10);
        mqtt.reconnect.min = Duration::from_millis(50);
        mqtt.reconnect.max = Duration::from_millis(500);
        mqtt
    }
}

/// What the publishers publish.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LoadJob {
    pub(crate) link: Link,
    /// Runs the embedded broker as well, in the same process.
    pub(crate) with_broker: bool,
    pub(crate) run: String,
    pub(crate) publishers: u32,
    /// Different topics, shared out among the publishers.
    pub(crate) keys: u32,
    pub(crate) template: String,
    /// Bytes of a payload.
    pub(crate) payload: usize,
    /// Unconfirmed publications of one connection at most.
    pub(crate) inflight: u16,
    /// When events are due; `None` publishes as fast as events are handled.
    pub(crate) schedule: Option<Schedule>,
    /// Without a schedule: events that are published and not handled at most.
    pub(crate) ahead: u64,
    /// Without a schedule: ends after so long.
    pub(crate) length_ns: u64,
    /// Ends after so many events.
    pub(crate) count: Option<u64>,
    /// Measures from here on.
    pub(crate) warm_up_ns: u64,
}

/// What a worker does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct WorkerJob {
    pub(crate) link: Link,
    pub(crate) run: String,
    pub(crate) template: String,
    pub(crate) publishers: u32,
    pub(crate) instances: u32,
    pub(crate) window: u16,
    /// Handlers of one instance that run at the same time; 0 is as many as the window holds.
    pub(crate) concurrency: u32,
    pub(crate) unordered: bool,
    pub(crate) work: Work,
    /// Measures events that are due from here on.
    pub(crate) warm_up_ns: u64,
    /// Measures for so long; `None` until the last event.
    pub(crate) measured_ns: Option<u64>,
    /// A session that outlives its connection, under this name.
    pub(crate) replica: Option<String>,
    /// How often it says how much was handled.
    pub(crate) report_ms: u64,
    /// Writes every single handling to this file before it is acknowledged.
    pub(crate) journal: Option<PathBuf>,
}

/// What a child is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Time zero of the run, on the machine's clock.
    Go { start_ns: u64 },
    /// To the publishers: so many events were handled.
    Handled(u64),
    /// To the publishers: publish nothing more.
    Stop,
    /// To a worker: have so many instances.
    Scale(u32),
    /// To a worker: everything is published; wait for the rest, then leave. Missing events are told from what was
    /// sent.
    Finish(Box<Sent>),
    /// To a broker: go away without a word and come back after a while, with what it stored.
    Restart { away_ms: u64 },
    /// To a broker: what it holds and has used.
    Stats,
}

/// What a child says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    /// It can begin; a broker says where.
    Ready {
        url: String,
    },
    /// Publishers: events sent so far. Workers: events handled so far.
    Progress(u64),
    /// The order is done.
    Settled,
    Stats(BrokerFigures),
    Loaded(Box<LoadFigures>),
    Worked(Box<WorkerFigures>),
    /// It cannot go on.
    Failed(String),
}

/// What the publishers sent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Events of each publisher.
    pub(crate) events: Vec<u64>,
    /// Publisher and number of those that the broker has not confirmed.
    pub(crate) unconfirmed: Vec<(u32, u64)>,
    /// Those that it answered with an error.
    pub(crate) refused: Vec<Refused>,
}

/// Events of one publisher, one after another, that the broker would not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Refused {
    pub(crate) publisher: u32,
    /// Their numbers, of events that follow each other.
    pub(crate) numbers: Range<u64>,
}

impl Sent {
    pub(crate) fn total(&self) -> u64 {
        self.events.iter().sum()
    }

    /// How many were refused.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.iter().map(|refused| refused.numbers.end - refused.numbers.start).sum()
    }

    /// One more was refused. A broker that refuses a topic refuses all that follow, which takes no more room.
    pub(crate) fn refuse(&mut self, publisher: u32, number: u64) {
        let last = self.refused.iter_mut().rfind(|refused| refused.publisher == publisher);
        match last {
            Some(refused) if refused.numbers.end == number => refused.numbers.end += 1,
            _ => self.refused.push(Refused { publisher, numbers: number..number + 1 }),
        }
    }

    /// Events of a publisher that nobody has to have seen: the broker never took them over, as far as is known.
    pub(crate) fn excused(&self, publisher: u32) -> impl Iterator<Item = u64> {
        let unconfirmed = self.unconfirmed.iter().filter(move |(who, _)| *who == publisher).map(|(_, number)| *number);
        let refused = self.refused.iter().filter(move |refused| refused.publisher == publisher);
        unconfirmed.chain(refused.flat_map(|refused| refused.numbers.clone()))
    }
}

/// What the publishers measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LoadFigures {
    pub(crate) sent: Sent,
    /// Publications that were sent again after a connection was lost.
    pub(crate) resent: u64,
    /// How late events left the generator: from when they were due until they were written.
    pub(crate) late: Latencies,
    /// Events sent in each second.
    pub(crate) per_second: Vec<u64>,
    /// Events sent while it was measured.
    pub(crate) measured: u64,
    pub(crate) used: Used,
    pub(crate) idle_kib: u64,
    pub(crate) peak_kib: u64,
    /// Why a connection was lost last.
    pub(crate) last_error: Option<String>,
}

/// What a worker measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct WorkerFigures {
    pub(crate) members: Vec<MemberFigures>,
    /// Events that a handler has seen.
    pub(crate) handled: u64,
    /// Seen again, although published once.
    pub(crate) duplicated: u64,
    /// Seen again, and published more than once.
    pub(crate) resent: u64,
    pub(crate) out_of_order: u64,
    pub(crate) lost: u64,
    pub(crate) dead_lettered: u64,
    /// Handled while it was measured, and for how long that was.
    pub(crate) measured: u64,
    pub(crate) measured_ns: u64,
    /// From when an event was due until its handler had it, without the warm-up.
    pub(crate) latency: Latencies,
    /// How long handlers took.
    pub(crate) handler: Latencies,
    /// Mean part of the windows in use.
    pub(crate) window_use: f64,
    /// Most events that were unfinished at one time.
    pub(crate) most_unfinished: u64,
    pub(crate) seconds: Vec<Second>,
    pub(crate) used: Used,
    pub(crate) idle_kib: u64,
    pub(crate) peak_kib: u64,
}

/// One instance.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct MemberFigures {
    pub(crate) id: String,
    pub(crate) events: u64,
    pub(crate) latency: Percentiles,
}

/// One second of a run.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Second {
    pub(crate) handled: u64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) max: f64,
    pub(crate) window_use: f64,
}

/// What the embedded broker holds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct BrokerFigures {
    pub(crate) queued: u64,
    pub(crate) inflight: u64,
    pub(crate) redelivered: u64,
    pub(crate) dropped: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_events_that_follow_each_other_take_the_room_of_one() {
        let mut sent = Sent { events: vec![10, 10], unconfirmed: vec![(0, 9), (1, 4)], ..Sent::default() };
        for (publisher, number) in [(0, 1), (1, 7), (0, 2), (0, 3), (0, 6), (1, 8)] {
            sent.refuse(publisher, number);
        }
        assert_eq!((sent.refused.len(), sent.refused()), (3, 6));
        assert_eq!(sent.excused(0).collect::<Vec<_>>(), [9, 1, 2, 3, 6]);
        assert_eq!(sent.excused(1).collect::<Vec<_>>(), [4, 7, 8]);
    }
}
