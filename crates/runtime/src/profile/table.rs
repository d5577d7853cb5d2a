//! The table. One row per broker, as it comes out of the box; whoever learns something about a broker changes its row.
//!
//! Sources are named by their kind: *measured* is what a raw client saw of that release, *source* was read in its code,
//! *documentation* in its manual, *thread* in its issue tracker.

use super::Profile;
use super::facts::{BrokerProfile, ClientIds, Fate, InFlight, Known, OfflineMembers, ReceiveMaximum, Sharing};

/// What every broker has in common that nothing is known about.
const GENERIC: BrokerProfile = BrokerProfile {
    profile: Profile::Generic,
    title: "any other broker",
    sharing: Sharing::Unknown,
    mqtt5: Known::Unknown,
    in_flight: InFlight::Unknown,
    queue: None,
    dead_member: Fate::Unknown,
    offline_members: OfflineMembers::Unknown,
    keeps_sessions: Known::Unknown,
    max_client_id: 65_535,
    client_ids: ClientIds::Any,
    forbids_multi_level: false,
    receive_maximum: ReceiveMaximum::Unknown,
    max_filters: None,
    max_subscriptions: None,
    qos2_on_share: Known::Unknown,
    note: "`tidemill doctor` finds out what it does.",
    source: "the standard, which leaves most of it open",
};

const MOSQUITTO: BrokerProfile = BrokerProfile {
    profile: Profile::Mosquitto,
    title: "Mosquitto 2",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    in_flight: InFlight::AtMostInV311(20),
    queue: Some(1000),
    dead_member: Fate::Lost,
    offline_members: OfflineMembers::Picked,
    keeps_sessions: Known::Yes,
    receive_maximum: ReceiveMaximum::Overshot,
    qos2_on_share: Known::Yes,
    note: "Set `max_queued_messages 0`, or a number above every backlog: beyond 1000 events per member it drops what \
           it has confirmed. `max_inflight_messages` limits clients that speak MQTT 3.1.1. `set_tcp_nodelay true` takes \
           40 ms off the way of a single event.",
    source: "measured: 2.0.11; source: subs.c; threads: eclipse-mosquitto/mosquitto #2662, #1747, #2301",
    ..GENERIC
};

const EMQX: BrokerProfile = BrokerProfile {
    profile: Profile::Emqx,
    title: "EMQX 5 and 6",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    in_flight: InFlight::AtMost(32),
    queue: Some(1000),
    dead_member: Fate::Moved,
    offline_members: OfflineMembers::Picked,
    keeps_sessions: Known::Yes,
    qos2_on_share: Known::Yes,
    note: "What the last member of a group had is dropped with its session, and moving at the expiry of a session is \
           reported not to work always (#12257). A full queue drops its oldest event.",
    source: "documentation; threads: emqx/emqx #7807, #9104, #8527, #12257, #3243",
    ..GENERIC
};

const HIVEMQ: BrokerProfile = BrokerProfile {
    profile: Profile::Hivemq,
    title: "HiveMQ 4 and CE",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    in_flight: InFlight::AtMost(50),
    queue: Some(1000),
    dead_member: Fate::Moved,
    offline_members: OfflineMembers::NotPicked,
    keeps_sessions: Known::Yes,
    qos2_on_share: Known::Yes,
    note: "The community edition gives a member its next events only when it has acknowledged all that it had: one slow \
           event holds back up to a window.",
    source: "source: community edition; documentation",
    ..GENERIC
};

const RMQTT: BrokerProfile = BrokerProfile {
    profile: Profile::Rmqtt,
    title: "RMQTT 0.2x",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    in_flight: InFlight::AtMost(16),
    queue: Some(1000),
    dead_member: Fate::Lost,
    offline_members: OfflineMembers::IfNoneOnline,
    keeps_sessions: Known::Yes,
    receive_maximum: ReceiveMaximum::Honoured,
    note: "Shared subscriptions come with a plugin; without it `$share/...` is a plain topic, in silence.",
    source: "measured: 0.24; source; thread: rmqtt/rmqtt #412",
    ..GENERIC
};

const VERNEMQ: BrokerProfile = BrokerProfile {
    profile: Profile::Vernemq,
    title: "VerneMQ",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    in_flight: InFlight::AtMost(20),
    dead_member: Fate::Lost,
    offline_members: OfflineMembers::IfNoneOnline,
    keeps_sessions: Known::Yes,
    note: "In a cluster an event may be lost or come twice when the node of a member is slow to answer.",
    source: "source; threads: vernemq/vernemq #751, #1869",
    ..GENERIC
};

const NANOMQ: BrokerProfile = BrokerProfile {
    profile: Profile::Nanomq,
    title: "NanoMQ",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    in_flight: InFlight::AtMost(1),
    dead_member: Fate::Lost,
    offline_members: OfflineMembers::Picked,
    keeps_sessions: Known::No,
    note: "Events for a member that is away were dropped until mid-2026, and its backlog drains one event at a time.",
    source: "source; threads: nanomq/nanomq #2355, nanomq/NanoNNG #1564",
    ..GENERIC
};

const FLASHMQ: BrokerProfile = BrokerProfile {
    profile: Profile::Flashmq,
    title: "FlashMQ",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    in_flight: InFlight::AtMost(512),
    note: "Besides events it limits the bytes that wait for a client, to 64 KiB.",
    source: "source; documentation",
    ..GENERIC
};

const BIFROMQ: BrokerProfile = BrokerProfile {
    profile: Profile::Bifromq,
    title: "BifroMQ 3 and 4",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    note: "Its `$oshare` keeps the events of a publisher on one member; Tidemill uses `$share`.",
    source: "documentation; thread: apache/bifromq #261",
    ..GENERIC
};

const AWS_IOT: BrokerProfile = BrokerProfile {
    profile: Profile::AwsIot,
    title: "AWS IoT Core",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    in_flight: InFlight::AtMost(100),
    max_client_id: 128,
    max_filters: Some(8),
    max_subscriptions: Some(50),
    qos2_on_share: Known::No,
    note: "100 events/s per connection: more instances are the way to more \
           throughput. Topics have eight levels at most. A stored backlog comes at about 10 events/s.",
    source: "documentation: service quotas, such as 8 filters per SUBSCRIBE request and 50 subscriptions per connection",
    ..GENERIC
};

const AZURE_EVENT_GRID: BrokerProfile = BrokerProfile {
    profile: Profile::AzureEventGrid,
    title: "Azure Event Grid",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    offline_members: OfflineMembers::NotPicked,
    max_client_id: 128,
    qos2_on_share: Known::No,
    note: "No order is promised, not even per publisher. Sessions live for eight hours at most.",
    source: "documentation: MQTT features, quotas and limits",
    ..GENERIC
};

const RABBITMQ: BrokerProfile = BrokerProfile {
    profile: Profile::Rabbitmq,
    title: "RabbitMQ",
    sharing: Sharing::AnnouncesNo,
    in_flight: InFlight::AtMostInV311(10),
    keeps_sessions: Known::Yes,
    qos2_on_share: Known::No,
    note: "From 4.0 on the CONNACK of MQTT 5 says that there are no shared subscriptions. The SUBACK grants one all the \
           same, in MQTT 3.1.1 too, and nothing ever comes. 3.x speaks MQTT 3.1.1 alone.",
    source: "measured: 3.10 and 4.0; thread: rabbitmq/rabbitmq-server #8936",
    ..GENERIC
};

const NATS: BrokerProfile = BrokerProfile {
    profile: Profile::Nats,
    title: "NATS server",
    sharing: Sharing::Silent,
    mqtt5: Known::No,
    in_flight: InFlight::AtMost(1024),
    keeps_sessions: Known::Yes,
    qos2_on_share: Known::No,
    note: "It speaks MQTT 3.1.1 alone, and redelivers unacknowledged events after 30 s, out of order.",
    source: "measured: 2.9; threads: nats-io/nats-server #2386, #6859, #3369",
    ..GENERIC
};

const WATSON_IOT: BrokerProfile = BrokerProfile {
    profile: Profile::WatsonIot,
    title: "Watson IoT Platform, Maximo IoT",
    sharing: Sharing::ByClientId,
    mqtt5: Known::Yes,
    queue: Some(5000),
    dead_member: Fate::Moved,
    offline_members: OfflineMembers::NotPicked,
    keeps_sessions: Known::Yes,
    max_client_id: 256,
    client_ids: ClientIds::Parts,
    forbids_multi_level: true,
    qos2_on_share: Known::Yes,
    note: "Client IDs are `A:org:app` or `A:org:app:instance`, each part of 36 characters at most. Retained events are \
           passed on as ordinary ones.",
    source: "documentation: applications, quotas; source: eclipse-amlen/amlen, pxmqtt.c and imaproxy.cfg",
    ..GENERIC
};

const TIDEMILL: BrokerProfile = BrokerProfile {
    profile: Profile::Tidemill,
    title: "the embedded broker",
    sharing: Sharing::Yes,
    mqtt5: Known::Yes,
    in_flight: InFlight::ClientsOwn,
    queue: Some(1_000_000),
    dead_member: Fate::Moved,
    offline_members: OfflineMembers::NotPicked,
    keeps_sessions: Known::Yes,
    max_client_id: 1024,
    receive_maximum: ReceiveMaximum::Honoured,
    qos2_on_share: Known::No,
    note: "For demos, tests and benchmarks: all it has is in memory. A full queue holds its publishers back.",
    source: "measured: its own tests",
    ..GENERIC
};

pub(super) const fn row(profile: Profile) -> &'static BrokerProfile {
    match profile {
        Profile::Mosquitto => &MOSQUITTO,
        Profile::Emqx => &EMQX,
        Profile::Hivemq => &HIVEMQ,
        Profile::Rmqtt => &RMQTT,
        Profile::Vernemq => &VERNEMQ,
        Profile::Nanomq => &NANOMQ,
        Profile::Flashmq => &FLASHMQ,
        Profile::Bifromq => &BIFROMQ,
        Profile::AwsIot => &AWS_IOT,
        Profile::AzureEventGrid => &AZURE_EVENT_GRID,
        Profile::Rabbitmq => &RABBITMQ,
        Profile::Nats => &NATS,
        Profile::WatsonIot => &WATSON_IOT,
        Profile::Tidemill => &TIDEMILL,
        Profile::Generic => &GENERIC,
    }
}
