//! Records as rows of a Parquet file.
//!
//! | file | owns |
//! |---|---|
//! | `config` | columns, compression |
//! | `datum` | what a column takes from a record, in its type |
//! | `columns` | values gathered per column |
//! | `write` | rows to a file |
//!
//! Invariant: a record gives a whole row or none. A row that is refused leaves no value behind.

mod columns;
mod config;
mod datum;
#[cfg(test)]
mod tests;
mod write;

pub(super) use config::check;
pub use config::{ParquetColumn, ParquetCompression, ParquetConfig, ParquetType};
pub(super) use write::object;
