//! The names a handler needs, at most ten.

pub use crate::{Context, Event, Handler, HandlerError, HandlerResult, Record, ResultExt, async_trait, handler_fn};
