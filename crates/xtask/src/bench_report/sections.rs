//! The sections of the report: which programs each runs, with which words, and how long all of them may take.
//!
//! To add one: a line here, and its place in the document.

use std::path::PathBuf;
use std::time::Duration;

use super::shapes::Shape;

/// A program of this repository that measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    /// One of the benchmarks.
    Bench(&'static str),
    /// The benchmark of sinks, which brings their clients.
    Sinks,
    /// The `tidemill` program.
    Tidemill,
}

impl Program {
    /// The options of cargo that choose it.
    fn choice(self) -> Vec<&'static str> {
        match self {
            Self::Bench(name) => vec!["-p", "tidemill-benches", "--bin", name],
            Self::Sinks => vec!["-p", "tidemill-benches", "--features", "sinks", "--bin", "sinks"],
            Self::Tidemill => vec!["-p", "tidemill-cli"],
        }
    }

    /// How it is built.
    pub(super) fn build(self, profile: &str) -> Vec<&str> {
        let mut words = vec!["build", "--locked", "--profile", profile];
        words.extend(self.choice());
        words
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bench(name) => name,
            Self::Sinks => "sinks",
            Self::Tidemill => "tidemill",
        }
    }

    /// Where it is once it is built.
    pub(super) fn path(self, target: &std::path::Path, profile: &str) -> PathBuf {
        target.join(if profile == "dev" { "debug" } else { profile }).join(self.name())
    }
}

/// Where a program's words have the URL of a Mosquitto that runs for it.
pub(super) const MOSQUITTO: &str = "{mosquitto}";

/// A program with its words.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) program: Program,
    pub(super) words: &'static [&'static str],
    /// How often.
    pub(super) times: u32,
    pub(super) shape: Shape,
}

impl Run {
    const fn new(program: Program, words: &'static [&'static str], shape: Shape) -> Self {
        Self { program, words, times: 1, shape }
    }

    const fn bench(name: &'static str, words: &'static [&'static str]) -> Self {
        Self::new(Program::Bench(name), words, Shape::Printed)
    }

    const fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// What a reader types to get the same.
    pub(super) fn command(&self) -> String {
        let mut words = vec!["cargo", "run", "--release"];
        words.extend(self.program.choice());
        if !self.words.is_empty() {
            words.push("--");
        }
        words.extend(self.words);
        words.join(" ").replace(MOSQUITTO, "mqtt://127.0.0.1:1883")
    }
}

/// A part of the report that is measured at one go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Section {
    /// The name of its place in the document, and for `--only`.
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    /// Longest that all its programs may take together.
    pub(super) limit: Duration,
    pub(super) runs: &'static [Run],
}

const fn minutes(number: u64) -> Duration {
    Duration::from_secs(number * 60)
}

/// All of them, in the order in which they run.
pub(super) const SECTIONS: [Section; 10] = [
    Section {
        name: "feed",
        about: "one instance on the raw feed, beside other clients",
        limit: minutes(5),
        runs: &[
            Run::bench("feed", &["--qos", "1", "--events", "1000000", "--runs", "5"]),
            Run::bench("feed", &["--qos", "0", "--events", "1000000", "--runs", "5"]),
        ],
    },
    Section {
        name: "costs",
        about: "instructions and allocations",
        limit: minutes(8),
        runs: &[
            Run::new(
                Program::Bench("feed"),
                &[
                    "--instructions",
                    "--json",
                    "--qos",
                    "1",
                    "--clients",
                    "floor,tidemill,tidemill-emit,rumqttc-auto,rumqttc-manual",
                ],
                Shape::Counted("receive, QoS 1"),
            ),
            Run::new(
                Program::Bench("feed"),
                &["--instructions", "--json", "--qos", "0", "--clients", "floor,tidemill,rumqttc-auto"],
                Shape::Counted("receive, QoS 0"),
            ),
            Run::new(
                Program::Bench("publish"),
                &["--instructions", "--json", "--qos", "1"],
                Shape::Counted("publish, QoS 1"),
            ),
            Run::new(
                Program::Bench("publish"),
                &["--instructions", "--json", "--qos", "0", "--who", "publisher"],
                Shape::Counted("publish, QoS 0"),
            ),
        ],
    },
    Section {
        name: "peers",
        about: "Tidemill beside other frameworks and clients",
        limit: minutes(14),
        runs: &[Run::bench("peers", &["--runs", "3", "--seconds", "1"])],
    },
    Section {
        name: "publish",
        about: "publications per second",
        limit: minutes(4),
        runs: &[
            Run::bench("publish", &["--to", "taker", "--runs", "5"]),
            Run::bench("publish", &["--to", "broker", "--runs", "5"]),
        ],
    },
    Section {
        name: "sinks",
        about: "sinks beside the clients that they are built on",
        limit: minutes(8),
        runs: &[Run::new(Program::Sinks, &["--runs", "5", "--time", "900ms"], Shape::Printed)],
    },
    Section {
        name: "sweep",
        about: "instances and throughput",
        limit: minutes(4),
        runs: &[
            Run::new(
                Program::Tidemill,
                &["bench", "sweep", "--work", "5ms", "--window", "64", "--instances", "1..8", "--json"],
                Shape::Sweep,
            ),
            Run::new(
                Program::Tidemill,
                &[
                    "bench",
                    "sweep",
                    "--broker",
                    "mosquitto",
                    "--work",
                    "5ms",
                    "--window",
                    "64",
                    "--instances",
                    "1..8",
                    "--json",
                ],
                Shape::Sweep,
            ),
        ],
    },
    Section {
        name: "rebalance",
        about: "members that join and leave under load",
        limit: minutes(4),
        runs: &[Run::new(
            Program::Tidemill,
            &["bench", "rebalance", "--broker", "mosquitto", "--change", "join,leave,kill,scale,rolling", "--json"],
            Shape::Rebalance,
        )],
    },
    Section {
        name: "rollout",
        about: "what Kubernetes does to a group",
        limit: minutes(6),
        runs: &[Run::bench("rollout", &[])],
    },
    Section {
        name: "demo",
        about: "everything at once",
        limit: minutes(4),
        runs: &[
            Run::new(
                Program::Tidemill,
                &["demo", "--events", "500000", "--instances", "4", "--json"],
                Shape::Demo("embedded, MQTT 5"),
            )
            .times(3),
            Run::new(
                Program::Tidemill,
                &["demo", "--events", "200000", "--instances", "4", "--json", "--broker", MOSQUITTO],
                Shape::Demo("Mosquitto, MQTT 5"),
            )
            .times(3),
            Run::new(
                Program::Tidemill,
                &[
                    "demo",
                    "--events",
                    "200000",
                    "--instances",
                    "4",
                    "--json",
                    "--broker",
                    MOSQUITTO,
                    "--mqtt-version",
                    "3.1.1",
                ],
                Shape::Demo("Mosquitto, MQTT 3.1.1"),
            )
            .times(3),
        ],
    },
    Section {
        name: "isolation",
        about: "a failing route beside a healthy one",
        limit: minutes(3),
        runs: &[Run::bench("isolation", &["--runs", "3", "--seconds", "2"])],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_what_a_reader_types() {
        let command = Run::new(Program::Sinks, &["--runs", "3"], Shape::Printed).command();
        assert_eq!(command, "cargo run --release -p tidemill-benches --features sinks --bin sinks -- --runs 3");
        let command = Run::new(Program::Tidemill, &["demo", "--broker", MOSQUITTO], Shape::Printed).command();
        assert_eq!(command, "cargo run --release -p tidemill-cli -- demo --broker mqtt://127.0.0.1:1883");
        assert_eq!(Run::bench("rollout", &[]).command(), "cargo run --release -p tidemill-benches --bin rollout");
    }
}
