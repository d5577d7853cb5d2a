//! A worker's way to a broker of the testkit in the same process.

use std::sync::Arc;

use tidemill_core::async_trait;
use tidemill_runtime::{BoxStream, Connector, SessionError};
use tidemill_testkit::broker::Broker;

/// Connects to this broker.
#[derive(Clone, Debug)]
pub(crate) struct Direct(pub(crate) Arc<Broker>);

#[async_trait]
impl Connector for Direct {
    async fn connect(&self) -> Result<BoxStream, SessionError> {
        Ok(Box::new(self.0.connect()))
    }
}
