//! Instance IDs, which are MQTT client IDs everywhere but on the platform, where many instances may share one.
//!
//! INVARIANT: a generated ID never has a session that outlives its connection, or every restart would leave a ghost member
//! behind that goes on being given its share of the events. A stable ID may.

use tidemill_core::BoxError;

use super::instance::Seat;
use crate::config::Config;

/// Letters and digits without vowels, so that no word appears by chance, and without look-alikes.
const ALPHABET: &[u8] = b"bcdfghjkmnpqrstvwxz23456789";
const RANDOM_LEN: usize = 8;
/// Stands for the serial number of an instance that was replaced very often, where the length of IDs is checked.
const HIGH_SERIAL: u64 = 99_999;

/// Who the instances of this worker are.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
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

    /// An ID as long as any that a connection of such a worker gets.
    pub(crate) fn longest_id(config: &Config) -> String {
        let identity = Self::new(config);
        let last = Seat { slot: config.instances.max().saturating_sub(1), serial: HIGH_SERIAL };
        let (instance, publishing) = (identity.instance_id(last), identity.publishing_id());
        if instance.len() < publishing.len() { publishing } else { instance }
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
    ///
    /// # Errors
    /// The platform allows no such name.
    pub(super) fn client_id(&self, instance: &str) -> Result<String, BoxError> {
        #[cfg(feature = "platform")]
        if let Some(platform) = &self.platform {
            return Ok(platform.client(instance)?.to_string());
        }
        Ok(instance.to_owned())
    }

    /// The client ID of the worker's publishing connection; its session never outlives it.
    ///
    /// # Errors
    /// As [`client_id`](Self::client_id).
    pub(super) fn publisher_id(&self) -> Result<String, BoxError> {
        let id = self.publishing_id();
        #[cfg(feature = "platform")]
        if let Some(platform) = &self.platform {
            return Ok(platform.publisher(&id)?.to_string());
        }
        Ok(id)
    }

    fn publishing_id(&self) -> String {
        format!("{}-{}-out", self.prefix, self.replica)
    }
}

/// The random part of a worker's instance IDs: 27^8, some 282 thousand million, possibilities.
fn random_part() -> String {
    (0..RANDOM_LEN).map(|_| char::from(ALPHABET[fastrand::usize(..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;
    use crate::config::IdentityMode;

    #[test]
    fn the_default_prefix_stays_within_the_23_characters_that_every_broker_takes() {
        let id = Identity::new(&Config::default()).instance_id(Seat { slot: 1023, serial: 9999 });
        assert!(id.len() <= 23, "{id}");
    }

    #[cfg(feature = "platform")]
    #[test]
    fn an_instance_whose_name_the_platform_does_not_take_joins_no_other_group() {
        let mut config = Config::default();
        config.identity.mode = IdentityMode::Platform;
        config.platform.shape = crate::config::PlatformShape::ScalableInstance;
        config.platform.api_key = Some("a-abc123-k3y".to_owned());
        config.platform.app = Some("app".to_owned());
        let identity = Identity::new(&config);
        assert_eq!(identity.client_id("i-1").unwrap(), "A:abc123:app:i-1");
        assert!(identity.client_id(&"i".repeat(37)).is_err());
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
