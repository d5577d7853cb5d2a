//! Sinks of Tidemill: where records go. One feature and one folder per sink, every folder with the same file names.
//!
//! A sink here only writes the batches that it is given. What stands in front of it - batching, retries, limits,
//! dead letters - is the engine of the runtime, the same for these sinks and for one of your own.
//!
//! | sink | feature | written means | order | refuses |
//! |---|---|---|---|---|
//! | `Stdout` | `stdout` | handed to the reader of standard output | kept | line breaks, with `LineFormat::Lines` |
//! | `File` | `file` | on disk (`Fsync::Batch`), within an interval, or with the operating system | kept | line breaks, with `FileFormat::Lines`; what has not what a column asks for, with `FileFormat::Csv` (feature `csv`) |
//! | `Http` | `http` | answered with 2xx | kept, unless `concurrency` is more than 1 | what the receiver answers with 4xx |
//! | `Redis` | `redis` | the server answered; safe as its persistence makes it | kept | records that the server refuses one by one |
//!
//! All write *at least once*. A batch that fails leaves nothing in a file; on standard output a part of it may
//! already have been read, and comes again with the next try. Neither of these two knows idempotency keys: NDJSON
//! carries them, so that a reader can tell a repeated record. `Http` sends them in a header, for receivers that act once
//! on each; `Redis` writes a record with a known one once.
//!
//! Rotated files are compressed with the features `gzip` and `zstd`.

#[cfg(feature = "lines")]
mod blocking;
#[cfg(feature = "lines")]
mod encode;
#[cfg(feature = "file")]
mod file;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "template")]
mod secret;
#[cfg(feature = "stdout")]
mod stdout;
#[cfg(feature = "template")]
mod template;
#[cfg(feature = "tls")]
mod tls;

#[cfg(feature = "lines")]
pub use encode::LineFormat;
#[cfg(feature = "csv")]
pub use encode::{CsvColumn, CsvError, CsvFormat, CsvValue};
#[cfg(feature = "file")]
pub use file::{Compression, File, FileConfig, FileFormat, Fsync, RotateConfig};
#[cfg(feature = "http")]
pub use http::{Http, HttpBody, HttpConfig, HttpMethod, HttpSignature};
#[cfg(feature = "redis")]
pub use redis::{Redis, RedisConfig, RedisInto};
#[cfg(feature = "template")]
pub use secret::{Secret, SecretError};
#[cfg(feature = "stdout")]
pub use stdout::{Stdout, StdoutConfig};
#[cfg(feature = "template")]
pub use template::{
    Escape, Fields, Identifier, IdentifierError, RenderError, RenderErrorKind, Template, TemplateError,
    TemplateErrorKind,
};
