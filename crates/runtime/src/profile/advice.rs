//! Which way of being a member of a group is safe on which broker.

use std::fmt;

use tidemill_core::QoS;

use super::facts::{BrokerProfile, Fate, Known, Sharing};
use crate::config::IdentityMode;

/// What is to be said about a worker on a broker. `Display` is one sentence with the way out, empty when it is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Advice {
    /// A crash loses nothing that the QoS promises to keep.
    Safe,
    /// It works, and can lose events.
    Warn {
        /// What is lost, and when.
        why: String,
        /// The way out.
        fix: String,
    },
    /// It cannot work.
    Refuse {
        /// What would happen.
        why: String,
        /// The way out.
        fix: String,
    },
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safe => Ok(()),
            Self::Warn { why, fix } | Self::Refuse { why, fix } => write!(f, "{why}; {fix}"),
        }
    }
}

fn warn(why: String, fix: impl Into<String>) -> Advice {
    Advice::Warn { why, fix: fix.into() }
}

fn refuse(why: String, fix: impl Into<String>) -> Advice {
    Advice::Refuse { why, fix: fix.into() }
}

impl BrokerProfile {
    /// What is to be said about members of a group with that identity and QoS whose windows have room for so many events.
    ///
    /// At QoS 0 nothing is kept by anybody, so that there is nothing to warn of.
    #[must_use]
    pub fn advice(&self, mode: IdentityMode, qos: QoS, window: u16) -> Advice {
        let title = self.title;
        let other_broker = "run one instance without group.name, or use a broker that has them";
        match self.sharing {
            Sharing::AnnouncesNo => {
                let why = format!("{title} has no shared subscriptions, so that the members of a group get nothing");
                return refuse(why, other_broker);
            }
            Sharing::Silent => {
                let why = format!(
                    "{title} takes a shared subscription for a plain one that no topic matches, so that the members of a \
                     group get nothing, and says so nowhere"
                );
                return refuse(why, other_broker);
            }
            Sharing::ByClientId if mode == IdentityMode::Platform => {}
            _ if mode == IdentityMode::Platform => {
                let why = format!("{title} makes no groups by client IDs");
                return refuse(why, "choose another identity.mode and set group.name");
            }
            Sharing::ByClientId => {
                let why =
                    format!("{title} makes groups by client IDs of the form A:org:app and refuses shared filters");
                return refuse(why, "remove group.name and set identity.mode = \"platform\"");
            }
            Sharing::Yes | Sharing::Unknown => {}
        }
        match qos {
            QoS::AtMostOnce => Advice::Safe,
            QoS::ExactlyOnce => refuse(
                "an unfinished QoS 2 event sticks to the member that received it, so that no other can take it over"
                    .to_owned(),
                "set mqtt.qos to 1 and give records an idempotency key",
            ),
            QoS::AtLeastOnce if mode == IdentityMode::Durable => self.durable(),
            QoS::AtLeastOnce => self.ephemeral(window),
        }
    }

    fn durable(&self) -> Advice {
        let title = self.title;
        match self.keeps_sessions {
            Known::Yes => Advice::Safe,
            Known::No => warn(
                format!(
                    "{title} does not keep what belongs to a session without a connection, so that a restart loses it"
                ),
                "use a broker that keeps sessions",
            ),
            Known::Unknown => {
                warn(format!("whether {title} keeps the session of a member that restarts is not known"), self.look())
            }
        }
    }

    fn ephemeral(&self, window: u16) -> Advice {
        let title = self.title;
        match self.dead_member {
            Fate::Moved => Advice::Safe,
            Fate::Lost => {
                let way_out = match self.keeps_sessions {
                    Known::No => "use a broker that moves them",
                    Known::Yes | Known::Unknown => {
                        "use identity.mode = \"durable\", or a broker that moves them to other members"
                    }
                };
                let why = format!(
                    "{title} drops the unacknowledged events of a member whose connection ends; a crash loses up to one \
                     window ({window} events), and what the broker has queued behind it"
                );
                warn(why, way_out)
            }
            Fate::Unknown => warn(
                format!(
                    "what {title} does with the unacknowledged events of a member that crashes is not known; up to one \
                     window ({window} events) may be lost"
                ),
                self.look(),
            ),
        }
    }

    fn look(&self) -> &'static str {
        match self.profile {
            super::Profile::Generic => "let `tidemill doctor` look at the broker and set mqtt.broker as it says",
            _ => "let `tidemill doctor` look at the broker",
        }
    }
}
