//! What a seed stands for: the set-up of a run, its faults, and what the handler does with every event. Everything is
//! drawn from the seed alone.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use tidemill_core::QoS;
use tidemill_runtime::{Config, Key, MqttVersion, Order};

use crate::log::EventId;
use crate::script::Menu;
use crate::tap::Travel;

/// Where a route's key comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeySource {
    Topic,
    Capture,
    UserProperty,
    JsonPointer,
}

/// How many keys there are, and how the events spread over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    Even(u32),
    /// Every other event has key 0.
    Hot(u32),
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The worker leaves when everything is finished.
    Settled,
    /// It leaves when the broker has handed everything out.
    InFlight,
    /// It leaves half way, and a second one in its group goes on.
    Relay,
    /// Some handlers hang and nothing cuts them until the worker leaves: it ends with the deadline.
    Deadline,
}

/// A sink's troubles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SinkTroubles {
    /// Every write takes so long.
    pub(crate) latency: Duration,
    /// It is unavailable at these times.
    pub(crate) down: Vec<Range<Duration>>,
    /// It panics at one of so many writes; 0: never.
    pub(crate) panics: u32,
    /// It refuses records of one of so many events; 0: never.
    pub(crate) refuses: u32,
}

/// Whose connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// One of those that are connected.
    Any(u32),
    All,
}

/// See the module's description.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) version: MqttVersion,
    pub(crate) qos: QoS,
    pub(crate) drop_newest: bool,
    pub(crate) order: Order,
    pub(crate) spawn: bool,
    pub(crate) key: KeySource,
    pub(crate) spread: Spread,
    pub(crate) events: u32,
    pub(crate) instances: u32,
    pub(crate) window: u16,
    pub(crate) concurrency: u32,
    pub(crate) max_attempts: u32,
    pub(crate) max_elapsed: Duration,
    pub(crate) delays: (Duration, Duration),
    pub(crate) timeout: Option<Duration>,
    pub(crate) stall_after: Duration,
    pub(crate) dead_to_sink: bool,
    /// The broker refuses dead letters.
    pub(crate) dead_forbidden: bool,
    pub(crate) menu: Menu,
    pub(crate) out: SinkTroubles,
    pub(crate) dead: SinkTroubles,
    pub(crate) travel: Travel,
    /// Events published at once, and the wait after each such burst.
    pub(crate) pace: (u32, Duration),
    pub(crate) cuts: Vec<(Duration, Victim)>,
    pub(crate) end: End,
    pub(crate) deadline: Duration,
}

fn millis(rng: &mut Rng, range: Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

fn one_of<T: Copy>(rng: &mut Rng, these: &[T]) -> T {
    these[rng.usize(..these.len())]
}

impl SinkTroubles {
    fn draw(rng: &mut Rng) -> Self {
        let down = (0..one_of(rng, &[0, 0, 1, 2])).map(|_| {
            let from = millis(rng, 0..4000);
            from..from + millis(rng, 100..12_000)
        });
        let down = down.collect();
        Self {
            latency: if rng.bool() { Duration::ZERO } else { millis(rng, 1..100) },
            down,
            panics: one_of(rng, &[0, 0, 0, 7]),
            refuses: one_of(rng, &[0, 0, 3, 10]),
        }
    }
}

/// What can hang, and what ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    /// A timeout, or nothing hangs.
    Plain,
    /// The stall ladder.
    Stalls,
    /// The drain's deadline.
    Deadline,
}

impl Plan {
    /// Long enough for everything that ends at all.
    const PATIENCE: Duration = Duration::from_secs(6 * 3600);

    pub(crate) fn draw(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let flavour = match rng.u32(..10) {
            0..7 => Flavour::Plain,
            7 | 8 => Flavour::Stalls,
            _ => Flavour::Deadline,
        };
        let plain = flavour == Flavour::Plain;
        let version = one_of(rng, &[MqttVersion::V5, MqttVersion::V3_1_1]);
        // At QoS 0 what hangs holds no place but its own, and the window may never be full.
        let acks = rng.u32(..4) != 0 || flavour == Flavour::Stalls;
        let qos = if acks { QoS::AtLeastOnce } else { QoS::AtMostOnce };
        let order = if rng.u32(..3) == 0 { Order::Unordered } else { Order::Keyed };
        let window = if plain { one_of(rng, &[4, 7, 16, 64, 256]) } else { one_of(rng, &[4, 7, 16]) };
        let concurrency = one_of(rng, &[0, 0, 1, 2, 5, 20, 300]);
        let limited = rng.u32(..4) != 0;
        let dead_to_sink = rng.bool();
        let min_delay = millis(rng, 5..300);
        let timeout = (plain && rng.bool()).then(|| millis(rng, 200..2000));
        let stall_after = match flavour {
            Flavour::Plain => Duration::from_secs(one_of(rng, &[0, 5, 60])),
            Flavour::Stalls => millis(rng, 1000..10_000),
            Flavour::Deadline => Duration::ZERO,
        };
        let end = match (flavour, rng.u32(..4)) {
            (Flavour::Deadline, _) => End::Deadline,
            (Flavour::Stalls, _) | (_, 0) => End::Settled,
            (_, 1) => End::Relay,
            _ => End::InFlight,
        };
        let events = rng.u32(20..250);
        let pace = (rng.u32(1..50), millis(rng, 0..200));
        let publishing = pace.1 * (events / pace.0 + 1) + Duration::from_millis(200);
        // What hangs on in a session that is lost holds a place and blocks no other: the window may never be full again.
        let most = if flavour == Flavour::Stalls { 0 } else { one_of(rng, &[0, 0, 0, 1, 2, 6]) };
        let cuts = (0..most).map(|_| {
            let victim = if rng.u32(..5) == 0 { Victim::All } else { Victim::Any(rng.u32(..)) };
            (publishing.mul_f64(1.5 * rng.f64()), victim)
        });
        let cuts = cuts.collect();
        Self {
            seed,
            version,
            qos,
            drop_newest: qos == QoS::AtMostOnce && rng.u32(..4) == 0,
            order,
            spawn: rng.u32(..4) == 0,
            key: one_of(rng, &[KeySource::Topic, KeySource::Capture, KeySource::UserProperty, KeySource::JsonPointer]),
            spread: match rng.u32(..5) {
                0 => Spread::Even(1),
                1 => Spread::Even(3),
                2 => Spread::Even(200),
                _ => Spread::Hot(rng.u32(2..100)),
            },
            events,
            instances: rng.u32(1..=3),
            window,
            concurrency,
            max_attempts: if limited { rng.u32(1..6) } else { 0 },
            max_elapsed: if limited && rng.bool() { Duration::ZERO } else { millis(rng, 500..20_000) },
            delays: (min_delay, min_delay + millis(rng, 0..10_000)),
            timeout,
            stall_after,
            dead_to_sink,
            dead_forbidden: flavour == Flavour::Deadline && !dead_to_sink && rng.u32(..3) == 0,
            menu: Menu::draw(rng, !plain || timeout.is_some()),
            out: SinkTroubles::draw(rng),
            // Nobody takes what the dead-letter destination refuses.
            dead: SinkTroubles { refuses: 0, ..SinkTroubles::draw(rng) },
            travel: Travel {
                delay: if rng.bool() { Duration::ZERO } else { millis(rng, 1..60) },
                piece: if rng.u32(..4) == 0 { rng.usize(7..300) } else { usize::MAX },
            },
            pace,
            cuts,
            end,
            deadline: if end == End::Deadline { millis(rng, 1000..20_000) } else { Self::PATIENCE },
        }
    }

    /// A run in real time that takes a second or two: a bit of everything that takes no long.
    pub(crate) fn gentle(seed: u64, version: MqttVersion) -> Self {
        let short = Duration::from_millis(10);
        Self {
            version,
            qos: QoS::AtLeastOnce,
            drop_newest: false,
            spread: Spread::Hot(40),
            events: 400,
            instances: 2,
            window: 32,
            concurrency: 0,
            max_attempts: 3,
            max_elapsed: Duration::ZERO,
            delays: (short, short * 3),
            timeout: None,
            stall_after: Duration::ZERO,
            dead_to_sink: false,
            dead_forbidden: false,
            menu: Menu::gentle(seed),
            out: SinkTroubles { latency: Duration::from_millis(1), refuses: 9, ..SinkTroubles::default() },
            dead: SinkTroubles::default(),
            travel: Travel::AT_ONCE,
            pace: (20, short),
            cuts: Vec::new(),
            end: End::Relay,
            deadline: Duration::from_secs(60),
            ..Self::draw(seed)
        }
    }

    /// The worker's configuration.
    pub(crate) fn config(&self) -> Config {
        let mut config = Config::default();
        config.instances = self.instances.into();
        config.group.name = Some("g".to_owned());
        config.group.verify = tidemill_runtime::config::Verify::Never;
        config.mqtt.version = self.version;
        config.mqtt.qos = self.qos;
        config.mqtt.window = self.window;
        config.mqtt.startup_timeout = Duration::ZERO;
        config.dispatch.concurrency = self.concurrency;
        config.dispatch.order = self.order;
        config.dispatch.timeout = self.timeout;
        config.dispatch.stall_after = self.stall_after;
        if self.drop_newest {
            config.dispatch.qos0_overflow = tidemill_runtime::config::Overflow::DropNewest;
        }
        config.retry.max_attempts = self.max_attempts;
        config.retry.max_elapsed = self.max_elapsed;
        (config.retry.min_delay, config.retry.max_delay) = self.delays;
        config.dead_letters.sink = self.dead_to_sink.then(|| "dead".to_owned());
        config.drain.deadline = self.deadline;
        config
    }

    pub(crate) fn route_key(&self) -> Key {
        match self.key {
            KeySource::Topic => Key::Topic,
            KeySource::Capture => Key::Capture("key".to_owned()),
            KeySource::UserProperty => Key::UserProperty("key".to_owned()),
            KeySource::JsonPointer => Key::JsonPointer("/at/key".to_owned()),
        }
    }

    /// The key of an event. Events after the planned ones have keys too.
    pub(crate) fn key_of(&self, event: EventId) -> u32 {
        let drawn = Rng::with_seed(self.seed ^ (u64::from(event) << 20)).u32(..);
        match self.spread {
            Spread::Even(keys) => drawn % keys,
            Spread::Hot(_) if event.is_multiple_of(2) => 0,
            Spread::Hot(keys) => drawn % keys,
        }
    }

    /// The topic of an event: one per key where the topic is the key, and where there is nothing else for it.
    pub(crate) fn topic_of(&self, event: EventId) -> String {
        let key = self.key_of(event);
        match self.key {
            KeySource::Topic => format!("t/{key}/x"),
            KeySource::UserProperty if self.version == MqttVersion::V3_1_1 => format!("t/{key}/x"),
            KeySource::Capture => format!("t/{key}/{event}"),
            KeySource::UserProperty | KeySource::JsonPointer => format!("t/any/{}", event % 5),
        }
    }

    /// How many handlers of an instance may wait at a time.
    pub(crate) fn places(&self) -> usize {
        match self.concurrency {
            0 => usize::from(self.window),
            some => some as usize,
        }
    }

    /// Whether every event is to be finished by the end.
    pub(crate) fn is_complete(&self) -> bool {
        let loses = self.qos == QoS::AtMostOnce && (!self.cuts.is_empty() || self.drop_newest);
        !loses && self.end != End::Deadline
    }
}
