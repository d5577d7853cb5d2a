//! Records as rows of PostgreSQL, and of what speaks its protocol.
//!
//! | file | owns |
//! |---|---|
//! | `config` | settings |
//! | `statement` | the statements; what is an identifier and what is a parameter |
//! | `rows` | records to columns of text |
//! | `connection` | connects, looks at the table, prepares |
//! | `sink` | writes batches over a few connections |
//! | `error` | what an SQLSTATE means, without the record's content |

mod config;
mod connection;
mod error;
mod rows;
mod sink;
mod statement;
#[cfg(test)]
mod tests;

pub use config::{OnConflict, PostgresConfig, PostgresTls};
pub use sink::Postgres;
