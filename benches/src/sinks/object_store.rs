//! Objects in a folder, on disk when a batch is written: bare, the object_store crate with fsync, an object of NDJSON with
//! gzip per batch, made on a blocking thread.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use flate2::Compression;
use flate2::write::GzEncoder;
use object_store::ObjectStoreExt;
use object_store::local::LocalFileSystem;
use serde::Serialize;
use tidemill_core::{Record, Sink, SinkError};
use tidemill_sinks::{ObjectStore, ObjectStoreConfig};
use tokio::sync::OnceCell;

use super::contest::Contest;

/// Objects are meant to be large.
const BATCH: u32 = 5000;

pub(super) fn contest(folder: &Path) -> Contest {
    let (ours, bare) = (folder.join("tidemill-objects"), folder.join("bare-objects"));
    let ours = move || ObjectStore::new(ObjectStoreConfig::new(ours.display().to_string()));
    let bare = move || Bare { folder: bare.clone(), store: OnceCell::new(), next: AtomicU64::new(0) };
    Contest::new("object_store, an object of NDJSON with gzip per batch, fsync", ours, bare).with_batch(BATCH)
}

struct Bare {
    folder: PathBuf,
    store: OnceCell<LocalFileSystem>,
    next: AtomicU64,
}

#[derive(Serialize)]
struct Line<'r> {
    topic: &'r str,
    key: &'r str,
    payload: &'r str,
}

fn object(batch: &[Record]) -> Result<Vec<u8>, SinkError> {
    let mut object = GzEncoder::new(Vec::new(), Compression::new(6));
    let mut line = Vec::new();
    for record in batch {
        let topic = record.topic.as_ref().map_or("", |topic| topic.as_str());
        let key = std::str::from_utf8(record.key.as_deref().unwrap_or_default()).map_err(SinkError::batch_refused)?;
        let payload = std::str::from_utf8(&record.payload).map_err(SinkError::batch_refused)?;
        line.clear();
        serde_json::to_writer(&mut line, &Line { topic, key, payload }).map_err(SinkError::batch_refused)?;
        line.push(b'\n');
        object.write_all(&line).map_err(SinkError::unavailable)?;
    }
    object.finish().map_err(SinkError::unavailable)
}

#[async_trait]
impl Sink for Bare {
    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let make = || async {
            std::fs::create_dir_all(&self.folder).map_err(SinkError::misconfigured)?;
            let store = LocalFileSystem::new_with_prefix(&self.folder).map_err(SinkError::misconfigured)?;
            Ok::<_, SinkError>(store.with_fsync(true))
        };
        let store = self.store.get_or_try_init(make).await?;
        let batch: Arc<[Record]> = batch.into();
        let object = tokio::task::spawn_blocking(move || object(&batch)).await.map_err(SinkError::unavailable)??;
        let path = format!("{}.ndjson.gz", self.next.fetch_add(1, Ordering::Relaxed)).into();
        store.put(&path, object.into()).await.map(drop).map_err(SinkError::unavailable)
    }
}
