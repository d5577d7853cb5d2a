//! The peers: what each is called, and about how fast it is.

use std::fmt;

use clap::ValueEnum;
use serde::Serialize;

/// A program that does the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Peer {
    /// This project
    Tidemill,
    /// This project with `runtime.io_threads = 1`: sessions on a thread of their own
    TidemillApart,
    /// This project with `mqtt.ack_linger = "2ms"`: acknowledgements of single events leave together
    TidemillLinger,
    /// rumqttc, MQTT 5, acknowledging by hand
    Rumqttc,
    /// RustStream on rumqttc
    Ruststream,
    /// Eclipse Paho for Rust, on the C library
    Paho,
    /// MQTT.js on Node
    Mqttjs,
    /// aiomqtt on Python
    Aiomqtt,
    /// FastStream on Python
    Faststream,
    /// Mosquitto's own client, without a handler
    MosquittoSub,
}

impl Peer {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tidemill => "tidemill",
            Self::TidemillApart => "tidemill-apart",
            Self::TidemillLinger => "tidemill-linger",
            Self::Rumqttc => "rumqttc",
            Self::Ruststream => "ruststream",
            Self::Paho => "paho",
            Self::Mqttjs => "mqttjs",
            Self::Aiomqtt => "aiomqtt",
            Self::Faststream => "faststream",
            Self::MosquittoSub => "mosquitto-sub",
        }
    }

    /// Events per second on a raw feed, in order of magnitude: only the length of a run depends on it.
    pub(super) fn about_per_s(self) -> u64 {
        match self {
            Self::Tidemill | Self::TidemillApart | Self::TidemillLinger => 1_500_000,
            Self::Rumqttc | Self::Ruststream => 150_000,
            Self::Paho => 50_000,
            Self::Mqttjs | Self::MosquittoSub => 40_000,
            Self::Aiomqtt | Self::Faststream => 5_000,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
