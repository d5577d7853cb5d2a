//! What to set on this broker, from what was seen, not from what is known about brokers of its kind.

use tidemill::config::MqttConfig;
use tidemill::profile::{Known, Profile, ReceiveMaximum};

use super::evidence::{Cap, Evidence, Shared};

/// The settings of a worker, and why these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recommended {
    /// As `identity.mode` has it.
    pub(super) identity_mode: &'static str,
    pub(super) window: u16,
    /// As `mqtt.version` has it.
    pub(super) version: &'static str,
    pub(super) reason: String,
}

/// What suits a group on this broker; `Err` says why none can work.
pub(super) fn recommend(evidence: &Evidence, profile: Profile) -> Result<Recommended, String> {
    match evidence.shared() {
        Some(Shared::Works { .. }) => {}
        Some(Shared::Refused(how)) => return Err(format!("it has no shared subscriptions: {how}")),
        Some(Shared::Silent) if evidence.announces_no_sharing => {
            return Err(
                "it has no shared subscriptions, as its CONNACK says; it grants one, and nothing comes".to_owned()
            );
        }
        Some(Shared::Silent) => {
            return Err("it grants a shared subscription without a word, and nothing ever comes".to_owned());
        }
        Some(Shared::Otherwise { came, again }) => {
            return Err(format!("its groups do not share: of 20 events {came} came, {again} of them more than once"));
        }
        None => return Err("its shared subscriptions could not be tried".to_owned()),
    }
    let mut reasons = Vec::new();
    let identity_mode = match (evidence.moves(), evidence.keeps_sessions()) {
        (Known::Yes, _) => {
            reasons.push("the events of a member that dies go to the others".to_owned());
            "ephemeral"
        }
        (moves, Known::Yes) => {
            let lost = match moves {
                Known::No => "the events of a member that dies are lost with its session",
                Known::Yes | Known::Unknown => "what becomes of the events of a member that dies could not be seen",
            };
            reasons.push(format!("{lost}, and a durable one finds its own again"));
            "durable"
        }
        (_, _) => {
            let why = "no identity is safe: neither do the events of a member that dies go to the others, nor is its \
                       session kept; a crash loses up to one window";
            reasons.push(why.to_owned());
            "ephemeral"
        }
    };
    let v5 = evidence.v5 == Some(true) && evidence.shared_v5.is_some();
    let default = MqttConfig::default().window;
    let cap = if v5 { evidence.cap_v5 } else { evidence.cap_v311 };
    let window = match cap {
        Some(Cap::AtMost(most)) if most < default => {
            reasons.push(format!("the broker has {most} events on the way to a client at most"));
            most.max(1)
        }
        _ => default,
    };
    if matches!(evidence.receive_maximum, Some(ReceiveMaximum::Overshot | ReceiveMaximum::Ignored)) {
        reasons.push("it sends more than the window, which is held back in the socket".to_owned());
    }
    if let Some(queue) = profile.facts().queue.filter(|queue| *queue <= 10_000) {
        reasons.push(format!(
            "behind the window such a broker queues {queue} events and then drops some, unless told otherwise"
        ));
    }
    let version = if v5 { "5" } else { "3.1.1" };
    Ok(Recommended { identity_mode, window, version, reason: reasons.join("; ") })
}
