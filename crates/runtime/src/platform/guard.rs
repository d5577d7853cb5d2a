//! What stands between handlers' publications and the platform: its rules, its retained flag and its rate.
//!
//! INVARIANT: nothing passes that the platform would close the connection over, so one bad publication never costs others
//! theirs.

use std::sync::atomic::{AtomicBool, Ordering};

use tidemill_core::platform::limits::{MAX_PAYLOAD, counted_size};
use tidemill_core::platform::{PlatformTopic, publishing};
use tidemill_core::{Publication, Publishing};
use tracing::warn;

use super::Membership;
use crate::config::Config;
use crate::layer::Gate;

/// Each whole one of so many bytes costs a unit of the platform's rate, beside the unit of the publication itself.
const UNIT: usize = 4096;
/// Units of the largest publication.
const MOST: usize = 1 + MAX_PAYLOAD / UNIT;

/// See the module's description.
#[derive(Debug)]
pub(crate) struct Guard {
    publishing: Publishing,
    pace: Option<Gate>,
    warned: AtomicBool,
}

impl Guard {
    pub(crate) fn new(membership: &Membership, config: &Config) -> Self {
        let rate = config.platform.publish_units_per_second;
        let burst = rate.max(u32::try_from(MOST).unwrap_or(u32::MAX));
        Self {
            publishing: membership.publishing(),
            pace: Gate::per_second(rate, burst),
            warned: AtomicBool::new(false),
        }
    }

    /// Judges a publication and makes of it what the platform would.
    ///
    /// # Errors
    /// Why the platform would close the connection.
    pub(crate) fn check(&self, publication: &mut Publication) -> Result<(), String> {
        let text = publication.topic.as_str();
        let topic = PlatformTopic::parse(text).map_err(|error| error.to_string())?;
        let size = (publication.payload.len(), text.len());
        publishing::check(self.publishing, &topic, size).map_err(|error| error.to_string())?;
        if std::mem::take(&mut publication.retain) && !self.warned.swap(true, Ordering::Relaxed) {
            warn!(topic = text, "the platform retains no publications of applications; the flag is cleared, said once");
        }
        Ok(())
    }

    /// Waits until the publication is within the rate. Cancel-safe.
    pub(crate) async fn pass(&self, publication: &Publication) {
        if let Some(pace) = &self.pace {
            let size = counted_size(publication.payload.len(), publication.topic.as_bytes().len());
            pace.pass_many(1 + size / UNIT).await;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use tidemill_core::topic::TopicName;

    use super::*;
    use crate::config::IdentityMode;

    fn guard() -> Guard {
        let mut config = Config::default();
        config.identity.mode = IdentityMode::Platform;
        config.platform.app = Some("app".to_owned());
        config.platform.api_key = Some("a-abc123-k3y".to_owned());
        Guard::new(&Membership::of(&config).unwrap(), &config)
    }

    #[tokio::test]
    async fn the_retain_flag_is_cleared_before_it_is_sent() {
        let topic = TopicName::new("iot-2/type/T/id/I/cmd/C/fmt/json").unwrap();
        let mut publication = Publication::new(topic, "1").with_retain(true);
        guard().check(&mut publication).unwrap();
        assert!(!publication.retain);
    }

    #[tokio::test]
    async fn what_the_platform_would_close_the_connection_over_does_not_pass() {
        let topic = TopicName::new("plant/1").unwrap();
        assert!(guard().check(&mut Publication::new(topic, "1")).is_err());
    }
}
