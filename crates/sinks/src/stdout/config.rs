//! Settings of the standard output sink.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::LineFormat;

/// Settings of [`Stdout`](crate::Stdout).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StdoutConfig {
    /// What a record looks like. Default: `ndjson`, which takes any record.
    pub format: LineFormat,
}

impl StdoutConfig {
    /// Sets what a record looks like.
    #[must_use]
    pub fn format(mut self, format: LineFormat) -> Self {
        self.format = format;
        self
    }
}
