//! Records as rows: what the sinks that write columns share.
//!
//! | file | owns |
//! |---|---|
//! | `source` | where the value of a column comes from, and what a record has there |
//! | `table` | the columns of a table |
//!
//! Invariant: a value never becomes part of a statement. What a record has no value for is null, and a payload that is
//! not JSON is refused where a column asks for a part of it.

mod source;
#[cfg(any(feature = "clickhouse", feature = "postgres"))]
mod table;

pub use source::ColumnSource;
pub(crate) use source::Value;
#[cfg(feature = "postgres")]
pub(crate) use table::ID;
#[cfg(any(feature = "clickhouse", feature = "postgres"))]
pub use table::{Column, ColumnType};
#[cfg(any(feature = "clickhouse", feature = "postgres"))]
pub(crate) use table::{check, default_columns};

/// A time as text is made of it.
///
/// # Errors
/// It is beyond the years that can be written.
pub(crate) fn timestamp(time: std::time::SystemTime) -> Result<jiff::Timestamp, &'static str> {
    jiff::Timestamp::try_from(time).map_err(|_| "time is out of range")
}
