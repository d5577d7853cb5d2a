//! Which known broker behaves like this one: what was seen is compared with every row of the table of profiles.
//!
//! What a row and the evidence agree on counts for it, what they disagree on counts several times against it, and what
//! either does not know counts for nothing. A number that operators change often counts like behaviour: a broker that
//! was configured otherwise is then matched less surely, and says so.

use tidemill::profile::{BrokerProfile, Fate, InFlight, Known, OfflineMembers, Profile, ReceiveMaximum, Sharing};

use super::evidence::{Cap, Evidence, Shared};

/// What a disagreement counts against an agreement.
const AGAINST: i32 = 4;
/// Fewer points are no match.
const ENOUGH: i32 = 5;

const SHARING: i32 = 4;
const VERSION: i32 = 2;
const DEAD_MEMBER: i32 = 3;
const OFFLINE: i32 = 3;
const SESSIONS: i32 = 1;
const RECEIVE_MAXIMUM: i32 = 2;
const IN_FLIGHT: i32 = 5;
const MULTI_LEVEL: i32 = 2;
const FILTERS: i32 = 1;
const QOS_2: i32 = 1;

/// The profile that fits best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Match {
    pub(super) profile: Profile,
    /// From 0 to 1: how much of what was seen the profile explains.
    pub(super) confidence: f64,
    /// The next best, if it explains something.
    pub(super) next: Option<Profile>,
}

impl Match {
    /// How sure it is, in words.
    pub(super) fn certainty(&self) -> &'static str {
        match self.confidence {
            _ if self.profile == Profile::Generic => "none of the known ones",
            sure if sure >= 0.8 => "sure",
            likely if likely >= 0.5 => "likely",
            _ => "a guess",
        }
    }
}

/// Compares the evidence with all profiles.
pub(super) fn closest(evidence: &Evidence) -> Match {
    let known = Profile::ALL.into_iter().filter(|profile| *profile != Profile::Generic);
    let mut scores: Vec<(i32, Profile)> = known.map(|profile| (score(evidence, profile.facts()), profile)).collect();
    // Among equals the order of the table holds.
    scores.sort_by_key(|(points, _)| -points);
    let best = scores.first().copied().filter(|(points, _)| *points >= ENOUGH);
    let (points, profile) = best.unwrap_or((0, Profile::Generic));
    let next = scores.iter().find(|(points, other)| *other != profile && *points >= ENOUGH).map(|(_, other)| *other);
    let most = agreements(evidence).max(1);
    Match { profile, confidence: (f64::from(points) / f64::from(most)).clamp(0.0, 1.0), next }
}

/// For each thing that was seen, what it counts and whether the row agrees; `None`: one of them does not know.
fn compare(evidence: &Evidence, facts: &BrokerProfile) -> [(i32, Option<bool>); 10] {
    [
        (SHARING, sharing(evidence, facts.sharing)),
        (VERSION, same(facts.mqtt5, evidence.v5)),
        (DEAD_MEMBER, dead_member(evidence, facts.dead_member)),
        (OFFLINE, offline(evidence, facts.offline_members)),
        (SESSIONS, same(facts.keeps_sessions, to_bool(evidence.keeps_sessions()))),
        (RECEIVE_MAXIMUM, receive_maximum(evidence, facts.receive_maximum)),
        (IN_FLIGHT, in_flight(evidence, facts.in_flight)),
        (MULTI_LEVEL, evidence.hash_refused.map(|refused| refused == facts.forbids_multi_level)),
        (FILTERS, evidence.nine_filters.map(|granted| granted == facts.max_filters.is_none_or(|most| most >= 9))),
        (QOS_2, same(facts.qos2_on_share, evidence.qos2_on_share)),
    ]
}

fn score(evidence: &Evidence, facts: &BrokerProfile) -> i32 {
    let points = compare(evidence, facts).into_iter().map(|(weight, agrees)| match agrees {
        Some(true) => weight,
        Some(false) => -weight * AGAINST,
        None => 0,
    });
    points.sum()
}

/// The points of a profile that explains all that was seen.
fn agreements(evidence: &Evidence) -> i32 {
    let seen = [
        (SHARING, evidence.shared().is_some()),
        (VERSION, evidence.v5.is_some()),
        (DEAD_MEMBER, evidence.moves() != Known::Unknown),
        (OFFLINE, evidence.durable.is_some_and(|seen| seen.offline != OfflineMembers::Unknown)),
        (SESSIONS, evidence.durable.is_some()),
        (RECEIVE_MAXIMUM, evidence.receive_maximum.is_some_and(|seen| seen != ReceiveMaximum::Unknown)),
        (IN_FLIGHT, evidence.cap_v311.or(evidence.cap_v5).is_some()),
        (MULTI_LEVEL, evidence.hash_refused.is_some()),
        (FILTERS, evidence.nine_filters.is_some()),
        (QOS_2, evidence.qos2_on_share.is_some()),
    ];
    seen.into_iter().filter(|(_, seen)| *seen).map(|(weight, _)| weight).sum()
}

fn to_bool(known: Known) -> Option<bool> {
    match known {
        Known::Yes => Some(true),
        Known::No => Some(false),
        Known::Unknown => None,
    }
}

fn same(known: Known, seen: Option<bool>) -> Option<bool> {
    Some(to_bool(known)? == seen?)
}

fn sharing(evidence: &Evidence, known: Sharing) -> Option<bool> {
    let seen = evidence.shared()?;
    let works = matches!(seen, Shared::Works { .. } | Shared::Otherwise { .. });
    match known {
        Sharing::Yes => Some(works),
        // Only MQTT 5 has room to announce it.
        Sharing::AnnouncesNo if evidence.shared_v5.is_none() => Some(*seen == Shared::Silent),
        Sharing::AnnouncesNo => Some(!works && evidence.announces_no_sharing),
        Sharing::Silent => Some(*seen == Shared::Silent && !evidence.announces_no_sharing),
        Sharing::ByClientId => Some(matches!(seen, Shared::Refused(_)) && !evidence.announces_no_sharing),
        _ => None,
    }
}

fn dead_member(evidence: &Evidence, known: Fate) -> Option<bool> {
    let moves = to_bool(evidence.moves())?;
    match known {
        Fate::Moved => Some(moves),
        Fate::Lost => Some(!moves),
        _ => None,
    }
}

fn offline(evidence: &Evidence, known: OfflineMembers) -> Option<bool> {
    let seen = evidence.durable?.offline;
    (seen != OfflineMembers::Unknown && known != OfflineMembers::Unknown).then_some(seen == known)
}

fn receive_maximum(evidence: &Evidence, known: ReceiveMaximum) -> Option<bool> {
    let seen = evidence.receive_maximum?;
    (seen != ReceiveMaximum::Unknown && known != ReceiveMaximum::Unknown).then_some(seen == known)
}

fn in_flight(evidence: &Evidence, known: InFlight) -> Option<bool> {
    match known {
        InFlight::AtMost(most) => {
            let seen = evidence.cap_v311.or(evidence.cap_v5)?;
            Some(seen == Cap::AtMost(most))
        }
        InFlight::AtMostInV311(most) => Some(evidence.cap_v311? == Cap::AtMost(most)),
        InFlight::ClientsOwn => Some(matches!(evidence.cap_v311.or(evidence.cap_v5)?, Cap::AtLeast(_))),
        _ => None,
    }
}
