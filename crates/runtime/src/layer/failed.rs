//! How a handler's failure passes through layers that know only errors: it goes in as an error that carries the
//! disposition, and whatever comes out is searched for it.

use std::error::Error;
use std::fmt;

use tidemill_core::{BoxError, Disposition, HandlerError};

/// A failed attempt as an error, with what is to be done with the event.
///
/// Layers may pass it on, wrap it (as [`source`](Error::source)) or return one of their own, made from a
/// [`HandlerError`]. Any other error that comes out of a layer means retry.
#[derive(Debug)]
pub struct AttemptFailed(HandlerError);

impl AttemptFailed {
    /// What is to be done with the event.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        self.0.disposition()
    }

    /// The failure as the handler returned it.
    #[must_use]
    pub fn into_inner(self) -> HandlerError {
        self.0
    }
}

impl From<HandlerError> for AttemptFailed {
    fn from(error: HandlerError) -> Self {
        Self(error)
    }
}

impl fmt::Display for AttemptFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the attempt failed")
    }
}

impl Error for AttemptFailed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.0.source())
    }
}

/// What an error that came out of a layer means for the event.
pub(super) fn handler_error(error: BoxError) -> HandlerError {
    match error.downcast::<AttemptFailed>() {
        // Nobody wrapped it: it reads as it would without layers.
        Ok(failed) => failed.0,
        Err(error) => match carried(&*error) {
            Some(Disposition::Permanent) => HandlerError::permanent(error),
            Some(Disposition::RetryAfter(delay)) => HandlerError::retry_after(delay, error),
            _ => HandlerError::retry(error),
        },
    }
}

/// The other way round; says nothing twice.
pub(super) fn boxed(error: HandlerError) -> BoxError {
    match carried(error.source()) {
        Some(disposition) if disposition == error.disposition() => error.into_source(),
        _ => AttemptFailed(error).into(),
    }
}

/// The disposition of the outermost failed attempt in a chain of errors.
fn carried(error: &(dyn Error + 'static)) -> Option<Disposition> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(failed) = error.downcast_ref::<AttemptFailed>() {
            return Some(failed.disposition());
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tidemill_core::report;

    use super::*;

    #[derive(Debug)]
    struct Outer(BoxError);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("look up the tenant")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    fn wrapped(error: HandlerError, times: usize) -> BoxError {
        (0..times).fold(AttemptFailed(error).into(), |inner, _| Box::new(Outer(inner)))
    }

    #[test]
    fn the_disposition_survives_any_number_of_wrappers() {
        for times in 0..4 {
            let permanent = handler_error(wrapped(HandlerError::permanent("bad payload"), times));
            assert_eq!(permanent.disposition(), Disposition::Permanent);
            let delay = Duration::from_secs(7);
            let later = handler_error(wrapped(HandlerError::retry_after(delay, "busy"), times));
            assert_eq!(later.disposition(), Disposition::RetryAfter(delay));
        }
    }

    #[test]
    fn an_error_that_nobody_wrapped_reads_as_without_layers() {
        let error = handler_error(wrapped(HandlerError::permanent("bad payload"), 0));
        assert_eq!(report(error.source()), "bad payload");
    }

    #[test]
    fn a_wrapper_shows_in_the_chain_once() {
        let error = handler_error(wrapped(HandlerError::retry("busy"), 1));
        assert_eq!(report(error.source()), "look up the tenant: the attempt failed: busy");
    }

    #[test]
    fn the_way_through_a_layer_and_back_changes_nothing() {
        for times in 0..3 {
            let error = handler_error(boxed(handler_error(wrapped(HandlerError::permanent("it"), times))));
            assert_eq!(error.disposition(), Disposition::Permanent);
            assert_eq!(report(error.source()).matches("attempt failed").count(), times.min(1));
        }
        let changed = HandlerError::permanent(wrapped(HandlerError::retry("it"), 1));
        assert_eq!(handler_error(boxed(changed)).disposition(), Disposition::Permanent);
    }

    #[test]
    fn a_foreign_error_means_retry() {
        assert_eq!(handler_error("overloaded".into()).disposition(), Disposition::Retry);
    }
}
