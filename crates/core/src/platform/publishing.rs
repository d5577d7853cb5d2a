//! Publishing from handlers: events and commands from values instead of topics.
//!
//! INVARIANT: what would make the platform close the connection is refused here, where the handler sees it.

use std::fmt;

use bytes::Bytes;

use super::limits::{self, PublishError};
use super::quickstart;
use super::topics::TopicRuleError;
use super::{CloseCode, PlatformTopic};
use crate::{Context, Publication, Publishing};

/// Adds [`platform`](Self::platform) to the context of handlers.
///
/// ```
/// use tidemill_core::platform::PlatformContext;
/// use tidemill_core::prelude::*;
///
/// async fn cool_down(event: Event, mut cx: Context) -> HandlerResult {
///     let celsius: f64 = event.json().permanent()?;
///     if celsius > 80.0 {
///         cx.platform().send_command("fan", "fan-1", "run", "json", r#"{"on":true}"#).permanent()?;
///     }
///     Ok(())
/// }
/// ```
pub trait PlatformContext {
    /// Publishes to the platform.
    fn platform(&mut self) -> PlatformPublish<'_>;
}

impl PlatformContext for Context {
    fn platform(&mut self) -> PlatformPublish<'_> {
        PlatformPublish { cx: self }
    }
}

/// See [`PlatformContext::platform`].
#[derive(Debug)]
#[must_use = "it publishes when a method of it is called"]
pub struct PlatformPublish<'a> {
    cx: &'a mut Context,
}

/// Why something was not published. The platform would have closed the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotPublished {
    /// A rule of the platform.
    Rule(PublishError),
    /// The role of the API key.
    Role {
        /// What it may not publish.
        what: &'static str,
    },
}

impl NotPublished {
    /// The code that the platform would have closed the connection with.
    #[must_use]
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::Rule(error) => error.close_code(),
            Self::Role { .. } => CloseCode::NotAuthorized,
        }
    }
}

impl fmt::Display for NotPublished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule(error) => error.fmt(f),
            Self::Role { what } => {
                write!(f, "the role of the API key does not let it publish {what}; give the key another role")
            }
        }
    }
}

impl std::error::Error for NotPublished {}

impl From<TopicRuleError> for NotPublished {
    fn from(error: TopicRuleError) -> Self {
        Self::Rule(PublishError::Topic(error))
    }
}

/// Judges a publication by all that a worker knows of its rights.
///
/// # Errors
/// [`NotPublished`].
pub fn check(publishing: Publishing, topic: &PlatformTopic, size: (usize, usize)) -> Result<(), NotPublished> {
    let (payload_len, topic_len) = size;
    limits::check_size(payload_len, topic_len).map_err(NotPublished::Rule)?;
    let Publishing::Platform { quickstart, events, commands } = publishing else {
        return topic.check_publishable().map_err(NotPublished::from);
    };
    if quickstart {
        quickstart::check_publish(topic).map_err(|error| NotPublished::Rule(PublishError::Quickstart(error)))?;
    }
    topic.check_publishable()?;
    let command = matches!(topic, PlatformTopic::Command { .. });
    match (command, if command { commands } else { events }) {
        (_, true) => Ok(()),
        (true, false) => Err(NotPublished::Role { what: "commands" }),
        (false, false) => Err(NotPublished::Role { what: "events" }),
    }
}

impl PlatformPublish<'_> {
    /// Publishes an event as if the device had sent it, with the promise of [`Context::publish`]. The device must be
    /// registered. Never waits.
    ///
    /// # Errors
    /// The parts make no topic, the payload is too large, or the key or Quickstart does not allow it. Trying again does
    /// not help.
    pub fn publish_event(
        &mut self,
        device_type: &str,
        device: &str,
        event: &str,
        format: &str,
        payload: impl Into<Bytes>,
    ) -> Result<(), NotPublished> {
        self.publish(&PlatformTopic::event(device_type, device, event, format)?, payload.into())
    }

    /// Publishes a command to a device, with the promise of [`Context::publish`]. Never waits.
    ///
    /// # Errors
    /// As [`publish_event`](Self::publish_event).
    pub fn send_command(
        &mut self,
        device_type: &str,
        device: &str,
        command: &str,
        format: &str,
        payload: impl Into<Bytes>,
    ) -> Result<(), NotPublished> {
        self.publish(&PlatformTopic::command(device_type, device, command, format)?, payload.into())
    }

    fn publish(&mut self, topic: &PlatformTopic, payload: Bytes) -> Result<(), NotPublished> {
        let name = topic.to_topic_name()?;
        check(self.cx.scope().publishing, topic, (payload.len(), name.as_bytes().len()))?;
        self.cx.publish(Publication::new(name, payload));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::Scope;
    use crate::platform::limits::MAX_PAYLOAD;
    use crate::platform::quickstart::QuickstartError;

    fn context(publishing: Publishing) -> Context {
        Context::new(Arc::new(Scope { publishing, ..Scope::default() }))
    }

    const ALL: Publishing = Publishing::Platform { quickstart: false, events: true, commands: true };

    #[test]
    fn commands_and_events_get_their_topics() {
        let mut cx = context(ALL);
        cx.platform().send_command("fan", "f1", "run", "json", "1").unwrap();
        cx.platform().publish_event("fan", "f1", "ran", "json", "2").unwrap();
        let topics: Vec<_> =
            cx.take_emitted().into_iter().map(|sent| sent.record.publication.unwrap().topic.to_string()).collect();
        assert_eq!(topics, ["iot-2/type/fan/id/f1/cmd/run/fmt/json", "iot-2/type/fan/id/f1/evt/ran/fmt/json"]);
    }

    #[test]
    fn what_would_close_the_connection_is_refused_and_nothing_is_published() {
        let mut cx = context(ALL);
        let large = cx.platform().publish_event("t", "i", "e", "bin", vec![0; MAX_PAYLOAD + 1]).unwrap_err();
        assert_eq!(large.close_code(), CloseCode::MessageTooLarge);
        let wrong = cx.platform().send_command("t", "i/j", "c", "json", "1").unwrap_err();
        assert_eq!(wrong.close_code(), CloseCode::TopicNotValid);
        assert!(cx.is_outbox_empty());
    }

    #[test]
    fn roles_and_quickstart_set_limits() {
        let mut cx = context(Publishing::Platform { quickstart: false, events: false, commands: true });
        let refused = cx.platform().publish_event("t", "i", "e", "json", "1").unwrap_err();
        assert_eq!(refused, NotPublished::Role { what: "events" });
        cx.platform().send_command("t", "i", "c", "json", "1").unwrap();
        let mut cx = context(Publishing::Platform { quickstart: true, events: true, commands: true });
        let refused = cx.platform().send_command("t", "i", "c", "json", "1").unwrap_err();
        assert_eq!(refused, NotPublished::Rule(PublishError::Quickstart(QuickstartError::PublishCommand)));
    }
}
