//! Topics of the platform, typed: what applications publish, and what they subscribe to.
//!
//! One table of shapes ([`Address`]) serves both: a [`PlatformTopic`] has a value at each place, a [`PlatformFilter`] a
//! value or `+`. So what can be built can be read back, and a filter has `+` only where the platform allows it.

mod address;
mod builders;
mod error;
mod level;
mod review;
mod sharing;
#[cfg(test)]
mod tests;

pub use address::{Address, PlatformFilter, PlatformTopic};
pub use error::{TopicRuleError, TopicRuleErrorKind};
pub use level::{Level, Slot, Word};
pub use review::{FilterWarning, review_filters};
pub use sharing::ShareGroup;
