//! What a handler may answer when it fails, and how an error chain is shown.

use std::error::Error;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Any error that can cross threads.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// What a handler returns.
pub type HandlerResult = Result<(), HandlerError>;

/// What to do with an event whose handler failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// Try again after the route's backoff. This is what `?` means.
    Retry,
    /// Try again after this delay instead of the route's backoff.
    RetryAfter(Duration),
    /// Do not try again: dead-letter the event at once.
    Permanent,
}

/// A failed attempt: the cause, and what to do with the event.
///
/// It deliberately does not implement [`std::error::Error`]: that lets `?` turn every error type into a retry
/// without a wrapper. [`ResultExt`] changes the disposition where `?` alone says the wrong thing.
pub struct HandlerError {
    disposition: Disposition,
    source: BoxError,
}

impl HandlerError {
    /// A failure that is worth another attempt.
    pub fn retry(source: impl Into<BoxError>) -> Self {
        Self { disposition: Disposition::Retry, source: source.into() }
    }

    /// A failure that is worth another attempt after `delay`.
    pub fn retry_after(delay: Duration, source: impl Into<BoxError>) -> Self {
        Self { disposition: Disposition::RetryAfter(delay), source: source.into() }
    }

    /// A failure that no further attempt can mend.
    pub fn permanent(source: impl Into<BoxError>) -> Self {
        Self { disposition: Disposition::Permanent, source: source.into() }
    }

    /// What to do with the event.
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        self.disposition
    }

    /// The cause.
    #[must_use]
    pub fn source(&self) -> &(dyn Error + Send + Sync + 'static) {
        &*self.source
    }

    /// Takes the cause out.
    #[must_use]
    pub fn into_source(self) -> BoxError {
        self.source
    }
}

impl<E: Into<BoxError>> From<E> for HandlerError {
    fn from(source: E) -> Self {
        Self::retry(source)
    }
}

impl fmt::Debug for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandlerError").field("disposition", &self.disposition).field("source", &self.source).finish()
    }
}

impl fmt::Display for HandlerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, f)
    }
}

/// Says what a failure means for the event, where plain `?` (retry) is wrong.
pub trait ResultExt<T> {
    /// No further attempt can mend this: dead-letter at once.
    ///
    /// # Errors
    /// The original error with [`Disposition::Permanent`].
    fn permanent(self) -> Result<T, HandlerError>;

    /// Try again after `delay`.
    ///
    /// # Errors
    /// The original error with [`Disposition::RetryAfter`].
    fn retry_after(self, delay: Duration) -> Result<T, HandlerError>;
}

impl<T, E: Into<BoxError>> ResultExt<T> for Result<T, E> {
    fn permanent(self) -> Result<T, HandlerError> {
        self.map_err(HandlerError::permanent)
    }

    fn retry_after(self, delay: Duration) -> Result<T, HandlerError> {
        self.map_err(|error| HandlerError::retry_after(delay, error))
    }
}

/// Renders an error and its causes on one line: `connect to broker: connection refused`. Never panics: an error whose
/// `Display` does, or says that it failed, is rendered as one that cannot be shown.
#[must_use]
pub fn report(error: &(dyn Error + 'static)) -> String {
    let mut text = shown(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&shown(error));
        cause = error.source();
    }
    text
}

/// The text of an error is its author's code, and is asked for where a panic would end an instance.
fn shown(error: &(dyn Error + 'static)) -> String {
    catch_unwind(AssertUnwindSafe(|| error.to_string())).unwrap_or_else(|_| "an error that cannot be shown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<u8, HandlerError> {
        Ok(text.parse::<u8>()?)
    }

    #[test]
    fn question_mark_means_retry() {
        assert_eq!(parse("x").unwrap_err().disposition(), Disposition::Retry);
    }

    #[test]
    fn permanent_and_retry_after_change_the_disposition() {
        let permanent = "x".parse::<u8>().permanent().unwrap_err();
        assert_eq!(permanent.disposition(), Disposition::Permanent);
        let later = "x".parse::<u8>().retry_after(Duration::from_secs(3)).unwrap_err();
        assert_eq!(later.disposition(), Disposition::RetryAfter(Duration::from_secs(3)));
    }

    #[test]
    fn report_joins_the_chain_once() {
        #[derive(Debug)]
        struct Outer(std::num::ParseIntError);
        impl fmt::Display for Outer {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("read the limit")
            }
        }
        impl Error for Outer {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                Some(&self.0)
            }
        }
        let error = Outer("x".parse::<u8>().unwrap_err());
        assert_eq!(report(&error), "read the limit: invalid digit found in string");
    }

    #[test]
    fn an_error_that_cannot_be_shown_takes_nobody_along() {
        #[derive(Debug)]
        enum Unshown {
            Fails,
            Panics(std::num::ParseIntError),
        }
        impl fmt::Display for Unshown {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    // What `chrono` does with a wrong format: `to_string` panics then.
                    Self::Fails => Err(fmt::Error),
                    Self::Panics(_) => panic!("no text"),
                }
            }
        }
        impl Error for Unshown {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                match self {
                    Self::Fails => None,
                    Self::Panics(cause) => Some(cause),
                }
            }
        }
        assert_eq!(report(&Unshown::Fails), "an error that cannot be shown");
        let caused = Unshown::Panics("x".parse::<u8>().unwrap_err());
        assert_eq!(report(&caused), "an error that cannot be shown: invalid digit found in string");
    }
}
