//! The result of a batch of which every record was written or refused.

use tidemill_core::{Rejection, SinkError};

/// Written, or rejected with the records that were refused.
pub(crate) fn of(mut rejections: Vec<Rejection>) -> Result<(), SinkError> {
    if rejections.is_empty() {
        return Ok(());
    }
    rejections.sort_by_key(|rejection| rejection.index);
    Err(SinkError::rejected(rejections))
}
