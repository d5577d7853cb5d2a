//! Lines on standard output, which leads nowhere here: bare, one write per batch on a blocking thread.

use std::io::{self, Write};

use async_trait::async_trait;
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{LineFormat, Stdout, StdoutConfig};

use super::contest::Contest;

pub(super) fn contest() -> Contest {
    let ours = || Stdout::new(StdoutConfig::default().format(LineFormat::Lines));
    Contest::new("stdout", "one write per batch, to /dev/null", ours, || Bare)
}

struct Bare;

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let lines = super::file::lines(batch);
        let write = tokio::task::spawn_blocking(move || io::stdout().lock().write_all(&lines));
        write.await.map_err(SinkError::unavailable)?.map_err(SinkError::unavailable)
    }
}
