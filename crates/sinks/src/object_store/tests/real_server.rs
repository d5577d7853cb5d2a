//! What every sink must hold: in a folder, and against an S3 server behind a proxy that cuts connections.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use object_store::ObjectStoreExt;
use tempfile::TempDir;
use tidemill_core::{Record, Sink};
use tidemill_testkit::sink_conformance::{Capabilities, Misconfigured, Seen, Target};

use super::super::{ObjectCompression, ObjectFormat, ObjectStore, ObjectStoreConfig};
use super::objects;
use crate::{Secret, Template};

/// All records in a store, object by object.
async fn read_store(store: &dyn object_store::ObjectStore) -> Vec<Seen> {
    let mut seen = Vec::new();
    let all: Vec<_> = store.list(None).try_collect().await.unwrap();
    for object in all {
        let name = object.location.filename().unwrap_or_default().to_owned();
        if name == "_tidemill" {
            continue;
        }
        let bytes = store.get(&object.location).await.unwrap().bytes().await.unwrap();
        seen.extend(objects::records(&name, &bytes));
    }
    seen
}

struct Folder {
    dir: TempDir,
    format: ObjectFormat,
}

impl Folder {
    fn new(format: ObjectFormat) -> Option<Self> {
        Some(Self { dir: TempDir::new().unwrap(), format })
    }

    fn config(&self) -> ObjectStoreConfig {
        let partition = Template::new("part={key|none}").unwrap();
        let url = self.dir.path().join("lake").to_str().unwrap().to_owned();
        ObjectStoreConfig::new(url).partition(partition).format(self.format.clone())
    }
}

#[async_trait]
impl Target for Folder {
    fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(ObjectStore::new(self.config()))
    }

    async fn read_all(&self) -> Vec<Seen> {
        let lake = self.dir.path().join("lake");
        if !lake.exists() {
            return Vec::new();
        }
        read_store(&object_store::local::LocalFileSystem::new_with_prefix(lake).unwrap()).await
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default().no_outage()
    }

    fn bad_record(&self) -> Option<Record> {
        Some(Record::new("{}").with_key(vec![0xff, 0xfe]))
    }

    fn oversize_record(&self) -> Option<Record> {
        Some(Record::new("{}").with_key("long".repeat(100)))
    }

    fn misconfigured(&self) -> Vec<Misconfigured> {
        let file = self.dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        let sink = |config: ObjectStoreConfig| Arc::new(ObjectStore::new(config));
        let below_a_file = ObjectStoreConfig::new(file.join("lake").to_str().unwrap());
        vec![
            Misconfigured::new(sink(below_a_file), "let the worker's user write there"),
            Misconfigured::new(sink(ObjectStoreConfig::new("ftp://host/lake")), "use a folder, s3://, gs:// or az://"),
            Misconfigured::new(sink(self.config().option("aws_region", "x")), "has no option"),
        ]
    }
}

mod folder_of_ndjson {
    use super::{Folder, ObjectCompression, ObjectFormat};

    tidemill_testkit::conformance!(async || Folder::new(ObjectFormat::Ndjson { compression: ObjectCompression::Zstd }));
}

#[cfg(feature = "parquet")]
mod folder_of_parquet {
    use super::{Folder, ObjectFormat};
    use crate::ParquetConfig;

    tidemill_testkit::conformance!(async || Folder::new(ObjectFormat::Parquet(ParquetConfig::default())));
}

#[cfg(feature = "s3")]
mod s3 {
    use std::time::Duration;

    use bytes::Bytes;
    use object_store::aws::AmazonS3Builder;
    use tidemill_core::{SinkErrorKind, report};
    use tidemill_testkit::certificates::Certificates;
    use tidemill_testkit::fault::FaultProxy;
    use tidemill_testkit::sink_conformance::Payloads;
    use tokio::sync::Mutex;

    use super::super::s3_server::{ACCESS_KEY, BUCKET, EXPIRED, FOREIGN, INVALID, S3Server, SECRET_KEY};
    use super::*;

    struct Bucket {
        server: Mutex<S3Server>,
        reader: object_store::aws::AmazonS3,
        proxy: FaultProxy,
        format: ObjectFormat,
    }

    impl Bucket {
        async fn start(format: ObjectFormat) -> Option<Self> {
            // The reader is made before any sink, which would do the same.
            drop(rustls::crypto::ring::default_provider().install_default());
            let server = S3Server::start().await;
            let proxy = FaultProxy::start(server.addr()).await.unwrap();
            let reader = AmazonS3Builder::new()
                .with_url(format!("s3://{BUCKET}"))
                .with_endpoint(format!("http://{}", server.addr()))
                .with_allow_http(true)
                .with_region("us-east-1")
                .with_access_key_id(ACCESS_KEY)
                .with_secret_access_key(SECRET_KEY)
                .build()
                .unwrap();
            Some(Self { server: Mutex::new(server), reader, proxy, format })
        }

        fn config(&self) -> ObjectStoreConfig {
            let mut config = ObjectStoreConfig::new(format!("s3://{BUCKET}/some/readings"))
                .option("aws_endpoint", format!("http://{}", self.proxy.addr()))
                .option("aws_allow_http", "true")
                .option("aws_region", "us-east-1")
                .option("aws_access_key_id", ACCESS_KEY)
                .secret_option("aws_secret_access_key", Secret::Text(SECRET_KEY.into()))
                .format(self.format.clone());
            config.timeout = Duration::from_secs(2);
            config
        }

        async fn names(&self) -> Vec<String> {
            let all: Vec<_> = object_store::ObjectStore::list(&self.reader, None).try_collect().await.unwrap();
            let mut names: Vec<String> = all.into_iter().map(|object| object.location.to_string()).collect();
            names.retain(|name| !name.ends_with("_tidemill"));
            names
        }
    }

    #[async_trait]
    impl Target for Bucket {
        fn sink(&self) -> Arc<dyn Sink> {
            Arc::new(ObjectStore::new(self.config()))
        }

        async fn read_all(&self) -> Vec<Seen> {
            read_store(&self.reader).await
        }

        async fn outage(&self) {
            self.server.lock().await.stop().await;
        }

        async fn recover(&self) {
            self.server.lock().await.resume().await;
        }

        fn proxy(&self) -> Option<&FaultProxy> {
            Some(&self.proxy)
        }

        fn capabilities(&self) -> Capabilities {
            match self.format {
                #[cfg(feature = "parquet")]
                ObjectFormat::Parquet(_) => Capabilities::default().payloads(Payloads::Json),
                ObjectFormat::Ndjson { .. } => Capabilities::default().payloads(Payloads::Any),
            }
        }

        fn bad_record(&self) -> Option<Record> {
            let bad = r#"{"number":"twelve","key":0}"#;
            (!matches!(self.format, ObjectFormat::Ndjson { .. })).then(|| Record::new(bad).with_key("key-0"))
        }

        fn misconfigured(&self) -> Vec<Misconfigured> {
            let sink = |config: ObjectStoreConfig| Arc::new(ObjectStore::new(config));
            let wrong = self.config().secret_option("aws_secret_access_key", Secret::Text("wr0ng-k3y".into()));
            let mut no_bucket = self.config();
            no_bucket.url = "s3://pond/readings".into();
            let mut foreign = self.config();
            foreign.url = format!("s3://{FOREIGN}/readings").into();
            let mut in_url = self.config();
            in_url.url = format!("s3://user:s3cret@{BUCKET}/readings").into();
            vec![
                Misconfigured::new(sink(wrong), "set the right credentials").hides("wr0ng-k3y"),
                Misconfigured::new(sink(no_bucket), "create the bucket"),
                Misconfigured::new(sink(foreign), "refuses the worker (AccessDenied)"),
                Misconfigured::new(sink(in_url), "put them into secret_options").hides("s3cret"),
                Misconfigured::new(sink(self.config().option("aws_regoin", "x")), "has no option \"aws_regoin\""),
                Misconfigured::new(sink(self.config().option("aws_secret_access_key", "plain-k3y")), "is a secret")
                    .hides("plain-k3y"),
            ]
        }
    }

    mod ndjson {
        use super::{Bucket, ObjectFormat};

        tidemill_testkit::conformance!(|| Bucket::start(ObjectFormat::default()));
    }

    #[cfg(feature = "parquet")]
    mod parquet {
        use super::{Bucket, ObjectFormat};
        use crate::{ColumnSource, ParquetColumn, ParquetConfig, ParquetType};

        fn columns() -> ObjectFormat {
            let columns = [
                ParquetColumn::new("payload", ParquetType::Binary, ColumnSource::Payload),
                ParquetColumn::new("key", ParquetType::Binary, ColumnSource::Key),
                ParquetColumn::field("number", ParquetType::Int64, "/number"),
            ];
            ParquetConfig::new(columns).into()
        }

        tidemill_testkit::conformance!(|| Bucket::start(columns()));
    }

    #[tokio::test]
    async fn a_large_object_goes_up_in_parts_and_comes_back_whole() {
        let bucket = Bucket::start(ObjectFormat::Ndjson { compression: ObjectCompression::None }).await.unwrap();
        let mut config = bucket.config();
        config.multipart_above_bytes = 1;
        config.timeout = Duration::from_secs(20);
        let sink = ObjectStore::new(config);
        let batch: Vec<Record> =
            (b'a'..b'j').map(|letter| Record::new(Bytes::from(vec![letter; 2 * 1024 * 1024 + 1]))).collect();
        sink.write(&batch).await.unwrap();
        let seen = bucket.read_all().await;
        assert!(seen.iter().map(|one| &one.payload).eq(batch.iter().map(|record| &record.payload)));
        assert_eq!(bucket.names().await.len(), 1);
    }

    #[tokio::test]
    async fn a_batch_that_is_written_twice_leaves_the_same_objects() {
        let bucket = Bucket::start(ObjectFormat::default()).await.unwrap();
        let batch: Vec<Record> = (0..10).map(|number| bucket.record(number, number)).collect();
        bucket.sink().write(&batch).await.unwrap();
        let once = bucket.names().await;
        bucket.sink().write(&batch).await.unwrap();
        assert_eq!(bucket.names().await, once);
        assert!(once[0].starts_with("some/readings/date=unknown/") && once[0].ends_with(".ndjson.gz"), "{once:?}");
        bucket.sink().write(&batch[1..]).await.unwrap();
        assert_eq!(bucket.names().await.len(), 2, "another batch is another object");
    }

    #[tokio::test]
    async fn credentials_are_read_again_after_they_were_refused() {
        let bucket = Bucket::start(ObjectFormat::default()).await.unwrap();
        let secret = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(secret.path(), "old").unwrap();
        let config = bucket.config().secret_option("aws_secret_access_key", Secret::File(secret.path().into()));
        let sink = ObjectStore::new(config);
        let batch = [bucket.record(1, 1)];
        let error = sink.write(&batch).await.unwrap_err();
        assert_eq!(error.kind(), SinkErrorKind::Misconfigured, "{}", report(&error));
        std::fs::write(secret.path(), SECRET_KEY).unwrap();
        sink.write(&batch).await.unwrap();
    }

    #[tokio::test]
    async fn a_session_token_is_read_again_after_its_time_was_over() {
        let bucket = Bucket::start(ObjectFormat::default()).await.unwrap();
        let token = tempfile::NamedTempFile::new().unwrap();
        let config = bucket.config().secret_option("aws_session_token", Secret::File(token.path().into()));
        let sink = ObjectStore::new(config);
        let batch = [bucket.record(1, 1)];
        for (old, code) in [(EXPIRED, "ExpiredToken"), (INVALID, "InvalidToken")] {
            std::fs::write(token.path(), old).unwrap();
            sink.close().await.unwrap();
            let error = sink.write(&batch).await.unwrap_err();
            assert_eq!(error.kind(), SinkErrorKind::Misconfigured, "{}", report(&error));
            assert!(report(&error).contains(&format!("refuses the worker ({code})")), "{}", report(&error));
            std::fs::write(token.path(), "new").unwrap();
            sink.write(&batch).await.unwrap();
        }
    }

    /// Runs this one test again, in a process with an environment of its own.
    #[tokio::test]
    async fn a_ca_file_leaves_what_the_environment_says_of_the_client() {
        const INNER: &str = "TIDEMILL_TEST_INNER";
        if std::env::var_os(INNER).is_none() {
            let name = std::thread::current().name().unwrap().to_owned();
            let mut again = std::process::Command::new(std::env::current_exe().unwrap());
            again.args([&name, "--exact", "--nocapture"]).env(INNER, "1").env("AWS_ALLOW_HTTP", "true");
            let ended = tokio::task::spawn_blocking(move || again.output().unwrap()).await.unwrap();
            assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
            return;
        }
        let bucket = Bucket::start(ObjectFormat::default()).await.unwrap();
        let certificates = Certificates::for_hosts(["localhost"]).unwrap();
        let mut config = bucket.config();
        config.options.remove("aws_allow_http");
        config.ca_file = Some(certificates.ca());
        ObjectStore::new(config).open().await.unwrap();
    }
}
