//! What keeps a panic of the user's code from ending a task of the runtime.
//!
//! INVARIANT: the call that makes the user's future is guarded like the future itself: a trait that is implemented by hand
//! may do its work, and panic, before it returns one.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use futures_util::FutureExt;

/// What a panic said.
pub(crate) type Panic = Box<dyn Any + Send>;

/// Runs the user's code, and gives what it panicked with. Call it within `work`, which is an `async` block, and not while
/// making it.
///
/// Cancel-safe as far as `work` is.
///
/// # Errors
/// The panic.
pub(crate) async fn guarded<T>(work: impl Future<Output = T>) -> Result<T, Panic> {
    AssertUnwindSafe(work).catch_unwind().await
}

/// Runs the user's code that does not wait, and gives what it panicked with.
///
/// # Errors
/// The panic.
pub(crate) fn guarded_call<T>(work: impl FnOnce() -> T) -> Result<T, Panic> {
    catch_unwind(AssertUnwindSafe(work))
}

/// What there is to say of a panic: who panicked, and its message.
pub(crate) fn panicked(who: &str, panic: &(dyn Any + Send)) -> String {
    format!("{who} panicked: {}", panic_message(panic))
}

/// The message of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&'static str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
