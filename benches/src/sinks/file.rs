//! Lines in a file, on disk when a batch is written: bare, one write and one fdatasync per batch on a blocking thread.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{File, FileConfig, LineFormat};

use super::contest::Contest;

pub(super) fn contest(folder: &Path) -> Contest {
    let (ours, bare) = (folder.join("tidemill.txt"), folder.join("bare.txt"));
    let ours = move || File::new(FileConfig::new(&ours).format(LineFormat::Lines));
    Contest::new("std::fs, one write and fdatasync per batch", ours, move || Bare {
        path: bare.clone(),
        file: OnceLock::new(),
    })
}

/// The payloads as lines, which is only true of those without a line break: one with it would be read as two records.
pub(super) fn lines(batch: &[Record]) -> Result<Vec<u8>, SinkError> {
    let mut lines = Vec::with_capacity(batch.iter().map(|record| record.payload.len() + 1).sum());
    for record in batch {
        if record.payload.contains(&b'\n') {
            return Err(SinkError::batch_refused("a payload has a line break"));
        }
        lines.extend_from_slice(&record.payload);
        lines.push(b'\n');
    }
    Ok(lines)
}

struct Bare {
    path: PathBuf,
    file: OnceLock<Arc<fs::File>>,
}

#[async_trait]
impl Sink for Bare {
    async fn open(&self) -> Result<(), SinkError> {
        let file = fs::File::options().create(true).append(true).open(&self.path).map_err(SinkError::misconfigured)?;
        let _ = self.file.set(Arc::new(file));
        Ok(())
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let lines = lines(batch)?;
        let file = self.file.get().cloned().ok_or_else(|| SinkError::misconfigured("not open"))?;
        let write = tokio::task::spawn_blocking(move || {
            (&*file).write_all(&lines)?;
            file.sync_data()
        });
        write.await.map_err(SinkError::unavailable)?.map_err(SinkError::unavailable)
    }
}
