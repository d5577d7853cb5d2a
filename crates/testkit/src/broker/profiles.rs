//! Known brokers, as the [`Quirks`] that make this one behave like them.
//!
//! They follow the runtime's table of broker profiles by name. Where nothing is known about a broker, it is played at its
//! worst: events that a lost member held are gone.

use super::config::BrokerConfig;
use super::quirks::{Distribution, Quirks, SharedSubscriptions};

/// A broker that can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "their names say it")]
pub enum Profile {
    Mosquitto,
    Emqx,
    Hivemq,
    Rmqtt,
    Vernemq,
    Nanomq,
    Flashmq,
    Bifromq,
    AwsIot,
    AzureEventGrid,
    Rabbitmq,
    Nats,
    WatsonIot,
    /// The broker as it is.
    Tidemill,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Mosquitto,
        Self::Emqx,
        Self::Hivemq,
        Self::Rmqtt,
        Self::Vernemq,
        Self::Nanomq,
        Self::Flashmq,
        Self::Bifromq,
        Self::AwsIot,
        Self::AzureEventGrid,
        Self::Rabbitmq,
        Self::Nats,
        Self::WatsonIot,
        Self::Tidemill,
    ];

    /// The name that the configuration of a worker knows it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mosquitto => "mosquitto",
            Self::Emqx => "emqx",
            Self::Hivemq => "hivemq",
            Self::Rmqtt => "rmqtt",
            Self::Vernemq => "vernemq",
            Self::Nanomq => "nanomq",
            Self::Flashmq => "flashmq",
            Self::Bifromq => "bifromq",
            Self::AwsIot => "aws-iot",
            Self::AzureEventGrid => "azure-event-grid",
            Self::Rabbitmq => "rabbitmq",
            Self::Nats => "nats",
            Self::WatsonIot => "watson-iot",
            Self::Tidemill => "tidemill",
        }
    }

    /// The profile of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// How the broker has to depart from its best behaviour to be like this one.
    #[must_use]
    pub fn quirks(self) -> Quirks {
        // What most brokers do: a queue per member, which ends with its session.
        let lossy = Quirks { redeliver_on_member_loss: false, ..Quirks::default() };
        match self {
            Self::Mosquitto => Quirks {
                distribution: Distribution::Everyone,
                inflight_cap_v4: Some(20),
                overshoot_receive_maximum: true,
                ..lossy
            },
            Self::Emqx => Quirks {
                distribution: Distribution::Everyone,
                inflight_cap: Some(32),
                redeliver_on_session_end: true,
                ..lossy
            },
            Self::Hivemq => Quirks { inflight_cap: Some(50), redeliver_on_session_end: true, ..lossy },
            Self::Rmqtt => Quirks { distribution: Distribution::OnlineFirst, inflight_cap: Some(16), ..lossy },
            Self::Vernemq => Quirks { distribution: Distribution::OnlineFirst, inflight_cap: Some(20), ..lossy },
            Self::Nanomq => {
                Quirks { distribution: Distribution::Everyone, inflight_cap: Some(1), keeps_sessions: false, ..lossy }
            }
            Self::Flashmq => Quirks { distribution: Distribution::OnlineFirst, inflight_cap: Some(512), ..lossy },
            Self::Bifromq => Quirks { distribution: Distribution::OnlineFirst, ..lossy },
            Self::AwsIot => Quirks {
                distribution: Distribution::Online,
                inflight_cap: Some(100),
                max_filters_per_subscribe: Some(8),
                ..lossy
            },
            Self::AzureEventGrid => Quirks { distribution: Distribution::Online, ..lossy },
            Self::Rabbitmq => Quirks {
                shared_subscriptions: SharedSubscriptions::AnnouncedUnavailable,
                inflight_cap_v4: Some(10),
                ..lossy
            },
            Self::Nats => Quirks {
                shared_subscriptions: SharedSubscriptions::SilentlyPlain,
                inflight_cap: Some(1024),
                mqtt5: false,
                ..lossy
            },
            Self::WatsonIot => Quirks {
                shared_subscriptions: SharedSubscriptions::Refused,
                forbid_multi_level: true,
                redeliver_on_session_end: true,
                ..lossy
            },
            Self::Tidemill => Quirks::default(),
        }
    }

    /// The set-up of a broker that behaves like this one.
    #[must_use]
    pub fn config(self) -> BrokerConfig {
        BrokerConfig::default().with_quirks(self.quirks())
    }
}
