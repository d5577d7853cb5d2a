//! Wills: what a client left to be published when it is lost.

use std::sync::Arc;

use super::message::Message;

#[derive(Clone, Debug)]
pub(super) struct Will {
    pub(super) message: Arc<Message>,
    /// Seconds to wait for the client to come back `[MQTT-3.1.3-9]`.
    pub(super) delay: u32,
}
