//! Waiting that costs next to nothing while nothing happens: a task that waits for one of many things looks at each of
//! them every time that it is woken, and most of them seldom happen.

mod bell;
mod dormant;
mod signal;

pub(crate) use bell::Bell;
pub(crate) use dormant::Dormant;
pub(crate) use signal::Signal;
