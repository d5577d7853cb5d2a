//! What a run is like, from its seed: the broker's ways, the identity of the workers, and how rough life is.

use std::time::Duration;

use fastrand::Rng;
use tidemill_core::QoS;
use tidemill_runtime::MqttVersion;
use tidemill_testkit::broker::{BrokerConfig, Quirks};

/// The conditions of a run.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) version: MqttVersion,
    pub(crate) durable: bool,
    /// What a lost member holds goes to the others.
    pub(crate) moves: bool,
    pub(crate) inflight_cap: Option<u16>,
    pub(crate) overshoots: bool,
    pub(crate) qos: QoS,
    pub(crate) window: u16,
    pub(crate) keys: u32,
    pub(crate) steps: u32,
    /// Nothing but joining, leaving and scaling happens.
    pub(crate) calm: bool,
    pub(crate) max_connection_age: Duration,
    /// Longest time of a handler.
    pub(crate) slowest: Duration,
}

impl Scenario {
    pub(crate) fn from_seed(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let durable = random.bool();
        let calm = random.u8(..3) == 0;
        Self {
            seed,
            version: if random.bool() { MqttVersion::V5 } else { MqttVersion::V3_1_1 },
            durable,
            moves: random.bool(),
            inflight_cap: (random.u8(..4) == 0).then_some(20),
            overshoots: random.u8(..5) == 0,
            qos: if random.u8(..12) == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce },
            window: random.u16(1..=24),
            keys: random.u32(1..=8),
            steps: random.u32(20..=60),
            calm,
            max_connection_age: match random.u8(..4) {
                0 => Duration::from_millis(random.u64(1000..8000)),
                _ => Duration::ZERO,
            },
            slowest: Duration::from_millis(random.u64(1..60)),
        }
    }

    /// Whether the broker may hand out more than the window, so that a crash may repeat more than a window.
    pub(crate) fn exceeds_window(&self) -> bool {
        self.overshoots
            || (self.version == MqttVersion::V3_1_1 && self.inflight_cap.is_none_or(|cap| cap > self.window))
    }

    /// Whether members go and come back without giving up their place: what they had not read then comes again.
    pub(crate) fn comes_back(&self) -> bool {
        self.durable && !self.max_connection_age.is_zero() && self.qos == QoS::AtLeastOnce
    }

    pub(crate) fn broker(&self) -> BrokerConfig {
        let quirks = Quirks {
            redeliver_on_member_loss: self.moves,
            inflight_cap: self.inflight_cap,
            overshoot_receive_maximum: self.overshoots,
            ..Quirks::default()
        };
        BrokerConfig::in_memory().with_quirks(quirks).with_trace(200_000)
    }
}
