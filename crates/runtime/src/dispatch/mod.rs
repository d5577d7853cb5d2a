//! The dispatcher: from a delivery to its outcome. One task per instance, on the user's runtime.
//!
//! ```text
//! link -> router -> lanes -> attempt (polled once on the spot) -> finished
//!                               └ pending or failed -> ladder (retry, sinks, dead letters) -> finished
//! ```
//!
//! INVARIANT (G9): every delivery that is taken from the link ends in exactly one outcome, and is counted once as
//! received and once under that outcome.

mod age;
mod attempt;
mod cut;
mod dead_letter;
mod dispatcher;
mod fill;
mod key;
mod ladder;
mod lanes;
mod route;
mod stall;

pub(crate) use age::AgeLimit;
pub(crate) use dead_letter::{Death, LessOf, hex, less as shortened_dead_letter, record as dead_letter_record};
pub(crate) use dispatcher::{Dispatcher, Setup};
pub(crate) use fill::{RecordKey, fill_in};
pub(crate) use ladder::hand_in;
pub(crate) use route::{Emits, RetryPolicy, RouteRuntime};

pub use age::Stamp;
pub use key::Key;
pub use route::Execution;
