//! Partitions, objects, uploads, in that order.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use object_store::{ObjectStoreExt, PutPayload};
use tidemill_core::{Record, Rejection, Sink, SinkError, SinkErrorKind};
use tokio::task;

use super::config::{ObjectFormat, ObjectStoreConfig};
use super::encode;
use super::error::{failed, not_encoded};
use super::partition::{Partition, partitions};
use super::store::Store;
use super::upload::upload;
use crate::kept::{Kept, blocking};
use crate::written;

/// Writes each batch as an object per partition: to a folder, Amazon S3 and what speaks its protocol, Google Cloud
/// Storage or Azure Blob Storage.
///
/// Written means that the store confirmed every object of the batch; in a folder they are on the disk. At least once. An
/// object's name is a hash of its records, so that a batch that is tried again overwrites what it left before. A record
/// that the broker delivers again after a crash comes in another batch and so into a second object: readers that must
/// count once go by the idempotency key, which both formats carry. Within an object records are in the order in which
/// they were emitted; objects have no order.
///
/// The hash covers the idempotency key, or the time where a record has none, and topic, key, payload, content type and
/// headers. Records without idempotency key that agree in all of these are the same to it: a batch of nothing else is
/// overwritten by an equal batch.
///
/// Batches should be large and so rare, see the page on sinks. `Rejected` are records that fit neither partition nor
/// columns. A dropped `write` may still reach the store, and does no harm when it is repeated.
///
/// ```
/// use tidemill_sinks::{ObjectStore, ObjectStoreConfig, Template};
///
/// let config = ObjectStoreConfig::new("s3://lake/readings")
///     .partition(Template::new("line={line|none}/date={time:%Y-%m-%d}")?)
///     .option("aws_region", "eu-central-1");
/// let sink = ObjectStore::new(config);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ObjectStore {
    config: Arc<ObjectStoreConfig>,
    /// Made when it is first needed, and anew after the store refused the credentials.
    store: Kept<Store>,
}

/// Readers of data sets pass over names with an underscore.
const PROBE: &str = "_tidemill";

impl ObjectStore {
    /// A sink with these settings. They are checked when it is opened.
    #[must_use]
    pub fn new(config: ObjectStoreConfig) -> Self {
        Self { config: Arc::new(config), store: Kept::default() }
    }

    async fn store(&self) -> Result<Arc<Store>, SinkError> {
        let config = Arc::clone(&self.config);
        let make = blocking(move || {
            match &config.format {
                ObjectFormat::Ndjson { .. } => {}
                #[cfg(feature = "parquet")]
                ObjectFormat::Parquet(parquet) => super::parquet::check(parquet)?,
            }
            Store::new(&config)
        });
        self.store.or_make(make).await
    }

    /// What the store's answer means. New credentials may be in place when it is tried again.
    fn failed(&self, store: &Arc<Store>, error: &object_store::Error) -> SinkError {
        let error = failed(&store.place, error);
        if error.kind() == SinkErrorKind::Misconfigured {
            self.store.forget(store);
        }
        error
    }

    async fn write_object(
        &self,
        store: &Arc<Store>,
        batch: &Arc<[Record]>,
        partition: Partition,
    ) -> Result<Vec<Rejection>, SinkError> {
        let folder = partition.folder.clone();
        let (config, records) = (Arc::clone(&self.config), Arc::clone(batch));
        let encoded = task::spawn_blocking(move || encode::object(&config.format, &records, &partition));
        let object = encoded.await.map_err(SinkError::unavailable)?.map_err(not_encoded)?;
        if object.records > 0 {
            let path = folder.join(object.name);
            let sent = upload(&*store.objects, &path, object.body, self.config.multipart_above_bytes).await;
            sent.map_err(|error| self.failed(store, &error))?;
        }
        Ok(object.rejections)
    }
}

impl fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectStore").field("url", &self.config.url).finish_non_exhaustive()
    }
}

#[async_trait]
impl Sink for ObjectStore {
    async fn open(&self) -> Result<(), SinkError> {
        let store = self.store().await?;
        if self.config.probe {
            let probe = store.prefix.clone().join(PROBE);
            let put = store.objects.put(&probe, PutPayload::default()).await;
            put.map_err(|error| self.failed(&store, &error))?;
        }
        Ok(())
    }

    async fn write(&self, batch: &[Record]) -> Result<(), SinkError> {
        let store = self.store().await?;
        let mut rejections = Vec::new();
        let partitions = partitions(&store.prefix, &self.config.partition, batch, &mut rejections);
        // Encoding happens on other threads, which outlive this call if it is dropped. Payloads are not copied.
        let batch: Arc<[Record]> = batch.into();
        let writes = partitions.into_iter().map(|partition| self.write_object(&store, &batch, partition));
        let mut writes = stream::iter(writes).buffer_unordered(self.config.concurrency.get());
        while let Some(refused) = writes.next().await {
            rejections.extend(refused?);
        }
        rejections.sort_unstable_by_key(|rejection| rejection.index);
        written(rejections)
    }

    async fn close(&self) -> Result<(), SinkError> {
        self.store.clear();
        Ok(())
    }
}
