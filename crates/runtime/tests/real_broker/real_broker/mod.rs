//! The name of this module tells the test runner that its tests start servers.

mod crash;
mod dead_letters;
mod endurance;
mod errors;
mod handover;
mod races;
mod support;
mod transports;
