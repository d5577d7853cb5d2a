//! Tells what the probes saw: as evidence for the comparison, and as a line each for people.

use std::time::Duration;

use tidemill::profile::{Known, OfflineMembers, ReceiveMaximum};
use tidemill_testkit::wire::{Version, v5};

use super::evidence::{Cap, Death, Evidence, Return, Shared};
use super::probe::basics::{Filtering, Size};
use super::probe::sharing::Sharing;
use super::probe::window::Room;
use crate::client::Client;

/// What a finding means for a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Good,
    /// Worth knowing.
    Note,
    Bad,
    /// It could not be tried.
    Skipped,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) name: &'static str,
    pub(super) level: Level,
    pub(super) result: String,
    pub(super) meaning: String,
}

/// All that came out.
#[derive(Debug, Default)]
pub(super) struct Examination {
    pub(super) evidence: Evidence,
    pub(super) findings: Vec<Finding>,
}

/// What a probe saw, or why it saw nothing.
pub(super) type Seen<T> = Result<T, String>;

impl Examination {
    /// Adds a line.
    pub(super) fn note(
        &mut self,
        name: &'static str,
        level: Level,
        result: impl Into<String>,
        meaning: impl Into<String>,
    ) {
        self.findings.push(Finding { name, level, result: result.into(), meaning: meaning.into() });
    }

    /// Takes what a probe saw, or notes that it saw nothing.
    pub(super) fn seen<T>(&mut self, name: &'static str, seen: Seen<T>) -> Option<T> {
        match seen {
            Ok(seen) => Some(seen),
            Err(why) => {
                self.note(name, Level::Skipped, "not seen", why);
                None
            }
        }
    }
}

/// What the CONNACK says.
pub(super) fn announced(client: &Client) -> String {
    let Some(properties) = &client.connack.properties else { return String::new() };
    let v5::ConnAckProperties { receive_max, max_packet_size, max_qos, topic_alias_max, server_keep_alive, .. } =
        properties;
    let numbers = [
        ("Receive Maximum", receive_max.map(u32::from)),
        ("Maximum Packet Size", *max_packet_size),
        ("Maximum QoS", max_qos.map(u32::from)),
        ("Topic Alias Maximum", topic_alias_max.map(u32::from)),
        ("Server Keep Alive", server_keep_alive.map(u32::from)),
    ];
    let flags = [
        ("retained events", properties.retain_available),
        ("wildcards", properties.wildcard_subscription_available),
        ("shared subscriptions", properties.shared_subscription_available),
    ];
    let numbers = numbers.into_iter().filter_map(|(name, number)| Some(format!("{name} {}", number?)));
    let flags = flags.into_iter().filter(|(_, flag)| *flag == Some(0)).map(|(name, _)| format!("no {name}"));
    numbers.chain(flags).collect::<Vec<_>>().join(", ")
}

pub(super) fn sharing(found: &mut Examination, name: &'static str, seen: Option<Seen<Sharing>>, version: Version) {
    let Some(seen) = seen.and_then(|seen| found.seen(name, seen)) else { return };
    let Sharing { shared, announces_no, in_order, qos2 } = seen;
    let said = if announces_no { "; the CONNACK says that there are none" } else { "" };
    let (level, result, meaning) = match &shared {
        Shared::Works { members: [first, second] } => {
            (Level::Good, format!("{first} + {second} of 20"), "each event goes to one member".to_owned())
        }
        Shared::Refused(how) => (Level::Bad, "refused".to_owned(), format!("{how}{said}")),
        Shared::Silent => (Level::Bad, "silent".to_owned(), format!("granted, and nothing comes{said}")),
        Shared::Otherwise { came, again } => {
            (Level::Bad, format!("{came} of 20"), format!("{again} more than once{said}"))
        }
    };
    found.note(name, level, result, meaning);
    let evidence = &mut found.evidence;
    evidence.announces_no_sharing |= announces_no;
    evidence.in_order = match (evidence.in_order, in_order) {
        (Some(one), Some(other)) => Some(one && other),
        (one, other) => one.or(other),
    };
    if matches!(shared, Shared::Works { .. }) {
        evidence.qos2_on_share = evidence.qos2_on_share.or(qos2);
    }
    match version {
        Version::V5 => evidence.shared_v5 = Some(shared),
        Version::V4 => evidence.shared_v311 = Some(shared),
    }
}

pub(super) fn order(found: &mut Examination) {
    match found.evidence.in_order {
        Some(true) => {
            found.note("order in a member", Level::Good, "kept", "as far as 20 events show it");
        }
        Some(false) => {
            let meaning = "a member gets events of one publisher in another order; keys cannot be kept in order";
            found.note("order in a member", Level::Bad, "not kept", meaning);
        }
        None => {}
    }
}

/// Tells about a filter; whether it was refused.
pub(super) fn wildcard(found: &mut Examination, name: &'static str, seen: Seen<Filtering>) -> Option<bool> {
    let (level, result, meaning, refused) = match found.seen(name, seen)? {
        Filtering::Matches => (Level::Good, "works", String::new(), false),
        Filtering::Refused(how) => (Level::Note, "refused", how, true),
        Filtering::Deaf => (Level::Bad, "silent", "granted, and no event comes".to_owned(), false),
    };
    found.note(name, level, result, meaning);
    Some(refused)
}

pub(super) fn retained(found: &mut Examination, seen: Seen<Result<(), String>>) {
    match found.seen("retained events", seen) {
        Some(Ok(())) => {
            found.note("retained events", Level::Good, "kept", "shared subscriptions get none by the standard");
        }
        Some(Err(why)) => found.note("retained events", Level::Note, "not kept", why),
        None => {}
    }
}

pub(super) fn size(found: &mut Examination, seen: Seen<Size>) {
    let Some(Size { announced, tried, came }) = found.seen("event size", seen) else { return };
    let meaning = announced.map_or_else(
        || "the CONNACK names no limit".to_owned(),
        |most| format!("the CONNACK allows {most} bytes per packet"),
    );
    let result = format!("{tried} bytes {}", if came { "pass" } else { "do not pass" });
    found.note("event size", if came { Level::Good } else { Level::Note }, result, meaning);
}

pub(super) fn room(found: &mut Examination, seen: Option<Seen<Room>>) {
    let Some(Room { verdict, first, then }) = seen.and_then(|seen| found.seen("Receive Maximum", seen)) else { return };
    found.evidence.receive_maximum = Some(verdict);
    let (level, result) = match verdict {
        ReceiveMaximum::Honoured => (Level::Good, "honoured"),
        ReceiveMaximum::Overshot => (Level::Note, "overshot"),
        ReceiveMaximum::Ignored => (Level::Note, "ignored"),
        _ => (Level::Skipped, "not seen"),
    };
    let meaning = format!("with room for 5: {first} unacknowledged, {then} after one was acknowledged");
    found.note("Receive Maximum", level, result, meaning);
}

pub(super) fn cap(found: &mut Examination, name: &'static str, seen: Option<Seen<Cap>>) -> Option<Cap> {
    let cap = found.seen(name, seen?)?;
    let (result, meaning) = match cap {
        Cap::AtMost(most) => (format!("{most}"), "the broker's own limit of unacknowledged events per client"),
        Cap::AtLeast(most) => (format!("{most} or more"), "no limit of the broker's own was met"),
    };
    found.note(name, Level::Good, result, meaning);
    Some(cap)
}

pub(super) fn death(found: &mut Examination, Death { had, moved, after }: Death) {
    let result = format!("{moved} of {had} moved");
    let (level, meaning) = match found.evidence.moves() {
        Known::Yes => (Level::Good, format!("the other member had them within {}", ms(after))),
        Known::No => (Level::Bad, format!("a crash loses what the member had: {} events here", had - moved.min(had))),
        Known::Unknown => (Level::Skipped, "the member that died had been given nothing".to_owned()),
    };
    found.note("dead ephemeral member", level, result, meaning);
}

pub(super) fn comeback(found: &mut Examination, seen: Return) {
    let Return { session_present, moved, came_back, had, published, lost, offline } = seen;
    let result = format!("{came_back} of {had} came back, {moved} moved");
    let (level, meaning) = match (session_present, lost) {
        (false, _) => (Level::Bad, "its session was not kept".to_owned()),
        (true, 0) => (Level::Good, format!("of {published} events none was lost")),
        (true, lost) => (Level::Bad, format!("its session was kept, but of {published} events {lost} were lost")),
    };
    found.note("durable member", level, result, meaning);
    let (level, result, meaning) = match offline {
        OfflineMembers::Picked => {
            (Level::Note, "picked", "it is given its share while it is away, which waits until it is back")
        }
        OfflineMembers::IfNoneOnline => (Level::Good, "picked when alone", "the others take over while it is away"),
        OfflineMembers::NotPicked => (Level::Good, "not picked", "the others take over while it is away"),
        _ => (Level::Skipped, "not seen", "its session was not kept"),
    };
    found.note("member that is away", level, result, meaning);
}

pub(super) fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

pub(super) fn nine_filters(found: &mut Examination, seen: Seen<bool>) {
    let Some(granted) = found.seen("nine filters at once", seen) else { return };
    found.evidence.nine_filters = Some(granted);
    let (level, result) = if granted { (Level::Good, "granted") } else { (Level::Note, "refused") };
    found.note("nine filters at once", level, result, "a worker asks for all its filters in one SUBSCRIBE");
}
