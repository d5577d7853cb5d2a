//! Vocabulary and traits of Tidemill: what a handler author and a sink author see.
//!
//! A [`Handler`] receives an [`Event`] and a [`Context`]; what it emits are [`Record`]s for a [`Sink`]. How the
//! handling ended is decided by its [`HandlerResult`]: `Ok` acknowledges the event after every emitted record was
//! written, an error retries it or sends it to the dead letters, see [`HandlerError`].
//!
//! This crate does no I/O and knows neither an MQTT client nor an async runtime, so that it changes rarely.
//!
//! ```
//! use tidemill_core::prelude::*;
//!
//! struct Thermostat { limit: f64 }
//!
//! #[async_trait]
//! impl Handler for Thermostat {
//!     async fn handle(&self, event: &Event, cx: &mut Context) -> HandlerResult {
//!         let celsius: f64 = event.json().permanent()?;
//!         if celsius > self.limit {
//!             cx.emit("alerts", &celsius)?;
//!         }
//!         Ok(())
//!     }
//! }
//! ```

mod context;
mod error;
mod event;
mod handler;
#[cfg(feature = "platform")]
pub mod platform;
pub mod prelude;
mod properties;
mod publication;
mod record;
mod sink;
pub mod topic;

pub use async_trait::async_trait;

pub use context::{Context, EmitError, Emitted, Publishing, Scope, SinkId};
pub use error::{BoxError, Disposition, HandlerError, HandlerResult, ResultExt, report};
pub use event::{Arrival, Captures, Event, EventParts, PayloadError, QoS, Span};
pub use handler::{Handler, HandlerFn, handler_fn};
pub use properties::Properties;
pub use publication::Publication;
pub use record::{IntoRecord, Record};
pub use sink::{Rejection, Sink, SinkError, SinkErrorKind, SinkTraits};
