//! Topics: names that events are published to, filters that are subscribed to, and patterns that routes are bound to.
//!
//! Three rules hold everywhere in this module: a string is checked once, when its type is made; matching never
//! allocates; and a filter that starts with a wildcard never matches a topic that starts with `$` `[MQTT-4.7.2-1]`.

mod error;
mod filter;
mod name;
mod pattern;
mod share;
#[cfg(test)]
mod tests;

pub use error::{TopicError, TopicErrorKind};
pub use filter::TopicFilter;
pub use name::TopicName;
pub use pattern::{Pattern, Segment};
pub use share::{ShareName, Subscription};

/// The longest topic name or filter, in bytes of UTF-8 `[MQTT-1.5.4]`.
pub const MAX_LEN: usize = 65_535;
