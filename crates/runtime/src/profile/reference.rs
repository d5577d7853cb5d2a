//! The table as people read it: the content of `docs/brokers.md`.

use std::fmt::Write as _;

use tidemill_core::QoS;

use super::Profile;
use super::advice::Advice;
use super::facts::{BrokerProfile, ClientIds, Fate, InFlight, Known, OfflineMembers, ReceiveMaximum, Sharing};
use crate::config::{Config, IdentityMode};

const INTRODUCTION: &str = "\
# Brokers

<!-- Generated from crates/runtime/src/profile/table.rs. To change it, change the table and run
     `UPDATE_DOCS=1 cargo test -p tidemill-runtime profile`. -->

MQTT leaves open what a broker does with the events of a member that is gone, and brokers differ. A worker is told which
one it has by `mqtt.broker`, and then refuses to start where a group cannot work and warns where a crash can lose
events. `tidemill doctor --broker URL` finds out by trying: it says which of these brokers yours behaves like, and
which identity and window suit it.

Where the profile does not say whether the broker shares (`generic`), a worker with a group tries it once at its start: it
publishes an event to a topic of its own below `group.verify_topic`, through a shared subscription, and another through a
plain one. When only the plain one comes back, the broker ignores shared subscriptions and the worker ends with an error,
rather than wait for events that never come. What cannot be seen, because access rules forbid the topic, is a warning.
`group.verify` switches this off, or on for every broker.

SUBSCRIBE and UNSUBSCRIBE are sent in as many packets as the broker's limit of filters per packet asks for.

All of this is about brokers as they come out of the box; most of it can be configured.

";

/// All profiles as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("## Which identity is safe\n\nFor the members of a group at QoS 1.\n\n");
    page.push_str("| `mqtt.broker` | broker | ephemeral | durable |\n|---|---|---|---|\n");
    for facts in Profile::ALL.map(Profile::facts) {
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            facts.profile,
            facts.title,
            safe(facts, IdentityMode::Ephemeral),
            safe(facts, IdentityMode::Durable),
        );
    }
    page.push_str(
        "\n*Safe*: a crash loses nothing. *Can lose*: the worker warns at its start. *Refused*: the worker does not \
         start. *As `platform`*: the mode `platform` is picked instead of either, and with it the profile; safe \
         where instances keep their sessions or others are connected. An ephemeral identity is never safe for the last \
         member of a group: there is no other one to take over.\n",
    );
    page.push_str("\n## What they do\n\n");
    page.push_str(
        "| `mqtt.broker` | MQTT 5 | shared subscriptions | events of a dead ephemeral member | durable member that is away \
         | keeps sessions | Receive Maximum | in flight per client | queue | client ID | filters |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for facts in Profile::ALL.map(Profile::facts) {
        let cells = [
            known(facts.mqtt5).to_owned(),
            sharing(facts).to_owned(),
            fate(facts.dead_member).to_owned(),
            offline(facts.offline_members).to_owned(),
            known(facts.keeps_sessions).to_owned(),
            receive_maximum(facts.receive_maximum).to_owned(),
            in_flight(facts),
            facts.queue.map_or_else(|| "?".to_owned(), |queue| queue.to_string()),
            client_id(facts),
            filters(facts),
        ];
        let _ = writeln!(page, "| `{}` | {} |", facts.profile, cells.join(" | "));
    }
    page.push_str("\nA question mark: it is not known, and counts as unsafe.\n\n## Notes and sources\n\n");
    for facts in Profile::ALL.map(Profile::facts) {
        let _ = writeln!(page, "- **{}** (`{}`): {} *{}.*", facts.title, facts.profile, facts.note, facts.source);
    }
    page
}

fn safe(facts: &BrokerProfile, mode: IdentityMode) -> &'static str {
    if facts.sharing == Sharing::ByClientId {
        return "as `platform`";
    }
    match facts.advice(mode, QoS::AtLeastOnce, Config::default().mqtt.window) {
        Advice::Safe => "safe",
        Advice::Warn { .. } => "can lose",
        Advice::Refuse { .. } => "refused",
    }
}

fn sharing(facts: &BrokerProfile) -> &'static str {
    match facts.sharing {
        Sharing::Yes => "yes",
        Sharing::AnnouncesNo => "no, and says so in MQTT 5",
        Sharing::Silent => "no, and stays silent",
        Sharing::ByClientId => "no, groups are made by client ID",
        Sharing::Unknown => "?",
    }
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Moved => "moved",
        Fate::Lost => "lost",
        Fate::Unknown => "?",
    }
}

fn offline(offline: OfflineMembers) -> &'static str {
    match offline {
        OfflineMembers::Picked => "picked",
        OfflineMembers::IfNoneOnline => "picked when none is connected",
        OfflineMembers::NotPicked => "not picked",
        OfflineMembers::Unknown => "?",
    }
}

fn known(known: Known) -> &'static str {
    match known {
        Known::Yes => "yes",
        Known::No => "no",
        Known::Unknown => "?",
    }
}

fn receive_maximum(held: ReceiveMaximum) -> &'static str {
    match held {
        ReceiveMaximum::Honoured => "honoured",
        ReceiveMaximum::Overshot => "overshot",
        ReceiveMaximum::Ignored => "ignored",
        ReceiveMaximum::Unknown => "?",
    }
}

fn in_flight(facts: &BrokerProfile) -> String {
    match facts.in_flight {
        InFlight::AtMost(events) => events.to_string(),
        InFlight::AtMostInV311(events) => format!("{events} in MQTT 3.1.1"),
        InFlight::ClientsOwn => "as the client says".to_owned(),
        InFlight::Unknown => "?".to_owned(),
    }
}

fn client_id(facts: &BrokerProfile) -> String {
    let most = format!("{} bytes", facts.max_client_id);
    match facts.client_ids {
        ClientIds::Any => most,
        ClientIds::Parts => format!("{most} of letters, digits, `-_.:`"),
    }
}

fn filters(facts: &BrokerProfile) -> String {
    let most = facts.max_filters.map(|most| format!("{most} per SUBSCRIBE"));
    let in_all = facts.max_subscriptions.map(|most| format!("{most} per connection"));
    let hash = facts.forbids_multi_level.then(|| "no `#`".to_owned());
    let limits: Vec<_> = most.into_iter().chain(in_all).chain(hash).collect();
    if limits.is_empty() { "any".to_owned() } else { limits.join(", ") }
}
