//! Records into an object store: a batch becomes an object for each partition that it has records of.
//!
//! | file | owns |
//! |---|---|
//! | `config` | settings |
//! | `store` | URL and options to a store |
//! | `partition` | which records go into one object |
//! | `name` | what the object is called, the same for the same records |
//! | `encode` | the records of an object to its bytes |
//! | `parquet` | records as rows |
//! | `body` | bytes in pieces, which are uploaded as they are |
//! | `upload` | one request, or several for a large object |
//! | `sink` | the order of all that |
//! | `error` | what a failure means |
//!
//! Invariant: a record that is not refused is in exactly one object of its batch, and the batch is written when all of
//! its objects are. The same batch gives the same objects under the same names, so that writing it again changes nothing.

mod body;
mod config;
mod encode;
mod error;
mod name;
#[cfg(feature = "parquet")]
mod parquet;
mod partition;
mod sink;
mod store;
#[cfg(test)]
mod tests;
mod upload;

pub use config::{ObjectCompression, ObjectFormat, ObjectStoreConfig};
#[cfg(feature = "parquet")]
pub use parquet::{ParquetColumn, ParquetCompression, ParquetConfig, ParquetType};
pub use sink::ObjectStore;
