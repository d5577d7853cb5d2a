//! Records as points: InfluxDB, VictoriaMetrics, and what else takes line protocol.
//!
//! | file | owns |
//! |---|---|
//! | `config` | settings |
//! | `line` | line protocol: what is escaped, what cannot be and is refused |
//! | `point` | a record to a line |
//! | `sink` | sends batches |
//! | `error` | what an answer means |

mod config;
mod error;
mod line;
mod point;
mod sink;
#[cfg(test)]
mod tests;

pub use config::{InfluxApi, InfluxConfig, InfluxField, InfluxPrecision, InfluxTime};
pub use sink::Influx;
