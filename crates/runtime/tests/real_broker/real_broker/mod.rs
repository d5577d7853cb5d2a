//! The name of this module tells the test runner that its tests start servers.

mod crash;
mod dead_letters;
mod endurance;
mod errors;
mod handover;
mod mqtt_sink;
mod process;
mod races;
mod scenarios;
mod signals;
mod support;
mod transports;
