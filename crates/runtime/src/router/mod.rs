//! Which route an event goes to, and which filters to subscribe to so that every event comes once.
//!
//! The most specific route wins. Two routes are compared level by level from the left: a literal is more specific than
//! a capture or `+`, and both are more specific than `#`; a pattern that has ended is more specific than a `#`.
//! A route that starts with a wildcard never gets a topic that starts with `$` `[MQTT-4.7.2-1]`.

mod build;
mod layout;
mod subscriptions;
#[cfg(test)]
mod tests;
mod trie;

pub(crate) use subscriptions::subscriptions;
pub(crate) use trie::Router;
