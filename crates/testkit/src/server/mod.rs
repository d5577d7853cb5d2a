//! Real servers as child processes: on free ports of the loopback interface, with a data directory of their own, and
//! gone when they are dropped.
//!
//! | file | owns |
//! |---|---|
//! | `spec` | how a server is started and how one sees that it is ready |
//! | `process` | the running server: kill, stop, freeze, restart on the same ports |
//! | `ready` | the probes |
//! | `signal` | signals to a process or its group |
//! | `error` | why there is no server; leaving tests out where one is not installed |
//!
//! Invariant: a process that was started here ends with the value that stands for it.
//!
//! A free port is found by asking the kernel for one, which another process may take first; the start is tried again on
//! other ports then.

mod error;
mod process;
mod ready;
mod signal;
mod spec;

pub use error::{ServerError, ServerErrorKind, find, require_or_skip};
pub use process::ServerProcess;
pub use ready::Ready;
pub use spec::{Place, ServerSpec};
