//! Sinks of Tidemill: where records go. One feature and one folder per sink, every folder with the same file names.
//!
//! A sink here only writes the batches that it is given. What stands in front of it - batching, retries, limits,
//! dead letters - is the engine of the runtime, the same for these sinks and for one of your own.
//!
//! | sink | feature | written means | order | refuses |
//! |---|---|---|---|---|
//! | `Stdout` | `stdout` | handed to the reader of standard output | per key | line breaks, with `LineFormat::Lines` |
//! | `File` | `file` | on disk (`Fsync::Batch`), within an interval, or with the operating system | per key | line breaks, with `FileFormat::Lines`; what has not what a column asks for, with `FileFormat::Csv` (feature `csv`) |
//! | `Http` | `http` | answered with 2xx | per key, unless `concurrency` is more than 1 | what the receiver answers with 4xx |
//! | `Redis` | `redis` | the server answered; safe as its persistence makes it | per key | records that the server refuses one by one |
//! | `Postgres` | `postgres` | committed | none, or as emitted with `on_conflict = "update"` | null characters, what the table does not take |
//! | `Influx` | `influx` | answered with 2xx | none: points have their time | line breaks in tags, records without a time or a field |
//! | `Clickhouse` | `clickhouse` | the server has the rows | none | what is no UTF-8, what the table does not take |
//! | `Nats` | `nats` | the stream has said so; in mode `core`, handed to the connection | per key | no word of a subject, too large, another stream's subject |
//! | `Kafka` | `kafka` | all replicas in sync have it | per key | no topic's name, too large, what a broker refuses alone |
//! | `Amqp` | `amqp` | confirmed by the server | per key | no word of a routing key, what no queue takes |
//! | `ObjectStore` | `object-store`, `s3`, `gcs`, `azure`, `parquet` | the store has confirmed the objects; in a folder: on disk | within an object | records that fit neither partition nor columns |
//!
//! A sink that publishes to an MQTT broker is in `tidemill-runtime`, whose connections it needs.
//!
//! Order *per key* is order of all records while `in_flight` is 1, its default.
//!
//! All write *at least once*, bar `Nats` in mode `core`. A batch that fails leaves nothing in a file; on standard output a part of it may
//! already have been read, and comes again with the next try. Neither of these two knows idempotency keys: NDJSON
//! carries them, so that a reader can tell a repeated record. `Http` sends them in a header, for receivers that act once
//! on each; `Redis` writes a record with a known one once, and `Postgres` does for as long as the row is there. `Nats`
//! stores one once within its stream's duplicate window; `Kafka` and `Amqp` send them along for consumers.
//! `ObjectStore` overwrites the objects of a batch that is tried again, and writes the keys beside the payloads.
//!
//! Rotated files are compressed with the features `gzip` and `zstd`.

#[cfg(feature = "amqp")]
mod amqp;
#[cfg(any(feature = "file", feature = "stdout"))]
mod blocking;
#[cfg(feature = "clickhouse")]
mod clickhouse;
#[cfg(any(feature = "clickhouse", feature = "parquet", feature = "postgres"))]
mod columns;
#[cfg(any(feature = "file", feature = "object-store"))]
mod compress;
#[cfg(any(feature = "clickhouse", feature = "http", feature = "object-store", feature = "postgres"))]
mod digest;
#[cfg(feature = "lines")]
#[cfg_attr(not(any(feature = "file", feature = "stdout")), allow(dead_code, reason = "whole lines are for files"))]
mod encode;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "http")]
mod http;
#[cfg(any(feature = "clickhouse", feature = "http", feature = "influx"))]
mod http_client;
#[cfg(feature = "influx")]
mod influx;
#[cfg(feature = "kafka")]
mod kafka;
#[cfg(any(
    feature = "amqp",
    feature = "clickhouse",
    feature = "http",
    feature = "influx",
    feature = "kafka",
    feature = "nats",
    feature = "object-store",
    feature = "redis"
))]
#[cfg_attr(
    not(any(
        feature = "amqp",
        feature = "clickhouse",
        feature = "http",
        feature = "influx",
        feature = "nats",
        feature = "object-store",
        feature = "redis"
    )),
    allow(dead_code, reason = "Kafka keeps its clients in a pool, and only starts them where that may block")
)]
mod kept;
#[cfg(feature = "nats")]
mod nats;
#[cfg(feature = "object-store")]
mod object_store;
#[cfg(any(feature = "amqp", feature = "kafka", feature = "postgres"))]
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "amqp", feature = "azure", feature = "gcs", feature = "redis", feature = "s3"))]
mod provider;
#[cfg(any(feature = "clickhouse", feature = "lines"))]
mod quote;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "lines", feature = "template"))]
mod scan;
#[cfg(feature = "template")]
mod secret;
#[cfg(feature = "template")]
mod shown;
#[cfg(feature = "stdout")]
mod stdout;
#[cfg(feature = "template")]
mod template;
#[cfg(any(feature = "clickhouse", feature = "http", feature = "influx", feature = "nats", feature = "postgres"))]
mod tls;

#[cfg(feature = "amqp")]
pub use amqp::{Amqp, AmqpConfig};
#[cfg(feature = "clickhouse")]
pub use clickhouse::{Clickhouse, ClickhouseConfig};
#[cfg(any(feature = "clickhouse", feature = "parquet", feature = "postgres"))]
pub use columns::ColumnSource;
#[cfg(any(feature = "clickhouse", feature = "postgres"))]
pub use columns::{Column, ColumnType};
#[cfg(feature = "lines")]
pub use encode::LineFormat;
#[cfg(feature = "csv")]
pub use encode::{CsvColumn, CsvError, CsvFormat, CsvValue};
#[cfg(feature = "file")]
pub use file::{Compression, File, FileConfig, FileFormat, Fsync, RotateConfig};
#[cfg(feature = "http")]
pub use http::{Http, HttpBody, HttpConfig, HttpMethod, HttpSignature};
#[cfg(feature = "influx")]
pub use influx::{Influx, InfluxApi, InfluxConfig, InfluxField, InfluxPrecision, InfluxTime};
#[cfg(feature = "kafka")]
pub use kafka::{Kafka, KafkaConfig, KafkaSasl};
#[cfg(feature = "nats")]
pub use nats::{Nats, NatsConfig, NatsMode};
#[cfg(feature = "object-store")]
pub use object_store::{ObjectCompression, ObjectFormat, ObjectStore, ObjectStoreConfig};
#[cfg(feature = "parquet")]
pub use object_store::{ParquetColumn, ParquetCompression, ParquetConfig, ParquetType};
#[cfg(feature = "postgres")]
pub use postgres::{OnConflict, Postgres, PostgresConfig, PostgresTls};
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisConfig, RedisInto};
#[cfg(feature = "template")]
pub use secret::{Secret, SecretError};
#[cfg(feature = "template")]
pub use shown::{PlainValues, ServerUrl};
#[cfg(feature = "stdout")]
pub use stdout::{Stdout, StdoutConfig};
#[cfg(feature = "template")]
pub use template::{
    Escape, Fields, Identifier, IdentifierError, RenderError, RenderErrorKind, Template, TemplateError,
    TemplateErrorKind,
};

/// The result of a batch whose accepted records were written.
#[cfg(any(
    feature = "amqp",
    feature = "clickhouse",
    feature = "file",
    feature = "http",
    feature = "influx",
    feature = "kafka",
    feature = "nats",
    feature = "object-store",
    feature = "postgres",
    feature = "redis",
    feature = "stdout"
))]
fn written(rejections: Vec<tidemill_core::Rejection>) -> Result<(), tidemill_core::SinkError> {
    if rejections.is_empty() { Ok(()) } else { Err(tidemill_core::SinkError::rejected(rejections)) }
}
