//! Where the probes work: the connection, topics of this run alone, and a list of what has to be removed at the end.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidemill_testkit::wire::Version;

use crate::client::{Client, Hello};
use crate::connect::Reach;

const ALPHABET: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";
/// Shortest time without an event after which no more are expected.
const MIN_QUIET: Duration = Duration::from_millis(250);
const MAX_QUIET: Duration = Duration::from_millis(1500);

/// The place of a run.
pub(super) struct Site {
    pub(super) reach: Reach,
    run: String,
    prefix: String,
    /// Round trip that is rarely exceeded, in nanoseconds.
    slow_ns: AtomicU64,
    clients: AtomicU64,
    left: Mutex<Left>,
}

#[derive(Default)]
struct Left {
    sessions: Vec<(Version, String)>,
    retained: Vec<(Version, String)>,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("run", &self.run).field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Site {
    pub(super) fn new(reach: Reach, prefix: &str) -> Self {
        let run: String = (0..8).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect();
        Self {
            reach,
            prefix: format!("{}/{run}", prefix.trim_end_matches('/')),
            run,
            slow_ns: AtomicU64::new(0),
            clients: AtomicU64::new(0),
            left: Mutex::default(),
        }
    }

    /// A topic of this run.
    pub(super) fn topic(&self, name: &str) -> String {
        format!("{}/{name}", self.prefix)
    }

    /// The same as a filter of a sharing group.
    pub(super) fn share(&self, topic: &str) -> String {
        format!("$share/doctor-{}/{topic}", self.run)
    }

    /// A client ID that nobody else has, within the 23 bytes that every broker takes.
    pub(super) fn client_id(&self) -> String {
        format!("doctor-{}-{}", self.run, self.clients.fetch_add(1, Ordering::Relaxed))
    }

    /// How long nothing may come before nothing more is expected.
    pub(super) fn quiet(&self) -> Duration {
        let slow = Duration::from_nanos(self.slow_ns.load(Ordering::Relaxed));
        (slow * 4).clamp(MIN_QUIET, MAX_QUIET)
    }

    /// Notes how long a round trip takes when it takes long.
    pub(super) fn is_slow(&self, round_trip: Duration) {
        self.slow_ns.store(u64::try_from(round_trip.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// A new client whose session ends with its connection.
    pub(super) async fn client(&self, version: Version) -> Result<Client, crate::client::Trouble> {
        Client::connect(&self.reach, Hello::new(version, self.client_id())).await
    }

    /// Notes that this session will have to be removed.
    pub(super) fn leaves_session(&self, hello: &Hello) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.sessions.push((hello.version, hello.id.clone()));
    }

    /// Notes that this topic will have to be cleared.
    pub(super) fn leaves_retained(&self, version: Version, topic: &str) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.retained.push((version, topic.to_owned()));
    }

    /// Removes what was left. What cannot be removed ends by itself, as far as the broker lets it.
    pub(super) async fn clean_up(&self) {
        let left = std::mem::take(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner));
        for (version, id) in left.sessions {
            if let Ok(client) = Client::connect(&self.reach, Hello::new(version, id)).await {
                client.bye().await;
            }
        }
        for (version, topic) in left.retained {
            if let Ok(mut client) = self.client(version).await
                && client.publish_one(&topic, bytes::Bytes::new(), true).await.is_ok()
            {
                let _ = client.confirmed().await;
                client.bye().await;
            }
        }
    }
}
