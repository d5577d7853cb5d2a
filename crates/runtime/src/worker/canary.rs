//! Whether the broker's shared subscriptions work, found out once at the start by a canary, where the broker's profile
//! does not say. A group on a broker that ignores them would wait for ever without a word.
//!
//! INVARIANT: only a broker that is seen to swallow shared events ends the worker; what cannot be seen is a warning.

use std::future::pending;
use std::time::Duration;

use tidemill_core::report;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::run::Worker;
use crate::config::Config;
use crate::error::{RunError, RunErrorKind};
use crate::session::{Advice, Backoff, SessionErrorKind, Verdict, send_canary};

/// So many lost connections in a row look like a broker that closes them on purpose.
const CUTS: u32 = 3;

impl Worker {
    /// Ready when the broker is seen to ignore shared subscriptions.
    pub(super) async fn shares_are_ignored(&self) -> RunError {
        let Some(topic) = &self.plan.canary else { return pending().await };
        match self.send_canary(topic).await {
            Verdict::Works => debug!("shared subscriptions work"),
            Verdict::Ignored => return ignored(&self.config),
            Verdict::Unknown(why) => warn!(
                why,
                topic,
                "whether the broker's shared subscriptions work could not be seen; set `mqtt.broker` if its profile is \
                 known, allow the topics below `group.verify_topic`, or set `group.verify = \"never\"`"
            ),
            Verdict::Cut => {}
        }
        pending().await
    }

    async fn send_canary(&self, topic: &str) -> Verdict {
        let plan = &self.plan;
        let options = plan.options.for_publisher(plan.identity.canary_id());
        let mqtt = &self.config.mqtt;
        let mut backoff = Backoff::new(mqtt.reconnect.min.max(Duration::from_millis(100)), mqtt.reconnect.max);
        let mut cuts = 0;
        loop {
            let sent = send_canary(&*plan.connector, &options, &plan.settings, topic, plan.connect_timeout).await;
            match sent {
                Ok(Verdict::Cut) if cuts < CUTS => cuts += 1,
                Ok(Verdict::Cut) => return Verdict::Unknown("the broker closes the connection each time".to_owned()),
                Ok(verdict) => return verdict,
                // The instances are told the same, and say it.
                Err(error) if error.kind() == SessionErrorKind::Unsupported => return Verdict::Cut,
                Err(error) if error.advice() == Advice::Stop => return Verdict::Unknown(report(&error)),
                Err(error) => debug!(error = report(&error), "the canary has no connection yet"),
            }
            sleep(backoff.next()).await;
        }
    }
}

fn ignored(config: &Config) -> RunError {
    let group = config.group.name.as_deref().unwrap_or_default();
    let text = format!(
        "the broker at {} grants shared subscriptions and delivers nothing through them, so that the members of group \
         {group:?} would get no event; use a broker that shares, run one instance without `group.name`, or set \
         `group.verify = \"never\"` if this is wrong",
        config.mqtt.url
    );
    RunError::new(RunErrorKind::Broker, text)
}
