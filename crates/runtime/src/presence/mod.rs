//! Presence: a retained message per worker that says who and how it is, so that every member of a group can be seen from
//! MQTT alone.
//!
//! It goes over a connection of its own, with a Will: a broker that forbids the topic may end the connection over it, and
//! no instance shall suffer from that.
//!
//! INVARIANT: whoever is gone does not look present. A worker that leaves in order clears its message, one that is lost is
//! replaced by its Will, and on MQTT 5 either expires.

mod announcer;
mod message;

pub(crate) use announcer::Announcer;
pub use message::{Presence, PresentInstance, SCHEMA, State};
