//! Times in monitoring messages: ISO 8601 with `Z` or, in messages of 2014, with an offset such as `-04:00`.

use std::time::SystemTime;

use jiff::Timestamp;

/// Reads a time of either form; `None` when it is neither.
pub(super) fn parse(text: &str) -> Option<SystemTime> {
    text.parse::<Timestamp>().ok().map(SystemTime::from)
}

/// Writes a time as the platform does today: UTC, milliseconds, `Z`. Times out of range are cut to it.
pub(super) fn format(time: SystemTime) -> String {
    let stamp = match Timestamp::try_from(time) {
        Ok(stamp) => stamp,
        Err(_) if time < SystemTime::UNIX_EPOCH => Timestamp::MIN,
        Err(_) => Timestamp::MAX,
    };
    format!("{stamp:.3}")
}
