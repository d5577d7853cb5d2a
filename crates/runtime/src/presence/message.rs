//! What a presence message says.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::session::Phase;
use crate::worker::WorkerStatus;

/// Version of the message's format. It grows when something that stands in it changes its meaning; what is added does not
/// count.
pub const SCHEMA: u32 = 1;

/// How a worker is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// Not all of its instances are connected and subscribed.
    Joining,
    /// All of its instances take events.
    Ready,
    /// All of its routes are unsubscribed, because their events fail.
    Paused,
    /// It leaves the group and finishes what it has.
    Leaving,
    /// It went without a word; the broker says so in its place.
    Lost,
    /// A state that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl State {
    /// The name in the message.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Ready => "ready",
            Self::Paused => "paused",
            Self::Leaving => "leaving",
            Self::Lost => "lost",
            Self::Unknown => "unknown",
        }
    }
}

/// One worker, as it says of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Presence {
    /// See [`SCHEMA`].
    pub schema: u32,
    /// Name of the group; empty without one.
    #[serde(default)]
    pub group: String,
    /// What the client IDs of its instances start with.
    #[serde(default)]
    pub id: String,
    /// Name of the replica: of the pod, or generated.
    #[serde(default)]
    pub replica: String,
    /// How it is.
    #[serde(default)]
    pub state: State,
    /// Version of Tidemill.
    #[serde(default)]
    pub version: String,
    /// How many instances are wanted.
    #[serde(default)]
    pub wanted: u32,
    /// Share of all windows that is in use, from 0 to 1, and beyond where the broker sends too much.
    #[serde(default)]
    pub window_use: f64,
    /// Events received per second, since the message before.
    #[serde(default)]
    pub rate: f64,
    /// Events handled since it started.
    #[serde(default)]
    pub handled: u64,
    /// Seconds since the Unix epoch at which it started, by its own clock.
    #[serde(default)]
    pub since: u64,
    /// Seconds since the Unix epoch at which it said this, by its own clock. For a lost one, when it had connected last.
    #[serde(default)]
    pub at: u64,
    /// Seconds until it says it again.
    #[serde(default)]
    pub every: u64,
    /// Its instances.
    #[serde(default)]
    pub instances: Vec<PresentInstance>,
}

/// One instance of a worker that is present.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PresentInstance {
    /// Its client ID.
    pub id: String,
    /// Where its connection stands.
    #[serde(default)]
    pub phase: String,
    /// Share of its window that is in use.
    #[serde(default)]
    pub window_use: f64,
    /// Events received since it started.
    #[serde(default)]
    pub received: u64,
}

impl Presence {
    /// The worker as `status` shows it. What it has from the worker's name and history, the caller fills in.
    pub(super) fn of(status: &WorkerStatus) -> Self {
        let is_paused = status.instances.iter().any(|instance| instance.phase == Phase::Ready)
            && status.routes > 0
            && status.paused_routes.len() >= status.routes;
        let state = match (status.draining, is_paused, status.ready) {
            (true, ..) => State::Leaving,
            (false, true, _) => State::Paused,
            (false, false, true) => State::Ready,
            (false, false, false) => State::Joining,
        };
        let instances: Vec<_> = status
            .instances
            .iter()
            .map(|instance| PresentInstance {
                id: instance.id.clone(),
                phase: instance.phase.label().to_owned(),
                window_use: rounded(instance.window_use),
                received: instance.received,
            })
            .collect();
        #[expect(clippy::cast_precision_loss, reason = "a worker has a thousand instances at most")]
        let window_use =
            instances.iter().map(|instance| instance.window_use).sum::<f64>() / instances.len().max(1) as f64;
        Self {
            schema: SCHEMA,
            group: status.group.clone().unwrap_or_default(),
            state,
            version: status.version.to_owned(),
            window_use: rounded(window_use),
            handled: status.handled,
            at: now(),
            instances,
            ..Self::default()
        }
    }
}

/// What nobody reads would only fill the message.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// Seconds since the Unix epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_message_of_a_later_version_is_understood_as_far_as_it_is_known() {
        let text = r#"{"schema":2,"id":"w-1","state":"dreaming","colour":"blue","instances":[{"id":"w-1-0","new":1}]}"#;
        let presence: Presence = serde_json::from_str(text).unwrap();
        assert_eq!((presence.schema, &*presence.id, presence.state), (2, "w-1", State::Unknown));
        assert_eq!(presence.instances[0].id, "w-1-0");
    }

    #[test]
    fn a_message_reads_back_as_it_was_written() {
        let instances = vec![PresentInstance { id: "a".to_owned(), window_use: 0.25, ..Default::default() }];
        for state in [State::Joining, State::Ready, State::Paused, State::Leaving, State::Lost] {
            let presence =
                Presence { schema: SCHEMA, state, rate: 12.5, instances: instances.clone(), ..Default::default() };
            let text = serde_json::to_string(&presence).unwrap();
            assert!(text.contains(&format!("\"state\":\"{}\"", state.name())), "{text}");
            assert_eq!(serde_json::from_str::<Presence>(&text).unwrap(), presence);
        }
    }
}
