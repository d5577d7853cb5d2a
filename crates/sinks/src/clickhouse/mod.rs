//! Records as rows of ClickHouse, over its HTTP interface.
//!
//! | file | owns |
//! |---|---|
//! | `config` | settings |
//! | `rows` | records to lines of `JSONEachRow`; the token that tells a repeated batch |
//! | `sink` | sends batches |
//! | `error` | what a code means, without the record's content |

mod config;
mod error;
mod rows;
mod sink;
#[cfg(test)]
mod tests;

pub use config::ClickhouseConfig;
pub use sink::Clickhouse;
