//! Instance IDs, which are MQTT client IDs everywhere but on the platform, where many instances may share one.
//!
//! INVARIANT: a generated ID never has a session that outlives its connection, or every restart would leave a ghost member
//! behind that goes on being given its share of the events. A stable ID may.

use super::instance::Seat;
use crate::config::Config;

/// Letters and digits without vowels, so that no word appears by chance, and without look-alikes.
const ALPHABET: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";
const RANDOM_LEN: usize = 8;
/// Stands for the serial number of an instance that was replaced very often, where the length of IDs is checked.
const HIGH_SERIAL: u64 = 99_999;

/// Who the instances of this worker are.
#[derive(Clone, Debug)]
pub(super) struct Identity {
    prefix: String,
    /// What tells this worker from its replicas: a random part, or the replica's own name.
    replica: String,
    durable: bool,
    #[cfg(feature = "platform")]
    platform: Option<crate::platform::Membership>,
}

impl Identity {
    pub(super) fn new(config: &Config) -> Self {
        let identity = &config.identity;
        let durable = config.is_durable();
        let replica = match &identity.replica {
            Some(replica) if durable => replica.clone(),
            _ => random_part(),
        };
        Self {
            prefix: identity.prefix.clone(),
            replica,
            durable,
            #[cfg(feature = "platform")]
            platform: crate::platform::Membership::of(config),
        }
    }

    /// An ID as long as any that an instance of such a worker gets.
    pub(super) fn longest_id(config: &Config) -> String {
        let last = Seat { slot: config.instances.max().saturating_sub(1), serial: HIGH_SERIAL };
        Self::new(config).instance_id(last)
    }

    /// Whether an instance and its replacement have the same client ID, so that they cannot be connected at one time.
    pub(super) fn keeps_ids(&self) -> bool {
        #[cfg(feature = "platform")]
        if self.platform.as_ref().is_some_and(|platform| platform.group().is_none()) {
            return true;
        }
        self.durable
    }

    /// The ID of an instance: by its slot where it must be the same after a restart, by its serial number otherwise.
    /// Letters, digits and `-`, which every broker accepts `[MQTT-3.1.3-5]`.
    pub(super) fn instance_id(&self, seat: Seat) -> String {
        let number = if self.durable { u64::from(seat.slot) } else { seat.serial };
        format!("{}-{}-{number}", self.prefix, self.replica)
    }

    /// What the IDs of all instances of this worker start with.
    pub(super) fn common(&self) -> String {
        format!("{}-{}", self.prefix, self.replica)
    }

    /// The ID of the connection that tries at the start whether the broker shares.
    pub(super) fn canary_id(&self) -> String {
        format!("{}-{}-try", self.prefix, self.replica)
    }

    /// The ID of the connection for the worker's presence.
    pub(super) fn presence_id(&self) -> String {
        format!("{}-{}-here", self.prefix, self.replica)
    }

    /// What tells this worker from its replicas.
    pub(super) fn replica(&self) -> &str {
        &self.replica
    }

    /// The client ID that an instance of this ID connects with: the same, except on the platform.
    pub(super) fn client_id(&self, instance: &str) -> String {
        #[cfg(feature = "platform")]
        if let Some(platform) = &self.platform {
            return platform.client(instance).to_string();
        }
        instance.to_owned()
    }

    /// The ID of the worker's publishing connection; its session never outlives it.
    pub(super) fn publisher_id(&self) -> String {
        let id = format!("{}-{}-out", self.prefix, self.replica);
        #[cfg(feature = "platform")]
        if let Some(client) = self.platform.as_ref().and_then(|platform| platform.publisher(&id).ok()) {
            return client.to_string();
        }
        id
    }
}

/// The random part of a worker's instance IDs: 27^8, some 282 thousand million, possibilities.
fn random_part() -> String {
    (0..RANDOM_LEN).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::IdentityMode;

    #[test]
    fn the_default_prefix_stays_within_the_23_characters_that_every_broker_takes() {
        let id = Identity::new(&Config::default()).instance_id(Seat { slot: 1023, serial: 9999 });
        assert!(id.len() <= 23, "{id}");
    }

    #[test]
    fn random_parts_differ() {
        let parts: std::collections::HashSet<_> = (0..1000).map(|_| random_part()).collect();
        assert_eq!(parts.len(), 1000);
    }

    #[test]
    fn a_durable_id_is_the_same_after_a_restart_and_an_ephemeral_one_is_not() {
        let mut config = Config::default();
        let seat = Seat { slot: 2, serial: 7 };
        assert_ne!(Identity::new(&config).instance_id(seat), Identity::new(&config).instance_id(seat));
        config.identity.mode = IdentityMode::Durable;
        config.identity.replica = Some("worker-3".to_owned());
        assert_eq!(Identity::new(&config).instance_id(seat), "tidemill-worker-3-2");
        assert_eq!(Identity::new(&config).instance_id(Seat { slot: 2, serial: 0 }), "tidemill-worker-3-2");
    }
}
