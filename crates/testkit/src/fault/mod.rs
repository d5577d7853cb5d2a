//! Networks that fail on demand: links between a client and a broker that a test, or a seeded plan, cuts, silences,
//! slows down and refuses; in memory under paused time, and as a proxy on real sockets.
//!
//! - [`Faults`]: a network. Every connection through it is a [`Link`], which fails alone.
//! - [`Tap`]: sees every packet on a link where it arrives, and may change what is passed on.
//! - [`FaultProxy`]: the same between TCP sockets, with RST.
//! - [`FaultPlan`]: what fails when, from a seed.
//!
//! A stream neither repeats nor swaps bytes, so neither does this. What passes is passed whole and in order; what is lost
//! is lost from some byte on.

mod link;
mod network;
mod plan;
mod proxy;
mod pump;
#[cfg(test)]
mod tests;

pub use link::{Link, Way};
pub use network::Faults;
pub use plan::{Fault, FaultPlan};
pub use proxy::FaultProxy;
pub use pump::{Onward, Tap};
