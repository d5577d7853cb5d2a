//! The clients, one per file. Each receives all events of a feed, looks at topic and payload of every one, acknowledges
//! it, and measures itself from the first to the last event.

mod floor;
mod rumqttc;
mod tidemill;

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use tidemill_core::QoS;

pub use super::args::ClientArgs;
use super::rusage::{self, Measured};
use super::{Error, FILTER};

/// The sharing group that every client joins.
const GROUP: &str = "bench";

/// Keep-alive of every client; runs are shorter, but a client under valgrind may have to ping.
const KEEP_ALIVE: Duration = Duration::from_secs(60);

/// How long a client may take to leave after its last event.
const LEAVE_WITHIN: Duration = Duration::from_secs(20);

/// A client of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientName {
    /// Bare read loop, decoded by hand, acks written once per read: what no client can beat by much
    Floor,
    /// The worker: decode, route, lane, handler, outcome, metrics, ordered ack
    Tidemill,
    /// The worker, whose handler emits one record per event to a sink that writes nothing; not among the defaults
    TidemillEmit,
    /// The event loop of rumqttc, which acknowledges by itself
    RumqttcAuto,
    /// The event loop of rumqttc, acknowledged by the user after the event is handled; TCP_NODELAY
    RumqttcManual,
    /// The same without TCP_NODELAY, so that the kernel may join acks
    RumqttcManualNagle,
}

impl ClientName {
    /// The name as it is given on the command line and shown in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Tidemill => "tidemill",
            Self::TidemillEmit => "tidemill-emit",
            Self::RumqttcAuto => "rumqttc-auto",
            Self::RumqttcManual => "rumqttc-manual",
            Self::RumqttcManualNagle => "rumqttc-manual-nagle",
        }
    }

    /// What runs when nothing is chosen: all that differ at this QoS.
    pub(super) fn defaults(qos: QoS) -> Vec<Self> {
        let acks_matter = |name: &Self| qos != QoS::AtMostOnce || !name.acks_by_hand();
        let compared = |name: &Self| *name != Self::TidemillEmit;
        Self::value_variants().iter().copied().filter(acks_matter).filter(compared).collect()
    }

    /// Whether it is one of rumqttc's manual variants.
    pub(super) fn acks_by_hand(self) -> bool {
        matches!(self, Self::RumqttcManual | Self::RumqttcManualNagle)
    }
}

impl fmt::Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Runs one client to its end and prints what it measured, as one line of JSON.
pub(super) fn run(args: &ClientArgs) -> Result<(), Error> {
    if !args.pin.is_empty() {
        rusage::pin(&args.pin)?;
    }
    let measured = measure(args)?;
    let line = serde_json::to_string(&measured).map_err(|source| Error::because("print the result", source))?;
    println!("{line}");
    Ok(())
}

fn measure(args: &ClientArgs) -> Result<Measured, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::because("start the runtime", source))?;
    let acks_by_hand = args.name.acks_by_hand();
    match args.name {
        ClientName::Floor => runtime.block_on(floor::run(args)),
        ClientName::RumqttcAuto | ClientName::RumqttcManual => runtime.block_on(rumqttc::run(args, acks_by_hand, true)),
        ClientName::RumqttcManualNagle => runtime.block_on(rumqttc::run(args, acks_by_hand, false)),
        ClientName::Tidemill => runtime.block_on(tidemill::run(args, false)),
        ClientName::TidemillEmit => runtime.block_on(tidemill::run(args, true)),
    }
}

fn shared_filter() -> String {
    format!("$share/{GROUP}/{FILTER}")
}
